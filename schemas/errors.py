"""The error tree, named by what happens next: do not start, set aside, try again, stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class MillraceError(Exception):
    """Anything that Millrace raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding of `check`: where it is, what it is called, and what to do (flow-language section 8)."""

    file: str
    line: int
    column: int
    name: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.name}]: {self.message}"


class InvalidFlow(MillraceError):
    """A definition that must not start; carries every problem at once. Exit code 2."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InvalidInput(MillraceError):
    """What a person typed or sent is not usable; the message says what was wanted. Exit code 2."""


class BadRecord(MillraceError):
    """One record that goes to the dead letters; the stream goes on."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class Retryable(MillraceError):
    """One call that may work later; `after_us` is the least wait in microseconds (0: as the policy says)."""

    def __init__(self, message: str, after_us: int = 0) -> None:
        self.after_us = after_us
        super().__init__(message)


class Fatal(MillraceError):
    """The run must stop with nothing committed. Exit code 1."""


class HomeLocked(Fatal):
    """Another process owns this home or this file."""


class StateTooNew(Fatal):
    """The file was written by a newer version of Millrace."""


class FileReplaced(Fatal):
    """A file is not the one that the stored positions belong to: it was made anew, or comes from another home."""


class StorageFailed(Fatal):
    """The disk is full, read-only or broken; nothing of the current turn was committed."""


class BrokenInvariant(Fatal):
    """Something that cannot be is: stop before it spreads."""
