"""Conditions, data and lists of a canonical form as a person reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from schemas.records import Json

Document = Mapping[str, Json]
_WHOLE: Final = re.compile(r"\{\{ ((?:(?!\}\}).)*) \}\}\Z", re.DOTALL)
_json = msgspec.json.Encoder(order="sorted", decimal_format="number")


def condition_text(condition: Json, *, grouped: bool = False) -> str:
    """Print a canonical condition in infix form; short forms that a contract reads keep their value as it stands."""
    if isinstance(condition, str):
        return f"({condition})" if grouped and " or " in condition else condition
    if isinstance(condition, list):
        return " and ".join(condition_text(item, grouped=True) for item in condition)
    if "field" in condition:
        return _short(condition)
    if "not" in condition:
        return f"not ({condition_text(condition['not'])})"
    word = "any" if "any" in condition else "all"
    text = (" or " if word == "any" else " and ").join(condition_text(item, grouped=True) for item in condition[word])
    return f"({text})" if grouped else text


def _short(condition: Document) -> str:
    value = json_text(condition["value"])
    if condition["operator"] in ("starts_with", "ends_with"):
        return f"{condition['operator']}({condition['field']}, {value})"
    return f"{condition['field']} {condition['operator']} {value}"


def record_text(values: Document) -> str:
    """Print data by name, `a = 1, b = order.id`."""
    return ", ".join(f"{key} = {value_text(value)}" for key, value in values.items())


def value_text(value: Json) -> str:
    """Print data: one `{{ }}` alone as its expression, everything else as JSON."""
    found = _WHOLE.match(value) if isinstance(value, str) and not value.startswith("{{{{") else None
    return found[1] if found else json_text(value)


def json_text(value: Json) -> str:
    """Print a value as JSON with sorted keys."""
    return _json.encode(value).decode()


def listed(words: Iterable[str], last: str = "and") -> str:
    """Join words as a person would: `a`, `a and b`, `a, b and c`."""
    *head, tail = list(words) or [""]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def many(count: int, noun: str) -> str:
    """Count things: `1 person`, `2 times`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def words_of(value: Json) -> list[str]:
    """Give one name or several as a list."""
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
