"""The business that the simulation makes up: what its events look like, and how a producer of its own writes them as bytes.

Nothing here asks the product: contracts are documents of the flow language, records are written with json and fastavro.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import fastavro

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
START_US: Final = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z

TENANTS: Final = ("acme", "borealis", "cascade", "zürich", "delta-9")

Fields = Mapping[str, Mapping[str, str]]  # record → field → type

EVENTS: Final[Mapping[str, tuple[str, Fields]]] = {
    "order.placed": (
        "orders.events",
        {
            "order": {
                "id": "string",
                "country": "string",
                "customer": "string?",
                "total": "money(GBP)",
                "quantity": "int",
                "express": "bool?",
                "weight": "float?",
                "discount": "decimal?",
                "due_at": "timestamp?",
                "tags": "list(string)",
            }
        },
    ),
    "order.cancelled": ("orders.events", {"order": {"id": "string", "country": "string", "reason": "string?"}}),
    "deal.closed": (
        "crm.events",
        {
            "deal": {"id": "string", "stage": "string", "value": "decimal", "owner": "string?", "won": "bool"},
            "customer": {"id": "string", "size": "int?"},
        },
    ),
    "incident.opened": (
        "support.events",
        {"incident": {"id": "string", "priority": "string", "impact": "int?", "due_at": "timestamp", "share": "float"}},
    ),
}
TOPICS: Final = tuple(sorted({topic for topic, _ in EVENTS.values()}))
WORDS: Final = ("red", "green", "Blue", "ünïcode", "", "a b", "x" * 40, 'say "hi"', "back\\slash")
TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "country": ("GB", "DE", "FR", "日本"),
    "stage": ("Won", "Lost", "Open"),
    "priority": ("1 - Critical", "2 - High", "3 - Moderate"),
}


def paths(event: str) -> dict[str, str]:
    """Give the fields of an event type by their path in conditions, with their types."""
    return {f"{record}.{name}": kind for record, fields in EVENTS[event][1].items() for name, kind in fields.items()}


def contract_documents() -> list[dict[str, Any]]:
    """Write the contracts as documents of the flow language."""
    return [{"event": event, "topic": topic, "fields": fields} for event, (topic, fields) in EVENTS.items()]


@dataclass(frozen=True, slots=True)
class Event:
    """One business event. `data` holds Decimals for money and decimals, int microseconds for times, and no missing keys."""

    type: str
    tenant: str
    source: str
    id: str
    time_us: int
    data: Mapping[str, Mapping[str, Any]]
    correlationid: str | None = None
    hops: int | None = None

    @property
    def topic(self) -> str:
        """Name the topic that its type belongs to."""
        return EVENTS[self.type][0]

    def value(self, path: str) -> Any:
        """Give the value at a path; None where it is missing."""
        record, _, name = path.partition(".")
        if record == "event":
            return {"id": self.id, "source": self.source, "tenant": self.tenant, "time": self.time_us, "type": self.type}[name]
        return self.data.get(record, {}).get(name)


@dataclass(slots=True)
class Producer:
    """Writes events as a customer's own program would. `schemas` are the ids and schemas that a registry would tell."""

    schemas: Mapping[str, tuple[int, Any]]
    _parsed: dict[str, Any] = field(default_factory=dict)

    def as_json(self, event: Event) -> bytes:
        """Write structured CloudEvents JSON."""
        record = {
            "specversion": "1.0",
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "time": stamp(event.time_us),
            "tenant": event.tenant,
            **({"correlationid": event.correlationid} if event.correlationid else {}),
            **({"hops": event.hops} if event.hops else {}),
            "data": {
                name: {key: _json_value(value, EVENTS[event.type][1][name][key]) for key, value in fields.items()}
                for name, fields in event.data.items()
            },
        }
        text = json.dumps(record, ensure_ascii=False)
        for number in sorted(_numbers(record)):
            text = text.replace(f'"{_MARK}{number}"', number)
        return text.encode()

    def as_avro(self, event: Event) -> bytes:
        """Write Avro behind the five bytes of Confluent's framing."""
        schema_id, schema = self.schemas[event.type]
        if event.type not in self._parsed:
            self._parsed[event.type] = fastavro.parse_schema(schema)
        data = {
            record: {name: _avro_value(event.data.get(record, {}).get(name), kind) for name, kind in fields.items()}
            for record, fields in EVENTS[event.type][1].items()
        }
        body = io.BytesIO()
        fastavro.schemaless_writer(
            body,
            self._parsed[event.type],
            {
                "id": event.id,
                "source": event.source,
                "type": event.type,
                "subject": None,
                "time": event.time_us,
                "tenant": event.tenant,
                "correlationid": event.correlationid,
                "causationid": None,
                "hops": event.hops or 0,
                "data": data,
            },
        )
        return b"\0" + schema_id.to_bytes(4, "big") + body.getvalue()


def stamp(time_us: int) -> str:
    """Write a time as RFC 3339 in UTC, with as many digits behind the point as it needs."""
    fraction = f".{time_us % SECOND_US:06d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(time_us // SECOND_US, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


_MARK: Final = "@number:"


def _json_value(value: Any, kind: str) -> Any:
    if kind.startswith("money"):
        return f"{value} GBP" if int(value * 100) % 2 else f"{_MARK}{value}"
    if isinstance(value, Decimal):
        return f"{_MARK}{value}"
    if kind.startswith("timestamp"):
        return stamp(value)
    return value


def _numbers(value: Any) -> set[str]:
    """Find the marked numbers, which json itself would have to make floats of."""
    if isinstance(value, dict):
        return {number for item in value.values() for number in _numbers(item)}
    return {value.removeprefix(_MARK)} if isinstance(value, str) and value.startswith(_MARK) else set()


def _avro_value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return value
    return float(value) if kind.startswith("float") else value
