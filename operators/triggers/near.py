"""Which of many conditions an event may meet at all, by the whole numbers that they compare with constants.

Reads: conditions, the values of an event. Emits: what need be asked, in order; what is left out could not hold.
State: two bounds a condition and key. Cost: 20 µs a call and key, where asking fifty conditions takes 25 an event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.expression.rows import constant_value
from schemas.expression.tree import And, Compare, Constant, Field, Tree

One = TypeVar("One")
LEAST: Final = 8  # conditions; fewer are asked at once
KEYS_MOST: Final = 4
FEW: Final = 4  # events
INT_LEAST: Final = -(1 << 63)
INT_MOST: Final = (1 << 63) - 1
_WHOLE: Final = frozenset({"int", "timestamp", "duration"})
_BESIDE: Final = {"==": (0, 0), ">=": (0, None), ">": (1, None), "<=": (None, 0), "<": (None, -1)}  # bounds beside the constant


class _Bounds(NamedTuple):
    """What a key must be for each condition; `asks`: whether it must be there."""

    least: NDArray[np.int64]
    most: NDArray[np.int64]
    asks: NDArray[np.bool_]


class Near(Generic[One]):
    """Things with a condition each, in an order of their own."""

    def __init__(self, listed: Sequence[One], conditions: Sequence[Tree | None]) -> None:
        self._listed = listed
        self._keys = _bounds(conditions) if len(listed) >= LEAST else {}

    def near(self, envs: Sequence[Mapping[str, Any]]) -> list[Sequence[One]]:
        """Give for each event those whose condition may hold."""
        if not self._keys:
            return [self._listed] * len(envs)
        if len(envs) <= FEW:
            return [self._near_one(env) for env in envs]
        may = np.ones((len(envs), len(self._listed)), np.bool_)
        for key, (least, most, asks) in self._keys.items():
            values = [env.get(key) for env in envs]
            whole = [type(value) is int for value in values]  # a contract may have made it a decimal since
            numbers = np.array([value if is_whole else 0 for value, is_whole in zip(values, whole, strict=True)])[:, None]
            missing = np.array([value is None for value in values])[:, None]
            inside = (least <= numbers) & (numbers <= most)
            may &= np.where(np.array(whole)[:, None], inside, ~(missing & asks))
        found: list[list[One]] = [[] for _ in envs]
        for at, place in zip(*(axis.tolist() for axis in np.nonzero(may)), strict=True):
            found[at].append(self._listed[place])
        return list(found)

    def _near_one(self, env: Mapping[str, Any]) -> Sequence[One]:
        """Give the same for one event: a comparison of numbers at once costs a microsecond, an array of two dimensions ten."""
        may: NDArray[np.bool_] | None = None
        for key, (least, most, asks) in self._keys.items():
            value = env.get(key)
            if value is not None and type(value) is not int:
                continue
            fits = ~asks if value is None else (least <= value) & (value <= most)
            may = fits if may is None else may & fits
        return self._listed if may is None else [self._listed[place] for place in np.flatnonzero(may).tolist()]


def _bounds(conditions: Sequence[Tree | None]) -> dict[str, _Bounds]:
    found: dict[str, _Bounds] = {}
    for at, tree in enumerate(conditions):
        for key, low, high in _limits(tree):
            if key not in found and len(found) < KEYS_MOST:
                many = len(conditions)
                found[key] = _Bounds(np.full(many, INT_LEAST), np.full(many, INT_MOST), np.zeros(many, np.bool_))
            if key in found:
                least, most, asks = found[key]
                least[at], most[at], asks[at] = max(least[at], low), min(most[at], high), True
    return found


def _limits(tree: Tree | None) -> Iterator[tuple[str, int, int]]:
    """Give the bounds without which a condition cannot hold: (key, least, most)."""
    for part in tree.items if isinstance(tree, And) else (tree,):
        match part:
            case Compare(operator, Field(key, ()) as field, Constant() as constant) if operator in _BESIDE:
                value = constant_value(constant)
                if field.type.name in _WHOLE and type(value) is int and INT_LEAST < value < INT_MOST:
                    low, high = _BESIDE[operator]
                    yield key, INT_LEAST if low is None else value + low, INT_MOST if high is None else value + high
            case _:
                continue
