"""The embedded schema registry: which contract an event type has, and how records of each schema id are read.

Reads: control records `contract/<event type>` and `schema/<id>`. Emits: readers, made when first asked for.
State: what the control records say, in memory. Cost: a dict lookup a batch and schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from schemas.avro.reader import AvroReader
from schemas.avro.schema import avro_schema
from schemas.contracts import EventContract, decode_contract, encode_contract, incompatibilities
from schemas.errors import InvalidInput
from schemas.internal import INTERNAL
from schemas.json_route import JsonReader

CONTRACT_PREFIX: Final = "contract/"
SCHEMA_PREFIX: Final = "schema/"
Json = Any


class SchemaRecord(msgspec.Struct, frozen=True):
    """The value of `schema/<id>`: which event type its records are, under which subject, and the Avro schema."""

    subject: str
    schema: Json
    event: str


class Registry:
    """Contracts by event type, schemas by id. Changed by `apply` alone; asks nobody."""

    def __init__(self) -> None:
        self._contracts: dict[str, EventContract] = {}
        self._schemas: dict[int, SchemaRecord] = {}
        self._json: dict[str, JsonReader] = {}
        self._avro: dict[int, AvroReader | str] = {}

    def apply(self, key: str, value: Json) -> bool:
        """Take in a control record; give False if the key is none of the registry's. None takes the key away."""
        if key.startswith(CONTRACT_PREFIX):
            self._apply_contract(key.removeprefix(CONTRACT_PREFIX), value)
            return True
        if key.startswith(SCHEMA_PREFIX):
            self._apply_schema(int(key.removeprefix(SCHEMA_PREFIX)), value)
            return True
        return False

    def contract(self, event: str) -> EventContract | None:
        """Give the newest contract of an event type; those of our own events are built in."""
        return self._contracts.get(event) or INTERNAL.get(event)

    def contracts(self) -> Mapping[str, EventContract]:
        """Give all contracts by event type."""
        return dict(self._contracts)

    def schema(self, schema_id: int) -> SchemaRecord | None:
        """Give the schema of an id; a contract's own if no record says otherwise."""
        return self._schemas.get(schema_id)

    def schemas(self) -> Mapping[int, SchemaRecord]:
        """Give all schemas by id."""
        return dict(self._schemas)

    def json_reader(self, event: str) -> JsonReader | None:
        """Give the reader of JSON records of an event type; None if it has no contract."""
        if event not in self._json and (contract := self.contract(event)) is not None:
            self._json[event] = JsonReader(contract)
        return self._json.get(event)

    def avro_reader(self, schema_id: int) -> AvroReader | str:
        """Give the reader of a schema id, or say why there is none."""
        if schema_id not in self._avro:
            self._avro[schema_id] = self._made_reader(schema_id)
        return self._avro[schema_id]

    def _made_reader(self, schema_id: int) -> AvroReader | str:
        record = self._schemas.get(schema_id)
        if record is None:
            return f"schema {schema_id} is not registered"
        contract = self._contracts.get(record.event)
        if contract is None:
            return f"schema {schema_id} is of {record.event}, which has no contract"
        try:
            return AvroReader(record.schema, schema_id, contract)
        except InvalidInput as error:
            return str(error)

    def _apply_contract(self, event: str, value: Json) -> None:
        self._json.pop(event, None)
        self._avro.clear()
        if value is None:
            self._contracts.pop(event, None)
            return
        contract = decode_contract(value)
        self._contracts[event] = contract
        if contract.schema_id:
            self._schemas.setdefault(contract.schema_id, SchemaRecord(contract.subject, avro_schema(contract), event))

    def _apply_schema(self, schema_id: int, value: Json) -> None:
        self._avro.pop(schema_id, None)
        if value is None:
            self._schemas.pop(schema_id, None)
            return
        try:
            self._schemas[schema_id] = msgspec.convert(value, SchemaRecord)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"schema/{schema_id} is not readable: {error}") from error


def registered(registry: Registry, contract: EventContract, schema: Json = None) -> tuple[EventContract, list[tuple[str, Json]]]:
    """Give the contract with its schema id and the control records to append; [] if all of it is registered already.

    `schema` is a foreign Avro schema that `contract` was made from; by default the contract's own. The registry is not changed.
    Raises InvalidInput if the subject's newest contract could not be replaced by this one.
    """
    old = registry.contract(contract.event)
    if old is not None and contract.compatibility == "backward":
        wrong = incompatibilities(old, contract)
        if wrong:
            raise InvalidInput(f"{contract.event} would break its readers: {'; '.join(wrong)}")
    record = SchemaRecord(contract.subject, schema if schema is not None else avro_schema(contract), contract.event)
    known = next((at for at, one in registry.schemas().items() if one == record), None)
    schema_id = known if known is not None else next_schema_id(registry)
    placed = msgspec.structs.replace(contract, schema_id=schema_id)
    AvroReader(record.schema, schema_id, placed)
    changes: list[tuple[str, Json]] = [] if known is not None else [(f"{SCHEMA_PREFIX}{schema_id}", msgspec.to_builtins(record))]
    if placed != old:
        changes.append((f"{CONTRACT_PREFIX}{contract.event}", msgspec.json.decode(encode_contract(placed))))
    return placed, changes


def next_schema_id(registry: Registry) -> int:
    """Give the id of the next schema: one more than the highest known, from 1 on."""
    return max(registry.schemas(), default=0) + 1
