"""Whose a record is can be told without decoding it: as decoding says, alone or among others, whatever stands before."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro.schema import contract_from_avro
from schemas.avro.slow import write_records
from schemas.decode import DecodeRules, decode
from schemas.envelope import is_tenant
from schemas.ports import Chunk
from schemas.registry import Registry, registered
from schemas.tenants import tenants

NOW: Final = 1_790_000_000_000_000
DATA: Final = {"name": "data", "type": {"type": "record", "name": "d", "fields": [{"name": "n", "type": "long"}]}}
TENANTS: Final = st.sampled_from(["acme", "a" * 70, "é" * 127, "a" * 257, "", "*", "a/b", "a\x1fb", "two words"])
longs = st.integers(0, 1 << 62)


def field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind}


OTHERS: Final = [
    (field("flag", "boolean"), st.booleans()),
    (field("ratio", "double"), st.floats(allow_nan=False)),
    (field("small", "float"), st.just(0.5)),
    (field("subject", ["null", "string"]), st.none() | st.text(max_size=3)),
    (field("note", ["string", "null"]), st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=90)),
    (field("raw", "bytes"), st.binary(max_size=70)),
    (field("hash", {"type": "fixed", "name": "h", "size": 4}), st.binary(min_size=4, max_size=4)),
    (field("kind", {"type": "enum", "name": "k", "symbols": ["one", "two"]}), st.sampled_from(["one", "two"])),
    (field("seen", ["null", "long"]), st.none() | st.integers(-(1 << 63), (1 << 63) - 1)),
    (field("tags", {"type": "array", "items": "string"}), st.lists(st.text(max_size=2), max_size=2)),
    (DATA, st.fixed_dictionaries({"n": longs})),
]
ENVELOPE: Final = [
    (field("id", "string"), st.just("e1")),
    (field("source", "string"), st.just("/s")),
    (field("time", {"type": "long", "logicalType": "timestamp-micros"}), st.just(NOW)),
]
OWNERS: Final = [
    (field("tenant", "string"), TENANTS),
    (field("tenant", ["null", "string"]), st.none() | TENANTS),
    (field("tenant", ["string", "null"]), st.none() | TENANTS),
]


@st.composite
def framed(draw: st.DrawFn, schema_id: int) -> tuple[Any, list[bytes]]:
    """Records of one schema, some of them harmed; often its fields are those that all events of one tool begin with."""
    fields = [*ENVELOPE, OWNERS[0], OTHERS[-1]] if draw(st.booleans()) else draw(drawn_fields())
    schema = {"type": "record", "name": f"event{schema_id}", "fields": [one for one, _ in fields]}
    rows = draw(st.lists(st.fixed_dictionaries({one["name"]: values for one, values in fields}), min_size=1, max_size=5))
    records = write_records(schema, schema_id, rows)
    spoil = draw(st.booleans())
    return schema, [draw(harmed(record)) if spoil and draw(st.integers(0, 4)) == 0 else record for record in records]


@st.composite
def drawn_fields(draw: st.DrawFn) -> list[Any]:
    more = draw(st.lists(st.sampled_from(OTHERS[:-1]), max_size=4, unique_by=lambda one: one[0]["name"]))
    owner = draw(st.lists(st.sampled_from(OWNERS), max_size=1) | st.just([OWNERS[0]]))
    return draw(st.permutations([*ENVELOPE, *more, *owner, OTHERS[-1]]))


@st.composite
def harmed(draw: st.DrawFn, record: bytes) -> bytes:
    at = draw(st.integers(0, len(record) - 1))
    return draw(st.sampled_from([record[:at], record[:at] + draw(st.binary(max_size=12)) + record[at + 1 :], record[:5]]))


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    event = {"id": "e1", "source": "/s", "type": draw(st.sampled_from(["job.made1", "job.unknown"])), "data": {"n": 1}}
    owner = draw(st.none() | TENANTS | st.just(5))
    text = json.dumps(event if owner is None else {**event, "tenant": owner}).encode()
    return draw(st.sampled_from([text, text, b"  " + text, text[:-1], b"", b"\x00", b"[1]"]))


@settings(max_examples=300, deadline=None)
@given(framed(1), framed(2), st.lists(texts(), max_size=4), st.none() | st.just("acme"), st.randoms(use_true_random=False))
def test_whose_a_record_is_can_be_told_without_decoding_it(
    one: tuple[Any, list[bytes]], two: tuple[Any, list[bytes]], three: list[bytes], default: str | None, random: Any
) -> None:
    registry = Registry()
    for number, (schema, _) in enumerate((one, two), 1):
        contract = contract_from_avro(schema, f"job.made{number}", "job.events", number)
        for key, value in registered(registry, contract, schema)[1]:
            registry.apply(key, json.loads(json.dumps(value)))
    records = [*one[1], *two[1], *three]
    random.shuffle(records)
    found = tenants(records, registry, default)
    decoded = decode([Chunk("ingress.db", "job.events", 0, 0, NOW, records)], registry, DecodeRules(NOW, "wall", default))
    good = {row: name for one in decoded.frames for row, name in zip(one.frame["row"], one.frame["tenant"], strict=True)}
    assert {row: found[row] for row in good} == good
    assert [tenants([record], registry, default)[0] for record in records] == found
    assert all(name is None or is_tenant(name) for name in found)
