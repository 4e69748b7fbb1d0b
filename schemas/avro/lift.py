"""From the columns that a block gives to the columns that a contract has, as polars expressions made once per schema.

Reads: the twin's columns. Emits: contract columns, and for each row whether a value is outside what the contract allows.
State: none. Cost: nothing where both agree (the usual case: own schemas); enums, maps, units and old versions cost an expression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from schemas.avro.plain import twin_text
from schemas.avro.schema import TIMESTAMPS, Node, optional_part
from schemas.contracts import WIDER
from schemas.expression.types import Type
from schemas.frames import DECIMAL, dtype_of

UNIT_US = {"time-millis": 1000}


def lift(column: pl.Expr, node: Node, want: Type) -> pl.Expr:
    """Turn a column read by the schema `node` into the contract type `want`. The two must fit (see `fits`)."""
    part = optional_part(node)
    if part is not None:
        return lift(column, part, want)
    if is_same(node, want):
        return column
    match node.sort:
        case "record" if want.name == "record":
            return _record(column, node, want)
        case "array" if want.name == "list" and want.item is not None:
            return column.list.eval(lift(pl.element(), node.parts[0], want.item))
        case "enum" if want.name != "any":
            words: dict[int | None, str | None] = {
                **dict(enumerate(node.symbols)),
                None: None,
            }  # an index that is none of them raises
            return column.replace_strict(words, return_dtype=pl.String())
        case "bytes" | "fixed" if node.logical != "decimal" and want.name == "string":
            return column.bin.encode("base64")
        case "map":
            return column.map_elements(_texts(node), return_dtype=pl.String(), skip_nulls=True)
        case _:
            return _number(column, node, want)


def _record(column: pl.Expr, node: Node, want: Type) -> pl.Expr:
    have = dict(node.fields)
    fields = [
        (lift(column.struct.field(name), have[name], kind) if name in have else pl.lit(None, dtype=dtype_of(kind))).alias(name)
        for name, kind in want.fields
    ]
    return pl.when(column.is_not_null()).then(pl.struct(fields))


def _number(column: pl.Expr, node: Node, want: Type) -> pl.Expr:
    unit = TIMESTAMPS.get(node.logical, UNIT_US.get(node.logical, 1))
    if unit != 1:
        most = (2**63 - 1) // unit
        return pl.when(column.is_between(-most, most)).then(column * unit)
    return column.cast(DECIMAL if want.name in ("decimal", "money") else dtype_of(want))


def _texts(node: Node) -> Callable[[pl.Series], str]:
    def text(value: Any) -> str:
        return twin_text(value, node)

    return text


def is_same(node: Node, want: Type) -> bool:
    """Tell whether the twin's column is the contract's column as it stands."""
    part = optional_part(node)
    if part is not None:
        return is_same(part, want)
    match node.sort:
        case "record":
            same = want.name == "record" and [name for name, _ in node.fields] == [name for name, _ in want.fields]
            return same and all(is_same(field, kind) for (_, field), (_, kind) in zip(node.fields, want.fields, strict=True))
        case "array":
            return want.item is not None and is_same(node.parts[0], want.item)
        case "bytes" | "fixed":
            return node.logical == "decimal" and node.scale == 9 and want.name in ("decimal", "money")
        case "int" | "long":
            return TIMESTAMPS.get(node.logical, UNIT_US.get(node.logical, 1)) == 1 and want.name in (
                "int",
                "timestamp",
                "duration",
            )
        case sort:
            return want.name in SAME.get(sort, ())


SAME = {"boolean": ("bool",), "double": ("float",), "string": ("string", "one_of", "any")}


def misfit(have: Type, want: Type, path: str = "data") -> str | None:
    """Say where a schema's type cannot be read as the contract's; None if it can."""
    if have.name == want.name == "record":
        fields = dict(have.fields)
        found = (_field_misfit(fields.get(name), kind, f"{path}.{name}") for name, kind in want.fields)
        return next((text for text in found if text), None)
    if have.item is not None and want.item is not None:
        return misfit(have.item, want.item, f"{path}[*]")
    if have.name == want.name and have.currency == want.currency:
        return None
    if have.name in WIDER.get(want.name, ()) or (have.name == "string" and want.name in ("one_of", "any")):
        return None
    return f"{path} is {have.name} in the schema and {want.name} in the contract"


def _field_misfit(have: Type | None, want: Type, path: str) -> str | None:
    if have is None:
        return None if want.optional else f"{path} is not in the schema and required by the contract"
    return misfit(have, want, path)


def needs_presence(have: Type, want: Type) -> bool:
    """Tell whether a value may be missing in the schema that the contract requires."""
    if have.optional and not want.optional:
        return True
    if have.item is not None and want.item is not None:
        return needs_presence(have.item, want.item)
    fields = dict(have.fields)
    return any(name in fields and needs_presence(fields[name], kind) for name, kind in want.fields)
