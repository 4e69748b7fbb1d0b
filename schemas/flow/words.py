"""Names, sorts and small types that every document of the language shares (flow-language.md section 2).

Each key of a document holds a literal, an expression or data; `x-sort` in the JSON Schema says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.expression.functions.table import FUNCTIONS
from schemas.expression.words import RESERVED as RESERVED_WORDS
from schemas.expression.words import ROOTS
from schemas.records import Json

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Strict(strict=False)]  # a list of the document, kept as a tuple

LITERAL: Final[dict[str, Any]] = {"x-sort": "literal"}
EXPRESSION: Final[dict[str, Any]] = {"x-sort": "expression"}
DATA: Final[dict[str, Any]] = {"x-sort": "data"}

LATER: Final = "the language has it and this version of Millrace does not run it yet"
TENANT_BYTES_MAX: Final = 256
_BAD_TENANT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/\\]|\A(\*|-|\.\.?)?\Z")
NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,62}$"
EVENT_PATTERN: Final = r"^[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})+$"
_NAME: Final = re.compile(NAME_PATTERN)
_EVENT: Final = re.compile(EVENT_PATTERN)
_DURATION: Final = r"^(0|([0-9]+(w|d|h|m|s|ms))+|P.*)$"

RESERVED: Final = RESERVED_WORDS | ROOTS | frozenset(FUNCTIONS)


class Words(BaseModel):
    """What every part of a document is: closed, frozen, without conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, arbitrary_types_allowed=True)


def _name(kind: str, pattern: re.Pattern[str], wanted: str) -> Callable[[Json], str]:
    def check(value: Json) -> str:
        if not isinstance(value, str):
            raise PydanticCustomError("want-string", "{shown} is {sort} and {kind} is a string; quote it", _told(value, kind))
        if not pattern.match(value):
            raise PydanticCustomError("bad-name", "'{shown}' is not {kind}; {wanted}", {**_told(value, kind), "wanted": wanted})
        if value in RESERVED:
            raise PydanticCustomError(
                "bad-name", "'{shown}' is a word of expressions and cannot be {kind}; choose another", _told(value, kind)
            )
        return value

    return check


def _told(value: Json, kind: str) -> dict[str, str]:
    return {"shown": str(value)[:80], "sort": sort_of(value), "kind": kind}


def sort_of(value: Json) -> str:
    """Name the sort of a bare value with its article, for messages."""
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a bool"),
        ((int, Decimal, float), "a number"),
        (str, "a string"),
        (dict, "a mapping"),
        ((list, tuple), "a list"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def _expression(value: Json) -> Json:
    if isinstance(value, str | int | Decimal | bool):
        return value
    if isinstance(value, list):
        for item in value:
            _expression(item)
        return value
    raise PydanticCustomError(
        "want-expression", "{sort} stands where an expression was wanted; write it as one text", {"sort": sort_of(value)}
    )


def _duration(value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise PydanticCustomError(
            "bad-duration", "{sort} stands where a duration was wanted; write 30s, 30m, 30h or 30d", {"sort": sort_of(value)}
        )
    return str(value)


def _tenant(value: Json) -> str:
    """Refuse what no event can carry as its tenant (schemas/envelope.py)."""
    if not isinstance(value, str):
        raise PydanticCustomError("want-string", "{shown} is {sort} and a tenant is a string; quote it", _told(value, "a tenant"))
    if bad_tenant(value):
        raise PydanticCustomError("bad-tenant", f"'{{shown}}' {_NO_TENANT}", _told(value, "a tenant"))
    return value


_NO_TENANT: Final = f"is no tenant; write a name without / and \\, at most {TENANT_BYTES_MAX} bytes"


def bad_tenant(name: str) -> str:
    """Say why nothing can have a name as its tenant; empty where it can (schemas/envelope.py)."""
    try:
        fits = not _BAD_TENANT.search(name) and len(name.encode()) <= TENANT_BYTES_MAX
    except UnicodeEncodeError:  # bytes of a command line that are no text
        fits = False
    return "" if fits else f"{name[:60]!r} {_NO_TENANT}"


_LOWER: Final = "write a lower-case letter, then letters, digits and _, at most 63"
_DOTTED: Final = "write at least two such words joined by dots, as deal.closed"

Name = Annotated[
    Json,
    AfterValidator(_name("a name", _NAME, _LOWER)),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, **LITERAL}),
    Field(json_schema_extra=LITERAL),
]
EventName = Annotated[
    Json,
    AfterValidator(_name("an event type", _EVENT, _DOTTED)),
    WithJsonSchema({"type": "string", "pattern": EVENT_PATTERN, **LITERAL}),
    Field(json_schema_extra=LITERAL),
]
Tenant = Annotated[
    Json,
    AfterValidator(_tenant),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": TENANT_BYTES_MAX, **LITERAL}),
    Field(json_schema_extra=LITERAL),
]
ScalarExpression = Annotated[
    Json, AfterValidator(_expression), WithJsonSchema({"type": ["string", "number", "boolean"], "x-sort": "expression"})
]
Expression = Annotated[
    Json, AfterValidator(_expression), WithJsonSchema({"type": ["string", "number", "boolean", "array"], "x-sort": "expression"})
]
Duration = Annotated[
    Json,
    AfterValidator(_duration),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _DURATION}, {"const": 0}], "x-sort": "literal"}),
]
Data = Annotated[Json, WithJsonSchema({"x-sort": "data"})]
Parameters = Annotated[dict[str, Data], Field(json_schema_extra=DATA)]
