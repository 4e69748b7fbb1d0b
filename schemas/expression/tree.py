"""The tree of an expression: frozen, hashable, msgpack-able nodes.

The parser makes Path nodes; elaboration resolves each into a Field and sets every type. A Field names one slot of the
environment by a dotted key ("deal.value", "event.time", "commission", "execution.started_at") and then reaches into the
value by `rest`. The environment of a row is a dict from key to value, that of a batch a frame with columns named by key.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.expression.types import ANY, BOOL, Type

Comparison = Literal["==", "!=", "<", "<=", ">", ">=", "in", "contains"]
Arithmetic = Literal["+", "-", "*", "/"]


class Node(msgspec.Struct, frozen=True, tag=True, tag_field="node", array_like=True):
    """What every node has: where it starts in the text, for messages (not part of its identity once canonical)."""


class Constant(Node, frozen=True):
    """A constant. decimal and money hold their digits as text, timestamp and duration int microseconds."""

    value: str | int | float | bool
    type: Type
    at: int = 0


class Param(Node, frozen=True):
    """A constant taken out of a condition, so that conditions of one shape share one evaluation: column `p<index>`."""

    index: int
    type: Type
    at: int = 0


class Path(Node, frozen=True):
    """A path as written: names, indices (a Tree) and "*" (the text) after the root. Gone after elaboration."""

    root: str
    parts: tuple[str | Tree, ...] = ()
    at: int = 0


class Field(Node, frozen=True):
    """A value of the environment and the way into it: names of record fields, integer indices, "*" for every item."""

    key: str
    rest: tuple[str | int, ...] = ()
    type: Type = ANY
    at: int = 0


class And(Node, frozen=True):
    """Two-valued and."""

    items: tuple[Tree, ...]
    type: Type = BOOL
    at: int = 0


class Or(Node, frozen=True):
    """Two-valued or."""

    items: tuple[Tree, ...]
    type: Type = BOOL
    at: int = 0


class Not(Node, frozen=True):
    """Two-valued not: true where the item is false or missing."""

    item: Tree
    type: Type = BOOL
    at: int = 0


class Compare(Node, frozen=True):
    """A comparison; false wherever an operand is missing."""

    operator: Comparison
    left: Tree
    right: Tree
    type: Type = BOOL
    at: int = 0


class Matches(Node, frozen=True):
    """A regular expression found in a text; the pattern is constant and in the common subset."""

    text: Tree
    pattern: str
    type: Type = BOOL
    at: int = 0


class Arith(Node, frozen=True):
    """Arithmetic; total: overflow, division by zero and missing operands give missing."""

    operator: Arithmetic
    left: Tree
    right: Tree
    type: Type = ANY
    at: int = 0


class Negate(Node, frozen=True):
    """The unary minus."""

    item: Tree
    type: Type = ANY
    at: int = 0


class ListOf(Node, frozen=True):
    """A list of expressions."""

    items: tuple[Tree, ...]
    type: Type = ANY
    at: int = 0


class Call(Node, frozen=True):
    """A function of the closed list."""

    name: str
    args: tuple[Tree, ...]
    type: Type = ANY
    at: int = 0


class Lookup(Node, frozen=True):
    """The value of a keyed policy at a computed key; missing where the key is.

    Unbound, it asks the Keyed in the environment under `key` ("policies.sla"). Bound (there is a default), it carries the values
    itself, as pairs of a constant and a constant or a list of constants.
    """

    key: str
    item: Tree
    values: tuple[tuple[Constant, Tree], ...] = ()
    default: Tree | None = None
    type: Type = ANY
    at: int = 0


class Convert(Node, frozen=True):
    """A conversion that elaboration put in (int to decimal or float; any read as `type`)."""

    item: Tree
    type: Type
    at: int = 0


Tree = Constant | Param | Path | Field | And | Or | Not | Compare | Matches | Arith | Negate | ListOf | Call | Lookup | Convert
