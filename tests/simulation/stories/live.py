"""Runs one seed of the stories: drawn flows live on a machine that dies often, among people; then what lies there is checked."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from schemas.dispatch import Command
from schemas.ports import Append
from schemas.topics import INGRESS_FILE
from tests.simulation.business import HOUR_US, MINUTE_US, SECOND_US
from tests.simulation.files import executions_and_timers
from tests.simulation.machine import DISPATCHER_FILE, ENGINE_FILE, PARTITIONS, Disk, Machine, Options
from tests.simulation.outside import Receivers
from tests.simulation.run import MEMORY, REST_ROUNDS, SeedFailed, Story
from tests.simulation.stories.check import check_story
from tests.simulation.stories.desk import Desk
from tests.simulation.stories.script import Script, draw_script

CALM_AFTER: Final = 300
JUMPS_US: Final = (SECOND_US, MINUTE_US, 10 * MINUTE_US, HOUR_US, 5 * HOUR_US)


class StoryReceivers(Receivers):
    """Receivers who know a command again by what it wants: a compensation that is retried is a new record with its old key."""

    def body_of(self, command: Command) -> bytes:
        """Give what must be the same under one key."""
        return json.dumps(command.body["data"], sort_keys=True).encode()


@dataclass(slots=True)
class Life(Story):
    """One life of one machine, with people."""

    desk: Desk = None  # type: ignore[assignment]
    script: Script = None  # type: ignore[assignment]

    def _send(self) -> None:
        """Send the next batch; the wall clock is not behind the events that are sent."""
        if self.sent < len(self.scenario.batches) and not self.scenario.exact:
            records = [data for one in self.scenario.batches[self.sent] for data in one.records]
            times = [self.script.events[data].time_us for data in records if data in self.script.events]
            self.machine.wall_us = max([self.machine.wall_us, *times])
        Story._send(self)

    def _work(self) -> None:
        draw = self.rng.random()
        machine = self.machine
        if draw < 0.25:
            self._send()
        elif draw < (0.35 if self.lazy else 0.52):
            machine.run_engine()
        elif draw < 0.75:
            machine.run_dispatcher()
        elif draw < 0.92:
            self._hear(self.desk.visit())
        elif draw < 0.97:
            machine.jump(self.rng.choice(JUMPS_US))
        else:
            self._look()

    def _hear(self, said: list[Append]) -> bool:
        """Append what people say; what is not answered they say again later, or never."""
        return sum(self.machine.append([one]) for one in said) > 0

    def _look(self) -> None:
        running = self.machine.engine is not None and self.machine.dispatcher is not None
        if running and all((self.machine.home / file).exists() for file in (INGRESS_FILE, ENGINE_FILE, DISPATCHER_FILE)):
            executions, timers = executions_and_timers(self.machine.home)
            live = {one.row for one in executions if one.live}
            strange = {row for _, row, _ in timers} - live
            assert not strange, f"timers without an execution: {strange}"
            self.look_again()

    def come_to_rest(self, *, calm: bool = False) -> None:
        """End all harm and let everything run until nothing is left to do, people help where they do."""
        machine = self.machine
        machine.disk.full, machine.disk.crash_at, machine.disk.fail_at, machine.disk.aim = False, None, None, None
        for rounds in range(REST_ROUNDS):
            machine.receivers.calm = calm or rounds > CALM_AFTER
            self._send()
            engine, dispatcher = machine.run_engine(), machine.run_dispatcher()
            if rounds < CALM_AFTER and self.rng.random() < 0.3:
                self._hear(self.desk.visit())
            if engine or dispatcher or self.sent < len(self.scenario.batches) or not self._all_alive():
                continue
            self.desk.read()
            if self._hear(self.desk.help()):
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


def run_story(seed: int, coverage: Counter[str]) -> None:
    """Run a seed; raises SeedFailed."""
    rng = Random(seed)
    home = Path(tempfile.mkdtemp(prefix=f"story-{seed}-", dir=MEMORY if MEMORY.is_dir() else None))
    mine: Counter[str] = Counter()
    disk = Disk(f"story-{seed}", seed, mine)
    try:
        _run(home, disk, rng, mine)
    except BaseException as error:
        raise SeedFailed(seed, error) from error
    finally:
        shutil.rmtree(home, ignore_errors=True)
    coverage.update(mine)


def _run(home: Path, disk: Disk, rng: Random, coverage: Counter[str]) -> None:
    script: Script = draw_script(rng, PARTITIONS)
    coverage.update(script.scenario.coverage)
    receivers = StoryReceivers(Random(rng.randrange(1 << 32)))
    options = Options(
        clock="events" if script.scenario.exact else "wall",
        turn_rows=rng.choice((2, 4, 16, 8192)),
        in_flight=rng.choice((2, 8, 64)),
        checkpoint_pages=rng.choice((2, 8, 4096)),
        due_most=rng.choice((1, 2, 20_000, 20_000)),
    )
    machine = Machine(home, disk, rng, options, receivers, coverage)
    desk = Desk(home, Random(rng.randrange(1 << 32)), coverage, helps=rng.random() < 0.8, eager=rng.choice((0.2, 0.6, 1.0)))
    life = Life(machine, script.scenario, rng, coverage, desk=desk, script=script)
    try:
        life.live()
        life.come_to_rest()
    finally:
        machine.close()
    life.look_again()
    check_story(home, script, desk.helps, receivers, coverage)
    coverage["stories"] += 1
