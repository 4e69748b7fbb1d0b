"""The column evaluator: an elaborated tree becomes one polars expression over columns named by environment key.

Reads: columns by key, parameters as p0, p1, ...; a column that is not in the schema is missing everywhere. Emits: a boolean
expression that is never null (condition) or a value, null where missing. State: none. Cost: that of the columns; nodes that
columns cannot compute exactly run row by row, inside an `and` only where the cheap conditions hold.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, Final, cast

import polars as pl

from schemas.expression.column_rows import decimal_arithmetic, float_quotient, row_by_row
from schemas.expression.column_types import Schema, aligned, dtype_of, literal, reach
from schemas.expression.fit import type_of
from schemas.expression.functions.table import FUNCTIONS
from schemas.expression.literals import INT_MIN, TIME_MAX_US
from schemas.expression.pattern import read_pattern
from schemas.expression.rows import bound_values, compile_row, constant_value
from schemas.expression.shape import is_long
from schemas.expression.tree import (
    And,
    Arith,
    Call,
    Compare,
    Constant,
    Convert,
    Field,
    ListOf,
    Lookup,
    Matches,
    Negate,
    Not,
    Or,
    Param,
    Tree,
)
from schemas.expression.types import Type
from schemas.expression.walk import children, keys

_TESTS: Final[dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    "==": lambda one, two: one == two,
    "!=": lambda one, two: one != two,
    "<": lambda one, two: one < two,
    "<=": lambda one, two: one <= two,
    ">": lambda one, two: one > two,
    ">=": lambda one, two: one >= two,
}
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OPERATIONS: Final[dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    "+": lambda one, two: one + two,
    "-": lambda one, two: one - two,
    "*": lambda one, two: one * two,
}
_LISTED: Final = frozenset(["string", "one_of", "int", "bool", "timestamp", "duration"])
_NO: Final = pl.lit(False, dtype=pl.Boolean)


def condition(tree: Tree, schema: Schema) -> pl.Expr:
    """Make the boolean expression of a condition: one value a row of the frame, never null."""
    if not keys(tree) & schema.keys():
        return pl.repeat(bool(compile_row(tree)({})), pl.len(), dtype=pl.Boolean)
    return _Builder(schema).boolean(tree)


def value(tree: Tree, schema: Schema) -> pl.Expr:
    """Make the expression of a value, in the dtype of its type, null where missing."""
    if not keys(tree) & schema.keys():
        return _everywhere(compile_row(tree)({}), dtype_of(type_of(tree)))
    return _Builder(schema).value(tree)


def _everywhere(found: Any, dtype: pl.DataType) -> pl.Expr:
    """Give one value a row, also where no column says how many rows there are."""
    return pl.int_range(pl.len()).map_batches(
        lambda places: pl.Series([found], dtype=dtype).new_from_index(0, len(places)), return_dtype=dtype, is_elementwise=True
    )


class _Builder:
    """Builds the parts of one expression; counts what had to be left to rows."""

    def __init__(self, schema: Schema, mask: pl.Expr | None = None) -> None:
        self.schema = schema
        self.mask = mask
        self.left_to_rows = 0

    def value(self, tree: Tree) -> pl.Expr:
        """Give the column of a node, by columns if they can be exact; what no column decides is worked out once."""
        if not isinstance(tree, Constant) and type_of(tree).name in _SCALARS and not keys(tree) & self.schema.keys():
            return literal(compile_row(tree)({}), type_of(tree))
        build = _BUILDERS[type(tree)]
        found = None if any(_is_opaque(tree, part) for part in children(tree)) else build(self, tree)
        return self.by_rows(tree) if found is None else found

    def by_rows(self, tree: Tree) -> pl.Expr:
        """Leave a node to its row twin."""
        self.left_to_rows += 1
        return row_by_row(tree, self.schema, self.mask)

    def boolean(self, tree: Tree) -> pl.Expr:
        """Give the column of a condition: missing is false."""
        return self.value(tree).fill_null(value=False)

    def constant(self, tree: Constant) -> pl.Expr:
        """Give a literal."""
        return literal(constant_value(tree), tree.type)

    def param(self, tree: Param) -> pl.Expr:
        """Give the column of a parameter."""
        name = f"p{tree.index}"
        dtype = self.schema.get(name)
        if dtype is None:
            return literal(None, tree.type)
        return pl.col(name) if dtype == dtype_of(tree.type) else pl.col(name).cast(dtype_of(tree.type))

    def field(self, tree: Field) -> pl.Expr | None:
        """Give the column of a field."""
        found = reach(tree, self.schema)
        return None if found is None else aligned(found[0], found[1], tree.type)

    def connective_and(self, tree: And) -> pl.Expr:
        """Give the cheap conditions first; the others run only where those hold."""
        cheap, dear = [], []
        for item in tree.items:
            trial = _Builder(self.schema, self.mask)
            column = trial.boolean(item)
            (dear.append(item) if trial.left_to_rows else cheap.append(column))
        masks = cheap if self.mask is None else [self.mask, *cheap]
        inner = _Builder(self.schema, reduce(_both, masks) if masks else None)
        columns = cheap + [inner.boolean(item) for item in dear]
        self.left_to_rows += inner.left_to_rows
        return reduce(_both, columns)

    def connective_or(self, tree: Or) -> pl.Expr:
        """Give a condition that holds where one of several does."""
        return reduce(lambda one, two: one | two, [self.boolean(item) for item in tree.items])

    def negation(self, tree: Not) -> pl.Expr:
        """Give the opposite of a condition."""
        return ~self.boolean(tree.item)

    def comparison(self, tree: Compare) -> pl.Expr | None:
        """Give a comparison: false where a side is missing or no number."""
        if tree.operator == "in":
            return self._in(tree.left, tree.right)
        if tree.operator == "contains":
            listed = type_of(tree.left).name == "list"
            return self._in(tree.right, tree.left) if listed else self._text_in_text(tree)
        return self._test(tree.operator, tree.left, tree.right)

    def _test(self, operator: str, left: Tree, right: Tree) -> pl.Expr:
        if not keys(left) & self.schema.keys():
            operator, left, right = _MIRRORED[operator], right, left  # one value before a column of nulls is one row for polars
        one, two = self.value(left), self.value(right)
        found = _TESTS[operator](one, two)
        for side, column in ((left, one), (right, two)):
            if type_of(side).name == "float" and not isinstance(side, Constant):
                found = found & column.is_not_nan()  # polars orders NaN above all, and equal to itself
        return found.fill_null(value=False)

    def _text_in_text(self, tree: Compare) -> pl.Expr:
        text, part = self.value(tree.left), self.value(tree.right)
        found = text.str.contains(part, literal=True) & text.is_not_null() & part.is_not_null()
        return found.fill_null(value=False)

    def _in(self, item: Tree, of: Tree) -> pl.Expr | None:
        if isinstance(of, ListOf) and is_long(of) and type_of(item).name in _LISTED:
            known = pl.Series(compile_row(of)({}), dtype=dtype_of(type_of(item)))
            return self.value(item).is_in(known).fill_null(value=False)
        if isinstance(of, ListOf):
            return reduce(lambda one, two: one | two, [self._test("==", item, each) for each in of.items], _NO)
        if type_of(item).name not in _LISTED or not isinstance(of, Field):
            return None  # floats hold NaN, and polars looks for no decimal in a list
        column, looked_for = self.value(of), self.value(item)
        return (column.list.contains(looked_for) & looked_for.is_not_null()).fill_null(value=False)

    def matches(self, tree: Matches) -> pl.Expr:
        """Give whether a pattern is found."""
        return self.value(tree.text).str.contains(read_pattern(tree.pattern).rust).fill_null(value=False)

    def arithmetic(self, tree: Arith) -> pl.Expr:
        """Give a result, null where it overflows or divides by zero."""
        one, two, kind = self.value(tree.left), self.value(tree.right), tree.type.name
        if kind in ("decimal", "money"):
            return decimal_arithmetic(tree.operator, one, two)
        if kind == "float":
            found = float_quotient(one, two) if tree.operator == "/" else _OPERATIONS[tree.operator](one, two)
            return pl.when(found.is_finite()).then(found)
        # Int64 wraps in silence; 128 bits hold every result, and the cast back drops what does not fit
        wide = _OPERATIONS[tree.operator](one.cast(pl.Int128), two.cast(pl.Int128)).cast(pl.Int64, strict=False)
        return pl.when(wide.is_between(0, TIME_MAX_US)).then(wide) if kind == "timestamp" else wide

    def minus(self, tree: Negate) -> pl.Expr:
        """Give the opposite."""
        item, kind = self.value(tree.item), tree.type.name
        if kind in ("int", "duration"):
            return -pl.when(item != INT_MIN).then(item)
        return pl.when((-item).is_finite()).then(-item) if kind == "float" else -item

    def items(self, _tree: ListOf) -> pl.Expr | None:
        """Leave lists to rows: they stand nearly always right of `in`, which looks at their items."""
        return None

    def conversion(self, tree: Convert) -> pl.Expr | None:
        """Give a value as another type."""
        have, want = type_of(tree.item), tree.type
        if have.name == "int" and want.name in ("decimal", "float"):
            return self.value(tree.item).cast(dtype_of(want))
        if have.name == "any" and isinstance(tree.item, Field):
            return self._read_any(tree.item, want)
        return None

    def _read_any(self, item: Field, want: Type) -> pl.Expr | None:
        """Read a column that no contract speaks about as a type: by its dtype where that says all."""
        found = reach(item, self.schema)
        if found is None:
            return None
        column, have = found
        kind = "int" if have.is_integer() else _KINDS.get(type(have), "")
        if isinstance(have, pl.Null) or item.key not in self.schema:
            return literal(None, want)
        if kind == "float" and want.name == "float":
            column = column.cast(pl.Float64)
            return pl.when(column.is_finite()).then(column)
        return column.cast(dtype_of(want), strict=False) if (kind, want.name) in _READABLE else None

    def call(self, tree: Call) -> pl.Expr | None:
        """Give a function's value."""
        if tree.name in _FORMS:
            return _FORMS[tree.name](self, tree)
        column = FUNCTIONS[tree.name].column
        return None if column is None else column(tree, [self.value(arg) for arg in tree.args])

    def lookup(self, tree: Lookup) -> pl.Expr | None:
        """Give the values of a keyed policy by replacing the keys."""
        if tree.default is None or tree.type.name not in _SCALARS:
            return None
        known, dtype, item = bound_values(tree), dtype_of(tree.type), self.value(tree.item)
        found = literal(known.default, tree.type)
        if known.values:
            old = pl.Series(list(known.values), dtype=dtype_of(type_of(tree.item)))
            new = pl.Series(list(known.values.values()), dtype=dtype)
            found = item.replace_strict(old, new, default=found, return_dtype=dtype)
        return pl.when(item.is_not_null()).then(found)

    def exists(self, tree: Call) -> pl.Expr:
        """Give whether a value is there."""
        return self.value(tree.args[0]).is_not_null()

    def coalesce(self, tree: Call) -> pl.Expr | None:
        """Give the first value that is there."""
        if tree.type.name not in _SCALARS:
            return None
        return pl.coalesce([self.value(arg) for arg in tree.args])

    def choice(self, tree: Call) -> pl.Expr | None:
        """Give one of two values."""
        if tree.type.name not in _SCALARS:
            return None
        test, then, otherwise = tree.args
        return pl.when(self.boolean(test)).then(self.value(then)).otherwise(self.value(otherwise))


def _is_opaque(tree: Tree, part: Tree) -> bool:
    """Tell whether a computed part has values of no known dtype: then the node above it runs row by row, whole."""
    if isinstance(part, Field) or (isinstance(part, ListOf) and isinstance(tree, Compare)):
        return False  # a field has its column's own dtype; of a list beside `in` only the items are columns
    return dtype_of(type_of(part)) == pl.Object()


def _both(one: pl.Expr, two: pl.Expr) -> pl.Expr:
    return one & two


_SCALARS: Final = _LISTED | {"decimal", "money", "float"}
_KINDS: Final[dict[type, str]] = {
    pl.String: "string",
    pl.Boolean: "bool",
    pl.Decimal: "decimal",
    pl.Float64: "float",
    pl.Float32: "float",
}
_READABLE: Final = frozenset(
    [
        ("string", "string"),
        ("string", "one_of"),
        ("bool", "bool"),
        ("int", "int"),
        ("int", "decimal"),
        ("int", "float"),
        ("decimal", "decimal"),
    ]
)
_FORMS: Final[dict[str, Callable[[_Builder, Call], pl.Expr | None]]] = {
    "exists": _Builder.exists,
    "coalesce": _Builder.coalesce,
    "if": _Builder.choice,
}
_BUILDERS = cast(
    "dict[type, Callable[[_Builder, Any], pl.Expr | None]]",
    {
        Constant: _Builder.constant,
        Param: _Builder.param,
        Field: _Builder.field,
        And: _Builder.connective_and,
        Or: _Builder.connective_or,
        Not: _Builder.negation,
        Compare: _Builder.comparison,
        Matches: _Builder.matches,
        Arith: _Builder.arithmetic,
        Negate: _Builder.minus,
        ListOf: _Builder.items,
        Convert: _Builder.conversion,
        Call: _Builder.call,
        Lookup: _Builder.lookup,
    },
)
