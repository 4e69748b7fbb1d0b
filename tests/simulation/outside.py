"""The world outside: receivers of commands that answer well, badly, late or not at all, and remember what they accepted.

What they remember survives every crash of ours. One keeps idempotency keys as a good API does, one does not, one is the shipped
file connector with its files on a real disk.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from schemas.dispatch import Command, Outcome
from sinks.connectors.batches import batch_outcome
from sinks.connectors.file import FileConnector

SECOND_US: Final = 1_000_000


class PowerCut(BaseException):
    """The dispatcher dies while a receiver holds its command."""


@dataclass(slots=True)
class Receivers:
    """What all receivers together accepted, by action id, in order; and how it went."""

    rng: Random
    counts: Counter[str] = field(default_factory=Counter)
    accepted: list[tuple[str, str]] = field(default_factory=list)  # (connector, action id)
    bodies: dict[str, bytes] = field(default_factory=dict)  # idempotency key → what was accepted first
    calm: bool = False  # the end has come: answer well

    def take(self, connector: str, command: Command) -> None:
        """Carry a command out, for good."""
        self.accepted.append((connector, command.id))
        self.bodies[command.idempotency_key] = self.body_of(command)

    def opened(self, command: Command) -> tuple[Command, ...]:
        """Give the commands that travel in one; those of a batch belong together, or it is wrong."""
        if not command.members:
            return (command,)
        self.counts["batches"] += 1
        wanted: list[Any] = [one.body["batch"] for one in command.members]
        lots = {(one.tenant, one.type, batch["key"]) for one, batch in zip(command.members, wanted, strict=True)}
        assert len(lots) == 1, f"a batch of commands that do not belong together: {lots}"
        assert command.tenant == command.members[0].tenant, f"a batch of {command.tenant} carries commands of {lots}"
        most = max(batch["most"] for batch in wanted)
        assert len(command.members) <= most, f"a batch of {len(command.members)} commands, {most} may travel together"
        assert json.loads(command.raw) == [json.loads(one.raw) for one in command.members], "a batch is not its members"
        return command.members

    def refuses(self, command: Command) -> bool:
        """Tell whether a command is one that is not wanted, whatever else may go wrong; here there are none."""
        return False

    def loses(self, command: Command) -> bool:
        """Tell whether a command is lost on the way, and nobody learns it; here that is chance alone."""
        return False

    def body_of(self, command: Command) -> bytes:
        """Give what must be the same whenever a key comes again."""
        return command.raw


class KeepsKeys:
    """A receiver that honours idempotency keys: the same key again is answered, not carried out again."""

    name = "http"
    at_once = 1

    def __init__(self, receivers: Receivers) -> None:
        self._all = receivers

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        """Answer each command, one way or another."""
        return [self._answer(command) for command in commands]

    def resolve(self, command: Command) -> Outcome | None:
        """Ask for the same key again: that is safe here."""
        self._all.counts["asked again"] += 1
        return Outcome("unknown", retry=True, code="timeout", error="no outcome was written before the stop")

    def close(self) -> None:
        """Hold nothing."""

    def _answer(self, command: Command) -> Outcome:
        """Answer a command; of a batch perhaps each member by itself."""
        members = self._all.opened(command)
        if len(members) > 1 and self._all.rng.random() < 0.5:
            return batch_outcome([self._end((member,)) for member in members])
        return self._end(members)

    def _end(self, commands: Sequence[Command]) -> Outcome:
        world, draw = self._all, 0.0 if self._all.calm else self._all.rng.random()
        known = [command for command in commands if command.idempotency_key in world.bodies]
        for command in known:
            world.counts["same key again"] += 1
            if world.bodies[command.idempotency_key] != world.body_of(command):
                raise AssertionError(f"the key {command.idempotency_key} came with another body than before")
        if not known and any(world.refuses(command) for command in commands):
            world.counts["refused for good"] += 1
            return Outcome("failed", code="rejected", error="it cannot be undone")
        if 0.62 <= draw < 0.72:
            world.counts["refused for now"] += 1
            return Outcome(
                "failed", retry=True, after_us=world.rng.choice((0, SECOND_US, 90 * SECOND_US)), code="unavailable", error="busy"
            )
        if 0.72 <= draw < 0.78 and not known:
            world.counts["refused for good"] += 1
            return Outcome("failed", code="rejected", error="it is not wanted")
        if 0.78 <= draw < 0.83:
            world.counts["no answer, not carried out"] += 1
            return Outcome("unknown", retry=True, code="timeout", error="no answer")
        for command in commands:
            if command not in known:
                world.take(self.name, command)
        if 0.83 <= draw < 0.90:
            world.counts["no answer, carried out"] += 1
            return Outcome("unknown", retry=True, code="timeout", error="no answer")
        if draw >= 0.96:
            world.counts["crash during a call"] += 1
            raise PowerCut
        world.counts["delivered"] += 1
        return Outcome("delivered", data={"receipt": commands[0].id[:8]})


class ForgetsKeys:
    """A receiver that carries out whatever comes, and cannot tell afterwards."""

    name = "webhook"
    at_once = 1

    def __init__(self, receivers: Receivers) -> None:
        self._all = receivers

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        """Answer each command, one way or another."""
        return [self._answer(command) for command in commands]

    def resolve(self, command: Command) -> Outcome | None:
        """Nobody can tell."""
        self._all.counts["nobody can tell"] += 1
        return None

    def close(self) -> None:
        """Hold nothing."""

    def _answer(self, command: Command) -> Outcome:
        world, draw = self._all, 0.0 if self._all.calm else self._all.rng.random()
        if world.refuses(command):
            world.counts["refused for good"] += 1
            return Outcome("failed", code="rejected", error="it cannot be undone")
        if 0.65 <= draw < 0.80:
            world.counts["refused for now"] += 1
            return Outcome("failed", retry=True, after_us=world.rng.choice((0, SECOND_US)), code="unavailable", error="busy")
        if 0.80 <= draw < 0.84 or world.loses(command):
            world.counts["lost on the way"] += 1
            return Outcome("unknown", code="unknown_outcome", error="the line broke")
        if draw >= 0.97:
            world.counts["crash during a call"] += 1
            raise PowerCut
        for one in world.opened(command):
            world.take(self.name, one)
        if 0.84 <= draw < 0.90:
            world.counts["unknown outcome"] += 1
            return Outcome("unknown", code="unknown_outcome", error="the line broke")
        if 0.90 <= draw < 0.97:
            world.counts["crash during a call"] += 1
            raise PowerCut
        world.counts["delivered"] += 1
        return Outcome("delivered")


class Files:
    """The shipped file connector, with a record of what it was asked for first."""

    name = "file"
    at_once = 1024

    def __init__(self, receivers: Receivers, home: Path) -> None:
        self._all = receivers
        self._files = FileConnector(home)
        self._known = {action for connector, action in receivers.accepted if connector == self.name}

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        """Write the lines; perhaps die behind that."""
        outcomes = self._files.call(commands)
        for command, outcome in zip(commands, outcomes, strict=True):
            for one in self._all.opened(command) if outcome.status == "delivered" else ():
                if one.id not in self._known:
                    self._known.add(one.id)
                    self._all.take(self.name, one)
        if not self._all.calm and self._all.rng.random() < 0.04:
            self._all.counts["crash during a call"] += 1
            raise PowerCut
        self._all.counts["delivered"] += len(outcomes)
        return outcomes

    def resolve(self, command: Command) -> Outcome | None:
        """Look into the file."""
        self._all.counts["looked up"] += 1
        return self._files.resolve(command)

    def close(self) -> None:
        """Close the files."""
        self._files.close()
