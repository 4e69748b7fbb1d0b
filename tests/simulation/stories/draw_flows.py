"""Draws the flows of a story: by events, hand and call, after absences, sequences and ends of flows, with limits and policies."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tests.simulation.business import TENANTS
from tests.simulation.stories.draw_steps import Step, StepDrawer
from tests.simulation.stories.draw_triggers import SEEN, TriggerDrawer

Document = dict[str, Any]
KINDS: Final = ("red", "blue", "green")
SOME_TENANTS: Final = TENANTS[:3]
MADE: Final = {"id": "string", "kind": "string", "amount": "int", "items": "list(string)"}
CONTRACTS: Final[tuple[Document, ...]] = (
    {"event": "job.made", "fields": {"job": MADE}},
    {"event": "job.paid", "fields": {"job": {"id": "string", "amount": "int"}}},
    {"event": "job.done", "fields": {"job": {"id": "string", "amount": "int?"}}},
    {"event": "job.told", "topic": "told.events", "fields": {"job": {"id": "string", "amount": "int"}}},
    {"event": "job.echoed", "topic": "told.events", "fields": {"job": {"id": "string", "amount": "int"}}},
    SEEN,
)
TABLE_RULES: Final = [{"when": "worth > 50", "then": {"way": "high"}}]


@dataclass(frozen=True, slots=True)
class Limited:
    """What a flow's limit says: concurrency of a tenant, or of one job; or a rate of a tenant."""

    kind: str
    most: int
    over: str
    per_us: int = 0


def policy_documents(ceiling: int) -> list[Document]:
    """Write the policies as of now."""
    table = {"policy": "route", "inputs": {"worth": "int"}, "outputs": {"way": "string"}, "hit": "first"}
    return [
        {"policy": "ceiling", "type": "int", "value": ceiling},
        table | {"rules": TABLE_RULES, "otherwise": {"way": f"low{ceiling}"}},
    ]


@dataclass(slots=True)
class FlowsDrawer:
    """Draws all flows of one story, by name."""

    rng: Random
    exact: bool = True

    def flows(self) -> dict[str, Document]:
        """Draw all."""
        rng = self.rng
        found = {"hand_0": self.by_hand("hand_0", ())}
        if rng.random() < 0.7:
            found["hand_1"] = self.by_hand("hand_1", ("hand_0",))
        for at, kind in enumerate(KINDS[: rng.choice((2, 3))]):
            found[f"made_{at}"] = self.by_event(f"made_{at}", kind, tuple(name for name in found if name.startswith("hand")))
        others = {"told": self._told, "absent": self._absent, "chain": self._chain, "behind": self._behind, "asked": self._asked}
        for name, draw in others.items():
            if rng.random() < 0.6:
                found[name] = draw(name)
        if rng.random() < 0.6:
            found["joined"] = self._joined("joined", [one for one in found if one.startswith(("made", "hand")) or one == "told"])
        triggers = TriggerDrawer(rng, self.exact)
        found |= {name: triggers.counted(name) for name in ("counted_0", "counted_1") if rng.random() < 0.6}
        found |= {name: triggers.clocked(name) for name in ("clocked_0",) if rng.random() < 0.6}
        return found

    def again(self, name: str, before: Document) -> Document:
        """Draw another version: the same trigger and tenants, other steps."""
        kept = {key: value for key, value in before.items() if key != "on_error"}
        return kept | {"steps": StepDrawer(self.rng, "job.id", may_tell=False).steps(), "timeout": "20d"}

    def by_event(self, name: str, kind: str, calls: tuple[str, ...]) -> Document:
        """Draw a flow that events start."""
        rng = self.rng
        drawer = StepDrawer(rng, "job.id", calls)
        document: Document = {"flow": name, "trigger": {"event": "job.made", "conditions": [f'job.kind == "{kind}"']}}
        if rng.random() < 0.3:
            document["tenant"] = sorted(rng.sample(SOME_TENANTS, 2))
        document["steps"] = drawer.steps()
        self._around(document, drawer)
        return document

    def by_hand(self, name: str, calls: tuple[str, ...]) -> Document:
        """Draw a flow that people start, or other flows."""
        drawer = StepDrawer(self.rng, "inputs.id", calls, may_tell=False, has_event=False)
        document: Document = {
            "flow": name,
            "inputs": {"id": "string"},
            "trigger": {"manual": {"roles": ["desk"]}, "id": "inputs.id"},
            "steps": drawer.steps(depth=1),
            "output": {"id": "{{ inputs.id }}"},
        }
        self._around(document, drawer)
        return document

    def _around(self, document: Document, drawer: StepDrawer) -> None:
        rng = self.rng
        if rng.random() < 0.3:
            document["timeout"] = rng.choice(("2h", "1d"))
        if rng.random() < 0.5:
            document["on_error"] = self._handler(drawer)
        if rng.random() < 0.4:
            kind, over = (
                rng.choice(("concurrency", "concurrency", "rate")),
                rng.choice(("queue", "queue", "drop", "cancel_running")),
            )
            limit: Document = {"max": rng.choice((1, 2)), "over": over}
            if kind == "rate":
                limit |= {"per": "30m", "over": "queue" if over == "cancel_running" else over}
            document["limits"] = {kind: limit}

    def _handler(self, drawer: StepDrawer) -> list[Step]:
        said: Step = {"action": "send_sorry", "as": drawer.name("sorry")}
        said["with"] = {"job": f"{{{{ {drawer.ref} }}}}", "code": "{{ error.code }}", "undone": "{{ error.compensated }}"}
        if self.rng.random() < 0.4:
            said |= {"await": True, "timeout": "1h"}
        return [*([drawer.delay()] if self.rng.random() < 0.4 else []), said]

    # --- flows that are started otherwise

    def _told(self, name: str) -> Document:
        drawer = StepDrawer(self.rng, "job.id", may_tell=False)
        drawer.has_event = False
        return {"flow": name, "trigger": {"event": "job.told"}, "steps": drawer.steps(depth=2)}

    def _absent(self, name: str) -> Document:
        rng = self.rng
        absence: Document = {
            "of": "job.done",
            "as": "done",
            "correlate": "done.job.id == job.id",
            "within": rng.choice(("5m", "4h")),
        }
        if rng.random() < 0.5:
            absence["lateness"] = "20m"
        document: Document = {"flow": name, "trigger": {"event": "job.made", "absence": absence}}
        if rng.random() < 0.6:
            absence["retract"] = "3d"
            document["on_retract"] = [{"action": "send_note", "as": "calm", "with": {"job": "{{ job.id }}"}}]
        steps: list[Step] = [{"action": "send_note", "as": "alarm", "with": {"job": "{{ job.id }}"}}]
        if rng.random() < 0.5:
            steps.append({"delay": "1d", "as": "rest"})
        return document | {"steps": steps}

    def _chain(self, name: str) -> Document:
        second = {"event": "job.paid", "as": "second", "conditions": ["second.job.amount > 2"]}
        sequence = {
            "key": "job.id",
            "within": self.rng.choice(("20m", "3h")),
            "events": [{"event": "job.made", "as": "first"}, second],
        }
        return {
            "flow": name,
            "trigger": {"sequence": sequence},
            "steps": [{"action": "note", "as": "seen", "with": {"job": "{{ first.job.id }}"}}],
        }

    def _behind(self, name: str) -> Document:
        note = {"action": "note", "as": "follow", "with": {"job": "{{ event.correlationid }}"}}
        return {"flow": name, "trigger": {"after": "made_0", "status": "any"}, "steps": [note]}

    def _joined(self, name: str, others: list[str]) -> Document:
        """Draw a flow behind the ends of several others."""
        rng = self.rng
        made = ["made_0", "made_1"]
        behind: Document = {
            "after": rng.choice((made, made, made, sorted(rng.sample(others, rng.choice((2, 3)))))),
            "join": "all",
        }
        behind |= {"status": rng.choice(("any", "any", "any", "completed")), "within": rng.choice(("20m", "5h", "3d", "30d"))}
        if rng.random() < 0.85:
            behind["key"] = "event.tenant"
        note = {
            "action": "note",
            "as": "follow",
            "with": {"job": "{{ event.correlationid }}", "first": f"{{{{ after.{behind['after'][0]}.status }}}}"},
        }
        return {"flow": name, "trigger": behind, "steps": [note]}

    def _asked(self, name: str) -> Document:
        note = {
            "action": "send_note",
            "as": "invite",
            "with": {"job": "{{ event.correlationid }}", "step": "{{ approval.step }}"},
        }
        return {"flow": name, "trigger": {"event": "approval.requested"}, "steps": [note]}
