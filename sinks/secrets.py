"""Secrets by reference: a setting says `secrets.name`, the value comes from the environment and is written nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from schemas.errors import InvalidInput
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


def _found(match: re.Match[str], lookup: Lookup) -> str:
    value = lookup(match[1])
    if value is None:
        raise InvalidInput(f"secrets.{match[1]} is not set; set {ENVIRONMENT_PREFIX}{match[1].upper()} for the dispatcher")
    return value
