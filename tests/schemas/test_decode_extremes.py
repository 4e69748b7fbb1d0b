"""Values that a parser lets through and no column can hold: each sets its own record aside and no other."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.contracts import EventContract
from schemas.decode import Decoded, DecodeRules, decode, key_rows
from schemas.expression.types import FLOAT, Type
from schemas.ports import Chunk
from schemas.records import RECORD_BYTES_MAX
from schemas.registry import Registry, registered

FIELDS = {
    "decimal": Type("decimal", optional=True),
    "money": Type("money", currency="EUR", optional=True),
    "any": Type("any", optional=True),
    "list": Type("list", item=Type("any"), optional=True),
    "floats": Type("list", item=FLOAT, optional=True),
    "duration": Type("duration", optional=True),
    "timestamp": Type("timestamp", optional=True),
}
CONTRACT = EventContract(event="thing.made", topic="lab.events", data=Type("record", fields=tuple(FIELDS.items())))


def _record(field: str = "decimal", value: bytes = b"1") -> bytes:
    envelope = b'{"id":"1","source":"s","type":"thing.made","tenant":"t","time":"2026-09-20T10:00:00Z","data":{"'
    return envelope + field.encode() + b'":' + value + b"}}"


def _decoded(*records: bytes) -> Decoded:
    registry = Registry()
    for key, value in registered(registry, CONTRACT)[1]:
        registry.apply(key, value)
    decoded = decode([Chunk("ingress.db", "lab.events", 0, 0, 1_790_000_000_000_000, records)], registry, DecodeRules(0))
    for events in decoded.frames:
        key_rows(events.frame, FIELDS, events.contract.data)
    return decoded


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("decimal", b"1e1000000", "wrong-schema"),
        ("decimal", b"1e999999999999", "wrong-schema"),
        ("decimal", b"1e99999999999999999999999", "wrong-schema"),
        ("decimal", b"1e-10", "wrong-schema"),
        ("decimal", b"99999999999999999999999999999.9999999999", "wrong-schema"),
        ("decimal", b'"\xff"', "malformed-json"),
        ("money", b'"\xff EUR"', "malformed-json"),
        ("money", b'"\xd9\xa1\xd9\xa2 EUR"', "wrong-schema"),
        ("money", b'"1_000 EUR"', "wrong-schema"),
        ("money", b'"Infinity EUR"', "wrong-schema"),
        ("money", b'"1e9999999 EUR"', "wrong-schema"),
        ("any", b"1e400", "not-finite"),
        ("any", b'{"a":[-1E+400]}', "not-finite"),
        ("any", b"1" * 5_000, "not-finite"),
        ("any", b'{"a":[9223372036854775808]}', "wrong-schema"),
        ("any", b'"\xe9t\xe9"', "malformed-json"),
        ("any", b'{"\xff":1}', "malformed-json"),
        ("any", b"[" * 65 + b"]" * 65, "too-deep"),
        ("list", b'[1,"\xff"]', "malformed-json"),
        ("list", b"[1,[1e400]]", "not-finite"),
        ("floats", b"[1e400]", "wrong-schema"),
        ("floats", b"[null]", "wrong-schema"),
        ("duration", b'"99999999999999999999d"', "wrong-schema"),
        ("timestamp", b'"0001-01-01T00:00:00+23:59"', "bad-time"),
        ("timestamp", b'"9999-12-31T23:59:59-23:59"', "bad-time"),
    ],
)
def test_what_no_column_can_hold_sets_its_record_aside_and_no_other(field: str, value: bytes, reason: str) -> None:
    decoded = _decoded(_record(), _record(field, value), _record())
    assert [(bad.position, bad.reason, bad.tenant) for bad in decoded.bad] == [(1, reason, "t")]
    assert [events.frame.height for events in decoded.frames] == [2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0e99999999999", "0"),
        (b"0e-99999999999", "0"),
        (b"1." + b"0" * 5_000, "1"),
        (b"12300e-5", "0.123"),
        (b"-1200e2", "-120000"),
        (b"1e28", "10000000000000000000000000000"),
        (b"99999999999999999999999999999.9999999990", "99999999999999999999999999999.999999999"),
    ],
)
def test_an_unusual_spelling_of_a_decimal_loses_no_digit(text: bytes, value: str) -> None:
    decoded = _decoded(_record("decimal", text))
    assert [events.frame["data"].struct.field("decimal").to_list() for events in decoded.frames] == [[Decimal(value)]]


def test_a_record_that_is_too_large_keeps_its_tenant() -> None:
    large = _record("any", b'"' + b"x" * RECORD_BYTES_MAX + b'"')
    assert [(bad.reason, bad.tenant) for bad in _decoded(large).bad] == [("too-large", "t")]
