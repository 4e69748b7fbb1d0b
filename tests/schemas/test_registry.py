"""Contracts, schema ids and what a new version may change, worked by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.avro.schema import avro_schema, contract_from_avro, read_schema, type_of
from schemas.contracts import EventContract, incompatibilities
from schemas.errors import InvalidInput
from schemas.events import encode_events
from schemas.expression.types import DECIMAL, DURATION, INT, STRING, TIMESTAMP, Type
from schemas.registry import Registry, registered

TEXT = Type("string", optional=True)


def contract(event: str = "deal.closed", **fields: Type) -> EventContract:
    return EventContract(event=event, topic="crm.events", data=Type("record", fields=tuple(fields.items())))


def apply(registry: Registry, changes: list[tuple[str, Any]]) -> None:
    for key, value in changes:
        assert registry.apply(key, msgspec.json.decode(msgspec.json.encode(value)))


def test_each_type_has_its_avro_form() -> None:
    deal = contract(a=Type("money", currency="GBP"), b=TIMESTAMP, c=DURATION, d=TEXT, e=Type("list", item=INT), f=Type("any"))
    schema = avro_schema(deal)
    fields = {field["name"]: field["type"] for field in schema["fields"][-1]["type"]["fields"]}
    assert fields["a"] == {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9, "currency": "GBP"}
    assert fields["b"] == {"type": "long", "logicalType": "timestamp-micros"}
    assert (fields["c"]["type"], fields["d"]) == ("long", ["null", "string"])
    assert type_of(read_schema(schema["fields"][-1]["type"])) == deal.data


def test_a_contract_comes_back_from_its_own_schema() -> None:
    deal = contract(a=DECIMAL, b=Type("list", item=Type("record", optional=True, fields=(("x", TEXT),))))
    assert contract_from_avro(avro_schema(deal), "deal.closed", "crm.events") == deal


def test_ids_count_up_and_the_same_schema_keeps_its_own() -> None:
    registry = Registry()
    first, changes = registered(registry, contract(a=INT))
    assert (first.schema_id, [key for key, _ in changes], first.subject) == (
        1,
        ["schema/1", "contract/deal.closed"],
        "crm.events-deal.closed",
    )
    apply(registry, changes)
    assert registered(registry, contract(a=INT)) == (first, [])
    second, changes = registered(registry, contract("deal.won", a=INT))
    assert second.schema_id == 2
    apply(registry, changes)
    assert registered(registry, contract(a=INT, b=TEXT))[0].schema_id == 3
    assert registry.contract("deal.closed") == first


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ({"a": INT}, {"a": STRING}, "data.a was int and is now string"),
        ({"a": Type("int", optional=True)}, {"a": INT}, "could be missing"),
        ({"a": INT}, {"a": INT, "b": INT}, "data.b is new and required"),
        ({"a": Type("one_of", options=("x", "y"))}, {"a": Type("one_of", options=("x",))}, "no longer takes y"),
        ({"a": Type("list", item=INT)}, {"a": Type("list", item=STRING)}, r"data.a\[\*\] was int"),
        ({"a": Type("money", currency="GBP")}, {"a": Type("money", currency="EUR")}, r"money\(GBP\)"),
    ],
)
def test_a_version_that_breaks_readers_is_refused(old: dict[str, Type], new: dict[str, Type], says: str) -> None:
    registry = Registry()
    apply(registry, registered(registry, contract("deal.closed", **old))[1])
    with pytest.raises(InvalidInput, match=says):
        registered(registry, contract("deal.closed", **new))
    free = msgspec.structs.replace(contract("deal.closed", **new), compatibility="none")
    assert registered(registry, free)[0].compatibility == "none"


def test_what_only_widens_is_taken() -> None:
    old = contract(a=INT, b=Type("one_of", options=("x",)), c=STRING)
    assert incompatibilities(old, contract(a=DECIMAL, b=STRING, d=TEXT)) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"type": "array", "items": "null"}, "no bytes"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 2}, "38 digits"),
        ("Unknown", "does not define"),
        ({"no": "type"}, "no type"),
    ],
)
def test_a_schema_that_cannot_be_read_safely_is_refused(data: Any, says: str) -> None:
    inner = {"type": "record", "name": "d", "fields": [{"name": "x", "type": data}]}
    fields = [{"name": "id", "type": "string"}, {"name": "source", "type": "string"}, {"name": "data", "type": inner}]
    schema = {"type": "record", "name": "r", "fields": fields}
    with pytest.raises(InvalidInput, match=says):
        registered(Registry(), contract_from_avro(schema, "a.b", "a.events"), schema)


def test_a_schema_without_the_attributes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="lacks source, data"):
        contract_from_avro({"type": "record", "name": "r", "fields": [{"name": "id", "type": "string"}]}, "a.b", "a.events")


def test_named_types_are_found_in_their_namespace() -> None:
    inner = {"type": "record", "name": "Inner", "namespace": "com.shop", "fields": [{"name": "n", "type": "long"}]}
    data = {
        "type": "record",
        "name": "d",
        "namespace": "com.shop",
        "fields": [
            {"name": "a", "type": inner},
            {"name": "b", "type": "Inner"},
            {"name": "c", "type": ["null", "com.shop.Inner"]},
        ],
    }
    fields = dict(type_of(read_schema(data)).fields)
    assert fields["a"] == fields["b"] == msgspec.structs.replace(fields["c"], optional=False)


def test_taking_a_contract_away_forgets_its_readers() -> None:
    registry = Registry()
    apply(registry, registered(registry, contract(a=INT))[1])
    assert registry.json_reader("deal.closed") is not None
    apply(registry, [("contract/deal.closed", None)])
    assert registry.json_reader("deal.closed") is None
    assert registry.avro_reader(1) == "schema 1 is of deal.closed, which has no contract"
    assert not registry.apply("version/*/x/y", {})


def test_an_event_that_does_not_fit_is_refused_at_the_producer() -> None:
    registry = Registry()
    deal, _ = registered(registry, contract(a=INT))
    event = {"id": "1", "source": "s", "tenant": "t", "time": 0, "data": {"a": "no"}}
    with pytest.raises(InvalidInput, match="does not fit"):
        encode_events(deal, [event])
    with pytest.raises(InvalidInput, match="register"):
        encode_events(contract(a=INT), [event])
