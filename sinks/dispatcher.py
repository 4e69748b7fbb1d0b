"""Carries commands out: from action topics, through connectors, to results; in order per execution, each with one final result.

Promise: `started` is on the disk before a call is made; a result, the dead letter beside it and the end of the command are one
transaction. After a crash a started command is resolved by its connector, never sent again in silence. A batch is called as it
was made, with the same id, until it is over. What is withdrawn before its next attempt is not sent.
Reads: action topics, withdrawals on the topic `cancels`, redrives on the commands topic, connector rules and action contracts on
the control topic. Emits: results and dead letters. State: one row a command without an outcome, in the store; in memory only what
is in flight, at most `in_flight`. Cost: one FULL commit a step, whatever the number of commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from schemas.dispatch import (
    Connector,
    DispatchCommit,
    DispatchStore,
    Outcome,
    Postponed,
    QueuedAction,
    StoredAction,
    Taking,
    Withdrawal,
)
from schemas.expression.literals import parse_timestamp_us
from schemas.ports import Append, Clock, PlacedReader, Slot
from schemas.records import Action, DeadLetter, Result, encode
from schemas.topics import ACTIONS_PREFIX, DEAD_LETTERS, RESULTS, partition_of
from sinks.calls import Calls, Job
from sinks.flights import Ends, Flight, landed
from sinks.intake import Item, actions, damaged, read_chunk
from sinks.outgoing import Outgoing
from sinks.secrets import Lookup
from sinks.settlement import CANCELLED, EXPIRED, UNTOLD, Now, unread


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
    withdrawn: list[Withdrawal] = field(default_factory=list)
    lost: list[Slot] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def take_in(self, item: Item) -> None:
        match item:
            case QueuedAction():
                self.arrived.append(item)
            case Withdrawal():
                self.withdrawn.append(item)
            case DeadLetter():
                self.set_aside(item)

    def set_aside(self, letter: DeadLetter) -> None:
        """Note what could not be read; of a command somebody may want to hear."""
        self.letters.append(letter)
        if letter.topic.startswith(ACTIONS_PREFIX):
            self.lost.append(Slot(letter.source, letter.topic, letter.partition))

    def settle(self, found: Ends) -> None:
        self.done.extend(found.over)
        for end in found.ends:
            if isinstance(end, Postponed):
                self.postponed.append(end)
                continue
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
        self._outgoing = Outgoing({connector.name: connector for connector in connectors}, world.secrets)
        self._calls = calls
        self._world = world
        self._flying: dict[int, Flight] = {}
        self._closing = False
        self._busy: Counter[str] = Counter()
        self._hungry = True
        self._changes = _Changes()
        self._lost = {slot.partition: settled for slot, settled in store.lost().items()}  # where commands could not be read
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
        self._closing = True
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
                    self._outgoing.learn(record)

    def _resolve_started(self) -> None:
        """Begin to find out what became of the attempts that the last process left open."""
        for stored in self._store.started():
            self.counts["resolved"] += 1
            self._ask(Flight(stored, _actions(stored), "start"))

    def _ask(self, flight: Flight) -> None:
        """Ask the connector what became of a command; it comes back like the end of a call."""
        self._depart(flight)
        connector = self._outgoing.connectors.get(flight.stored.connector)
        if connector is None:
            self._end(flight.stored.row, UNTOLD, self._world.clock.now_us())
            return
        command = self._outgoing.question(flight.stored, flight.actions, self._world.clock.now_us())
        self._calls.ask(connector, Job(flight.stored.row, command))

    def _depart(self, flight: Flight) -> None:
        self._flying[flight.stored.row] = flight
        self._busy[flight.stored.tenant] += 1

    def _end(self, row: int, outcome: Outcome, now_us: int) -> None:
        flight = self._flying.pop(row)
        tenant = flight.stored.tenant
        self._busy[tenant] -= 1
        if not self._busy[tenant]:
            del self._busy[tenant]
        self.counts["attempts"] += not flight.asking
        self._land(flight, outcome, now_us)

    def _land(self, flight: Flight, outcome: Outcome, now_us: int) -> None:
        """Decide about what is over; where nobody knows its end and its step wants that looked up, ask first."""
        ends = landed(flight, outcome, lambda action: self._now(action, now_us), self._world.rng)
        if flight.asking or not ends.look_up_wanted(flight.actions):
            self._changes.settle(ends)
        elif not self._closing:  # else the next start asks
            self._ask(replace(flight, asking="end", ended=outcome))

    def _read(self, now_us: int) -> int:
        """Read what has arrived, a share from each reader."""
        count = 0
        for reader in self._readers:
            for chunk in reader.poll(self._world.intake):
                count += len(chunk.records)
                self._changes.positions[chunk.slot] = chunk.end
                for item in read_chunk(chunk, now_us):
                    self._changes.take_in(item)
            for damage in reader.take_damaged():
                self._changes.positions[damage.slot] = damage.base + damage.count
                self._changes.set_aside(damaged(damage, now_us))
        self._lost.update((slot.partition, False) for slot in self._changes.lost)
        self._changes.results.extend(self._unread(now_us))
        return count

    def _unread(self, now_us: int) -> list[Result]:
        """End the commands that are withdrawn and were never read, where some were damaged."""
        arrived = {one.id for one in self._changes.arrived}
        asked = {one.id: one for one in self._changes.withdrawn if one.partition in self._lost and one.id not in arrived}
        wanted = [one for one in asked.values() if not one.hurry]
        found = self._store.unheard(wanted) if wanted else []
        return [unread(one.wish, now_us, first=not self._lost[one.partition]) for one in found if one.wish is not None]

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
            withdrawn=changes.withdrawn,
            lost=changes.lost,
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
        """Hand what was marked as started to its connectors; what has expired or was withdrawn ends with the next commit."""
        jobs: dict[str, list[Job]] = {}
        for stored in taken:
            if stored.row in self._flying:
                continue  # not marked as started, and being looked up
            flight = Flight(stored, _actions(stored))
            if stored.cancelled or stored.expires_us <= now_us:
                self._land(flight, CANCELLED if stored.cancelled else EXPIRED, now_us)
                continue
            self._depart(flight)
            command = self._outgoing.command(stored, flight.actions, now_us)
            if isinstance(command, Outcome):
                self._end(stored.row, command, now_us)
            else:
                jobs.setdefault(stored.connector, []).append(Job(stored.row, command))
        for name, ours in jobs.items():
            self._calls.submit(self._outgoing.connectors[name], ours)

    def _now(self, action: Action, now_us: int) -> Now:
        return Now(now_us, parse_timestamp_us(action.time) if self._world.event_time else now_us)


def _actions(stored: StoredAction) -> tuple[Action, ...]:
    return tuple(actions.decode(one.raw) for one in stored.members or (stored,))
