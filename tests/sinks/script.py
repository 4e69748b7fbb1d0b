"""A connector of the tests: gives the outcomes it was told, by command and attempt, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.dispatch import Command, Outcome

LATER = Outcome("failed", retry=True, code="unavailable", error="away")


class Scripted:
    """Outcomes by command id; those of batches, whatever their ids, under `batch`."""

    name = "http"
    at_once = 100

    def __init__(self, resolves: Mapping[str, Outcome | None] | None = None, **outcomes: list[Outcome]) -> None:
        self.outcomes = outcomes
        self.resolves = resolves or {}
        self.asked: list[tuple[str, int]] = []
        self.resolved: list[str] = []
        self.batches: list[list[str]] = []
        self.batch_ids: list[str] = []
        self.settings: list[object] = []

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        return [self.one(command) for command in commands]

    def one(self, command: Command) -> Outcome:
        told = self.outcomes.get("batch" if command.members else command.id, [])
        self.settings.append(command.settings)
        if command.members:
            self.batches.append([member.id for member in command.members])
            self.batch_ids.append(command.id)
            at = len(self.batches)
        else:
            self.asked.append((command.id, command.attempt))
            at = command.attempt
        return told[at - 1] if at <= len(told) else Outcome("delivered")

    def resolve(self, command: Command) -> Outcome | None:
        self.resolved.append(command.id)
        return self.resolves.get("batch" if command.members else command.id)

    def close(self) -> None:
        pass
