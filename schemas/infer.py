"""Contracts of event types that have none, derived from their JSON records (contracts.md section 9).

Reads: JSON lines. Emits: a contract per event type, types by rising name. State: none. Cost: about 10 µs a record.
int · float (a number with a point) · bool · timestamp (every value RFC 3339) · string · list · record · `?` where a value is ever
absent or null · any where values differ in kind or only null or empty lists were seen. Decimal and money are a person's choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from schemas.contracts import EventContract
from schemas.errors import InvalidInput
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_timestamp_us
from schemas.expression.types import Name, Type
from schemas.topics import EVENTS_SUFFIX
from schemas.values import DEPTH_MAX

EVENT_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
RECORDS_MAX: Final = 100_000  # of one event type are looked at
Kinds = dict[Name, None]


class _Seen:
    """What was seen at one path: kinds of values, whether one was missing, and what lies below."""

    def __init__(self) -> None:
        self.kinds: Kinds = {}
        self.count = 0
        self.missing = False
        self.fields: dict[str, _Seen] = {}
        self.items: _Seen | None = None

    def add(self, value: Any, depth: int) -> None:
        """Take in one value."""
        self.count += 1
        if value is None:
            self.missing = True
            return
        if depth > DEPTH_MAX:
            raise InvalidInput(f"the records nest more than {DEPTH_MAX} deep; flatten them")
        self.kinds[_kind(value)] = None
        if isinstance(value, Mapping):
            for name, item in value.items():
                self.fields.setdefault(name, _Seen()).add(item, depth + 1)
        elif isinstance(value, list):
            self.items = self.items or _Seen()
            for item in value:
                self.items.add(item, depth + 1)

    def type(self) -> Type:
        """Give the type that all values have."""
        plain = self._plain(frozenset(self.kinds))
        return msgspec.structs.replace(plain, optional=True) if self.missing else plain

    def _plain(self, kinds: frozenset[Name]) -> Type:
        if kinds == {"record"}:
            return Type("record", fields=tuple((name, self._field(self.fields[name])) for name in sorted(self.fields)))
        if kinds == {"list"} and self.items is not None and self.items.count:
            return Type("list", item=self.items.type())
        if kinds == {"int", "float"}:
            return Type("float")
        if kinds == {"timestamp", "string"}:
            return Type("string")
        return Type(next(iter(kinds))) if len(kinds) == 1 and not kinds & {"list", "record"} else self._unknown(kinds)

    def _unknown(self, kinds: frozenset[Name]) -> Type:
        return Type("list", item=Type("any", optional=True)) if kinds == {"list"} else Type("any")

    def _field(self, field: _Seen) -> Type:
        found = field.type()
        return msgspec.structs.replace(found, optional=True) if field.count < self.count - int(self.missing) else found


def _kind(value: Any) -> Name:
    match value:
        case bool():
            return "bool"
        case int():
            return "int" if -(1 << 63) <= value < 1 << 63 else "float"
        case float():
            return "float"
        case str():
            return "timestamp" if _is_timestamp(value) else "string"
        case list():
            return "list"
        case _:
            return "record"


def _is_timestamp(text: str) -> bool:
    if len(text) < 20 or text[4:5] != "-":
        return False
    try:
        parse_timestamp_us(text)
    except ExpressionError:
        return False
    return True


def infer_contracts(lines: Iterable[bytes], topic: str | None = None, known: Iterable[str] = ()) -> list[EventContract]:
    """Derive the contract of each event type in the lines that is not in `known`, sorted by event type.

    Lines that are no JSON objects with a usable type and a record as data are left to the decoder. `topic` is where the records
    go; by default the first word of the type and `.events`. Raises InvalidInput for records nested too deep.
    """
    skipped, seen = frozenset(known), dict[str, _Seen]()
    for line in lines:
        event, data = _event_of(line)
        if event is None or event in skipped:
            continue
        found = seen.setdefault(event, _Seen())
        if found.count < RECORDS_MAX:
            found.add(data, 0)
    return [EventContract(event=event, topic=topic or topic_of(event), data=seen[event].type()) for event in sorted(seen)]


def topic_of(event: str) -> str:
    """Name the topic that an event type has by default."""
    return event.partition(".")[0] + EVENTS_SUFFIX


def _event_of(line: bytes) -> tuple[str | None, Any]:
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    event = record.get("type") if isinstance(record, dict) else None
    data = record.get("data") if isinstance(record, dict) else None
    usable = isinstance(event, str) and EVENT_TYPE.fullmatch(event) is not None and isinstance(data, dict)
    return (event, data) if usable else (None, None)
