"""Shares of a turn between tenants: order is kept, nothing is lost, and who has little does not wait."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from flows.engine.fair import FairShare, Place
from schemas.ports import Chunk, Slot

SLOTS = (Slot("ingress.db", "orders.events", 0), Slot("ingress.db", "crm.events", 3))


class Log:
    """Records of tenants in two slots, cut into chunks as a poll gives them."""

    def __init__(self) -> None:
        self.ends = dict.fromkeys(SLOTS, 0)
        self.sent: dict[str, list[bytes]] = defaultdict(list)

    def poll(self, tenants: str) -> list[Chunk]:
        chunks = []
        for slot in SLOTS:
            mine = [tenant for at, tenant in enumerate(tenants) if at % 2 == SLOTS.index(slot)]
            base, records = self.ends[slot], []
            for at, tenant in enumerate(mine, base):
                records.append(f"{tenant} {slot.topic} {at}".encode())
            self.ends[slot] += len(mine)
            if records:
                chunks.append(Chunk(*slot, base, base, records))
        for chunk in chunks:
            for record in chunk.records:
                self.sent[record.decode()[0]].append(record)
        return chunks


def tenants_of(chunks: list[Chunk]) -> list[str | None]:
    return [record.decode()[0] for chunk in chunks for record in chunk.records]


def turn(share: FairShare, log: Log, tenants: str) -> list[bytes]:
    """Do one turn; give what was worked on."""
    first = share.take()
    chunks = [*first, *log.poll(tenants)]
    fresh = chunks[len(first) :]
    going = [*first, *share.divide(fresh, tenants_of(fresh))]
    assert all(log.ends[chunk.slot] >= chunk.end for chunk in going)
    return [record for chunk in going for record in chunk.records]


@given(st.lists(st.text("abc", max_size=30), max_size=12), st.integers(1, 6))
def test_rows_of_a_tenant_keep_their_order_and_none_is_lost(turns: list[str], most: int) -> None:
    share, log = FairShare(turn_rows=most, much_rows=most), Log()
    worked = [record for tenants in turns for record in turn(share, log, tenants)]
    for _ in range(400):
        worked += turn(share, log, "")
    assert share.waiting == 0
    assert share.places() == {}
    for tenant, sent in log.sent.items():
        for slot in SLOTS:
            of = [one for one in worked if one.startswith(f"{tenant} {slot.topic}".encode())]
            assert of == [one for one in sent if slot.topic.encode() in one]


@given(st.lists(st.text("aaaaabc", max_size=40), max_size=12))
def test_who_asks_for_little_never_waits(turns: list[str]) -> None:
    share, log = FairShare(turn_rows=8, much_rows=8), Log()
    for tenants in turns:
        before = {tenant: len(sent) for tenant, sent in log.sent.items()}
        worked = turn(share, log, tenants)
        for tenant in "bc":
            fresh = log.sent[tenant][before.get(tenant, 0) :]
            if tenants.count(tenant) <= 8 and not any(place.tenant == tenant for place in share.places()):
                assert set(fresh) <= set(worked)


def test_who_is_alone_does_not_wait() -> None:
    share, log = FairShare(turn_rows=4, much_rows=4), Log()
    assert len(turn(share, log, "a" * 100)) == 100
    assert turn(share, log, "b" + "a" * 100) == [b"b orders.events 50"]
    assert len(turn(share, log, "")) == 4


def test_those_that_all_have_much_do_not_wait_for_each_other() -> None:
    share, log = FairShare(turn_rows=4, much_rows=4), Log()
    assert len(turn(share, log, "abc" * 20)) == 60
    assert len(turn(share, log, "d" + "abc" * 20)) == 1


def test_a_start_knows_from_where_on_each_tenant_waits() -> None:
    share, log = FairShare(turn_rows=4, much_rows=4), Log()
    turn(share, log, "b" + "a" * 40)
    places = share.places()
    assert {place.tenant for place in places} == {"a"}
    first = places[Place("a", SLOTS[0])]
    turn(share, log, "")
    assert share.places()[Place("a", SLOTS[0])] > first or Place("a", SLOTS[0]) not in share.places()


@given(st.lists(st.text("abcd", max_size=30), max_size=12), st.integers(1, 6))
def test_a_place_is_where_the_first_record_lies_that_was_not_worked_on(turns: list[str], most: int) -> None:
    share, log = FairShare(turn_rows=most, much_rows=most), Log()
    left: dict[Place, list[int]] = defaultdict(list)
    for tenants in [*turns, *[""] * 20]:
        before = {tenant: len(sent) for tenant, sent in log.sent.items()}
        worked = set(turn(share, log, tenants))
        for tenant, sent in log.sent.items():
            for record in sent[before.get(tenant, 0) :]:
                left[_place_of(record)].append(int(record.split()[2]))
        for record in worked:
            left[_place_of(record)].remove(int(record.split()[2]))
        assert share.places() == {place: min(at) for place, at in left.items() if at}


def _place_of(record: bytes) -> Place:
    tenant, topic, _ = record.decode().split()
    return Place(tenant, next(slot for slot in SLOTS if slot.topic == topic))


def test_tenants_share_by_their_weights() -> None:
    share, log = FairShare({"a": 3}, turn_rows=8, much_rows=8), Log()
    turn(share, log, "c" + "ab" * 200)
    worked = turn(share, log, "")
    assert sum(one.startswith(b"a") for one in worked) == 6
    assert sum(one.startswith(b"b") for one in worked) == 2
