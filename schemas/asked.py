"""What a decision link is about, as its page shows it to whoever has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from schemas.expression.types import Type
from schemas.records import Json

Standing = Literal["open", "approved", "rejected", "over"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One approval as it stands. `over`: it is closed, and how is not known: its execution has ended, or was never there.

    `by` is empty where nobody decided in time; `votes` are those who have approved so far, `excluded` may not decide.
    """

    standing: Standing
    flow: str
    title: str = ""
    show: Json = None
    form: Type | None = None
    until_us: int = 0
    need: int = 1
    votes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    ended: str = ""  # how the execution has ended since, where that is known
    by: str = ""
    at_us: int = 0


# (tenant, execution, step, pass); None where nothing can be read
Questions = Callable[[str, str, str, int], Asked | None]


def unread(tenant: str, execution: str, step: str, occurrence: int) -> None:
    """Tell nothing about any question: where no engine's file can be read, a link decides all the same."""
