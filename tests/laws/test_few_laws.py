"""Laws of few rows: kept as the records that were read, they are what columns would hold, and the same of them is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from schemas.avro.schema import contract_from_avro
from schemas.avro.slow import write_records
from schemas.contracts import EventContract
from schemas.decode import Decoded, DecodeRules, decode
from schemas.event_frame import EventFrame
from schemas.events import encode_events, to_json
from schemas.expression.types import Type
from schemas.frames import ENVELOPE, ROW
from schemas.ports import Chunk
from schemas.registry import Registry
from tests.examples import examples
from tests.laws.test_codec_laws import DAY, FLAT, NOW, OTHER, avro_bytes, bare, chunk, foreign, own_events, registry_of, sent

DEFAULTS = st.sampled_from([None, "t9"])


def both(chunks: list[Chunk], registry: Registry, default: str | None = None) -> tuple[Decoded, Decoded]:
    columns, few = (decode(chunks, registry, DecodeRules(NOW, default_tenant=default, few=few)) for few in (False, True))
    return columns, few


def registry_with(contract: EventContract, schema: Any) -> Registry:
    """Register a contract that a foreign schema is read by."""
    registry = Registry()
    registry.apply("contract/a.b", msgspec.to_builtins(contract))
    registry.apply("schema/7", {"subject": "s", "event": "a.b", "schema": schema})
    return registry


def keys_in(kind: Type, path: str) -> Iterator[str]:
    """Name everything in the data of an event, and some that is not there."""
    yield path
    yield f"{path}.nothing"
    for name, field in kind.fields:
        yield from keys_in(field, f"{path}.{name}")


def assert_alike(columns: Decoded, few: Decoded) -> None:
    assert (few.bad, few.rows) == (columns.bad, columns.rows)
    assert [one.type for one in few.frames] == [one.type for one in columns.frames]
    assert [one.first_row() for one in few.frames] == sorted(one.first_row() for one in few.frames)
    assert all(one.rows().tolist() == sorted(one.rows().tolist()) for one in few.frames)
    for one, other in zip(few.frames, columns.frames, strict=True):
        assert_same_values(one, other)
        places = [place for place in range(other.height) for _ in range(1 + place % 2)]
        assert_same_values(one.at(places), other.at(places))
        assert_frame_equal(one.frame, other.frame)


def assert_same_values(one: EventFrame, other: EventFrame) -> None:
    keys = [*keys_in(other.contract.data, "event.data"), *(f"event.{name}" for name in ENVELOPE), "event.nothing", "nothing.at"]
    assert repr(one.lists(keys)) == repr(other.lists(keys))  # decimals have their places, and -0.0 is not 0.0
    assert one.columns([ROW, *ENVELOPE]) == other.columns([ROW, *ENVELOPE])
    assert (one.height, one.first_row(), one.rows().tolist()) == (other.height, other.first_row(), other.rows().tolist())


@settings(max_examples=examples(120), deadline=None)
@given(own_events(), DEFAULTS)
def test_few_rows_of_own_schemas_hold_what_columns_hold(
    drawn: tuple[EventContract, list[dict[str, Any]]], default: str | None
) -> None:
    registry, (contract,) = registry_of(drawn[0])
    assert_alike(*both([chunk(encode_events(contract, drawn[1]))], registry, default))


@settings(max_examples=examples(80), deadline=None)
@given(st.booleans().flatmap(lambda general: foreign(general=general)))
def test_few_rows_of_others_schemas_hold_what_columns_hold(drawn: tuple[Any, list[dict[str, Any]]]) -> None:
    schema, rows = drawn
    registry = registry_with(contract_from_avro(schema, "a.b", "a.events", 7), schema)
    assert_alike(*both([chunk(write_records(bare(schema), 7, rows))], registry))


GOOD = {"id": "e", "source": "s", "type": "deal.closed", "tenant": "t", "time": NOW, "hops": 0, "subject": None}
LONG = "x" * 1025
FLAWS: list[tuple[str, Any]] = [
    *(("id", name) for name in ("", "a\x00b", LONG, "ü" * 513)),
    *(("source", name) for name in ("", "a\nb", LONG)),
    *(("tenant", name) for name in ("", "*", "a/b", "..", "x" * 257, "\x85")),
    *((name, text) for name in ("subject", "correlationid", "causationid") for text in ("", "a\x9fb", LONG)),
    *(("time", time) for time in (-1, NOW + DAY, NOW + DAY + 1, 7_258_118_400_000_001)),
    *(("hops", hops) for hops in (-1, 64, 65)),
    ("type", "order.placed"),
    ("score", math.inf),
    ("score", math.nan),
    ("stage", "Open"),
    ("value", Decimal("99999999999999999999999999999.999999999")),
]


def flawed(name: str, value: Any) -> bytes:
    """Write a good event but for one thing, which may be fine too."""
    deal = {"id": "d", "value": None, "stage": "Won", **({name: value} if name in ("stage", "value") else {})}
    data = {"deal": deal, "score": value if name == "score" else 0.5}
    return avro_bytes({**GOOD, **({} if name in ("score", "stage", "value") else {name: value}), "data": data})


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(st.sampled_from(FLAWS) | st.just(("id", "e")), min_size=1, max_size=3), DEFAULTS)
def test_what_is_refused_of_many_is_refused_of_few(flaws: list[tuple[str, Any]], default: str | None) -> None:
    registry, _ = registry_of(FLAT, OTHER)
    assert_alike(*both([chunk([flawed(*one)]) for one in flaws], registry, default))


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(sent(), min_size=1, max_size=20), DEFAULTS)
def test_bad_records_among_few_are_set_aside_as_among_many(records: list[bytes], default: str | None) -> None:
    registry, _ = registry_of(FLAT, OTHER)
    assert_alike(*both([chunk(records[:7]), chunk(records[7:], 1)], registry, default))


def maybe(kind: Any) -> list[Any]:
    return ["null", kind]


ORDER = {
    "type": "record",
    "name": "order",
    "fields": [{"name": "at", "type": maybe({"type": "long", "logicalType": "timestamp-micros"})}],
}
SPARSE = {
    "type": "record",
    "name": "event",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "source", "type": "string"},
        {"name": "type", "type": maybe("string")},
        {"name": "time", "type": maybe({"type": "long", "logicalType": "timestamp-micros"})},
        {"name": "tenant", "type": maybe("string")},
        {"name": "hops", "type": maybe("int")},
        {"name": "data", "type": {"type": "record", "name": "data", "fields": [{"name": "order", "type": maybe(ORDER)}]}},
    ],
}
moments = st.none() | st.integers(NOW - 5, NOW)
sparse = st.fixed_dictionaries(
    {
        "id": st.just("e"),
        "source": st.just("s"),
        "type": st.none() | st.just("a.b"),
        "time": moments,
        "tenant": st.sampled_from([None, "", "t"]),
        "hops": st.none() | st.integers(0, 2),
        "data": st.fixed_dictionaries({"order": st.none() | st.fixed_dictionaries({"at": moments})}),
    }
)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(sparse, min_size=1, max_size=5), DEFAULTS, st.sampled_from(["", "order.at", "order"]))
def test_what_is_left_out_of_few_rows_is_filled_in_as_in_columns(rows: list[Any], default: str | None, time: str) -> None:
    contract = msgspec.structs.replace(contract_from_avro(SPARSE, "a.b", "a.events", 7), time=time)
    registry = registry_with(contract, SPARSE)
    assert_alike(*both([chunk(write_records(bare(SPARSE), 7, rows))], registry, default))


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.sampled_from(["*", "t"]), min_size=1, max_size=9), st.sampled_from(["ingress.db", "engine-0.db"]))
def test_few_rows_of_everybody_are_as_columns_have_them(tenants: list[str], source: str) -> None:
    registry, (contract,) = registry_of(OTHER)
    events = [{"id": f"e{at}", "source": "s", "time": NOW, "tenant": name, "data": {"n": at}} for at, name in enumerate(tenants)]
    assert_alike(*both([Chunk(source, "a.events", 0, 100, NOW, encode_events(contract, events))], registry))


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.booleans()), min_size=2, max_size=9))
def test_few_rows_of_one_type_come_in_order_however_they_are_written(drawn: list[tuple[int, bool]]) -> None:
    registry, contracts = registry_of(FLAT, OTHER)
    data = [{"deal": {"id": "d", "value": Decimal("1.5"), "stage": None}, "score": None}, {"n": 7}]
    records = []
    for at, (which, as_json) in enumerate(drawn):
        event = {"id": f"e{at}", "source": "s", "time": NOW, "tenant": "t", "data": data[which]}
        contract = contracts[which]
        records.append(to_json(contract, event) if as_json else encode_events(contract, [event])[0])
    assert_alike(*both([chunk(records)], registry))
