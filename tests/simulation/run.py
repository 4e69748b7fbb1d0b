"""Runs one seed: draws a scenario, lets the machine live through faults, brings it to rest, and checks what lies there."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from schemas.ports import Append
from schemas.records import Redrive, encode
from schemas.topics import ACTIONS_PREFIX, COMMANDS, INGRESS_FILE, partition_of
from tests.simulation.business import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tests.simulation.files import check_waiting, read_home, records_of
from tests.simulation.invariants import Outside, check_home
from tests.simulation.machine import DISPATCHER_FILE, ENGINE_FILE, FILE_OF, PARTITIONS, ROLES, Disk, Machine, Options, Role
from tests.simulation.outside import Receivers
from tests.simulation.scenario import Scenario, draw_scenario

MEMORY: Final = Path("/dev/shm")
REST_ROUNDS: Final = 20_000
CALM_AFTER: Final = 300
JUMPS_US: Final = (-2 * HOUR_US, -SECOND_US, SECOND_US, SECOND_US, MINUTE_US, 10 * MINUTE_US)
LONG_JUMPS_US: Final = (*JUMPS_US, -3 * DAY_US, HOUR_US, DAY_US, 9 * DAY_US)


class SeedFailed(AssertionError):
    """A seed for which something did not hold."""

    def __init__(self, seed: int, error: BaseException) -> None:
        self.seed = seed
        super().__init__(f"seed {seed}: {type(error).__name__}: {error}\nrepeat: python -m tests.simulation --seed {seed}")


@dataclass(slots=True)
class Story:
    """One life of one machine."""

    machine: Machine
    scenario: Scenario
    rng: Random
    coverage: Counter[str]
    sent: int = 0
    lazy: bool = False  # the engine has seldom a turn, so its turns are large
    seen: dict[str, list[bytes]] | None = None

    def live(self) -> None:
        """Do drawn things until everything is sent, and some more."""
        quiet = self.rng.choice((0.0, 0.3, 1.0))  # some machines have it harder than others
        self.lazy = self.rng.random() < 0.3
        for _ in range(self.rng.randint(30, 50 + 2 * len(self.scenario.batches))):
            if self.rng.random() < 0.22 * quiet:
                self._harm()
            else:
                self._work()

    def _work(self) -> None:
        draw = self.rng.random()
        machine = self.machine
        if draw < 0.34:
            self._send()
        elif draw < (0.38 if self.lazy else 0.64):
            machine.run_engine()
        elif draw < 0.9:
            machine.run_dispatcher()
        elif draw < 0.97:
            machine.jump(self.rng.choice(LONG_JUMPS_US if self.scenario.settled else JUMPS_US))
        else:
            self._look()

    def _send(self) -> None:
        if self.sent == len(self.scenario.batches):
            return
        if self.machine.append(self.scenario.batches[self.sent]):
            self.sent += 1
        else:
            self.coverage["appends that were not answered, sent again"] += 1

    def _harm(self) -> None:
        draw = self.rng.random()
        machine, role = self.machine, self.rng.choice((*ROLES, "dispatcher"))
        if draw < 0.12:
            file = FILE_OF[role]
            machine.disk.aim = self.rng.choice(((f"{file}-wal", "sync"), (file, "write")))
            self._work_of(role)
        elif draw < 0.45:
            machine.disk.crash_at = machine.disk.operations + self.rng.randint(1, 25)
            self._work_of(role)
        elif draw < 0.60:
            machine.disk.fail_at = machine.disk.operations + self.rng.randint(1, 15)
            self._work_of(role)
        elif draw < 0.68:
            machine.disk.full = not machine.disk.full
        elif draw < 0.82:
            if getattr(machine, role) is not None:
                machine.kill(role)
                self.coverage[f"crash: {role} between steps"] += 1
        elif draw < 0.90:
            machine.leave(role)
            self.coverage["roles stopped in order"] += 1
        else:
            machine.lose_power()
            self.coverage["crash: power lost between steps"] += 1

    def _work_of(self, role: Role) -> None:
        """Let the role work that the fault is meant for; what is left of the fault meets whoever comes next."""
        work: dict[Role, Callable[[], object]] = {
            "sender": self._send,
            "engine": self.machine.run_engine,
            "dispatcher": self.machine.run_dispatcher,
        }
        work[role]()

    def _look(self) -> None:
        """Look from outside while it runs: nothing is stuck, and what was once seen is still there the next time."""
        home = self.machine.home
        if not all((home / file).exists() for file in (INGRESS_FILE, ENGINE_FILE, DISPATCHER_FILE)):
            return
        if self.machine.engine is None or self.machine.dispatcher is None:
            return
        check_waiting(home)
        self.look_again()
        self.coverage["looks from outside"] += 1

    def look_again(self) -> None:
        """Hold that the topics begin with what was seen before."""
        now = {
            file: [one.data for one in records_of(self.machine.home / file)]
            for file in (INGRESS_FILE, ENGINE_FILE, DISPATCHER_FILE)
        }
        for file, before in (self.seen or {}).items():
            assert now[file][: len(before)] == before, f"{file}: a record that was seen is not there any more"
        self.seen = now

    def come_to_rest(self, *, calm: bool = False) -> None:
        """End all harm and let everything run until nothing is left to do. `calm`: receivers answer well."""
        machine = self.machine
        machine.disk.full, machine.disk.crash_at, machine.disk.fail_at = False, None, None
        machine.disk.aim = None
        for rounds in range(REST_ROUNDS):
            machine.receivers.calm = calm or rounds > CALM_AFTER
            self._send()
            engine, dispatcher = machine.run_engine(), machine.run_dispatcher()
            if rounds < CALM_AFTER:
                self._come_by()
            if engine or dispatcher or self.sent < len(self.scenario.batches) or not self._all_alive() or self._help():
                continue
            due_us = machine.next_due_us()
            if due_us is None and machine.engine.idle() and machine.dispatcher.idle:  # type: ignore[union-attr]
                break
            if due_us is not None:
                machine.wall_us = max(machine.wall_us + 1, due_us)
        else:
            raise AssertionError("it does not come to rest: a role says that it has work and does none")
        assert machine.engine is not None
        assert machine.engine.open_actions == 0, f"{machine.engine.open_actions} commands seem to be without an outcome"

    def _come_by(self) -> None:
        """Let people come by while all comes to rest; here there are none."""

    def _help(self) -> bool:
        """Let operators help what waits for one; tell whether they did."""
        return False

    def redrive(self) -> set[str]:
        """Send some commands again that were set aside and that nobody has carried out; give their ids."""
        letters = [letter for letter in read_home(self.machine.home).action_letters if letter["reason"] != "unknown_outcome"]
        chosen = [letter for letter in letters if self.rng.random() < 0.5]
        for letter in chosen:
            connector = letter["topic"].removeprefix(ACTIONS_PREFIX)
            wish = Redrive(redrive=letter["id"], tenant=letter["tenant"], connector=connector, payload=letter["payload"])
            assert self.machine.append([Append(COMMANDS, partition_of(letter["tenant"], PARTITIONS), [encode(wish)])])
        self.coverage["commands redriven"] += len(chosen)
        return {str(letter["id"]) for letter in chosen}

    def _all_alive(self) -> bool:
        return sum(self.machine.start(role) for role in ROLES) == len(ROLES)


def run_in_home(seed: int, coverage: Counter[str], live: Callable[[Place], None]) -> None:
    """Give a seed a home, a disk and a chance of its own; raises SeedFailed. What it met counts if it holds."""
    home = Path(tempfile.mkdtemp(prefix=f"simulation-{seed}-", dir=MEMORY if MEMORY.is_dir() else None))
    mine: Counter[str] = Counter()
    try:
        live(Place(home, Disk(f"faulty-{seed}", seed, mine), Random(seed), mine))
    except BaseException as error:
        raise SeedFailed(seed, error) from error
    finally:
        shutil.rmtree(home, ignore_errors=True)
    coverage.update(mine)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a seed lives."""

    home: Path
    disk: Disk
    rng: Random
    coverage: Counter[str]

    def count(self, receivers: Receivers) -> None:
        """Count how it went with those who were told."""
        for what, count in receivers.counts.items():
            self.coverage[f"receivers: {what}"] += count

    def machine(self, receivers: Receivers, *, exact: bool) -> Machine:
        """Draw the machine. `exact`: under the event clock."""
        rng = self.rng
        options = Options(
            clock="events" if exact else "wall",
            turn_rows=rng.choice((2, 4, 16, 8192)),
            in_flight=rng.choice((2, 8, 64)),
            checkpoint_pages=rng.choice((2, 8, 4096)),
            due_most=rng.choice((1, 2, 20_000)),
        )
        return Machine(self.home, self.disk, rng, options, receivers, self.coverage)


def run_seed(seed: int, coverage: Counter[str]) -> None:
    """Run a seed; raises SeedFailed."""
    run_in_home(seed, coverage, _live)


def _live(place: Place) -> None:
    rng, coverage = place.rng, place.coverage
    scenario = draw_scenario(rng, PARTITIONS)
    coverage.update(scenario.coverage)
    receivers = Receivers(Random(rng.randrange(1 << 32)))
    machine = place.machine(receivers, exact=scenario.exact)
    story = Story(machine, scenario, rng, coverage)
    try:
        story.live()
        story.come_to_rest()
        redriven = story.redrive()
        receivers.calm = True
        story.come_to_rest(calm=True)
    finally:
        machine.close()
    story.look_again()
    check_home(place.home, scenario, Outside(receivers, redriven), coverage)
    place.count(receivers)
    coverage["seeds"] += 1
