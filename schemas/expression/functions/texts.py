"""Functions of text. Lengths and places count code points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import polars as pl

from schemas.expression.functions.function import Function, plain, takes
from schemas.expression.tree import Call
from schemas.expression.types import BOOL, INT, STRING, Type

_LENGTH_MAX: Final = 1 << 20  # what grows beyond an event's own limit is missing
_STRINGS: Final = Type("list", item=Type("string", optional=True))
# Unicode White_Space, written out: Python's strip also takes U+001C to U+001F, polars' does not.
_SPACE: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def _substring(text: str, start: int, count: int) -> str | None:
    begin = max(len(text) + start, 0) if start < 0 else start
    return text[begin : begin + count] if count >= 0 else None


def _replace(text: str, old: str, new: str) -> str | None:
    if not old:
        return text
    grown = len(text) + text.count(old) * (len(new) - len(old))
    return text.replace(old, new) if grown <= _LENGTH_MAX else None


def _join(items: list[str | None], separator: str) -> str | None:
    present = [item for item in items if item is not None]
    grown = sum(len(item) for item in present) + len(separator) * max(len(present) - 1, 0)
    return separator.join(present) if grown <= _LENGTH_MAX else None


def _cased(python: Callable[[str], str], ascii_only: Callable[[pl.Series], pl.Series]) -> Callable[..., pl.Expr]:
    """Change case in columns where all is ASCII; the Unicode tables of Python and polars are of different years."""

    def on_series(series: pl.Series) -> pl.Series:
        if series.dtype != pl.String or series.str.len_bytes().equals(series.str.len_chars()):
            return ascii_only(series.cast(pl.String))
        return pl.Series(series.name, [None if text is None else python(text) for text in series], dtype=pl.String)

    def build(_call: Call, args: Sequence[pl.Expr]) -> pl.Expr:
        return args[0].map_batches(on_series, return_dtype=pl.String, is_elementwise=True)

    return build


def _text(builder: Callable[[Sequence[pl.Expr]], pl.Expr]) -> Callable[[Call, Sequence[pl.Expr]], pl.Expr]:
    def build(_call: Call, args: Sequence[pl.Expr]) -> pl.Expr:
        return builder(args)

    return build


def _length(text: str) -> Any:
    return len(text)


FUNCTIONS: Final = (
    Function(
        "lower",
        "lower(s)",
        1,
        1,
        takes(STRING, gives=STRING),
        plain(str.lower),
        _cased(str.lower, lambda s: s.str.to_lowercase()),
    ),
    Function(
        "upper",
        "upper(s)",
        1,
        1,
        takes(STRING, gives=STRING),
        plain(str.upper),
        _cased(str.upper, lambda s: s.str.to_uppercase()),
    ),
    Function(
        "trim",
        "trim(s)",
        1,
        1,
        takes(STRING, gives=STRING),
        plain(lambda text: text.strip(_SPACE)),
        _text(lambda args: args[0].str.strip_chars(_SPACE)),
    ),
    Function(
        "length",
        "length(s)",
        1,
        1,
        takes(STRING, gives=INT),
        plain(_length),
        _text(lambda args: args[0].str.len_chars().cast(pl.Int64)),
    ),
    Function("substring", "substring(s, start, count)", 3, 3, takes(STRING, INT, INT, gives=STRING), plain(_substring)),
    Function("replace", "replace(s, old, new)", 3, 3, takes(STRING, STRING, STRING, gives=STRING), plain(_replace)),
    Function("join", "join(list, separator)", 2, 2, takes(_STRINGS, STRING, gives=STRING), plain(_join)),
    Function(
        "starts_with",
        "starts_with(s, p)",
        2,
        2,
        takes(STRING, STRING, gives=BOOL),
        plain(str.startswith),
        _text(lambda args: args[0].str.starts_with(args[1])),
    ),
    Function(
        "ends_with",
        "ends_with(s, p)",
        2,
        2,
        takes(STRING, STRING, gives=BOOL),
        plain(str.endswith),
        _text(lambda args: args[0].str.ends_with(args[1])),
    ),
)
