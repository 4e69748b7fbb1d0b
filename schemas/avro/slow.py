"""The only door to fastavro: reads what a block cannot hold (general unions, recursion), judges single records, and writes.

Promise: pure functions of schema and bytes. Every failure of fastavro ends here as BadRecord or InvalidInput.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException

from schemas.avro.framing import FRAME_BYTES, frame_of
from schemas.errors import BadRecord, InvalidInput

Json = Any
FAILURES = (
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    RecursionError,
)


class RecordReader:
    """Reads one framed record after the other; logical types other than decimal stay numbers."""

    def __init__(self, schema: Json) -> None:
        self._schema = _parsed(_bare(schema))

    def read(self, record: bytes) -> dict[str, Any]:
        """Read one record; raises BadRecord."""
        stream = io.BytesIO(record)
        stream.seek(FRAME_BYTES)
        try:
            value = fastavro.schemaless_reader(stream, self._schema, None)
        except FAILURES as error:
            why = f"{type(error).__name__}: {str(error)[:120]}" if str(error) else "they end too early"
            detail = (
                f"the bytes are not what the schema of their head wants ({why}); send them with the schema they were written by"
            )
            raise BadRecord("wrong-schema", detail) from error
        if stream.tell() != len(record):
            raise BadRecord("wrong-schema", f"{len(record) - stream.tell()} bytes are left over behind the record")
        return value  # type: ignore[return-value]


def record_writer(schema: Json, schema_id: int) -> Callable[[Mapping[str, Any]], bytes]:
    """Give a function that writes one record in Confluent framing; it raises InvalidInput for a value that does not fit."""
    parsed, head = _parsed(schema), frame_of(schema_id)

    def write(value: Mapping[str, Any]) -> bytes:
        stream = io.BytesIO(head)
        stream.seek(FRAME_BYTES)
        try:
            fastavro.schemaless_writer(stream, parsed, value)
        except FAILURES as error:
            raise InvalidInput(f"the record does not fit its Avro schema: {error}") from error
        return stream.getvalue()

    return write


def write_records(schema: Json, schema_id: int, values: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Write records in Confluent framing; raises InvalidInput."""
    return list(map(record_writer(schema, schema_id), values))


def _parsed(schema: Json) -> Any:
    try:
        return fastavro.parse_schema(schema)
    except (SchemaParseException, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"the Avro schema is not usable: {error}") from error


def _bare(schema: Json) -> Json:
    """Take out logical types but decimal, so that times come as numbers and uuids as text, as the block reader gives them."""
    if isinstance(schema, list):
        return [_bare(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: value for key, value in schema.items() if key != "logicalType" or value == "decimal"}
    return {key: _bare(value) if key in ("type", "items", "values", "fields") else value for key, value in kept.items()}
