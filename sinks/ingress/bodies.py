"""What people and programs send to the door, as JSON or as a form of a page."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec

from schemas.errors import BadRecord
from schemas.records import Json

FORM: Final = "application/x-www-form-urlencoded"
NAME_MAX: Final = 200
FIELDS_MAX: Final = 100
FIELD: Final = "form."  # before the names of the approval's own fields
B = TypeVar("B", bound=msgspec.Struct)


class Deciding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision by link: the link says about what, and perhaps who decides."""

    outcome: Literal["approved", "rejected"]
    by: str = ""
    form: Json = None


class DecidingOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision by name."""

    tenant: str
    execution: str
    step: str
    outcome: Literal["approved", "rejected"]
    by: str
    roles: list[str] = []
    occurrence: int = 0
    form: Json = None


class Starting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A start by hand; `id` is the idempotency key."""

    tenant: str
    inputs: dict[str, Json] = {}
    id: str = ""
    by: str = ""
    roles: list[str] = []


class Operating(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator wants of an execution."""

    tenant: str
    step: str = ""
    occurrence: int = 0
    outcome: Literal["", "done", "not_done"] = ""
    by: str = ""
    roles: list[str] = []


def read_body(kind: type[B], body: bytes, content_type: str = "") -> B:
    """Read a body. Raises BadRecord: malformed-json, wrong-body."""
    try:
        if content_type.partition(";")[0].strip().lower() == FORM:
            return msgspec.convert(_form(body), kind)
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        known = ", ".join(one.name for one in msgspec.structs.fields(kind))
        raise BadRecord("wrong-body", f"{error}; the fields are {known}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # of text that is none, of too many fields
        raise BadRecord("malformed-json", f"{error}; wanted one JSON object, or a form of at most {FIELDS_MAX} fields") from error


def named(name: str, what: str) -> str:
    """Give a name back. Raises BadRecord for one that cannot be one."""
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise BadRecord("wrong-body", f"{what} {name[:60]!r}: wanted 1 to {NAME_MAX} printable characters")
    return name


def _form(body: bytes) -> dict[str, Any]:
    """Read a form of a page: fields named `form.<name>` are the approval's own."""
    given = parse_qsl(body.decode("utf-8"), keep_blank_values=False, max_num_fields=FIELDS_MAX)
    fields = {name.removeprefix(FIELD): value for name, value in given if name.startswith(FIELD)}
    found: dict[str, Any] = {name: value for name, value in given if not name.startswith(FIELD)}
    return {**found, "form": fields} if fields else found
