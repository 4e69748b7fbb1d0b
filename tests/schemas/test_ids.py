"""Golden values: a changed id is a doubled command, a changed shard a lost order."""

from decimal import Decimal
from math import inf, nan

import pytest

from schemas.ids import action_id, batch_id, entity_bucket, event_key, execution_id, key_text, murmur2, shard_of, wait_key

# from Kafka's UtilsTest.testMurmur2
KAFKA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("text", "hashed"), KAFKA.items())
def test_murmur2_is_that_of_kafka(text: str, hashed: int) -> None:
    assert murmur2(text.encode()) == hashed & 0xFFFFFFFF


def test_shards_are_frozen() -> None:
    assert [shard_of(tenant) for tenant in ("acme", "globex", "", "Zürich", "t0", "t1")] == SHARDS


def test_ids_are_frozen() -> None:
    key = event_key("acme", "/crm", "e-1")
    execution = execution_id("live", "acme", "onboarding", key, 1_700_000_000_123_456)
    assert key.hex() == EVENT
    assert execution.hex() == EXECUTION
    assert action_id(execution, "create_project", 0).hex() == ACTION


def test_the_buckets_of_entities_are_frozen() -> None:
    entities = ("C7", "C8", "", "Zoë", None)
    found = [entity_bucket("acme", "refunds", entity) for entity in entities]
    assert [*found, entity_bucket("zen", "refunds", "C7"), entity_bucket("acme", "orders", "C7")] == BUCKETS_FROZEN


def test_wait_keys_are_frozen_and_tell_their_parts_apart() -> None:
    assert wait_key("acme", "payment.received", [("payment.invoice_id", "I-1")]) == WAIT
    assert wait_key("ab", "c", [("d", "e")]) != wait_key("a", "bc", [("d", "e")])
    assert wait_key("a", "b", [("c", "d"), ("e", "f")]) != wait_key("a", "b", [("c", "d1:e1:f")])


def test_numbers_that_are_equal_have_one_text() -> None:
    assert {key_text(one) for one in (100, Decimal("1E+2"), Decimal("100.00"), 100.0, "100")} == {"100"}
    assert {key_text(one) for one in (0, Decimal("-0.0"), -0.0)} == {"0"}
    assert (key_text(True), key_text(Decimal("0.10")), key_text(0.5)) == ("true", "0.1", "0.5")
    nothing: tuple[object, ...] = (None, [], {}, nan, inf, Decimal("NaN"), Decimal("1e999999999"))
    assert {key_text(one) for one in nothing} == {None}


def test_ids_sort_by_the_time_of_their_cause() -> None:
    key = event_key("acme", "/crm", "e-1")
    early, late = (execution_id("live", "acme", "f", key, at) for at in (1_000_000, 2_000_000))
    assert early < late
    assert early[:6] == action_id(early, "s", 0)[:6]


def test_neighbouring_fields_do_not_run_together() -> None:
    assert event_key("ab", "c", "d") != event_key("a", "bc", "d") != event_key("a", "b", "cd")
    assert execution_id("live", "ab", "c", b"", 0) != execution_id("live", "a", "bc", b"", 0)


WAIT = -1847698724953194249
BUCKETS_FROZEN = [4425, 4574, 9775, 7368, 9999, 4605, 7436]
SHARDS = [4, 63, 25, 49, 54, 3]
EVENT = "7c78b8c8a29ec7f4cb8961cfb859d8a2"
EXECUTION = "018bcfe5687b62b8a09e8b791b3d5960"
ACTION = "018bcfe5687b0cab9c972c0d0bc0ef43"


def test_a_batch_is_named_by_its_members_in_order() -> None:
    assert batch_id(["a", "b"]) == "8cd3aea08b0b4b4577dfff05e7e04db4"
    assert len({batch_id(names) for names in (["a", "b"], ["b", "a"], ["ab"], ["a\0b", ""], [])}) == 5
