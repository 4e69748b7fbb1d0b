"""Laws of the codec: both Avro routes agree, JSON and Avro agree, batches agree with rows, and cuts do not show."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from schemas.avro.reader import AvroReader
from schemas.avro.schema import avro_schema, contract_from_avro
from schemas.avro.slow import RecordReader, write_records
from schemas.contracts import EventContract
from schemas.decode import Decoded, DecodeRules, decode
from schemas.errors import BadRecord
from schemas.events import encode_events, to_json
from schemas.expression.types import BOOL, DECIMAL, DURATION, FLOAT, INT, STRING, TIMESTAMP, Type
from schemas.ports import Chunk
from schemas.registry import Registry, registered
from tests.examples import examples

NOW = 1_790_000_000_000_000
DAY = 86_400_000_000
ENVELOPE = [
    {"name": "id", "type": "string"},
    {"name": "source", "type": "string"},
    {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "tenant", "type": ["null", "string"]},
]
names = st.sampled_from(["a", "b", "total", "odd_name", "x1"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
longs = st.integers(-(1 << 63), (1 << 63) - 1)
moments = st.integers(0, 7_258_118_400_000_000)
decimals = st.integers(-(10**37), 10**37).map(lambda n: Decimal(n).scaleb(-9))
floats = st.floats(allow_nan=False, allow_infinity=False)


@dataclass(frozen=True)
class Drawn:
    """An Avro type and a strategy for its values."""

    schema: Any
    values: st.SearchStrategy[Any]


class Namer:
    """Names the named types of one drawn schema."""

    def __init__(self) -> None:
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"N{self.count}"


def scalar(draw: st.DrawFn, namer: Namer) -> Drawn:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}
    two_places = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
    symbols = ["won", "lost", "open"]
    fixed = {"type": "fixed", "name": namer.name(), "size": 3}
    enum = {"type": "enum", "name": namer.name(), "symbols": symbols}
    cents = st.integers(-(10**11), 10**11).map(lambda n: Decimal(n).scaleb(-2))
    return draw(
        st.sampled_from(
            [
                Drawn("string", texts),
                Drawn("long", longs),
                Drawn("int", st.integers(-(1 << 31), (1 << 31) - 1)),
                Drawn("double", floats),
                Drawn("float", st.floats(width=32, allow_nan=False, allow_infinity=False)),
                Drawn("boolean", st.booleans()),
                Drawn("bytes", st.binary(max_size=5)),
                Drawn(decimal, decimals),
                Drawn(two_places, cents),
                Drawn(fixed, st.binary(min_size=3, max_size=3)),
                Drawn(enum, st.sampled_from(symbols)),
                Drawn({"type": "long", "logicalType": "timestamp-micros"}, moments),
                Drawn({"type": "int", "logicalType": "date"}, st.integers(0, 84_000)),
                Drawn({"type": "string", "logicalType": "uuid"}, st.uuids().map(str)),
            ]
        )
    )


def drawn_type(draw: st.DrawFn, namer: Namer, depth: int, *, general: bool) -> Drawn:
    sorts = ["scalar", "scalar", "optional"] + (["record", "array", "map"] if depth else []) + (["union"] if general else [])
    match draw(st.sampled_from(sorts)):
        case "optional":
            inner = scalar(draw, namer) if draw(st.booleans()) or not depth else record(draw, namer, depth - 1, general=general)
            order = ["null", inner.schema] if draw(st.booleans()) else [inner.schema, "null"]
            return Drawn(order, st.none() | inner.values)
        case "record":
            return record(draw, namer, depth - 1, general=general)
        case "array":
            inner = drawn_type(draw, namer, depth - 1, general=general)
            return Drawn({"type": "array", "items": inner.schema}, st.lists(inner.values, max_size=3))
        case "map":
            inner = drawn_type(draw, namer, depth - 1, general=general)
            return Drawn({"type": "map", "values": inner.schema}, st.dictionaries(texts, inner.values, max_size=3))
        case "union":
            return Drawn(["null", "string", "long", "boolean"], st.none() | texts | longs | st.booleans())
    return scalar(draw, namer)


def record(draw: st.DrawFn, namer: Namer, depth: int, *, general: bool) -> Drawn:
    fields = {
        name: drawn_type(draw, namer, depth, general=general)
        for name in draw(st.lists(names, min_size=1, max_size=4, unique=True))
    }
    schema = {
        "type": "record",
        "name": namer.name(),
        "fields": [{"name": name, "type": one.schema} for name, one in fields.items()],
    }
    return Drawn(schema, st.fixed_dictionaries({name: one.values for name, one in fields.items()}))


@st.composite
def foreign(draw: st.DrawFn, *, general: bool = False) -> tuple[Any, list[dict[str, Any]]]:
    data = record(draw, Namer(), 2, general=general)
    schema = {"type": "record", "name": "event", "fields": [*ENVELOPE, {"name": "data", "type": data.schema}]}
    rows = draw(st.lists(data.values, min_size=1, max_size=6))
    return schema, [
        {"id": f"e{at}", "source": "s", "time": 1_700_000_000_000 + at, "tenant": "t", "data": row} for at, row in enumerate(rows)
    ]


def slow_frame(reader: AvroReader, schema: Any, records: list[bytes], like: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([reader.read_one(one) for one in records], schema=like.schema, orient="row")


@settings(max_examples=examples(120), deadline=None)
@given(foreign())
def test_the_block_route_agrees_with_fastavro(drawn: tuple[Any, list[dict[str, Any]]]) -> None:
    schema, rows = drawn
    records = write_records(bare(schema), 7, rows)
    reader = AvroReader(schema, 7, contract_from_avro(schema, "a.b", "a.events", 7))
    assert reader.route == "fast"
    frame, places, bad = reader.read(records)
    assert (places, bad) == (None, [])
    assert_frame_equal(frame, slow_frame(reader, schema, records, frame))


@settings(max_examples=examples(60), deadline=None)
@given(foreign(general=True))
def test_general_unions_read_the_same_in_batches_as_alone(drawn: tuple[Any, list[dict[str, Any]]]) -> None:
    schema, rows = drawn
    records = write_records(bare(schema), 7, rows)
    reader = AvroReader(schema, 7, contract_from_avro(schema, "a.b", "a.events", 7))
    frame, _, bad = reader.read(records)
    assert bad == []
    assert_frame_equal(frame, slow_frame(reader, schema, records, frame))


@settings(max_examples=examples(100), deadline=None)
@given(foreign(), st.data())
def test_a_corrupt_body_leaves_its_neighbours_as_they_are(drawn: tuple[Any, list[dict[str, Any]]], data: st.DataObject) -> None:
    schema, rows = drawn
    records = write_records(bare(schema), 7, rows)
    place = data.draw(st.integers(0, len(records) - 1))
    body = records[place][5:]
    harm = data.draw(st.sampled_from(["cut", "more", "noise"]))
    broken = {
        "cut": body[: data.draw(st.integers(0, max(len(body) - 1, 0)))],
        "more": body + b"\x01\x02",
        "noise": data.draw(st.binary(max_size=30)),
    }
    records[place] = records[place][:5] + broken[harm]
    reader = AvroReader(schema, 7, contract_from_avro(schema, "a.b", "a.events", 7))
    frame, places, bad = reader.read(records)
    good = range(len(records)) if places is None else places
    assert sorted([*good, *(at for at, _, _ in bad)]) == list(range(len(records)))
    assert harm == "noise" or [at for at, _, _ in bad] == [place]
    whole = [at for at in good if at != place]
    kept = frame.with_columns(pl.Series("#", list(good), dtype=pl.Int64)).filter(pl.col("#") != place).drop("#")
    assert_frame_equal(kept, slow_frame(reader, schema, [records[at] for at in whole], frame))


def bare(schema: Any) -> Any:
    """Write times as numbers, as drawn."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: bare(value) if key in ("type", "items", "values", "fields") else value for key, value in schema.items()}
    return kept if kept.get("logicalType") == "decimal" else {key: value for key, value in kept.items() if key != "logicalType"}


json_values = st.recursive(
    st.booleans() | st.integers(-5, 5) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": texts,
    "int": longs,
    "decimal": decimals,
    "money": decimals,
    "float": floats.map(lambda x: x + 0.0),
    "bool": st.booleans(),
    "timestamp": moments,
    "duration": st.integers(-(10**15), 10**15),
    "one_of": st.sampled_from(["low", "high"]),
    "any": json_values,
}
leaves = st.sampled_from(
    [
        STRING,
        INT,
        DECIMAL,
        FLOAT,
        BOOL,
        TIMESTAMP,
        DURATION,
        Type("money", currency="GBP"),
        Type("one_of", options=("low", "high")),
        Type("any"),
    ]
)


def optional(kind: Type) -> Type:
    return msgspec.structs.replace(kind, optional=True)


def records_of(kinds: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    odd = st.sampled_from(["a", "b", "total", "class", "from"])
    return st.dictionaries(odd, kinds | kinds.map(optional), min_size=1, max_size=3).map(
        lambda found: Type("record", fields=tuple(found.items()))
    )


contract_types = st.recursive(
    leaves,
    lambda kinds: records_of(kinds) | (kinds | kinds.map(optional)).map(lambda item: Type("list", item=item)),
    max_leaves=6,
)


def values_of(kind: Type) -> st.SearchStrategy[Any]:
    if kind.name == "list":
        assert kind.item is not None
        plain: st.SearchStrategy[Any] = st.lists(values_of(kind.item), max_size=3)
    elif kind.name == "record":
        plain = st.fixed_dictionaries({name: values_of(field) for name, field in kind.fields})
    else:
        plain = VALUES[kind.name]
    return st.none() | plain if kind.optional else plain


@st.composite
def own_events(draw: st.DrawFn) -> tuple[EventContract, list[dict[str, Any]]]:
    data = draw(records_of(contract_types))
    rows = draw(st.lists(values_of(data), min_size=1, max_size=5))
    events = [
        {"id": f"e{at}", "source": "s", "time": NOW - at, "tenant": f"t{at % 2}", "subject": "k" if at % 2 else None, "data": row}
        for at, row in enumerate(rows)
    ]
    return EventContract(event="a.b", topic="a.events", data=data), events


def registry_of(*contracts: EventContract) -> tuple[Registry, list[EventContract]]:
    registry, placed = Registry(), []
    for contract in contracts:
        one, changes = registered(registry, contract)
        for key, value in changes:
            registry.apply(key, json.loads(json.dumps(value)))
        placed.append(one)
    return registry, placed


def chunk(records: list[bytes], partition: int = 0) -> Chunk:
    return Chunk("ingress.db", "a.events", partition, 100, NOW, records)


@settings(max_examples=examples(120), deadline=None)
@given(own_events())
def test_json_and_avro_of_one_event_decode_alike(drawn: tuple[EventContract, list[dict[str, Any]]]) -> None:
    registry, (contract,) = registry_of(drawn[0])
    avro = decode([chunk(encode_events(contract, drawn[1]))], registry, DecodeRules(NOW))
    text = decode([chunk([to_json(contract, event) for event in drawn[1]])], registry, DecodeRules(NOW))
    assert (avro.bad, text.bad) == ((), ())
    assert_frame_equal(without_texts(text.frames[0].frame, contract), without_texts(avro.frames[0].frame, contract))


def without_texts(frame: pl.DataFrame, contract: EventContract) -> pl.DataFrame:
    """`any` texts may be spelled differently (blanks, escapes): compare what they say."""
    return frame.with_columns(
        data=pl.Series([repr(said(value, contract.data)) for value in frame["data"].to_list()], dtype=pl.String)
    )


def said(value: Any, kind: Type) -> Any:
    if value is None:
        return None
    if kind.name == "any":
        return json.loads(value)
    if kind.item is not None:
        return [said(one, kind.item) for one in value]
    return {name: said(value[name], field) for name, field in kind.fields} if kind.name == "record" else value


FLAT = EventContract(
    event="deal.closed",
    topic="a.events",
    data=Type(
        "record",
        fields=(
            (
                "deal",
                Type(
                    "record",
                    fields=(
                        ("id", STRING),
                        ("value", optional(DECIMAL)),
                        ("stage", optional(Type("one_of", options=("Won", "Lost")))),
                    ),
                ),
            ),
            ("score", optional(FLOAT)),
        ),
    ),
)
OTHER = EventContract(event="order.placed", topic="a.events", data=Type("record", fields=(("n", INT),)))
good_names = st.sampled_from(["t1", "Ünï", "a b"])
maybe_bad_names = st.sampled_from(["t1", "t2", "", "a\x00b", "x" * 300, "a/b", "*", None, "a\nb", "\x85"])
times = st.sampled_from(
    [NOW - 1, NOW, NOW + DAY, NOW + DAY + 1, NOW + 399 * DAY, NOW + 401 * DAY, NOW + 790 * DAY, 0, -1, 7_258_118_400_000_001]
)


@st.composite
def sent(draw: st.DrawFn) -> bytes:
    """One record, good or bad in one of many ways."""
    sort = draw(st.sampled_from(["avro", "avro", "json", "json", "other", "raw"]))
    if sort == "raw":
        return draw(
            st.binary(max_size=12)
            | st.sampled_from(
                [
                    b"{}",
                    b"{",
                    b"[]",
                    b'{"type": 5}',
                    b'{"type": "no.such"}',
                    b"\0\0\0\0\x63abc",
                    b"\0",
                    b'{"type":"deal.closed"},{"type":"deal.closed"}',
                ]
            )
        )
    event: dict[str, Any] = {
        "id": draw(maybe_bad_names),
        "source": draw(good_names),
        "type": "deal.closed",
        "tenant": draw(maybe_bad_names),
        "time": draw(times),
        "hops": draw(st.sampled_from([0, 64, 65, -1])),
    }
    event["data"] = {
        "deal": {"id": "d", "value": draw(st.none() | decimals), "stage": draw(st.sampled_from(["Won", None, "Open"]))},
        "score": draw(st.sampled_from([None, 0.5, math.inf, math.nan])),
    }
    if sort == "other":
        event |= {"type": "order.placed", "data": {"n": draw(longs)}}
    if sort == "avro":
        return avro_bytes(event)
    return json.dumps(
        {key: value for key, value in event.items() if key != "time"} | {"time": rfc(event["time"])}, default=float
    ).encode()


def avro_bytes(event: dict[str, Any]) -> bytes:
    schema = avro_schema(FLAT)
    row = {"subject": None, "correlationid": None, "causationid": None, **event}
    row |= {name: row[name] or "" for name in ("id", "tenant")}
    return write_records(bare(schema), 1, [row])[0]


def rfc(us: int) -> str:
    return str(pl.Series([us]).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ")[0])


def twin(records: list[bytes], rules: DecodeRules) -> dict[int, dict[str, Any] | None]:
    """Decode row by row with nothing of the columnar path: None where the record must be set aside."""
    reader = RecordReader(avro_schema(FLAT))
    clock = rules.now_us
    out: dict[int, dict[str, Any] | None] = {}
    for row, bytes_ in enumerate(records):
        event = twin_event(bytes_, reader)
        ahead = DAY if rules.clock == "wall" else 400 * DAY
        if event is not None and (not twin_is_good(event) or event["time"] > clock + ahead):
            event = None
        if event is not None and rules.clock == "events":
            clock = max(clock, event["time"])
        out[row] = event
    return out


def twin_event(record: bytes, reader: RecordReader) -> dict[str, Any] | None:
    try:
        if record[:5] == b"\0\0\0\0\x01":
            return reader.read(record)
        event = json.loads(record.decode(), parse_float=Decimal, parse_constant=lambda _: float("nan"))
        return twin_json(event) if isinstance(event, dict) else None
    except (
        BadRecord,
        ValueError,
        KeyError,
        TypeError,
        AssertionError,
        ArithmeticError,
        AttributeError,
        RecursionError,
        pl.exceptions.PolarsError,
    ):
        return None


def twin_json(event: dict[str, Any]) -> dict[str, Any]:
    moment = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T.*Z", event["time"])
    assert moment
    event["time"] = int(pl.Series([event["time"]]).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us").cast(pl.Int64)[0])
    if event["type"] == "deal.closed":
        value, score = event["data"]["deal"]["value"], event["data"]["score"]
        event["data"]["deal"]["value"] = None if value is None else Decimal(value)
        event["data"]["score"] = None if score is None else float(score)
    return event


def twin_is_good(event: dict[str, Any]) -> bool:
    tenant = event["tenant"]
    fine = (
        bool(tenant)
        and len(tenant.encode()) <= 256
        and tenant not in ("*", "-", ".", "..")
        and not re.search(r"[\x00-\x1f\x7f-\x9f/\\]", tenant)
    )
    for name in ("id", "source"):
        fine = (
            fine
            and bool(event[name])
            and len(event[name].encode()) <= 1024
            and not re.search(r"[\x00-\x1f\x7f-\x9f]", event[name])
        )
    fine = fine and 0 <= event["hops"] <= 64 and 0 <= event["time"] <= 7_258_118_400_000_000
    if event["type"] == "deal.closed":
        deal, score = event["data"]["deal"], event["data"]["score"]
        fine = fine and deal["stage"] in (None, "Won", "Lost") and (score is None or math.isfinite(score))
    return fine


def flattened(decoded: Decoded) -> dict[int, dict[str, Any] | None]:
    out: dict[int, dict[str, Any] | None] = {bad.row: None for bad in decoded.bad}
    for events in decoded.frames:
        assert events.frame["row"].is_sorted()
        out |= {row["row"]: row for row in events.frame.to_dicts()}
    return out


@pytest.mark.parametrize("clock", ["wall", "events"])
@settings(max_examples=examples(80), deadline=None)
@given(st.lists(sent(), max_size=12), st.integers(0, 12))
def test_a_batch_decodes_as_its_rows_do(clock: Any, records: list[bytes], cut: int) -> None:
    registry, _ = registry_of(FLAT, OTHER)
    rules = DecodeRules(NOW, clock)
    decoded = decode([chunk(records[:cut]), chunk(records[cut:], 1)], registry, rules)
    wanted, found, said = twin(records, rules), flattened(decoded), ("id", "tenant", "time", "data")
    assert sorted(found) == list(range(len(records))) == sorted(wanted)
    for row, event in wanted.items():
        one = found[row]
        assert (one is None) == (event is None), (records[row], [bad for bad in decoded.bad if bad.row == row])
        if event is not None and one is not None:
            assert [one[name] for name in said] == [event[name] for name in said]
    for bad in decoded.bad:
        assert bad.payload == records[bad.row]
        assert (bad.slot.partition, bad.position) == ((0, 100 + bad.row) if bad.row < cut else (1, 100 + bad.row - cut))


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(sent(), max_size=12), st.integers(0, 12))
def test_a_cut_of_the_turn_does_not_show(records: list[bytes], cut: int) -> None:
    registry, _ = registry_of(FLAT, OTHER)
    whole = flattened(decode([chunk(records)], registry, DecodeRules(NOW, "events")))
    first = flattened(decode([chunk(records[:cut])], registry, DecodeRules(NOW, "events")))
    reached = max([NOW, *(row["time"] for row in first.values() if row is not None)])
    second = flattened(decode([chunk(records[cut:])], registry, DecodeRules(reached, "events")))
    joined = first | {row + len(records[:cut]): value for row, value in second.items()}
    assert {row: value and value["id"] for row, value in joined.items()} == {
        row: value and value["id"] for row, value in whole.items()
    }
