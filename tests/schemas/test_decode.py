"""What decoding sets aside and what it lets through, worked by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from schemas.avro.framing import frame_of, long_bytes, text_bytes
from schemas.avro.schema import contract_from_avro
from schemas.contracts import EventContract
from schemas.decode import Decoded, DecodeRules, decode, key_rows, select_keys
from schemas.events import encode_events, to_json
from schemas.expression.types import ANY, FLOAT, INT, STRING, TIMESTAMP, Type
from schemas.ports import Chunk
from schemas.registry import Registry, registered

NOW = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z
DAY = 86_400_000_000
MONEY = Type("money", currency="GBP")
LINE = Type("record", fields=(("sku", STRING), ("quantity", INT)))
ORDER = Type(
    "record",
    fields=(
        ("id", STRING),
        ("total", MONEY),
        ("score", Type("float", optional=True)),
        ("placed_at", Type("timestamp", optional=True)),
        ("wait", Type("duration", optional=True)),
        ("size", Type("one_of", optional=True, options=("small", "large"))),
        ("lines", Type("list", item=LINE)),
        ("extra", Type("any", optional=True)),
    ),
)
PLACED = EventContract(event="order.placed", topic="orders.events", data=Type("record", fields=(("order", ORDER),)))


def registry_of(*contracts: EventContract) -> Registry:
    registry = Registry()
    for contract in contracts:
        for key, value in registered(registry, contract)[1]:
            registry.apply(key, value)
    return registry


def chunk(*records: bytes, base: int = 0, partition: int = 0) -> Chunk:
    return Chunk("ingress.db", "orders.events", partition, base, NOW - 7, records)


def order(number: int = 1, **changes: Any) -> dict[str, Any]:
    fields = {"id": f"A{number}", "total": Decimal("12.50"), "lines": [{"sku": "x", "quantity": number}], **changes}
    return {"id": f"e{number}", "source": "shop", "tenant": "acme", "time": NOW, "data": {"order": fields}}


def avro(registry: Registry, *events: dict[str, Any]) -> list[bytes]:
    contract = registry.contract("order.placed")
    assert contract is not None
    return encode_events(
        contract,
        [event | {"data": {"order": {**dict.fromkeys(dict(ORDER.fields)), **event["data"]["order"]}}} for event in events],
    )


def text(**changes: Any) -> bytes:
    event = {"id": "j1", "source": "shop", "type": "order.placed", "tenant": "acme", "time": "2026-09-21T14:13:20Z"}
    return json.dumps(event | {"data": {"order": {"id": "A1", "total": 12.5, "lines": []}}} | changes).encode()


def of_order(**fields: Any) -> bytes:
    return text(data={"order": {"id": "A1", "total": 1, "lines": [], **fields}})


def run(registry: Registry, *records: bytes, rules: DecodeRules | None = None) -> Decoded:
    return decode([chunk(*records)], registry, rules or DecodeRules(NOW))


def ids(decoded: Decoded) -> list[str]:
    return [name for events in decoded.frames for name in events.frame["id"].to_list()]


def only_reason(decoded: Decoded) -> str:
    assert [bad.row for bad in decoded.bad] == [1]
    assert len(ids(decoded)) == decoded.rows - 1
    return decoded.bad[0].reason


def test_both_formats_come_out_in_one_frame_in_the_order_of_the_log() -> None:
    registry = registry_of(PLACED)
    first, third = avro(registry, order(1), order(3))
    decoded = decode([chunk(first, text(id="e2"), base=40), chunk(third, base=9, partition=3)], registry, DecodeRules(NOW))
    (events,) = decoded.frames
    assert (events.type, events.frame["row"].to_list(), ids(decoded)) == ("order.placed", [0, 1, 2], ["e1", "e2", "e3"])
    assert [row["order"]["total"] for row in events.frame["data"].to_list()] == [Decimal("12.500000000")] * 3


def test_columns_and_rows_are_picked_by_environment_key() -> None:
    registry = registry_of(PLACED)
    (events,) = run(registry, *avro(registry, order(extra={"a": [1, None]}))).frames
    keys = ["order.total", "event.tenant", "event.type", "event.data", "order.nothing", "order.extra"]
    columns = select_keys(events.frame, keys)
    assert columns.columns == keys
    assert columns["order.extra"].to_list() == [b'{"a":[1,null]}']
    (row,) = key_rows(events.frame, keys, PLACED.data)
    assert row["order.total"] == Decimal("12.5")
    assert (row["event.tenant"], row["event.type"], row["order.nothing"], row["order.extra"]) == (
        "acme",
        "order.placed",
        None,
        {"a": [1, None]},
    )
    assert row["event.data"]["order"]["extra"] == {"a": [1, None]}


def test_json_numbers_keep_their_digits_and_times_their_zone() -> None:
    record = text(
        time="2026-09-21T16:13:20.25+02:00",
        data={"order": {"id": "A", "total": 1, "lines": [], "wait": "1h30m", "placed_at": "1970-01-01T00:00:01Z"}},
    )
    exact = record.replace(b'"total": 1', b'"total": 12345678901234567890.123456789')
    (events,) = run(registry_of(PLACED), exact).frames
    row = events.frame.to_dicts()[0]
    assert row["time"] == NOW + 250_000
    assert row["data"]["order"]["total"] == Decimal("12345678901234567890.123456789")
    assert (row["data"]["order"]["wait"], row["data"]["order"]["placed_at"]) == (5_400_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("spelled", "value"), [('"12.50 GBP"', "12.5"), ("1e2", "100"), ("-0.000000001", "-0.000000001"), ("1.5000000000000", "1.5")]
)
def test_money_is_a_number_or_a_text_with_its_currency(spelled: str, value: str) -> None:
    (events,) = run(registry_of(PLACED), of_order(total=0).replace(b'"total": 0', f'"total": {spelled}'.encode())).frames
    assert events.frame["data"].to_list()[0]["order"]["total"] == Decimal(value)


@pytest.mark.parametrize(
    "spelled", ['"12.50 EUR"', '"12.50"', '"x"', "0.1234567891", "1e40", "true", "null", "[1]", '"NaN GBP"', '"1e2 USD"']
)
def test_what_is_no_money_of_that_currency_is_set_aside(spelled: str) -> None:
    bad = of_order(total=0).replace(b'"total": 0', f'"total": {spelled}'.encode())
    decoded = run(registry_of(PLACED), text(id="a"), bad, text(id="b"))
    assert only_reason(decoded) == "wrong-schema"
    assert "data.order.total" in decoded.bad[0].detail or "not" in decoded.bad[0].detail


BAD_TEXTS = {
    "cut json": (text()[:-3], "malformed-json"),
    "two objects": (text() + b"," + text(), "malformed-json"),
    "two lines": (text() + b"\n" + text(), "malformed-json"),
    "brackets that reach out": (b'{"type": "order.placed", "x": [[1', "malformed-json"),
    "not utf-8": (text().replace(b"shop", b"sh\xffop"), "malformed-json"),
    "lone surrogate": (text().replace(b"shop", b"\\ud800"), "malformed-json"),
    "NaN": (of_order(score=0).replace(b'"score": 0', b'"score": NaN'), "malformed-json"),
    "Infinity": (of_order(score=0).replace(b'"score": 0', b'"score": -Infinity'), "malformed-json"),
    "number out of range": (of_order(score=0).replace(b'"score": 0', b'"score": 1e999'), "wrong-schema"),
    "neither format": (b"<event/>", "malformed"),
    "empty record": (b"", "malformed-json"),
    "an array": (b"[]", "malformed"),
    "no type": (b'{"id": "1"}', "unknown-event"),
    "unknown type": (text(type="order.lost"), "unknown-event"),
    "control character in type": (text(type="order\x00placed"), "unknown-event"),
    "type too long": (text(type="a." + "b" * 3000), "unknown-event"),
    "no tenant": (text(tenant=None), "no-tenant"),
    "empty tenant": (text(tenant=""), "no-tenant"),
    "control character in tenant": (text(tenant="a\nb"), "bad-name"),
    "tenant that is a path": (text(tenant="../x"), "bad-name"),
    "tenant that means all": (text(tenant="*"), "bad-name"),
    "long tenant": (text(tenant="é" * 129), "bad-name"),
    "no id": (text(id=None), "no-id"),
    "control character in id": (text(id="a\x7fb"), "bad-name"),
    "long id": (text(id="i" * 1025), "bad-name"),
    "empty source": (text(source=""), "no-source"),
    "wrong type of tenant": (text(tenant=5), "wrong-schema"),
    "text for int": (of_order(lines=[{"sku": "x", "quantity": "5"}]), "wrong-schema"),
    "float for int": (of_order(lines=[{"sku": "x", "quantity": 5.0}]), "wrong-schema"),
    "int beyond 64 bits": (of_order(lines=[{"sku": "x", "quantity": 1 << 63}]), "wrong-schema"),
    "required field missing": (of_order(lines=[{"sku": "x"}]), "wrong-schema"),
    "unknown word": (of_order(size="huge"), "wrong-schema"),
    "bad duration": (of_order(wait="30"), "wrong-schema"),
    "bad time in data": (of_order(placed_at="yesterday"), "bad-time"),
    "data that is no record": (text(data=[]), "wrong-schema"),
    "no data": (text(data=None), "wrong-schema"),
    "time without zone": (text(time="2026-09-21T14:13:20"), "bad-time"),
    "a day that does not exist": (text(time="2026-02-30T14:13:20Z"), "bad-time"),
    "before 1970": (text(time="1969-12-31T23:59:59Z"), "bad-time"),
    "after 2200": (text(time="2200-01-01T00:00:01Z"), "bad-time"),
    "more than a day ahead": (text(time="2026-09-22T14:13:21Z"), "bad-time"),
    "too many hops": (text(hops=65), "hops"),
    "deep any": (of_order(extra=0).replace(b'"extra": 0', b'"extra": ' + b"[" * 65 + b"]" * 65), "too-deep"),
    "deep beyond reading": (text().replace(b"{", b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b", ", 1), "too-deep"),
    "too large": (text(x="y" * (1 << 20)), "too-large"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_bad_json_record_is_set_aside_and_its_neighbours_are_not(name: str) -> None:
    record, reason = BAD_TEXTS[name]
    registry = registry_of(PLACED)
    decoded = run(registry, text(id="before"), record, text(id="after"), *avro(registry, order(4)))
    assert only_reason(decoded) == reason
    assert decoded.bad[0].payload == record
    assert (decoded.bad[0].position, decoded.bad[0].slot.topic) == (1, "orders.events")


def bodies(registry: Registry) -> dict[str, tuple[bytes, str]]:
    good, nan, old, deep, broken = avro(
        registry,
        order(2),
        order(2, score=float("nan")),
        order(2, placed_at=-1),
        order(2, extra=0) | {"hops": 65},
        order(2, size="huge"),
    )
    text_of_any = encode_events_with_text(registry, "[" * 65 + "]" * 65)
    return {
        "truncated": (good[:-4], "wrong-schema"),
        "left over": (good + b"\0", "wrong-schema"),
        "only a frame": (good[:5], "wrong-schema"),
        "length that leads out": (good[:5] + long_bytes(1 << 40) + good[6:], "wrong-schema"),
        "negative length": (good[:5] + long_bytes(-9) + good[6:], "wrong-schema"),
        "union branch that is none": (good.replace(b"order.placed\0", b"order.placed\x0c"), "wrong-schema"),
        "unknown schema": (frame_of(99) + good[5:], "unknown-schema"),
        "frame cut": (b"\0\0\0", "malformed"),
        "another type inside": (good.replace(b"order.placed", b"order.paid.."), "wrong-schema"),
        "not utf-8": (good.replace(b"shop", b"sh\xff\xff"), "wrong-schema"),
        "empty tenant": (good.replace(text_bytes(b"acme"), b"\0"), "no-tenant"),
        "control character": (good.replace(b"acme", b"ac\0e"), "bad-name"),
        "NaN": (nan, "not-finite"),
        "time in data": (old, "bad-time"),
        "hops": (deep, "hops"),
        "unknown word": (broken, "wrong-schema"),
        "deep any": (text_of_any, "too-deep"),
        "any that is not JSON": (encode_events_with_text(registry, "{no"), "malformed-json"),
        "too large": (good + bytes(1 << 20), "too-large"),
    }


def encode_events_with_text(registry: Registry, any_text: str) -> bytes:
    """An `any` whose text a producer wrote wrongly."""
    placeholder = "x" * (len(any_text) - 2)
    (record,) = avro(registry, order(2, extra=placeholder))
    return record.replace(f'"{placeholder}"'.encode(), any_text.encode())


@pytest.mark.parametrize("name", sorted(bodies(registry_of(PLACED))))
def test_a_bad_avro_record_is_set_aside_and_its_neighbours_are_not(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    registry = registry_of(PLACED)
    record, reason = bodies(registry)[name]
    decoded = run(registry, *avro(registry, order(1)), record, *avro(registry, order(3)), text())
    assert only_reason(decoded) == reason
    assert decoded.bad[0].payload == record
    assert ids(decoded) == ["e1", "e3", "j1"]
    assert capfd.readouterr().err == ""  # no report of a panic


def test_many_bad_records_among_good_ones_are_all_found() -> None:
    registry = registry_of(PLACED)
    records = avro(registry, *(order(number) for number in range(500)))
    broken = {3, 4, 100, 255, 256, 499}
    decoded = run(registry, *(record[:-2] if at in broken else record for at, record in enumerate(records)))
    assert {bad.row for bad in decoded.bad} == broken
    assert len(ids(decoded)) == 500 - len(broken)


def test_a_missing_tenant_is_filled_in_if_a_default_is_set() -> None:
    decoded = run(registry_of(PLACED), text(tenant=None), text(tenant=""), text(), rules=DecodeRules(NOW, default_tenant="house"))
    assert decoded.frames[0].frame["tenant"].to_list() == ["house", "house", "acme"]


def test_a_missing_time_is_the_time_of_append() -> None:
    record = json.loads(text())
    del record["time"]
    assert run(registry_of(PLACED), json.dumps(record).encode()).frames[0].frame["time"].to_list() == [NOW - 7]


def test_the_past_is_never_bad_under_the_wall_clock() -> None:
    assert run(registry_of(PLACED), text(time="1970-01-01T00:00:00Z")).bad == ()


def test_the_event_clock_runs_within_a_batch() -> None:
    registry, start = registry_of(PLACED), "2010-01-01T00:00:00Z"
    times = [start, "2011-02-06T00:00:00Z", "2011-02-04T00:00:00Z", "2012-03-10T00:00:00Z", "2099-01-01T00:00:00Z", start]
    decoded = run(registry, *(text(id=f"e{at}", time=time) for at, time in enumerate(times)), rules=DecodeRules(0, "events"))
    assert [bad.row for bad in decoded.bad] == [1, 4]  # 401 days ahead; then 399 and 400 are fine; 2099 is not
    assert {bad.reason for bad in decoded.bad} == {"bad-time"}


def test_the_time_may_come_from_the_data() -> None:
    contract = EventContract(event="a.b", topic="a.events", data=Type("record", fields=(("at", TIMESTAMP),)), time="at")
    record = text(type="a.b", data={"at": "2026-09-20T00:00:00Z"})
    assert run(registry_of(contract), record).frames[0].frame["time"].to_list() == [NOW - 51_200_000_000 - DAY]


def test_unknown_fields_and_specversion_are_ignored() -> None:
    assert run(registry_of(PLACED), text(specversion="1.0", datacontenttype="application/json", more={"deep": [1]})).bad == ()


def test_records_of_an_old_schema_come_out_with_the_new_columns() -> None:
    registry = registry_of(PLACED)
    old = avro(registry, order(1))
    wider = Type("record", fields=(*ORDER.fields, ("note", Type("string", optional=True))))
    newer = EventContract(event="order.placed", topic="orders.events", data=Type("record", fields=(("order", wider),)))
    placed, changes = registered(registry, newer)
    assert placed.schema_id == 2
    for key, value in changes:
        registry.apply(key, value)
    event = order(2, note="hello")
    fresh = encode_events(placed, [event | {"data": {"order": {**dict.fromkeys(dict(wider.fields)), **event["data"]["order"]}}}])
    decoded = run(registry, *old, *fresh, of_order(note="json"))
    assert decoded.bad == ()
    assert [row["order"]["note"] for row in decoded.frames[0].frame["data"].to_list()] == [None, "hello", "json"]


def foreign(data: list[dict[str, Any]]) -> dict[str, Any]:
    top = [{"name": name, "type": "string"} for name in ("id", "source", "tenant")]
    return {
        "type": "record",
        "name": "thing",
        "fields": [*top, {"name": "data", "type": {"type": "record", "name": "d", "fields": data}}],
    }


def registry_with(schema: dict[str, Any]) -> Registry:
    registry = Registry()
    for key, value in registered(registry, contract_from_avro(schema, "a.b", "a.events"), schema)[1]:
        registry.apply(key, value)
    return registry


HEAD = frame_of(1) + text_bytes(b"e1") + text_bytes(b"s") + text_bytes(b"acme")


def test_arrays_and_maps_may_be_written_in_blocks_with_negative_counts() -> None:
    schema = foreign(
        [
            {"name": "words", "type": {"type": "array", "items": "string"}},
            {"name": "by", "type": {"type": "map", "values": "long"}},
        ]
    )
    array = long_bytes(-2) + long_bytes(4) + text_bytes(b"a") + text_bytes(b"b") + long_bytes(1) + text_bytes(b"c") + b"\0"
    pairs = long_bytes(-1) + long_bytes(3) + text_bytes(b"k") + long_bytes(7) + b"\0"
    registry = registry_with(schema)
    assert registry.avro_reader(1).route == "fast"  # type: ignore[union-attr]
    (events,) = run(registry, HEAD + array + pairs, HEAD + b"\0\0").frames
    assert events.frame["data"].to_list() == [{"words": ["a", "b", "c"], "by": b'{"k":7}'}, {"words": [], "by": b"{}"}]


def test_a_recursive_body_that_would_end_the_process_is_set_aside() -> None:
    node = {"type": "record", "name": "n", "fields": [{"name": "next", "type": ["null", "n"]}]}
    registry = registry_with(foreign([{"name": "n", "type": node}]))
    assert registry.avro_reader(1).route == "slow"  # type: ignore[union-attr]
    decoded = run(registry, HEAD + b"\x02\x02\0", HEAD + b"\x02" * 500_000 + b"\0", HEAD + b"\0")
    assert only_reason(decoded) == "too-deep"
    assert decoded.frames[0].frame["data"].to_list()[0] == {"n": {"next": b'{"next":{"next":null}}'}}


def test_enums_are_words_and_an_index_that_is_none_is_bad() -> None:
    registry = registry_with(
        foreign([{"name": "stage", "type": ["null", {"type": "enum", "name": "st", "symbols": ["Won", "Lost"]}]}])
    )
    decoded = run(registry, HEAD + b"\x02\x02", HEAD + b"\x02\x06", HEAD + b"\0")
    assert only_reason(decoded) == "wrong-schema"
    assert decoded.frames[0].frame["data"].to_list() == [{"stage": "Lost"}, {"stage": None}]


def test_no_records_decode_to_nothing() -> None:
    assert decode([], Registry(), DecodeRules(NOW)) == Decoded((), (), 0)


def test_types_that_json_cannot_hold_exactly_survive_the_way_through_it() -> None:
    contract = EventContract(event="a.b", topic="a.events", data=Type("record", fields=(("x", FLOAT), ("y", ANY))))
    registry = registry_of(contract)
    event = {"id": "1", "source": "s", "tenant": "t", "time": NOW + 1, "data": {"x": 0.1, "y": "text"}}
    assert json.loads(to_json(contract, event))["time"] == "2026-09-21T14:13:20.000001Z"
    (events,) = run(registry, to_json(contract, event)).frames
    assert events.frame["data"].to_list() == [{"x": 0.1, "y": b'"text"'}]


def test_whether_a_time_is_too_far_ahead_does_not_depend_on_when_it_is_read() -> None:
    day_us = 86_400_000_000
    for now_us in (NOW, NOW + 5 * day_us):
        decoded = run(registry_of(PLACED), text(time="2026-09-22T14:13:21Z"), text(id="e2"), rules=DecodeRules(now_us))
        assert [bad.reason for bad in decoded.bad] == ["bad-time"]
        assert decoded.frames[0].frame.height == 1


def test_what_a_run_for_all_tenants_says_itself_is_of_all() -> None:
    own = Chunk("engine-0.db", "orders.events", 0, 0, NOW - 7, [text(tenant="*"), text(tenant="-"), text(tenant="acme")])
    decoded = decode([chunk(text(tenant="*")), own], registry_of(PLACED), DecodeRules(NOW))
    assert [frame.frame.get_column("tenant").to_list() for frame in decoded.frames] == [["*", "acme"]]
    assert [(bad.slot.source, bad.position, bad.reason) for bad in decoded.bad] == [
        ("ingress.db", 0, "bad-name"),
        ("engine-0.db", 1, "bad-name"),
    ]
