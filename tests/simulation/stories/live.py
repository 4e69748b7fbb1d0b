"""Runs one seed of the stories: drawn flows live on a machine that dies often, among people; then what lies there is checked."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Final

from schemas.dispatch import Command
from schemas.ports import Append
from schemas.topics import INGRESS_FILE
from tests.simulation.business import HOUR_US, MINUTE_US, SECOND_US
from tests.simulation.files import executions_and_timers
from tests.simulation.machine import DISPATCHER_FILE, ENGINE_FILE, PARTITIONS
from tests.simulation.outside import Receivers
from tests.simulation.recorder import Recorder
from tests.simulation.run import Place, Story, run_in_home
from tests.simulation.stories.check import check_story
from tests.simulation.stories.compare import check_reference
from tests.simulation.stories.desk import Desk
from tests.simulation.stories.script import HAIRS_US, Script, draw_script

UNDOES: Final = ("send_unbook", "create_unbook", "send_uncall")
PAUSES_US: Final = (SECOND_US, MINUTE_US, 10 * MINUTE_US, HOUR_US)
JUMPS_US: Final = (-2 * HOUR_US, -SECOND_US, SECOND_US, MINUTE_US, 10 * MINUTE_US, HOUR_US, 5 * HOUR_US)


@dataclass(slots=True)
class StoryReceivers(Receivers):
    """Receivers who know a command again by what it wants: a compensation that is retried is a new record with its old key."""

    careless: bool = False

    def refuses(self, command: Command) -> bool:
        """Say that some of what was done cannot be undone: then an operator is asked."""
        return not self.calm and command.type in UNDOES and self.rng.random() < 0.25

    def loses(self, command: Command) -> bool:
        """Lose more where nobody helps: then what waits for an operator waits to the end."""
        return self.careless and not self.calm and command.type == "create_book" and self.rng.random() < 0.5

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
            times = [self.script.time_us(data) for one in self.scenario.batches[self.sent] for data in one.records]
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
            self._visit()
        elif draw < 0.95:
            machine.jump(self.rng.choice(JUMPS_US))
        elif draw < (0.96 if self.scenario.exact else 0.99):
            self._go_on_without_the_engine()
        else:
            self._look()

    def _go_on_without_the_engine(self) -> None:
        """Let the engine be away while all others go on: it finds what was appended before, at and behind what fell due."""
        machine, rng = self.machine, self.rng
        if machine.engine is None:
            return
        machine.leave("engine")
        for _ in range(rng.randint(2, 6)):
            rng.choice((self._send, machine.run_dispatcher, self._visit, self._visit))()
            due_us = machine.next_deadline_us()
            if due_us is not None and due_us < machine.wall_us + 12 * HOUR_US and rng.random() < 0.6:
                machine.wall_us = max(machine.wall_us, due_us + rng.choice(HAIRS_US))
                self._hear(self.desk.hurry())
            else:
                machine.jump(rng.choice(PAUSES_US))
        machine.run_engine()
        self.coverage["story: the engine was away"] += 1

    def _visit(self) -> None:
        self._hear(self.desk.visit())

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

    def _come_by(self) -> None:
        if self.rng.random() < 0.3:
            self._hear(self.desk.visit())

    def _help(self) -> bool:
        self.desk.read()
        return self._hear(self.desk.help())


def run_story(seed: int, coverage: Counter[str]) -> None:
    """Run a seed; raises SeedFailed."""
    run_in_home(seed, coverage, _live)


def _live(place: Place) -> None:
    rng, coverage = place.rng, place.coverage
    script = draw_script(rng, PARTITIONS)
    coverage.update(script.scenario.coverage)
    receivers = StoryReceivers(Random(rng.randrange(1 << 32)))
    recorder = Recorder()
    machine = place.machine(receivers, exact=script.scenario.exact)
    machine.recorder, machine.wall_us = recorder, script.start_us
    desk = Desk(place.home, Random(rng.randrange(1 << 32)), coverage, helps=rng.random() < 0.7, eager=rng.choice((0.2, 0.6, 1.0)))
    receivers.careless = not desk.helps
    life = Life(machine, script.scenario, rng, coverage, desk=desk, script=script)
    try:
        life.live()
        life.come_to_rest()
    finally:
        machine.close()
    life.look_again()
    check_story(place.home, script, desk.helps, (receivers, recorder), coverage)
    check_reference(place.home, recorder, coverage, exact=script.scenario.exact)
    place.count(receivers)
    coverage["stories"] += 1
