"""The msgspec types that JSON records of one event type are checked against while they are parsed.

Decimals, money and `any` stay raw text, so that no digit goes through a float. Field names that are no Python names are renamed.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, defstruct

from schemas.expression.types import Type

NULL: Final = Raw(b"null")
INT64: Final = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
HOPS: Final = Annotated[int, Meta(ge=-1, le=1 << 30)]
RAW: Final = ("decimal", "money", "any")
SCALARS: Final[dict[str, Any]] = {"string": str, "timestamp": str, "duration": str, "int": INT64, "float": float, "bool": bool}
TEXTS: Final = ("id", "source", "type", "subject", "time", "tenant", "correlationid", "causationid")


def attribute(place: int) -> str:
    """Name the attribute that holds the field at a place."""
    return f"f{place}"


def record_type(fields: tuple[tuple[str, Type], ...]) -> Any:
    """Make the struct of a record: attribute f<place> for each field. Unknown fields are skipped."""
    required, optional = [], []
    for place, (_, kind) in enumerate(fields):
        name = attribute(place)
        if kind.optional:
            optional.append((name, json_type(kind), NULL if kind.name in RAW else None))
        else:
            required.append((name, json_type(kind)))
    names = {attribute(place): name for place, (name, _) in enumerate(fields)}
    return defstruct("Record", [*required, *optional], rename=names, gc=False)


def json_type(kind: Type) -> Any:
    """Give the type that msgspec checks a value of a contract type against."""
    if kind.name in RAW:
        return Raw
    plain = _plain(kind)
    return plain | None if kind.optional else plain


def _plain(kind: Type) -> Any:
    if kind.name == "list":
        assert kind.item is not None
        return list[json_type(kind.item)]  # type: ignore[misc]
    if kind.name == "record":
        return record_type(kind.fields)
    if kind.name == "one_of":
        return Literal[kind.options]
    return SCALARS[kind.name]


def event_type(data: Type) -> Any:
    """Make the struct of a whole record: the envelope's attributes and data."""
    texts = [(name, str | None, None) for name in TEXTS]
    return defstruct("Event", [("data", json_type(data)), *texts, ("hops", HOPS | None, None)], gc=False)


class Kind(msgspec.Struct, gc=False):
    """The one attribute by which records are grouped."""

    type: str | None = None


class Owner(msgspec.Struct):
    """What a dead letter tells about a record that does not fit its contract."""

    tenant: str | None = None
