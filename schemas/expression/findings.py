"""What reading and checking an expression can find; the caller knows the file and the line and adds them."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.errors import MillraceError

Place = tuple[str | int, ...]


class Finding(msgspec.Struct, frozen=True):
    """One problem of one expression: `at` is the offset in its text, `path` the way to that text inside a template."""

    name: str
    message: str
    at: int = 0
    severity: Literal["error", "warning"] = "error"
    path: Place = ()


class ExpressionError(MillraceError):
    """A text that is no expression, type or literal; `name` is one of flow-language section 8."""

    def __init__(self, name: str, message: str, at: int = 0, path: Place = ()) -> None:
        self.name = name
        self.message = message
        self.at = at
        self.path = path
        super().__init__(f"{name}: {message}")

    @property
    def finding(self) -> Finding:
        """Give the error as a finding."""
        return Finding(self.name, self.message, self.at, "error", self.path)
