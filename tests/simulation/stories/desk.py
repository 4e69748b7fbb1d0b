"""The people of a story: they read histories and decide, rightly or wrongly, once or twice, in time or late; operators help.

They know only what stands on the topics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from infra.file_reader import FileReader
from schemas.ports import Append, Slot
from schemas.records import Decision, OperatorCommand, encode
from schemas.topics import COMMANDS, DECISIONS, HISTORY, partition_of
from tests.simulation.machine import ENGINE_FILE, PARTITIONS
from tests.simulation.stories.draw_flows import SOME_TENANTS
from tests.simulation.stories.draw_steps import PEOPLE, ROLES

READ_MOST: Final = 100_000
HELPS: Final = 40  # so often an operator tries the same again


class Ask(NamedTuple):
    """One approval that was asked for."""

    tenant: str
    execution: str
    step: str
    occurrence: int


@dataclass(slots=True)
class Known:
    """What people know of one execution."""

    tenant: str
    status: str = ""
    waiting_on: str = ""
    steps: list[str] = field(default_factory=list)
    stuck: str = ""  # a step whose compensation has failed
    unknown: list[str] = field(default_factory=list)  # steps of which nobody knows what became
    helped: int = 0


@dataclass(slots=True)
class Desk:
    """All people. `helps`: operators care for what is stuck."""

    home: Path
    rng: Random
    coverage: Counter[str]
    helps: bool
    eager: float  # how often people decide what is asked
    asks: list[Ask] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)
    _places: dict[Slot, int] = field(default_factory=dict)

    def read(self) -> list[Ask]:
        """Read what is new; give the approvals that were asked for."""
        if not (self.home / ENGINE_FILE).exists():
            return []
        reader = FileReader(self.home / ENGINE_FILE, HISTORY.__eq__, self._places)
        fresh: list[Ask] = []
        try:
            while chunks := reader.poll(READ_MOST):
                for chunk in chunks:
                    self._places[chunk.slot] = chunk.end
                    for data in chunk.records:
                        fresh += self._learn(msgspec.json.decode(data))
        finally:
            reader.close()
        self.asks += fresh
        return fresh

    def _learn(self, record: dict[str, Any]) -> list[Ask]:
        execution = record["execution"]
        known = self.known.setdefault(execution, Known(record["tenant"]))
        known.status, known.waiting_on = record["status"], (record.get("waiting_on") or "").removeprefix("operator ")
        fresh = []
        for _, kind, step, verb, *rest in record["transitions"]:
            detail: Any = rest[0] if rest else None
            if kind == "requested":
                fresh.append(Ask(record["tenant"], execution, step, detail["occurrence"]))
            elif verb == "compensation":
                known.stuck, known.helped = step if kind == "failed" else "", 0
            elif _is_unknown(kind, detail):
                known.unknown.append(step)
                known.helped = 0
            elif kind == "resumed" and step in known.unknown:
                known.unknown.remove(step)
            elif kind == "issued":
                known.steps.append(step)
        return fresh

    # --- what they say

    def visit(self) -> list[Append]:
        """Come by once, while all goes on."""
        fresh = self.read()
        said = [self._decision(one) for one in fresh if self.rng.random() < self.eager]
        said += [self._decision(one) for one in self.asks[-8:] if self.rng.random() < 0.3 * self.eager]
        said += [one for one in said if self.rng.random() < 0.25]  # the same person, once more
        if self.rng.random() < 0.12 and self.known:
            said.append(self._meddle())
        if self.rng.random() < 0.3:
            said += self.help()
        return said

    def hurry(self) -> list[Append]:
        """Decide at the last moment what was asked of late."""
        self.read()
        return [self._decision(one) for one in self.asks[-6:]]

    def help(self) -> list[Append]:
        """Help what waits for an operator."""
        if not self.helps:
            return []
        found = []
        for execution, known in self.known.items():
            if known.status != "closing" or known.helped == HELPS:
                continue
            known.helped += 1
            if known.stuck:
                found.append(self._order(execution, known, self.rng.choice(("retry", "skip", *["resume"] * 4)), known.stuck))
            elif known.unknown:
                found.append(self._order(execution, known, "resume", self.rng.choice(known.unknown)))
        return found

    def _decision(self, ask: Ask) -> Append:
        rng = self.rng
        by = rng.choice(PEOPLE)
        tenant, occurrence = ask.tenant, ask.occurrence
        if rng.random() < 0.06:
            tenant = rng.choice([one for one in SOME_TENANTS if one != tenant])
            self.coverage["story: decisions of another tenant"] += 1
        elif rng.random() < 0.05:
            occurrence += 1
        forms: tuple[Any, ...] = ({"reason": "so"}, {"reason": "so", "limit": 3}, None, {"reason": 7})
        decision = Decision(
            tenant=tenant,
            execution=ask.execution,
            step=ask.step,
            occurrence=occurrence,
            outcome=rng.choice(("approved", "approved", "rejected")),
            by=by,
            roles=ROLES[by],
            form=rng.choice((forms[0], forms[0], *forms)),
            at=0,
            via=rng.choice(("cli", "http", "link")),
            refused="forged" if rng.random() < 0.04 else "",
        )
        self.coverage["story: decisions sent"] += 1
        return Append(DECISIONS, partition_of(tenant, PARTITIONS), [encode(decision)])

    def _meddle(self) -> Append:
        """Give some order to some execution, whether it makes sense or not."""
        execution = self.rng.choice(sorted(self.known))
        known = self.known[execution]
        step = self.rng.choice([known.waiting_on, known.waiting_on, *known.steps[-2:], "nothing"])
        command = self.rng.choice(("cancel", "cancel", "skip", "skip", "skip", "retry", "resume"))
        return self._order(execution, known, command, step)

    def _order(self, execution: str, known: Known, command: Any, step: str) -> Append:
        outcome: Any = self.rng.choice(("done", "not_done")) if command == "resume" else ""
        tenant = known.tenant
        if self.rng.random() < 0.04:
            tenant = self.rng.choice([one for one in SOME_TENANTS if one != tenant])
        order = OperatorCommand(command=command, tenant=tenant, execution=execution, step=step, outcome=outcome, by="op", at=0)
        self.coverage[f"story: operators said {command}"] += 1
        return Append(COMMANDS, partition_of(tenant, PARTITIONS), [encode(order)])


def _is_unknown(kind: str, detail: Any) -> bool:
    """Tell whether a transition says that nobody knows what became of a step."""
    if kind == "answered":
        return bool(detail["status"] == "unknown")
    return bool(kind == "failed" and detail["code"] == "invalid_result")
