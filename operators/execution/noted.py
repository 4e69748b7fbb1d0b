"""What a history says about a value: the value itself, or its size where it is large.

Cost: nothing is encoded but a value that is too large; the others are looked through, up to the limit.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.expression.types import Type
from schemas.program_values import shown_as

NOTED_MAX: Final = 1_024  # characters, roughly those of its JSON: a history keeps it for ever, and every view shows it
_FIXED: Final = 4  # about what a number, a comma or a bracket takes
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def noted(value: Any, of: Type | None = None) -> Any:
    """Give the value, as people read one of type `of`; {"size": bytes of its JSON} where that is more than about NOTED_MAX."""
    kind = type(value)
    if kind is str:
        large = len(value) > NOTED_MAX
    elif kind is dict or kind is list or kind is tuple:
        large = _is_large(value)
    else:
        large = False
    if large:
        return {"size": len(_encoder.encode(value))}
    return value if of is None else shown_as(value, of)


def _is_large(value: Any) -> bool:
    """Add up a tree until it is done or too large."""
    left, rest = NOTED_MAX, [value]
    while rest and left >= 0:
        one = rest.pop()
        left -= _FIXED
        if isinstance(one, str):
            left -= len(one)
        elif isinstance(one, dict):
            left -= sum(map(len, one)) if len(one) <= NOTED_MAX else NOTED_MAX
            rest.extend(one.values())
        elif isinstance(one, list | tuple):
            rest.extend(one[:NOTED_MAX])  # each takes more than a character
    return left < 0
