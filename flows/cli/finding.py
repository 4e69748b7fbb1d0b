"""One thing that `millrace doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found; `wrong` makes the exit code 1."""

    level: Level
    what: str
    detail: str
