"""Avro schemas as frozen nodes: read from JSON with names resolved, made from a contract, and turned into a contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from schemas.contracts import ENVELOPE_NAMES, EventContract
from schemas.errors import InvalidInput
from schemas.expression.types import ANY, Type

Sort = Literal[
    "null",
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "bytes",
    "string",
    "fixed",
    "enum",
    "array",
    "map",
    "record",
    "union",
    "again",
]
PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
NESTING_MAX: Final = 32
PRECISION: Final = 38
PLACES: Final = 9
Json = Any


class Node(msgspec.Struct, frozen=True):
    """One schema. `again` is a named type inside itself (a recursive schema)."""

    sort: Sort
    logical: str = ""
    marks: tuple[tuple[str, str], ...] = ()  # our own properties: millrace, currency
    size: int = 0  # fixed
    scale: int = 0
    symbols: tuple[str, ...] = ()
    parts: tuple[Node, ...] = ()  # items, values, branches
    fields: tuple[tuple[str, Node], ...] = ()
    name: str = ""  # of records, and which record is meant by `again`


def read_schema(schema: Json) -> Node:
    """Read an Avro schema (parsed JSON); raises InvalidInput with what is wrong."""
    return _read(schema, {}, "", ())


def _read(schema: Json, names: dict[str, Json], space: str, inside: tuple[str, ...]) -> Node:
    if len(inside) > NESTING_MAX:
        raise InvalidInput(f"the Avro schema nests more than {NESTING_MAX} deep")
    if isinstance(schema, list):
        return Node("union", parts=tuple(_read(branch, names, space, (*inside, "")) for branch in schema))
    if isinstance(schema, str):
        return _read_name(schema, names, space, inside)
    if not isinstance(schema, Mapping) or "type" not in schema:
        raise InvalidInput(f"{str(schema)[:80]!r} is not an Avro schema: it has no type")
    return _read_complex(schema, names, space, inside)


def _read_complex(schema: Mapping[str, Json], names: dict[str, Json], space: str, inside: tuple[str, ...]) -> Node:
    match schema["type"]:
        case "record" | "error":
            return _read_record(schema, names, space, inside)
        case "enum" | "fixed" as sort:
            _declare(schema, names, space)
            return Node(sort, size=int(schema.get("size", 0)), symbols=tuple(schema.get("symbols", ())), **_logical(schema))
        case "array" | "map" as sort:
            inner = schema.get("items" if sort == "array" else "values")
            return Node(sort, parts=(_read(inner, names, space, (*inside, "")),))
        case str() as name if name in PRIMITIVES:
            return Node(name, **_logical(schema))  # type: ignore[arg-type]
        case other:
            return _read(other, names, space, (*inside, ""))


def _read_name(name: str, names: dict[str, Json], space: str, inside: tuple[str, ...]) -> Node:
    if name in PRIMITIVES:
        return Node(name)  # type: ignore[arg-type]
    full = name if "." in name or not space else f"{space}.{name}"
    full = full if full in names else name
    if full in inside:
        return Node("again", name=full)
    if full not in names:
        raise InvalidInput(f"the Avro schema uses the type {name!r} and does not define it")
    schema, home = names[full]
    if schema["type"] in ("record", "error"):
        return _read_record(schema, names, home, inside)
    return _read(schema, names, home, (*inside, ""))


def _declare(schema: Mapping[str, Json], names: dict[str, Json], space: str) -> tuple[str, str]:
    name = str(schema.get("name", ""))
    home = name.rpartition(".")[0] or str(schema.get("namespace", space))
    full = name if "." in name or not home else f"{home}.{name}"
    names[full] = (schema, home)
    return full, home


def _read_record(schema: Mapping[str, Json], names: dict[str, Json], space: str, inside: tuple[str, ...]) -> Node:
    full, home = _declare(schema, names, space)
    fields = schema.get("fields")
    if not isinstance(fields, list) or any(not isinstance(field, Mapping) or "name" not in field for field in fields):
        raise InvalidInput(f"the Avro record {full!r} has no list of named fields")
    parts = tuple((str(field["name"]), _read(field.get("type"), names, home, (*inside, full))) for field in fields)
    return Node("record", fields=parts, name=full)


def _logical(schema: Mapping[str, Json]) -> dict[str, Any]:
    marks = tuple((mark, str(schema[mark])) for mark in ("millrace", "currency") if mark in schema)
    logical = str(schema.get("logicalType", ""))
    scale = int(schema.get("scale", 0))
    if logical == "decimal" and (not 0 <= scale <= PLACES or int(schema.get("precision", 0)) > PRECISION):
        raise InvalidInput(
            f"decimal({schema.get('precision')}, {scale}) does not fit: at most 38 digits and 9 places are kept exactly"
        )
    return {"logical": logical, "marks": marks, "scale": scale}


def optional_part(node: Node) -> Node | None:
    """Give T of a union of null and T; None if the node is something else."""
    if node.sort != "union" or len(node.parts) != 2:
        return None
    first, second = node.parts
    if "null" not in (first.sort, second.sort) or first.sort == second.sort:
        return None
    return second if first.sort == "null" else first


def type_of(node: Node) -> Type:
    """Give the contract type that an Avro schema's values have. What no type describes (maps, unions, recursion) is `any`."""
    part = optional_part(node)
    if part is not None:
        return msgspec.structs.replace(type_of(part), optional=True)
    match node.sort:
        case "record":
            return Type("record", fields=tuple((name, type_of(field)) for name, field in node.fields))
        case "array":
            return Type("list", item=type_of(node.parts[0]))
        case "enum":
            return Type("one_of", options=node.symbols)
        case "union" | "map" | "again" | "null":
            return Type("any", optional=node.sort in ("union", "null"))
        case _:
            return _scalar_type(node)


def _scalar_type(node: Node) -> Type:
    marks = dict(node.marks)
    if node.logical == "decimal" and node.sort in ("bytes", "fixed"):
        return Type("money", currency=marks["currency"]) if "currency" in marks else Type("decimal")
    if node.sort in ("int", "long"):
        return Type(_whole_number(node))
    return ANY if marks.get("millrace") == "any" else Type(SIMPLE[node.sort])


def _whole_number(node: Node) -> Literal["int", "timestamp", "duration"]:
    if node.logical in TIMESTAMPS:
        return "timestamp"
    return "duration" if dict(node.marks).get("millrace") == "duration" or node.logical.startswith("time-") else "int"


SIMPLE: Final[dict[str, Literal["string", "bool", "float"]]] = {
    "string": "string",
    "bytes": "string",  # base64
    "fixed": "string",
    "boolean": "bool",
    "float": "float",
    "double": "float",
}
TIMESTAMPS: Final[dict[str, int]] = {  # microseconds a unit
    "timestamp-micros": 1,
    "timestamp-millis": 1000,
    "local-timestamp-micros": 1,
    "local-timestamp-millis": 1000,
    "date": 86_400_000_000,
}


def contract_from_avro(schema: Json, event: str, topic: str, schema_id: int = 0) -> EventContract:
    """Give the contract of a foreign schema: attributes on top, `data` nested; raises InvalidInput."""
    node = read_schema(schema)
    fields = dict(node.fields)
    lacking = [name for name in ("id", "source", "data") if name not in fields]
    if node.sort != "record" or lacking:
        raise InvalidInput(
            f"an event schema is a record with id, source and data on top; {event} lacks {', '.join(lacking) or 'a record'}"
        )
    check_envelope(node)
    if fields["data"].sort != "record":
        raise InvalidInput(f"data of {event} is {fields['data'].sort}; it must be a record")
    return EventContract(event=event, topic=topic, data=type_of(fields["data"]), schema_id=schema_id)


def check_envelope(node: Node) -> None:
    """Refuse a schema whose attributes have types that an envelope cannot have."""
    for name, field in node.fields:
        kind = type_of(field)
        wanted = {"time": ("timestamp",), "hops": ("int",)}.get(name, ("string", "one_of"))
        if name in ENVELOPE_NAMES and kind.name not in wanted:
            raise InvalidInput(f"attribute {name} is {kind.name} in the Avro schema; it must be {wanted[0]}")


def avro_schema(contract: EventContract) -> dict[str, Json]:
    """Give the Avro schema (JSON) of a contract; equal contracts give equal schemas."""
    namer = _Names()
    nullable: Json = ["null", "string"]
    kinds: dict[str, Json] = {
        "subject": nullable,
        "correlationid": nullable,
        "causationid": nullable,
        "time": {"type": "long", "logicalType": "timestamp-micros"},
        "hops": "int",
    }
    top = [{"name": name, "type": kinds.get(name, "string")} for name in ENVELOPE_NAMES]
    space, _, name = contract.event.rpartition(".")
    fields = [*top, {"name": "data", "type": namer.schema(contract.data)}]
    return {
        "type": "record",
        "name": f"{name or 'event'}_event",
        "namespace": f"millrace.{space}" if space else "millrace",
        "fields": fields,
    }


class _Names:
    """Gives each record of a schema a name of its own."""

    def __init__(self) -> None:
        self.count = 0

    def schema(self, kind: Type) -> Json:
        plain = self._plain(kind)
        return ["null", plain] if kind.optional else plain

    def _plain(self, kind: Type) -> Json:
        if kind.name == "list":
            assert kind.item is not None
            return {"type": "array", "items": self.schema(kind.item)}
        if kind.name == "record":
            self.count += 1
            name = f"record_{self.count}"
            return {
                "type": "record",
                "name": name,
                "fields": [{"name": field, "type": self.schema(part)} for field, part in kind.fields],
            }
        if kind.name == "money":
            return {**DECIMAL_SCHEMA, "currency": kind.currency}
        return PLAIN[kind.name]


DECIMAL_SCHEMA: Final = {"type": "bytes", "logicalType": "decimal", "precision": PRECISION, "scale": PLACES}
PLAIN: Final[dict[str, Json]] = {
    "string": "string",
    "one_of": "string",
    "any": {"type": "string", "millrace": "any"},
    "int": "long",
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "duration": {"type": "long", "millrace": "duration"},
    "decimal": DECIMAL_SCHEMA,
    "float": "double",
    "bool": "boolean",
}
