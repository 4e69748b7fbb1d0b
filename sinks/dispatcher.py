"""Carries commands out: from action topics, through connectors, to results; in order per execution, each with one final result.

Promise: `started` is on the disk before a call is made; a result, the dead letter beside it and the end of the command are one
transaction. After a crash a started command is resolved by its connector, never sent again in silence.
Reads: action topics, redrives on the commands topic, connector rules on the control topic. Emits: results and dead letters.
State: one row a command without an outcome, in the store; in memory only what is in flight, at most `in_flight`.
Cost: one FULL commit a step, whatever the number of commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import msgspec

from schemas.connector_rules import ConnectorRules, Rule
from schemas.errors import InvalidInput
from schemas.expression.literals import parse_timestamp_us
from schemas.ports import (
    Append,
    Clock,
    Command,
    Connector,
    DispatchCommit,
    DispatchStore,
    Outcome,
    PlacedReader,
    Postponed,
    QueuedAction,
    Slot,
    StoredAction,
    Taking,
)
from schemas.records import Action, Control, DeadLetter, Json, Result, encode
from schemas.topics import DEAD_LETTERS, RESULTS, partition_of
from sinks.calls import Calls, Job
from sinks.intake import actions, damaged, read_chunk
from sinks.secrets import Lookup, fill
from sinks.settlement import EXPIRED, Now, Settled, resolve, settle, settled

SECRET_RETRY_US: Final = 5_000_000
_controls: Final = msgspec.json.Decoder(Control)
_bodies: Final = msgspec.json.Decoder(dict)


@dataclass(frozen=True, slots=True)
class DispatchWorld:
    """What a dispatcher takes from outside."""

    clock: Clock
    rng: Random
    secrets: Lookup
    partitions: int  # of the topics it emits
    event_time: bool = False  # results carry the action's own time
    in_flight: int = 256
    tenant_share: int = 4  # a tenant has at most in_flight / tenant_share commands in flight
    intake: int = 1024  # records read a step


@dataclass(slots=True)
class _Changes:
    """What the next commit takes."""

    positions: dict[Slot, int] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    postponed: list[Postponed] = field(default_factory=list)
    arrived: list[QueuedAction] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def settle(self, end: Settled | Postponed) -> None:
        if isinstance(end, Postponed):
            self.postponed.append(end)
            return
        self.done.append(end.row)
        self.results.append(end.result)
        if end.letter is not None:
            self.letters.append(end.letter)


class Dispatcher:
    """Works in steps, on one thread; whose calls run on others is the business of `calls`."""

    def __init__(
        self,
        store: DispatchStore,
        readers: Sequence[PlacedReader],
        control: PlacedReader,
        connectors: Iterable[Connector],
        calls: Calls,
        world: DispatchWorld,
    ) -> None:
        """`readers` give action topics and the commands topic from the store's positions, `control` all of the control topic."""
        self._store = store
        self._readers = readers
        self._control = control
        self._connectors = {connector.name: connector for connector in connectors}
        self._calls = calls
        self._world = world
        self._rules = ConnectorRules()
        self._flying: dict[int, tuple[StoredAction, Action]] = {}
        self._busy: Counter[str] = Counter()
        self._hungry = True
        self._changes = _Changes()
        self.counts: Counter[str] = Counter()
        self._learn_rules()
        self._resolve_started()

    @property
    def idle(self) -> bool:
        """Tell whether every command that was read has its result on the disk, and nothing is left to read."""
        return not self._store.open_actions() and all(reader.at_end() for reader in (*self._readers, self._control))

    @property
    def open_actions(self) -> int:
        """Tell how many commands were read and have no result yet."""
        return self._store.open_actions()

    @property
    def in_flight(self) -> int:
        """Tell how many commands are being carried out."""
        return len(self._flying)

    @property
    def places(self) -> dict[str, int]:
        """Give, per file, the seq up to which everything was read and committed."""
        places: dict[str, int] = {}
        for reader in (*self._readers, self._control):
            places[reader.source] = min(reader.place(), places.get(reader.source, reader.place()))
        return places

    def next_due_us(self) -> int | None:
        """Tell when the next command that waits may start."""
        return self._store.next_due_us()

    def step(self, wait_us: int = 0) -> bool:
        """Take outcomes and arrivals, commit them, start what may start; True if there was anything to do.

        Waits up to `wait_us` for an outcome where commands are in flight.
        """
        self._learn_rules()
        ended = self._calls.collect(wait_us if self._flying else 0)
        now_us = self._world.clock.now_us()
        for row, outcome in ended:
            self._end(row, outcome, now_us)
        arrivals = self._read(now_us) if self._hungry else 0
        taken = self._commit(now_us)
        self._start(taken, now_us)
        return bool(ended or arrivals or taken)

    def close(self) -> None:
        """Wait for the calls under way, write down how they ended, and let go; what waits stays in the store."""
        unbegun = self._calls.close()
        now_us = self._world.clock.now_us()
        for row, outcome in self._calls.collect(0):
            self._end(row, outcome, now_us)
        self._changes.postponed.extend(Postponed(row, now_us, False) for row in unbegun)
        self._store.commit(self._change(now_us, None))
        self._store.close()

    def _learn_rules(self) -> None:
        """Read the control topic to its end: the rules are at least as new as the actions read after it."""
        while chunks := self._control.poll(self._world.intake):
            for chunk in chunks:
                for record in chunk.records:
                    self._apply(record)

    def _apply(self, record: bytes) -> None:
        """Take a rule in; a record that cannot be read is the engine's to set aside."""
        try:
            control = _controls.decode(record)
            self._rules.apply(control.key, control.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidInput):
            return

    def _resolve_started(self) -> None:
        """Find out what became of the attempts that the last process left open."""
        now_us = self._world.clock.now_us()
        for stored in self._store.started():
            action = actions.decode(stored.raw)
            found = self._ask(stored, action)
            self._changes.settle(resolve(stored, action, found, self._now(action, now_us)))
            self.counts["resolved"] += 1

    def _ask(self, stored: StoredAction, action: Action) -> Outcome | None:
        """Ask the connector what became of an attempt; settings are as they stand in the rule, for nothing is sent."""
        connector = self._connectors.get(stored.connector)
        if connector is None:
            return None
        return connector.resolve(_command(stored, action, self._rule(stored, action).settings))

    def _end(self, row: int, outcome: Outcome, now_us: int) -> None:
        stored, action = self._flying.pop(row)
        self._busy[stored.tenant] -= 1
        if not self._busy[stored.tenant]:
            del self._busy[stored.tenant]
        self.counts["attempts"] += 1
        self._changes.settle(settle(stored, action, outcome, self._now(action, now_us), self._world.rng))

    def _read(self, now_us: int) -> int:
        """Read what has arrived, a share from each reader."""
        count = 0
        for reader in self._readers:
            for chunk in reader.poll(self._world.intake):
                count += len(chunk.records)
                self._changes.positions[chunk.slot] = chunk.end
                for item in read_chunk(chunk, now_us):
                    if isinstance(item, QueuedAction):
                        self._changes.arrived.append(item)
                    else:
                        self._changes.letters.append(item)
            for damage in reader.take_damaged():
                self._changes.positions[damage.slot] = damage.base + damage.count
                self._changes.letters.append(damaged(damage, now_us))
        return count

    def _commit(self, now_us: int) -> list[StoredAction]:
        room = self._world.in_flight - len(self._flying)
        tenant_most = max(1, self._world.in_flight // self._world.tenant_share)
        changes = self._changes
        taken = self._store.commit(self._change(now_us, Taking(now_us, room, tenant_most, self._busy)))
        self.counts.update(result.status for result in changes.results)
        self.counts["dead_letters"] += len(changes.letters)
        self._hungry = len(taken) < room
        self._changes = _Changes()
        return taken

    def _change(self, now_us: int, taking: Taking | None) -> DispatchCommit:
        changes = self._changes
        return DispatchCommit(
            now_us=now_us,
            positions=changes.positions,
            done=changes.done,
            postponed=changes.postponed,
            arrived=changes.arrived,
            emitted=[*self._appends(RESULTS, changes.results), *self._appends(DEAD_LETTERS, changes.letters)],
            taking=taking,
            sources={one.source: one.incarnation for one in self._readers if one.incarnation is not None},
        )

    def _appends(self, topic: str, records: Sequence[Result] | Sequence[DeadLetter]) -> list[Append]:
        by_partition: dict[int, list[bytes]] = {}
        for record in records:
            by_partition.setdefault(partition_of(record.tenant, self._world.partitions), []).append(encode(record))
        return [Append(topic, partition, encoded) for partition, encoded in sorted(by_partition.items())]

    def _start(self, taken: Sequence[StoredAction], now_us: int) -> None:
        """Hand what was marked as started to its connectors; what has expired ends with the next commit."""
        jobs: dict[str, list[Job]] = {}
        for stored in taken:
            action = actions.decode(stored.raw)
            if stored.expires_us <= now_us:
                self._changes.settle(settled(stored, action, EXPIRED, self._now(action, now_us)))
                continue
            self._flying[stored.row] = (stored, action)
            self._busy[stored.tenant] += 1
            command = self._command(stored, action)
            if isinstance(command, Outcome):
                self._end(stored.row, command, now_us)
            else:
                jobs.setdefault(stored.connector, []).append(Job(stored.row, command))
        for name, ours in jobs.items():
            self._calls.submit(self._connectors[name], ours)

    def _command(self, stored: StoredAction, action: Action) -> Command | Outcome:
        """Make the command of an action, or the end of one that no connector can be asked about."""
        if stored.connector not in self._connectors:
            known = ", ".join(sorted(self._connectors))
            return Outcome("failed", code="rejected", error=f"there is no connector {stored.connector!r}; wanted one of {known}")
        try:
            return _command(stored, action, fill(self._rule(stored, action).settings, self._world.secrets))
        except InvalidInput as error:
            return Outcome("failed", retry=True, after_us=SECRET_RETRY_US, code="unavailable", error=str(error))

    def _rule(self, stored: StoredAction, action: Action) -> Rule:
        return self._rules.rule(action.tenant, action.type, stored.connector)

    def _now(self, action: Action, now_us: int) -> Now:
        return Now(now_us, parse_timestamp_us(action.time) if self._world.event_time else now_us)


def _command(stored: StoredAction, action: Action, settings: Mapping[str, Json]) -> Command:
    return Command(
        id=action.id,
        tenant=action.tenant,
        type=action.type,
        idempotency_key=action.idempotencykey,
        attempt=stored.attempts,
        timeout_us=action.retry.attempt_timeout_us,
        settings=settings,
        body=_bodies.decode(stored.raw),
        raw=stored.raw,
    )
