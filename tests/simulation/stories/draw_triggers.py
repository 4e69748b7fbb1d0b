"""Draws flows that windows and schedules start, and commands that travel together."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tests.simulation.business import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TENANTS
from tests.simulation.stories.draw_steps import Step

Document = dict[str, Any]
SEEN: Final[Document] = {
    "event": "order.seen",
    "topic": "orders.events",
    "fields": {"order": {"id": "string", "customer": "string?", "total": "money(GBP)?", "number": "int?"}},
}
MEASURES: Final = {
    "orders": "count()",
    "spend": "sum(order.total)",
    "kinds": "distinct(order.number)",
    "most": "max(order.number)",
}
SIZES: Final = ("20m", "1h", "6h")
LATENESS: Final = ("0s", "0s", "10m", "2h")
WHENS: Final = (
    "window.orders >= 2",
    "window.orders >= 3",
    "window.spend > 4 GBP",
    "window.kinds >= 2",
    "window.orders >= 2 and order.number >= 1",
    "window.orders == 1",
)
SLOTS: Final = ("20 */3 * * *", "15 1-3 * * *", "0 1-3 * * *", "30 0,2 * * *", "45 * * * *")
UNITS_US: Final = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
ZONES: Final = ("Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu")


@dataclass(slots=True)
class TriggerDrawer:
    """Draws by chance. `exact`: the event clock runs, so a schedule ends with the events that move it."""

    rng: Random
    exact: bool

    def counted(self, name: str) -> Document:
        """Draw a flow that a window starts."""
        rng = self.rng
        kind = rng.choice(("sliding", "tumbling", "session"))
        fire = (
            rng.choice(("crossing", "every", "close", "close"))
            if kind != "sliding"
            else rng.choice(("crossing", "every", "every"))
        )
        window: Document = {"key": "order.customer", kind: rng.choice(SIZES), "fire": fire}
        window |= {"measures": MEASURES, "when": rng.choice(WHENS), "lateness": rng.choice(LATENESS)}
        if fire == "every" and rng.random() < 0.6:
            window["when"] = "window.orders >= 1"  # each event tells what was counted
        document: Document = {"flow": name, "steps": [self._say("said")]}
        if rng.random() < 0.3:
            document["tenant"] = sorted(rng.sample(TENANTS[:3], 2))
        if fire == "close" and rng.random() < 0.8:
            window |= {"retract": "3d", "when": rng.choice(("window.orders == 1", "window.orders == 1", window["when"]))}
            document["on_retract"] = [self._say("unsaid")]
        conditions = ["exists(order.customer)", *(["order.number >= 0"] if rng.random() < 0.3 else [])]
        return document | {"trigger": {"event": "order.seen", "conditions": conditions, "window": window}}

    def _say(self, name: str) -> Step:
        measures = {measure: f"{{{{ window.{measure} }}}}" for measure in MEASURES}
        return {"action": "note", "as": name, "with": {"job": "{{ order.id }}"} | measures}

    def clocked(self, name: str) -> Document:
        """Draw a flow that a schedule starts."""
        rng = self.rng
        schedule: Document = {
            "schedule": rng.choice(SLOTS if self.exact else SLOTS[:4]),
            "zone": rng.sample(ZONES, rng.choice((1, 2))),
            "missed": rng.choice(("all", "all", "last", "none")),
            "overlap": rng.choice(("skip", "queue", "cancel", "allow") if self.exact else ("skip", "allow")),
            "jitter": rng.choice(("0s", "0s", "7m")),
            "with": {"region": "emea"},
        }
        said = {"job": "{{ schedule.zone }}", "slot": "{{ schedule.slot }}", "region": "{{ inputs.region }}"}
        tick: Step = {"action": "send_note", "as": "tick", "with": said}
        steps = [tick]
        if self.exact:  # under the wall clock what waits would bring the next slot, and so on for ever
            tick |= {"await": True, "timeout": "30m", "on_error": "continue"}
            steps.append({"delay": rng.choice(("0s", "20m", "5h")), "as": "rest"})
        document: Document = {"flow": name, "inputs": {"region": "string"}, "trigger": schedule, "steps": steps}
        tenants = rng.choice((None, TENANTS[0], list(TENANTS[:2])))
        return document if tenants is None else document | {"tenant": tenants}


def span_us(text: str) -> int:
    """Read a length of time such as 20m."""
    return int(text[:-1]) * UNITS_US[text[-1]]
