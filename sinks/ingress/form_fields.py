"""The fields that an approval asks for: as inputs of a page by their types, and back from what a browser sends.

A browser sends text; it is read by the declared type, and what does not fit is told at its field. Everything shown is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Final

import msgspec

from schemas.expression.findings import ExpressionError
from schemas.expression.read_json import read_json
from schemas.expression.types import Type
from schemas.records import Json

PREFIX: Final = "form."
_INT: Final = re.compile(r"[+-]?[0-9]{1,19}")
_LOCAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_HINTS: Final = {
    "string": "some text",
    "int": "a whole number",
    "decimal": "a number",
    "float": "a number",
    "bool": "yes or no",
    "duration": "a duration such as 1h30m",
    "timestamp": "a time in UTC",
    "list": "a list as JSON",
    "record": "a record as JSON",
    "any": "a value as JSON",
}


class Misfit(Exception):
    """A text that is no value of its field's type."""


def fields_of(form: Type | None, given: Mapping[str, str], wrong: Mapping[str, str]) -> str:
    """Give the inputs of a form, with what was given before and what was wrong with it."""
    return "".join(_field(name, kind, given.get(name, ""), wrong.get(name, "")) for name, kind in form.fields) if form else ""


def read_fields(form: Type, given: Mapping[str, str]) -> tuple[dict[str, Json], dict[str, str]]:
    """Read what a browser sent: values by name, and by name what is wrong. A field that is left empty is missing."""
    values: dict[str, Json] = {}
    wrong = {name: f"the form does not ask for {name}" for name in given if name not in dict(form.fields)}
    for name, kind in form.fields:
        text = given.get(name, "").strip()
        if not text:
            wrong |= {} if kind.optional else {name: f"write {_wanted(kind)}"}
            continue
        try:
            values[name] = value = _value(text, kind)
            read_json(value, kind)
        except (Misfit, ExpressionError) as error:
            said = error.message if isinstance(error, ExpressionError) else str(error)
            wrong[name] = said if "; write" in said else f"{said}; write {_wanted(kind)}"
    return values, wrong


def _value(text: str, kind: Type) -> Json:
    match kind.name:
        case "int":
            return int(_fitting(_INT.fullmatch(text), text))
        case "decimal" | "float":
            return _number(text)
        case "money":
            return text if text[-1:].isalpha() else f"{text} {kind.currency}"
        case "bool":
            return _fitting(text in ("true", "false"), text) == "true"
        case "timestamp":
            return f"{text}:00Z" if len(text) == len("2026-11-21T09:30") else f"{text}Z" if _LOCAL.fullmatch(text) else text
        case "list" | "record" | "any":
            return _json(text)
        case _:
            return text


def _fitting(fits: object, text: str) -> str:
    if not fits:
        raise Misfit(f"{text[:60]!r} does not fit")
    return text


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise Misfit(f"{text[:60]!r} is no number") from error
    _fitting(number.is_finite(), text)
    return number


def _json(text: str) -> Json:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Misfit(f"{text[:60]!r} is no JSON") from error


def _wanted(kind: Type) -> str:
    if kind.name == "money":
        return f"an amount in {kind.currency}"
    return f"one of {', '.join(kind.options)}" if kind.name == "one_of" else _HINTS[kind.name]


def _field(name: str, kind: Type, given: str, wrong: str) -> str:
    optional = " <small>(may stay empty)</small>" if kind.optional else ""
    blame = f'<p class="wrong" id="wrong.{escape(name)}">{escape(wrong)}</p>' if wrong else ""
    label = f'<label for="{PREFIX}{escape(name)}">{escape(name.replace("_", " "))}{optional}</label>'
    return f"<div>{label}{_input(name, kind, given)}{blame}</div>\n"


def _input(name: str, kind: Type, given: str) -> str:
    called = escape(PREFIX + name)
    head = f'id="{called}" name="{called}"{"" if kind.optional else " required"}'
    value = f'value="{escape(given)}"'
    match kind.name:
        case "one_of":
            return _select(head, [(option, option) for option in kind.options], given)
        case "bool":
            return _select(head, [("true", "yes"), ("false", "no")], given)
        case "int":
            return f'<input type="number" step="1" {head} {value}>'
        case "decimal" | "float":
            return f'<input type="number" step="any" {head} {value}>'
        case "money":
            return f'<input inputmode="decimal" {head} {value}> {escape(kind.currency)}'
        case "timestamp":
            return f'<input type="datetime-local" step="1" {head} {value}> UTC'
        case "list" | "record" | "any":
            return f'<textarea rows="4" {head}>{escape(given)}</textarea>'
        case _:
            return f'<input type="text" {head} {value} placeholder="{escape(_wanted(kind))}">'


def _select(head: str, options: list[tuple[str, str]], given: str) -> str:
    shown = "".join(
        f'<option value="{escape(value)}"{" selected" if value == given else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return f'<select {head}><option value=""></option>{shown}</select>'
