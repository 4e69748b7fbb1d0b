"""An engine over real files whose order of inputs is recorded, and the reference runner given the same order.

The driver answers commands and approvals by hashes of their ids, so that what comes in is the same however it is cut.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from flows.engine import engine as engines
from flows.engine import masses, slices
from flows.engine.engine import Engine, Stopped
from flows.engine.part import Part
from flows.engine.settings import EngineSettings
from flows.engine.work import JoinedWork, Taken
from flows.local.run_local import LocalRun
from flows.roles.engine import build_engine
from infra.embedded_log import FileReader, IngressLog
from operators.advance.fold import Past, fold
from operators.turn.times import END_OF_TIME
from schemas.errors import InvalidInput
from schemas.ids import shard_of
from schemas.ports import Append, Slot
from schemas.program import Program, unpack
from schemas.records import Control, Decision, History, OperatorCommand, Result, decode, encode
from schemas.registry import Registry
from schemas.topics import COMMANDS, CONTROL, DECISIONS, RESULTS, is_events

MEMORY: Final = Path("/dev/shm")
PARTITIONS: Final = 4
TENANT: Final = "acme"
PARTITION: Final = shard_of(TENANT) % PARTITIONS
HOLD: Final = "clock/hold/law"
STEPS_MOST: Final = 20_000
ENDED: Final = ("completed", "failed", "cancelled")
Said = tuple[str, bytes]  # topic, record
Tick = tuple[int, int]  # delays up to, deadlines up to


class HandClock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.at_us = 1_772_000_000_000_000

    def now_us(self) -> int:
        """Give the time."""
        return self.at_us

    def sleep_us(self, us: int) -> None:
        """Let it pass."""
        self.at_us += us


def draw(*parts: object) -> int:
    """Give a number that depends on nothing but its arguments."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=4).digest(), "big")


@dataclass(slots=True)
class Desk:
    """The world outside: answers commands, decides approvals."""

    seed: int
    answered: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)  # (execution, step) of approvals
    programs: dict[str, Program] = field(default_factory=dict)  # by version, of what is to be forked
    told: dict[str, list[History]] = field(default_factory=dict)

    def answers(self, action: dict[str, Any]) -> Result | None:
        """Give the outcome of a command, once."""
        identity = action["id"]
        if identity in self.answered:
            return None
        self.answered.add(identity)
        lot = draw(self.seed, identity) % 10
        status, code = ("failed", "rejected") if lot == 0 else ("unknown", None) if lot == 1 else ("delivered", None)
        data = {"reservation": f"R-{lot}", "receipt": f"C-{lot}"} if status == "delivered" else None
        return Result(
            action=identity,
            execution=action["subject"],
            tenant=action["tenant"],
            flow=action["flow"],
            step=action["step"],
            type=action["type"],
            connector="file",
            status=status,  # type: ignore[arg-type]
            attempts=1,
            at=0,
            wall=0,
            awaited=bool(action.get("awaited", False)),
            code=code,
            data=data,
        )

    def decides(self, history: dict[str, Any]) -> Iterator[Decision]:
        """Decide what a history asks; some in vain."""
        for at, kind, step, verb, *_ in history["transitions"]:
            if verb == "approval" and kind == "requested":
                lot = draw(self.seed, history["execution"], step) % 5
                for by, roles in (("bob", ["clerk"]), ("ann", ["boss"]), ("eve", [])) if lot < 4 else ():
                    outcome = "approved" if lot % 2 else "rejected"
                    yield Decision(
                        tenant=history["tenant"],
                        execution=history["execution"],
                        step=step,
                        outcome=outcome,  # type: ignore[arg-type]
                        by=by,
                        roles=roles,
                        at=at,
                    )

    def forks(self, record: History) -> Iterator[OperatorCommand]:
        """Fork some executions when they have ended, but no fork, at a step that can be forked."""
        told = self.told.setdefault(record.execution, [])
        told.append(record)
        program = self.programs.get(record.version)
        moments = [one for each in told for one in each.transitions]
        if program is None or record.status not in ENDED or any(one.kind == "forked" for one in moments) or told[0].cause is None:
            return
        past = Past(record.tenant, [program], moments, told[0].cause, [each.bound for each in told])
        steps = sorted({one.step for one in moments if one.step})
        step = steps[draw(self.seed, record.execution) % len(steps)] if steps else ""
        with suppress(InvalidInput):
            yield OperatorCommand(
                command="fork",
                tenant=record.tenant,
                execution=record.execution,
                flow=record.flow,
                step=step,
                version=record.version,
                folded=fold(past, step, program),
                id="n1",
                at=0,
            )

    def unsticks(self, history: dict[str, Any]) -> Iterator[OperatorCommand]:
        """Say what became of a command whose outcome nobody knows, and go on with what cannot be undone."""
        if history["status"] == "closing":
            for command, outcome in (("resume", "done"), ("skip", "")):
                for step in ("stock", "paid"):
                    yield OperatorCommand(
                        command=command,  # type: ignore[arg-type]
                        tenant=history["tenant"],
                        execution=history["execution"],
                        step=step,
                        outcome=outcome,  # type: ignore[arg-type]
                        by="op",
                        at=0,
                    )


@dataclass(slots=True)
class Recorded:
    """An engine, its home, and what it took in, in order."""

    home: Path
    settings: EngineSettings
    desk: Desk
    order: list[Said | Tick] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    histories: dict[str, list[Any]] = field(default_factory=dict)
    dead: list[dict[str, Any]] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    late: list[tuple[str, str]] = field(default_factory=list)
    noted: dict[Slot, int] = field(default_factory=dict)
    part: Part | None = None  # the last one that the engine worked on
    partings: int = 0  # deaths between two parts
    _clock: HandClock = field(default_factory=HandClock)
    _engine: Engine | None = None
    _ingress: IngressLog | None = None
    _results: IngressLog | None = None
    _reader: FileReader | None = None

    def send(self, topic: str, *records: bytes) -> None:
        """Append to the ingress."""
        assert self._ingress is not None
        self._ingress.append([Append(topic, 0 if topic == CONTROL else PARTITION, list(records))], self._clock.at_us)

    def open(self) -> None:
        """Make the files, or open them again."""
        self._ingress = self._ingress or IngressLog(self.home / "ingress.db", partitions=PARTITIONS)
        self._results = self._results or IngressLog(self.home / "dispatcher-0.db", partitions=PARTITIONS)
        self._engine = build_engine(self.home, self.settings, clock=self._clock)
        self._reader = self._reader or FileReader(self.home / "engine-0.db", lambda topic: True, {})

    def restart(self, *, mid_turn: bool) -> None:
        """Let the engine die, perhaps with a turn taken and not committed, and start it again."""
        engine = self._engine
        assert engine is not None
        if mid_turn:
            engine.take()
        engine._intake.close()
        engine._store.close()
        self.open()

    def step(self, parts: int = END_OF_TIME) -> bool:
        """Do one turn, or as many parts of it until the engine dies; note what it took."""
        engine = self._engine
        assert engine is not None
        taken = engine.take()
        if taken is None:
            return False
        joined: JoinedWork = engine.join(engine.match(engine.decode(taken)))
        left = iter(range(parts - 1))
        engine.between = lambda: next(left, None) is not None
        try:
            engine.advance(joined)
        except Stopped:
            self._note(taken, {one.slot: one.next for one in engine._store.reached()})
            assert self.part is not None
            self.order.append((self.part.times.now_us, self.part.times.past_us))
            self.partings += 1
            self.restart(mid_turn=False)
            return True
        self._note(taken, taken.positions)
        now_us = joined.decoded.now_us
        self.order.append((now_us, now_us if taken.past_us == END_OF_TIME else now_us - 1))
        return True

    def _note(self, taken: Taken, upto: Mapping[Slot, int]) -> None:
        for chunk in taken.chunks:
            for position, data in enumerate(chunk.records, chunk.base):
                if self.noted.get(chunk.slot, 0) <= position < upto.get(chunk.slot, 0):
                    self.order.append((chunk.topic, data))
                    self.noted[chunk.slot] = position + 1

    def answer(self) -> bool:
        """Read what the engine said and answer it; tell whether there was anything to answer."""
        reader, results = self._reader, self._results
        assert reader is not None
        assert results is not None
        said = False
        for chunk in reader.poll(100_000):
            for data in chunk.records:
                said |= self._hear(chunk.topic, data)
        return said

    def _hear(self, topic: str, data: bytes) -> bool:
        if is_events(topic):
            self.events.append(data)
            return False
        record = json.loads(data, parse_float=Decimal)
        if topic.startswith("actions."):
            self.actions.append(record)
            result = self.desk.answers(record)
            if result is not None:
                assert self._results is not None
                self._results.append([Append(RESULTS, PARTITION, [encode(result)])], self._clock.at_us)
            return result is not None
        if topic == "history":
            self.histories.setdefault(record["execution"], []).extend(record["transitions"])
            decisions = [(DECISIONS, encode(one)) for one in self.desk.decides(record)]
            orders = [(COMMANDS, encode(one)) for one in self.desk.unsticks(record)]
            forks = [(COMMANDS, encode(one)) for one in self.desk.forks(decode(History, data))]
            for to, one in decisions + orders + forks:
                self.send(to, one)
            return bool(decisions or orders or forks)
        if topic == "late":
            self.late.append((record["key"], record["event"]))
        if topic == "dead_letters":
            self.dead.append(record)
        return False

    def come_to_rest(self) -> None:
        """Let the clock go and work until nothing is left."""
        self.send(CONTROL, encode(Control(key=HOLD)))
        for _ in range(STEPS_MOST):
            worked = self.step()
            if not worked and not self.answer():
                return
        msg = f"not at rest after {STEPS_MOST} turns"
        raise AssertionError(msg)

    def close(self) -> None:
        """Let go of everything."""
        for part in (self._engine, self._ingress, self._results, self._reader):
            with suppress(Exception):
                if part is not None:
                    part.close()


@contextmanager
def recorded(settings: EngineSettings, seed: int, due_most: int, meet_most: int = 20_000) -> Iterator[Recorded]:
    """Make an engine in a fresh home; it fires and meets no more than so much in a transaction."""
    home = Path(tempfile.mkdtemp(prefix="recorded-", dir=MEMORY if MEMORY.is_dir() else None))
    usual, slices.DUE_MAX = slices.DUE_MAX, due_most  # type: ignore[misc]
    usual_meet, masses.MEET_MAX = masses.MEET_MAX, meet_most  # type: ignore[misc]
    usual_parts, made = slices.parts, Recorded(home, settings, Desk(seed))

    def parts(*given: Any) -> Iterator[Part]:
        for part in usual_parts(*given):
            made.part = part
            yield part

    engines.parts = parts  # type: ignore[attr-defined,assignment]
    try:
        made.open()
        yield made
    finally:
        slices.DUE_MAX = usual  # type: ignore[misc]
        masses.MEET_MAX = usual_meet  # type: ignore[misc]
        engines.parts = usual_parts  # type: ignore[attr-defined]
        made.close()
        shutil.rmtree(home)


def replayed(order: list[Said | Tick]) -> LocalRun:
    """Give the reference runner what an engine took in, in its order."""
    run = LocalRun(Registry())
    for one in order:
        if isinstance(one[0], int):
            run.let_time_pass(one[0], one[1])
            run.now_us = max(run.now_us, one[0])
            continue
        topic, data = one
        assert isinstance(data, bytes)
        if topic in (RESULTS, DECISIONS, COMMANDS):
            run.let_time_pass(run.now_us, run.now_us - 1)  # what was over when the event before it set it going
        give(run, topic, data)
    return run


def give(run: LocalRun, topic: str, data: bytes) -> None:
    """Give the reference runner one record."""
    if topic == CONTROL:
        _apply(run, json.loads(data))
    elif topic == RESULTS:
        result = decode(Result, data)
        if result.awaited:
            run.take_result(result)
    elif topic == DECISIONS:
        run.take_decision(decode(Decision, data))
    elif topic == COMMANDS:
        run.take_order(decode(OperatorCommand, data))
    else:
        run.take_event(topic, data)


def _apply(run: LocalRun, control: dict[str, Any]) -> None:
    key: str = control["key"]
    value: Any = control.get("value")
    kind, *rest = key.split("/")
    if kind in ("contract", "schema"):
        run.registry.apply(key, value)
    elif kind == "policy":
        run.policies.apply(rest[0], rest[1], value)
    elif kind == "version":
        run.know(unpack(b64decode(value["program"])))
    elif kind == "active" and value["version"] in run.versions:  # a version whose record was set aside is in force nowhere
        kept = [one.program for one in run.flows if one.program.flow != rest[1]]
        run.put_in_force([*kept, run.versions[value["version"]].program])
