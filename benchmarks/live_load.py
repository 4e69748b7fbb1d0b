"""The workload of bench_live: cases of six kinds, each waiting for something else, and what ends each of them.

A case is a number: it tells its kind, its tenant and its id. Which of those that live end is drawn at random, but for those
that stand in a queue: there it is the one whose turn it is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

from benchmarks.workload import SOURCE, TOPIC, tenants
from schemas.ids import LIVE, action_id, event_key, execution_id
from schemas.records import Decision, Result

KINDS: Final = ("delay", "wait", "approval", "action", "queue", "absence")
SETTLED: Final = "case.settled"
FAR: Final = "60d"
FAR_US: Final = 60 * 86_400_000_000
ASKED: Final = "asked"  # names of steps
ANSWERED: Final = "looked_up"
CONNECTOR: Final = "file"
QUEUES: Final = 2  # a tenant


def contracts() -> list[dict[str, Any]]:
    """Write the contracts of what begins each kind of case, and of what settles one."""
    case = {"id": "string", "queue": "string", "amount": "int", "due": "timestamp", "owner": "string"}
    begun = [{"event": begins(kind), "topic": TOPIC, "fields": {"case": case}} for kind in KINDS]
    return [*begun, {"event": SETTLED, "topic": TOPIC, "fields": {"case": {"id": "string", "amount": "int"}}}]


def begins(kind: str) -> str:
    """Name the event that begins a kind of case."""
    return f"case.{kind}"


def flow_name(kind: str, tenant: str) -> str:
    """Name the flow of a kind and a tenant."""
    return f"{kind}_{tenant}"


def flows(count: int) -> Iterator[dict[str, Any]]:
    """Write six flows for each tenant."""
    tell = {"action": "tell", "with": {"case": "{{ case.id }}", "amount": "{{ case.amount }}"}}
    settled = {"as": "settled", "correlate": "settled.case.id == case.id"}
    wait = {"wait": SETTLED, **settled, "timeout": FAR, "on_timeout": "fail"}
    approve = {"approve": "Case {{ case.id }}", "as": ASKED, "by": {"role": "manager"}, "timeout": FAR, "on_timeout": "rejected"}
    ask = {"action": "look_up", "as": ANSWERED, "await": True, "timeout": "30d", "with": {"case": "{{ case.id }}"}}
    first = {"delay": {"until": "case.due"}, "wait": wait, "approval": approve, "action": ask, "queue": wait}
    for tenant in tenants(count):
        for kind in KINDS:
            trigger: dict[str, Any] = {"event": begins(kind)}
            more: dict[str, Any] = {"steps": [first[kind], tell] if kind in first else [tell]}
            if kind == "absence":
                trigger["absence"] = {"of": SETTLED, **settled, "within": FAR}
            if kind == "queue":
                more["limits"] = {"concurrency": {"key": "case.queue", "max": 1, "over": "queue"}}
            yield {"flow": flow_name(kind, tenant), "tenant": tenant, "trigger": trigger, **more}


class Ends(NamedTuple):
    """What ends some cases: events, decisions, and results by tenant."""

    events: Sequence[Mapping[str, Any]]
    decisions: Sequence[Decision]
    results: Sequence[Result]


@dataclass(slots=True)
class Cases:
    """The cases that live, and the next to begin."""

    tenants: int
    seed: int
    count: int = 0  # begun so far
    commands: int = 0  # that all of it has made the engine say
    first_us: int = field(default_factory=lambda: time.time_ns() // 1000)
    _live: dict[str, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    _queues: list[deque[int]] = field(default_factory=list)
    _names: Sequence[str] = ()
    _random: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        """Begin with none."""
        self._names = tenants(self.tenants)
        self._random = Random(self.seed)
        self._queues = [deque() for _ in range(self.tenants * QUEUES)]

    @property
    def live(self) -> int:
        """Count those that live; a delay that is due is not among them."""
        return sum(map(len, self._live.values())) + sum(map(len, self._queues))

    def begin(self, count: int, due_us: int | None = None) -> list[Mapping[str, Any]]:
        """Begin cases, as many of each kind; delays end at `due_us`, or in the far future."""
        rows = []
        for number in range(self.count, self.count + count):
            kind, place = KINDS[number % len(KINDS)], self._place(number)
            if kind == "queue":
                self._queues[place].append(number)
            elif kind != "delay" or due_us is None:
                self._live[kind].append(number)
            self.commands += kind == "action" or (kind == "delay" and due_us is not None)
            due = self.first_us + FAR_US + number * 1_000 if due_us is None else due_us
            case = {"id": f"c{number}", "queue": f"q{place}", "amount": number % 1_000, "due": due, "owner": f"u{number % 97}"}
            rows.append(self._event(number, f"c{number}", begins(kind), case))
        self.count += count
        return rows

    def end(self, count: int) -> Ends:
        """End cases, as many of each kind; delays end by themselves."""
        each = count // len(KINDS)
        settled = [*self._drawn("wait", each), *self._heads(each)]
        silent = self._drawn("absence", each)  # what did not stay absent says nothing
        events = [self._settled(number) for number in (*settled, *silent)]
        decisions = [self._decision(number) for number in self._drawn("approval", each)]
        results = [self._result(number) for number in self._drawn("action", each)]
        self.commands += len(settled) + len(decisions) + len(results)
        return Ends(events, decisions, results)

    def _drawn(self, kind: str, count: int) -> list[int]:
        """Take out some of a kind, at random."""
        live, drawn = self._live[kind], []
        for _ in range(min(count, len(live))):
            at = self._random.randrange(len(live))
            live[at], live[-1] = live[-1], live[at]
            drawn.append(live.pop())
        return drawn

    def _heads(self, count: int) -> list[int]:
        """Take out those that run now in queues drawn at random, again and again."""
        places = [place for place, queue in enumerate(self._queues) if queue]
        heads: list[int] = []
        while places and len(heads) < count:
            queue = self._queues[self._random.choice(places)]
            if not queue:
                break
            heads.append(queue.popleft())
        return heads

    def _place(self, number: int) -> int:
        return number // len(KINDS) % (self.tenants * QUEUES)

    def tenant(self, number: int) -> str:
        """Name the tenant of a case."""
        return self._names[self._place(number) % self.tenants]

    def _event(self, number: int, identity: str, kind: str, case: Mapping[str, Any]) -> Mapping[str, Any]:
        head = {"id": identity, "source": SOURCE, "type": kind, "subject": None, "time": self.first_us + number}
        return {**head, "tenant": self.tenant(number), "data": {"case": case}}

    def _settled(self, number: int) -> Mapping[str, Any]:
        return self._event(number, f"s{number}", SETTLED, {"id": f"c{number}", "amount": 1})

    def _execution(self, number: int) -> bytes:
        """Give the public id of a case's execution: a function of its event."""
        tenant = self.tenant(number)
        key = event_key(tenant, SOURCE, f"c{number}")
        return execution_id(LIVE, tenant, flow_name(KINDS[number % len(KINDS)], tenant), key, self.first_us + number)

    def _decision(self, number: int) -> Decision:
        tenant, at = self.tenant(number), self.first_us + number
        execution = self._execution(number).hex()
        return Decision(
            tenant=tenant, execution=execution, step=ASKED, outcome="approved", by="ann", roles=["manager"], at=at, via="http"
        )

    def _result(self, number: int) -> Result:
        tenant, at = self.tenant(number), self.first_us + number
        execution = self._execution(number)
        return Result(
            action=action_id(execution, ANSWERED, 0).hex(),
            execution=execution.hex(),
            tenant=tenant,
            flow=flow_name("action", tenant),
            step=ANSWERED,
            type="look_up",
            connector=CONNECTOR,
            status="delivered",
            attempts=1,
            at=at,
            wall=at,
            awaited=True,
            data={"score": number % 100},
        )


def mixed(begun: Sequence[Mapping[str, Any]], ended: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Put ends between beginnings: each in its own order, for queues want theirs."""
    every = max(1, len(begun) // (len(ended) + 1))
    rows: list[Mapping[str, Any]] = []
    rest = iter(ended)
    for at, row in enumerate(begun):
        rows.append(row)
        if at % every == 0 and (one := next(rest, None)) is not None:
            rows.append(one)
    return [*rows, *rest]
