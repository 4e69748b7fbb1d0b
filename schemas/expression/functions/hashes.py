"""hash and bucket: frozen for ever, golden values stand in tests/schemas/test_expression_rows.py."""

from __future__ import annotations

import math
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from schemas.expression.fit import may_miss, optional, type_of
from schemas.expression.functions.function import Function, Typed, fitted, misfit, plain
from schemas.expression.literals import print_decimal
from schemas.expression.tree import Tree
from schemas.expression.types import INT, STRING

_MANY: Final = 100
_REFUSED: Final = frozenset(["list", "record"])


def _scalars(name: str, args: tuple[Tree, ...]) -> None:
    for arg in args:
        if type_of(arg).name in _REFUSED:
            raise misfit(name, arg, "plain values; say string(...)")


def _hash_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    _scalars(name, args)
    return args, optional(STRING, when=may_miss(args))


def _bucket_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    _scalars(name, args[:1])
    found = (args[0], fitted(name, args[1], INT))
    return found, optional(INT, when=may_miss(found))


def _encoded(value: Any) -> bytes | None:
    """Write a value as a letter for its kind and its text: 5 and 5.0 differ, "5" and 5 too."""
    if isinstance(value, str):
        return b"s" + value.encode()
    if isinstance(value, bool):
        return b"bt" if value else b"bf"
    if isinstance(value, Decimal):
        return b"d" + print_decimal(value).encode()
    if isinstance(value, float):
        return b"f" + repr(value).encode() if math.isfinite(value) else None
    return b"i" + str(value).encode() if isinstance(value, int) else None


def _digest(values: tuple[Any, ...]) -> bytes | None:
    parts = [_encoded(value) for value in values]
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return None
    return sha256(b"".join(str(len(part)).encode() + b":" + part for part in whole)).digest()


def _hash(*values: Any) -> str | None:
    digest = _digest(values)
    return None if digest is None else digest.hex()


def _bucket(value: Any, buckets: int) -> int | None:
    digest = _digest((value,))
    return None if digest is None or buckets < 1 else int.from_bytes(digest[:8], "big") % buckets


FUNCTIONS: Final = (
    Function("hash", "hash(x, ...)", 1, _MANY, _hash_rule, plain(_hash)),
    Function("bucket", "bucket(x, n)", 2, 2, _bucket_rule, plain(_bucket)),
)
