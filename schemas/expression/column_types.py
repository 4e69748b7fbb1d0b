"""How columns hold values of the language, and the way from a column into what lies inside it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import polars as pl

from schemas.expression.tree import Field
from schemas.expression.types import ANY, Type

DECIMAL_DTYPE: Final = pl.Decimal(38, 9)
Schema = Mapping[str, pl.DataType]
_PLAIN: Final[dict[str, pl.DataType]] = {
    "string": pl.String(),
    "one_of": pl.String(),
    "int": pl.Int64(),
    "timestamp": pl.Int64(),
    "duration": pl.Int64(),
    "decimal": DECIMAL_DTYPE,
    "money": DECIMAL_DTYPE,
    "float": pl.Float64(),
    "bool": pl.Boolean(),
}
_CASTS: Final = (pl.Decimal, pl.Categorical, pl.Enum, pl.Float32)


def dtype_of(of: Type) -> pl.DataType:
    """Give the dtype of a type: decimal and money Decimal(38, 9), times Int64 microseconds; what holds an `any` is an object."""
    if of.name == "list":
        inner = dtype_of(of.item or ANY)
        return pl.List(inner) if inner != pl.Object() else inner  # polars panics on objects inside lists
    if of.name == "record":
        parts = {name: dtype_of(part) for name, part in of.fields}
        return pl.Struct(parts) if pl.Object() not in parts.values() else pl.Object()
    return _PLAIN.get(of.name, pl.Object())


def literal(value: Any, of: Type) -> pl.Expr:
    """Make a literal column."""
    dtype = dtype_of(of)
    if value is None:
        return pl.lit(None, dtype=pl.Null() if dtype == pl.Object() else dtype)
    if isinstance(value, list):
        return pl.lit(pl.Series([value], dtype=dtype)).first()
    return pl.lit(Decimal(value) if dtype == DECIMAL_DTYPE else value, dtype=dtype)


def reach(field: Field, schema: Schema) -> tuple[pl.Expr, pl.DataType] | None:
    """Give the column of a field and its dtype; None where the way is not one that columns can go.

    A column that is not there is null, as is a struct field that is not there.
    """
    dtype = schema.get(field.key)
    if dtype is None:
        return literal(None, field.type), dtype_of(field.type)
    return _into(pl.col(field.key), dtype, field.rest)


def _into(column: pl.Expr, dtype: pl.DataType, rest: tuple[str | int, ...]) -> tuple[pl.Expr, pl.DataType] | None:
    if not rest:
        return column, dtype
    part = rest[0]
    if part == "*":
        return _into_each(column, dtype, rest[1:])
    if isinstance(part, int):
        if not isinstance(dtype, pl.List):
            return None
        return _into(column.list.get(part, null_on_oob=True), _inner(dtype), rest[1:])
    members = _members(dtype)
    return _into(column.struct.field(part), members[part], rest[1:]) if part in members else None


def _into_each(column: pl.Expr, dtype: pl.DataType, rest: tuple[str | int, ...]) -> tuple[pl.Expr, pl.DataType] | None:
    if not isinstance(dtype, pl.List):
        return None
    found = _into(pl.element(), _inner(dtype), rest)
    return None if found is None else (column.list.eval(found[0]), pl.List(found[1]))


def _inner(dtype: pl.List) -> pl.DataType:
    inner = dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()


def _members(dtype: pl.DataType) -> dict[str, pl.DataType]:
    if not isinstance(dtype, pl.Struct):
        return {}
    return {field.name: field.dtype if isinstance(field.dtype, pl.DataType) else field.dtype() for field in dtype.fields}


def aligned(column: pl.Expr, have: pl.DataType, of: Type) -> pl.Expr | None:
    """Give a column in the dtype of its type, where its own differs only in width; None where it is something else."""
    want = dtype_of(of)
    if have == want or want == pl.Object() or of.name == "record":
        return column
    if isinstance(have, pl.Null) or (isinstance(have, pl.List) and isinstance(_inner(have), pl.Null)):
        return column.cast(want)
    if isinstance(have, pl.Datetime) and of.name == "timestamp":
        return column.dt.epoch("us")
    if have.is_integer() and want == pl.Int64():
        return column.cast(want, strict=False)
    if isinstance(have, _CASTS) and not isinstance(want, pl.List):
        return column.cast(want, strict=False) if isinstance(have, pl.Decimal) == isinstance(want, pl.Decimal) else None
    same_list = (
        isinstance(have, pl.List) and isinstance(want, pl.List) and of.item is not None and of.item.name in ("any", "record")
    )
    return column if same_list else None
