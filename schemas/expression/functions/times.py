"""Functions of local time. The zone is always an argument: there is no zone of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from schemas.expression.findings import ExpressionError
from schemas.expression.functions.function import Function, Rule, Typed, constant_text, plain, takes
from schemas.expression.tree import Constant, Tree
from schemas.expression.types import INT, STRING, TIMESTAMP, Type
from schemas.expression.zones import PARTS, STARTS, date_of, part_of, plus_days, plus_months, start_of, zone_names


def _zoned(*wants: Type, gives: Type, words: Sequence[str] = ()) -> Rule:
    typed = takes(*wants, gives=gives)

    def rule(name: str, args: tuple[Tree, ...]) -> Typed:
        if words:
            constant_text(name, args[1], words)
        zone = args[-1]
        if isinstance(zone, Constant) and zone.value not in zone_names():
            near = get_close_matches(str(zone.value), sorted(zone_names()), 1)
            hint = f"; did you mean '{near[0]}'?" if near else "; write one like Europe/Berlin or UTC"
            raise ExpressionError("bad-zone", f"'{zone.value}' is not an IANA zone{hint}", zone.at)
        return typed(name, args)

    return rule


_UNIT: Final = frozenset([1])

FUNCTIONS: Final = (
    Function("date", "date(t, zone)", 2, 2, _zoned(TIMESTAMP, STRING, gives=STRING), plain(date_of)),
    Function(
        "part",
        'part(t, "hour", zone)',
        3,
        3,
        _zoned(TIMESTAMP, STRING, STRING, gives=INT, words=PARTS),
        plain(part_of),
        None,
        _UNIT,
    ),
    Function(
        "start_of",
        'start_of(t, "month", zone)',
        3,
        3,
        _zoned(TIMESTAMP, STRING, STRING, gives=TIMESTAMP, words=STARTS),
        plain(start_of),
        None,
        _UNIT,
    ),
    Function("plus_days", "plus_days(t, n, zone)", 3, 3, _zoned(TIMESTAMP, INT, STRING, gives=TIMESTAMP), plain(plus_days)),
    Function("plus_months", "plus_months(t, n, zone)", 3, 3, _zoned(TIMESTAMP, INT, STRING, gives=TIMESTAMP), plain(plus_months)),
)
