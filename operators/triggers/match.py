"""Match events to flows as a join: conditions of one shape are rows of one parameter table.

Reads: frames of events by type and the tables of those types' triggers. Emits: pairs (row of the batch, entry).
State: none; a table is rebuilt when a flow of its event type is deployed. Cost: one join and one columnar comparison a
shape, whatever the number of flows; what must be equal is part of the join. Flows for all tenants without an equality are
compared with every event, in slices of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import polars as pl

from operators.triggers.match_rows import ALL, PAIRS, RowTable, Select, Trigger
from schemas.expression.column_types import dtype_of
from schemas.expression.columns import condition
from schemas.expression.rows import constant_value
from schemas.expression.shape import shape
from schemas.expression.tree import And, Compare, Constant, Field, Param, Tree
from schemas.expression.types import Type
from schemas.expression.walk import keys

CROSS_ROWS_MAX: Final = 1 << 20  # rows of one slice of events x flows-for-all
_JOINED: Final = frozenset({"string", "one_of", "int", "bool"})  # types whose equality a join decides as a comparison does


@dataclass(frozen=True, slots=True)
class ShapeTable:
    """The triggers of one event type whose conditions differ only in their constants."""

    condition: Tree | None
    equal: tuple[tuple[str, str], ...]  # (key of the event, parameter) that must be equal
    parameters: tuple[tuple[str, pl.DataType], ...]
    own: pl.DataFrame | None  # tenant, entry, flow_rank, order, p0, p1, ...
    shared: pl.DataFrame | None  # the same without tenant, of flows for all tenants


@dataclass(frozen=True, slots=True)
class TypeTable:
    """All triggers of one event type. `overrides` are (tenant, entry): this tenant has its own flow of that name."""

    shapes: tuple[ShapeTable, ...]
    keys: tuple[str, ...]  # of the event, that some condition reads
    overrides: pl.DataFrame | None
    several: bool  # some flow has more than one trigger of this type
    rows: RowTable  # for few events


def make_table(triggers: Iterable[Trigger], owners: Iterable[tuple[str, str]] = ()) -> TypeTable:
    """Group triggers of one event type by the shape of their conditions.

    `owners` are (tenant, flow) of tenants' own flows, whatever starts them: they win over a flow for all of the same name.
    """
    listed = sorted(triggers, key=lambda one: (one.flow, one.tenant, one.order))
    ranks = {name: rank for rank, name in enumerate(sorted({one.flow for one in listed}))}
    groups: dict[tuple[Tree | None, tuple[Type, ...]], list[tuple[Trigger, tuple[Constant, ...]]]] = {}
    for trigger in listed:
        tree, constants = (None, ()) if trigger.condition is None else shape(trigger.condition)
        groups.setdefault((tree, tuple(one.type for one in constants)), []).append((trigger, constants))
    shapes = tuple(_shape_table(tree, types, rows, ranks) for (tree, types), rows in groups.items())
    flows = [(one.tenant, one.flow) for one in listed]
    winners = {(one.tenant, one.flow) for one in listed if one.tenant != ALL} | set(owners)
    read = {key for one in listed if one.condition is not None for key in keys(one.condition)}
    read_keys = tuple(sorted(read))
    rows = RowTable(listed, winners, read_keys)
    return TypeTable(shapes, read_keys, _overrides(listed, winners), len(set(flows)) < len(flows), rows)


Rows = Sequence[tuple[Trigger, tuple[Constant, ...]]]


def _shape_table(tree: Tree | None, types: tuple[Type, ...], rows: Rows, ranks: dict[str, int]) -> ShapeTable:
    own = [row for row in rows if row[0].tenant != ALL]
    shared = [row for row in rows if row[0].tenant == ALL]
    return ShapeTable(
        tree,
        () if tree is None else tuple(_equalities(tree)),
        tuple((f"p{index}", dtype_of(kind)) for index, kind in enumerate(types)),
        _parameters(types, own, ranks) if own else None,
        _parameters(types, shared, ranks).drop("tenant") if shared else None,
    )


def _equalities(tree: Tree) -> Iterable[tuple[str, str]]:
    """Give what the condition cannot hold without: fields of the event that equal a parameter."""
    for part in tree.items if isinstance(tree, And) else (tree,):
        match part:
            case Compare("==", Field(key, ()), Param(index)) if _joins(part):
                yield key, f"p{index}"


def _joins(part: Compare) -> bool:
    left, right = part.left, part.right
    assert isinstance(left, Field)
    assert isinstance(right, Param)
    return left.type.name == right.type.name and left.type.name in _JOINED


def _parameters(types: tuple[Type, ...], rows: Rows, ranks: dict[str, int]) -> pl.DataFrame:
    columns = {
        "tenant": pl.Series([trigger.tenant for trigger, _ in rows], dtype=pl.String),
        "entry": pl.Series([trigger.entry for trigger, _ in rows], dtype=pl.UInt32),
        "flow_rank": pl.Series([ranks[trigger.flow] for trigger, _ in rows], dtype=pl.UInt32),
        "order": pl.Series([trigger.order for trigger, _ in rows], dtype=pl.UInt32),
    }
    for index, kind in enumerate(types):
        values = [constant_value(constants[index]) for _, constants in rows]
        columns[f"p{index}"] = pl.Series(values, dtype=dtype_of(kind))
    return pl.DataFrame(columns)


def _overrides(triggers: Sequence[Trigger], winners: Iterable[tuple[str, str]]) -> pl.DataFrame | None:
    names: dict[str, list[str]] = {}
    for tenant, flow in sorted(winners):
        names.setdefault(flow, []).append(tenant)
    shared = [one for one in triggers if one.tenant == ALL]
    pairs = [(tenant, one.entry) for one in shared for tenant in names.get(one.flow, ())]
    return pl.DataFrame(pairs, schema={"tenant": pl.String, "entry": pl.UInt32}, orient="row") if pairs else None


def match_events(batch: Sequence[tuple[pl.DataFrame, TypeTable]], select: Select) -> list[pl.DataFrame]:
    """Give for each frame its (row, tenant, entry), sorted by row and flow name.

    Each flow starts at most once an event, by its first trigger that fits. A frame has columns `row` and `tenant` and whatever
    `select(frame, keys)` finds the environment keys in. Few events are asked one by one, many are joined, all types at once.
    """
    few = {at: table.rows.match(events, select) for at, (events, table) in enumerate(batch) if table.rows.suits(events.height)}
    joined = iter(match_columns([one for at, one in enumerate(batch) if at not in few], select))
    return [few[at] if at in few else next(joined) for at in range(len(batch))]


def match_columns(batch: Sequence[tuple[pl.DataFrame, TypeTable]], select: Select) -> list[pl.DataFrame]:
    """Give the same by joins, in one call of polars."""
    plans = [_plan(events, table, select) for events, table in batch]
    return pl.collect_all(plans) if plans else []


def _plan(events: pl.DataFrame, table: TypeTable, select: Select) -> pl.LazyFrame:
    place = events.select("row", "tenant")
    needed = pl.concat([place, select(events, table.keys)], how="horizontal") if table.keys else place
    pairs = pl.concat([part for one in table.shapes for part in _match_shape(needed, one, table.overrides)])
    pairs = pairs.sort("row", "flow_rank", "order")
    if table.several:
        pairs = pairs.unique(["row", "flow_rank"], keep="first", maintain_order=True)
    return pairs.select(list(PAIRS))


def _match_shape(events: pl.DataFrame, one: ShapeTable, overrides: pl.DataFrame | None) -> Iterable[pl.LazyFrame]:
    keys_equal, parameters_equal = [key for key, _ in one.equal], [name for _, name in one.equal]
    if one.own is not None:
        on = (["tenant", *keys_equal], ["tenant", *parameters_equal])
        yield _filter(_join(events.lazy(), one.own, *on), one, events.schema)
    for joined in () if one.shared is None else _with_shared(events, one.shared, keys_equal, parameters_equal):
        pairs = _filter(joined, one, events.schema)
        yield pairs if overrides is None else pairs.join(overrides.lazy(), on=["tenant", "entry"], how="anti")


def _with_shared(events: pl.DataFrame, shared: pl.DataFrame, left: list[str], right: list[str]) -> Iterable[pl.LazyFrame]:
    if left:
        yield _join(events.lazy(), shared, left, right)
        return
    slice_rows = max(1, CROSS_ROWS_MAX // shared.height)
    for start in range(0, max(1, events.height), slice_rows):
        yield events.slice(start, slice_rows).lazy().join(shared.lazy(), how="cross")


def _join(events: pl.LazyFrame, table: pl.DataFrame, left: list[str], right: list[str]) -> pl.LazyFrame:
    return events.join(table.lazy(), left_on=left, right_on=right, coalesce=False)


def _filter(joined: pl.LazyFrame, one: ShapeTable, schema: pl.Schema) -> pl.LazyFrame:
    if one.condition is not None:
        joined = joined.filter(_condition(one.condition, (*schema.items(), *one.parameters)))
    return joined.select("row", "tenant", "entry", "flow_rank", "order")


@lru_cache(maxsize=4_096)
def _condition(tree: Tree, schema: tuple[tuple[str, pl.DataType], ...]) -> pl.Expr:
    return condition(tree, dict(schema))
