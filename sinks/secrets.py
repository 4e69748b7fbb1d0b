"""Secrets by reference: a setting says `secrets.name`, a parameter refers to one; the value is written nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from schemas.errors import InvalidInput
from schemas.expression.template import REFERENCE
from schemas.records import Json

ENVIRONMENT_PREFIX: Final = "MILLRACE_SECRET_"
_WHOLE: Final = re.compile(r"secrets\.([A-Za-z0-9_]+)")
_INSIDE: Final = re.compile(r"\{\{\s*secrets\.([A-Za-z0-9_]+)\s*\}\}")
Lookup = Callable[[str], str | None]


def from_environment(environment: Mapping[str, str]) -> Lookup:
    """Look `secrets.name` up as MILLRACE_SECRET_NAME."""
    return lambda name: environment.get(ENVIRONMENT_PREFIX + name.upper())


def fill(settings: Json, lookup: Lookup) -> Json:
    """Put secrets into settings: where a text is `secrets.name`, and in texts at `{{ secrets.name }}`. Raises InvalidInput.

    >>> fill({"headers": {"Authorization": "Bearer {{ secrets.crm }}"}}, {"crm": "x"}.get)
    {'headers': {'Authorization': 'Bearer x'}}
    """
    if isinstance(settings, str):
        whole = _WHOLE.fullmatch(settings)
        return _found(whole, lookup) if whole else _INSIDE.sub(lambda inside: _found(inside, lookup), settings)
    if isinstance(settings, Mapping):
        return {key: fill(value, lookup) for key, value in settings.items()}
    if isinstance(settings, list):
        return [fill(value, lookup) for value in settings]
    return settings


def names_secret(text: str) -> bool:
    """Tell whether a text of settings is or holds a secret by reference: what it says is known where it is used."""
    return _WHOLE.fullmatch(text) is not None or _INSIDE.search(text) is not None


def revealed(record: bytes, places: Sequence[tuple[Sequence[str | int], str]], lookup: Lookup) -> bytes:
    """Put secrets into a command's parameters where its step refers to them, and nowhere else. Raises InvalidInput."""
    body = _reader.decode(record)
    for place, name in places:
        holder = body
        way = ("data", *place)
        for part in way[:-1]:
            holder = holder[part]
        if holder[way[-1]] != {REFERENCE: name}:
            raise InvalidInput(f"the command holds no reference to secrets.{name} where its step has one; deploy the flow again")
        holder[way[-1]] = _value(name, lookup)
    return _writer.encode(body)


def _found(match: re.Match[str], lookup: Lookup) -> str:
    return _value(match[1], lookup)


def _value(name: str, lookup: Lookup) -> str:
    value = lookup(name)
    if value is None:
        raise InvalidInput(f"secrets.{name} is not set; set {ENVIRONMENT_PREFIX}{name.upper()} for the dispatcher")
    return value


_reader: Final = msgspec.json.Decoder(float_hook=Decimal)
_writer: Final = msgspec.json.Encoder(decimal_format="number")
