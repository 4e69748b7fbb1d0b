"""`send --avro SCHEMA`: JSON lines as Confluent-framed Avro, by a registered schema or one from a file.

Reads CloudEvents JSON lines of one event type. Emits frames in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flows.cli.lines import Line
from schemas.avro.schema import TIMESTAMPS, Node, contract_from_avro, optional_part, read_schema
from schemas.avro.slow import record_writer
from schemas.contracts import EventContract
from schemas.errors import InvalidInput
from schemas.json_route import JsonReader
from schemas.records import Json
from schemas.registry import Registry, SchemaRecord, registered

SHOWN = 5  # lines that do not fit are named up to so many


class AvroLines:
    """Encodes lines of one event type by one schema."""

    def __init__(self, contract: EventContract, record: SchemaRecord, schema_id: int) -> None:
        self._event = contract.event
        self._reader = JsonReader(contract)
        self._node = read_schema(record.schema)
        self._write = record_writer(record.schema, schema_id)

    def encode(self, lines: Sequence[Line]) -> list[bytes]:
        """Encode lines; raises InvalidInput that names those which do not fit, and then nothing of them is sent."""
        frame, _, bad = self._reader.read([line.text for line in lines])
        if bad:
            named = "\n".join(f"  {lines[at].place}: {reason}: {detail}" for at, reason, detail in bad[:SHOWN])
            raise InvalidInput(
                f"{len(bad)} lines do not fit the schema of {self._event}; mend them, or send them as JSON:\n{named}"
            )
        return [self._write(_avro_value(row, self._node)) for row in frame.to_dicts()]


def find_schema(asked: str, registry: Registry, event: str, topic: str) -> tuple[AvroLines, list[tuple[str, Json]]]:
    """Find the schema that a person named (a file, an id or an event type) for lines of `event`.

    Give the encoder and the control records that register what is new. Raises InvalidInput where there is no such schema.
    """
    if Path(asked).is_file():
        return _from_file(Path(asked), registry, event, topic)
    contract = registry.contract(event)
    schema_id = int(asked) if asked.isdigit() else contract.schema_id if contract is not None and asked == event else 0
    record = registry.schema(schema_id)
    if contract is None or record is None or record.event != event:
        known = ", ".join(f"{one.event} ({at})" for at, one in sorted(registry.schemas().items())) or "none"
        raise InvalidInput(f"--avro {asked}: no file and no registered schema of {event}; registered are: {known}")
    return AvroLines(contract, record, schema_id), []


def _from_file(path: Path, registry: Registry, event: str, topic: str) -> tuple[AvroLines, list[tuple[str, Json]]]:
    try:
        schema = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path} is not an Avro schema (JSON): {error}") from error
    derived = contract_from_avro(schema, event, topic)
    known = registry.contract(event)
    placed, changes = registered(registry, derived if known is None else msgspec.structs.replace(known, schema_id=0), schema)
    return AvroLines(derived, SchemaRecord(placed.subject, schema, event), placed.schema_id), changes


def _avro_value(value: Any, node: Node) -> Any:
    """Turn a value as the contract holds it into what the schema writes: times in its unit, missing attributes filled."""
    part = optional_part(node)
    if value is None:
        return 0 if node.sort in ("int", "long") else None
    if part is not None:
        return _avro_value(value, part)
    match value:
        case Mapping():
            return {name: _avro_value(value.get(name), field) for name, field in node.fields}
        case list():
            return [_avro_value(item, node.parts[0]) for item in value]
        case int() if node.logical in TIMESTAMPS:
            return value // TIMESTAMPS[node.logical]
        case _:
            return value
