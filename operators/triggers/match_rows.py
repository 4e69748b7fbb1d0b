"""Match few events one by one: below some hundred comparisons a join costs more than asking.

Reads: a small frame of events of one type and the triggers of that type. Emits: the pairs that the join would give (a law).
State: the conditions of the tenants met so far, as functions. Cost: a microsecond a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import polars as pl

from operators.triggers.near import Near
from schemas.expression.column_rows import listed
from schemas.expression.rows import compile_row
from schemas.expression.tree import Tree

ALL: Final = "*"
PAIRS: Final = {"row": pl.UInt32, "tenant": pl.String, "entry": pl.UInt32}
ASKED_MAX: Final = 2_000  # comparisons
SHARED_MAX: Final = 64  # flows for all tenants; more are better joined
TENANTS_MAX: Final = 100_000

Select = Callable[[pl.DataFrame, Sequence[str]], pl.DataFrame]


class Trigger(NamedTuple):
    """One way to start one active flow: `entry` is the caller's number for it, `order` its place among the flow's triggers."""

    entry: int
    tenant: str  # or ALL
    flow: str
    order: int
    condition: Tree | None


class _Asked(NamedTuple):
    flow: str
    entry: int
    holds: Callable[[Mapping[str, Any]], Any] | None


class RowTable:
    """The triggers of one event type by tenant."""

    def __init__(self, triggers: Sequence[Trigger], owners: Collection[tuple[str, str]], keys: Sequence[str]) -> None:
        """`triggers` come sorted by flow, tenant and order; `owners` are (tenant, flow) that win over a flow for all."""
        self._own: dict[str, list[Trigger]] = {}
        for one in triggers:
            self._own.setdefault(one.tenant, []).append(one)
        self._shared = self._own.pop(ALL, [])
        self._owners = owners
        self._keys = keys
        self._most = max(map(len, self._own.values()), default=0) + len(self._shared)
        self._of = lru_cache(maxsize=TENANTS_MAX)(self._asked_of)

    def suits(self, rows: int) -> bool:
        """Tell whether so many events are better asked one by one."""
        return len(self._shared) <= SHARED_MAX and rows * self._most <= ASKED_MAX

    def match(self, events: pl.DataFrame, select: Select) -> pl.DataFrame:
        """Give (row, tenant, entry), sorted by row and flow name."""
        columns = [listed(column) for column in select(events, self._keys)] if self._keys else []
        tenants, rows = events.get_column("tenant").to_list(), events.get_column("row").to_list()
        places, entries = self.pairs(tenants, columns)
        return pl.DataFrame(
            [
                pl.Series("row", [rows[place] for place in places], dtype=pl.UInt32),
                pl.Series("tenant", [tenants[place] for place in places], dtype=pl.String),
                pl.Series("entry", entries, dtype=pl.UInt32),
            ]
        )

    def pairs(self, tenants: Sequence[str], columns: Sequence[Sequence[Any]]) -> tuple[list[int], list[int]]:
        """Give places of events and entries, sorted by place and flow name; `columns`: of the keys that are read."""
        places, entries = list[int](), list[int]()
        values = zip(*columns, strict=True) if columns else [()] * len(tenants)
        envs = [dict(zip(self._keys, value, strict=True)) for value in values]
        for place, (env, asked) in enumerate(zip(envs, self._near(tenants, envs), strict=True)):
            started = ""
            for flow, entry, holds in asked:
                if flow != started and (holds is None or holds(env) is True):
                    started = flow
                    places.append(place)
                    entries.append(entry)
        return places, entries

    def _near(self, tenants: Sequence[str], envs: Sequence[Mapping[str, Any]]) -> list[Sequence[_Asked]]:
        """Give for each event what need be asked, the events of one tenant at once."""
        places: dict[str, list[int]] = {}
        for at, tenant in enumerate(tenants):
            places.setdefault(tenant, []).append(at)
        found: list[Sequence[_Asked]] = [()] * len(envs)
        for tenant, mine in places.items():
            for at, asked in zip(mine, self._of(tenant).near([envs[at] for at in mine]), strict=True):
                found[at] = asked
        return found

    def _asked_of(self, tenant: str) -> Near[_Asked]:
        shared = [one for one in self._shared if (tenant, one.flow) not in self._owners]
        asked = sorted([*self._own.get(tenant, ()), *shared], key=lambda one: (one.flow, one.order))
        compiled = [_Asked(one.flow, one.entry, one.condition and _compiled(one.condition)) for one in asked]
        return Near(compiled, [one.condition for one in asked])


@lru_cache(maxsize=16_384)
def _compiled(condition: Tree) -> Callable[[Mapping[str, Any]], Any]:
    return compile_row(condition)
