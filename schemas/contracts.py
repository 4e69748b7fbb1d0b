"""What the events of one type look like: one contract for all tenants, one Avro schema, one set of columns."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from schemas.errors import InvalidInput
from schemas.expression.types import Type

ENVELOPE_NAMES: Final = ("id", "source", "type", "subject", "time", "tenant", "correlationid", "causationid", "hops")


class EventContract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The contract of one event type. `schema_id` is 0 until it is registered; `key` and `time` are paths into data, or empty."""

    event: str
    topic: str
    data: Type
    key: str = ""
    time: str = ""
    schema_id: int = 0
    compatibility: Literal["backward", "none"] = "backward"
    privacy: tuple[tuple[str, str], ...] = ()

    @property
    def subject(self) -> str:
        """Name the subject of its schemas: topic and event type."""
        return f"{self.topic}-{self.event}"


def encode_contract(contract: EventContract) -> bytes:
    """Write a contract as JSON, the value of its control record."""
    return msgspec.json.encode(contract)


def decode_contract(value: object) -> EventContract:
    """Read the value of a control record; raises InvalidInput."""
    try:
        return msgspec.convert(value, EventContract)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the contract is not readable: {error}") from error


def incompatibilities(old: EventContract, new: EventContract) -> list[str]:
    """Say why records of `old` cannot be read by `new`; [] if they can (Avro's BACKWARD)."""
    if old.event != new.event:
        return [f"{new.event!r} cannot replace {old.event!r}: another event type"]
    return type_differences(old.data, new.data, "data")


def type_differences(old: Type, new: Type, path: str) -> list[str]:
    """Say why values of one type cannot be read as another; [] if they can."""
    if old.optional and not new.optional:
        return [f"{path} could be missing and now may not; write {new.name}?"]
    if old.name in WIDER.get(new.name, ()):
        return []
    if old.name != new.name or old.currency != new.currency:
        return [f"{path} was {_short(old)} and is now {_short(new)}; add a field of another name"]
    if new.name == "one_of":
        gone = [option for option in old.options if option not in new.options]
        return [f"{path} no longer takes {', '.join(gone)}; keep the old words"] if gone else []
    if old.item is not None and new.item is not None:
        return type_differences(old.item, new.item, f"{path}[*]")
    return _field_differences(old, new, path)


def _field_differences(old: Type, new: Type, path: str) -> list[str]:
    before = dict(old.fields)
    found: list[str] = []
    for name, kind in new.fields:
        if name in before:
            found += type_differences(before[name], kind, f"{path}.{name}")
        elif not kind.optional:
            found.append(f"{path}.{name} is new and required; old records lack it; write {_short(kind)}?")
    return found


def _short(kind: Type) -> str:
    return f"money({kind.currency})" if kind.name == "money" else kind.name


WIDER: Final[dict[str, tuple[str, ...]]] = {"decimal": ("int",), "float": ("int",), "string": ("one_of",)}
