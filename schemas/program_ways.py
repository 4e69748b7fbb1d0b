"""Where each step of a program goes on, and what that way is called."""

from __future__ import annotations

import re
from typing import Final

from schemas.expression.print import print_tree
from schemas.program import Branch, EachEnd, Fail, ForEach, Fork, Step, Stop, Wait

_ORDINAL: Final = re.compile(r"^arm_[0-9]+_")  # put there by desugaring, to keep the listed order

Way = tuple[int, str]


def ways(step: Step) -> list[Way]:
    """List the steps that may follow, without those that errors lead to. END among them: the token ends there."""
    match step:
        case Branch():
            return [*((arm.target, print_tree(arm.when)) for arm in step.arms), (step.otherwise, "else")]
        case Fork():
            return [(target, _ORDINAL.sub("", name)) for name, target in step.arms]
        case ForEach():
            return [(step.body, "each"), (step.next, "then")]
        case Wait():
            late = [(step.on_timeout, "none came")] if isinstance(step.on_timeout, int) else []
            return [(step.next, ""), *late]
        case Fail() | Stop() | EachEnd():
            return []
        case _:
            return [(step.next, "")]
