"""Where the parameters of a command refer to secrets: known from the template, so that data that looks alike stays data."""

from __future__ import annotations

from typing import Any

from schemas.expression.findings import Place
from schemas.expression.template import REFERENCE, Items, Record, Template, Value, value_of


def secret_places(template: Template, path: Place = ()) -> dict[Place, str]:
    """Give where in its value an elaborated template holds references to secrets; anything alike elsewhere is data."""
    match template:
        case Value():
            return _references(value_of(template), path)
        case Record():
            return {at: name for key, item in template.items for at, name in secret_places(item, (*path, key)).items()}
        case Items():
            return {
                at: name for place, item in enumerate(template.items) for at, name in secret_places(item, (*path, place)).items()
            }
        case _:
            return {}


def _references(value: Any, path: Place) -> dict[Place, str]:
    if isinstance(value, dict) and list(value) == [REFERENCE]:
        return {path: str(value[REFERENCE])}
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {at: name for key, part in parts for at, name in _references(part, (*path, key)).items()}
