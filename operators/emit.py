"""What a turn emits: commands, histories and dead letters, packed by topic and partition in the order they came.

Reads: the executions a turn touched and the commands they issued. Emits: appends. State: none. Cost: one JSON encoding each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from operators.advance import Runnable
from operators.execution import Parked, State
from schemas.commands import Command
from schemas.ids import shard_of
from schemas.ports import Append
from schemas.records import HOPS_MAX, DeadLetter, History, Status, Transition, encode
from schemas.topics import DEAD_LETTERS, HISTORY, actions_topic

TENANTS_REMEMBERED = 100_000
shard_of_tenant = lru_cache(maxsize=TENANTS_REMEMBERED)(shard_of)


class Live(msgspec.Struct):
    """An execution that this turn has touched."""

    row: int
    shard: int
    id: bytes
    tenant: str
    runnable: Runnable
    started_us: int
    event: str
    state: State | None
    status: Status
    is_new: bool
    transitions: list[Transition] = []  # msgspec gives each its own


@dataclass(frozen=True, slots=True)
class Emission:
    """Everything that a turn says to the outside."""

    lives: Iterable[Live]
    commands: Sequence[tuple[int, Command]]  # (shard, command)
    dead: Sequence[DeadLetter]
    namespace: str


def emit(said: Emission, connector: Callable[[str, str], str], partitions: int) -> list[Append]:
    """Encode and pack; `connector` gives the connector that serves a tenant's action type."""
    records: dict[tuple[str, int], list[bytes]] = defaultdict(list)
    topics: dict[tuple[str, str], str] = {}
    for shard, command in said.commands:
        served = (command.body.tenant, command.type)
        topic = topics.get(served)
        if topic is None:
            topic = topics[served] = actions_topic(connector(*served))
        records[topic, shard % partitions].append(command.record())
    for live in said.lives:
        if live.transitions:
            records[HISTORY, live.shard % partitions].append(encode(_history(live, said.namespace)))
    for letter in said.dead:
        shard = 0 if letter.tenant is None else shard_of_tenant(letter.tenant)
        records[DEAD_LETTERS, shard % partitions].append(encode(letter))
    return [Append(topic, partition, items) for (topic, partition), items in records.items()]


def too_many_hops(command: Command, at_us: int) -> DeadLetter:
    return DeadLetter(
        kind="hops",
        tenant=command.body.tenant,
        source="",
        topic="",
        partition=0,
        position=0,
        reason="too-many-hops",
        detail=f"the command is {command.body.hops} hops from its first event, at most {HOPS_MAX}; a flow feeds itself",
        payload=command.record(),
        at=at_us,
        id=command.body.id,
    )


def _history(live: Live, namespace: str) -> History:
    first: Parked | None = None
    if live.state is not None:
        first = min(live.state.parked, key=lambda parked: (parked.due_us, parked.token))
    program = live.runnable.program
    return History(
        tenant=live.tenant,
        execution=live.id.hex(),
        flow=program.flow,
        version=program.version,
        event=live.event,
        namespace=namespace,
        status=live.status,
        waiting_on=None if first is None else program.steps[first.step].name,
        wait_until=None if first is None else first.due_us,
        started=live.started_us,
        transitions=live.transitions,
    )
