"""Collects what `check` finds, each with its place, and knows the nearest name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from flows.language.nodes import Node, Scalar
from schemas.errors import Problem


@dataclass(slots=True)
class Report:
    """The problems of one file. The one mutable thing in a check."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, node: Node, name: str, message: str, at: int = 0) -> None:
        """Note an error at a node, or `at` code points into its text."""
        self._note(node, name, message, "error", at)

    def warn(self, node: Node, name: str, message: str, at: int = 0) -> None:
        """Note a warning."""
        self._note(node, name, message, "warning", at)

    def failed(self) -> bool:
        """Tell whether there is an error."""
        return any(problem.severity == "error" for problem in self.problems)

    def _note(self, node: Node, name: str, message: str, severity: Literal["error", "warning"], at: int) -> None:
        inside = node.offset + at if isinstance(node, Scalar) and node.offset is not None and at else 0
        problem = Problem(self.file, node.line, node.column + inside, name, message, severity)
        if problem not in self.problems:
            self.problems.append(problem)


def near(name: str, known: Iterable[str], quote: str = "'") -> str:
    """Write `; did you mean 'x'?` if a known name is close, else nothing."""
    found = nearest_name(name, known)
    return f"; did you mean {quote}{found}{quote}?" if found else ""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Give the known name that is close, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def slip(name: str, known: Iterable[str]) -> str:
    """Give the known name that a name is but for a slip of the pen, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.8)
    return found[0] if found else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """List names for a message, cut after `most`."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
