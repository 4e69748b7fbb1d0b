"""The laws of windows: they agree with their slow twin, and neither cuts, restarts nor shards show."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.triggers.match_rows import ALL
from operators.windows.tables import feed_of
from operators.windows.windows import Events, Found, Watcher, Windows
from schemas.expression.tree import And, Compare, Constant, Field, Not, Tree
from schemas.expression.types import INT, STRING, Type
from schemas.frames import ENVELOPE
from schemas.ports import StoredWindows, WindowBlock, WindowChanges
from schemas.program import Measure, Window
from tests.examples import examples
from tests.laws.window_twin import SILENT_US, Back, Event, Late, Twin, Verdict

EVENT = "order.placed"
BASE = 1_000_000
MONEY = Type("money", currency="GBP")
DATA = Type("record", fields=(("order", Type("record", fields=(("customer", STRING), ("total", MONEY), ("number", INT)))),))
CUSTOMER, TOTAL, NUMBER = Field("order.customer", (), STRING), Field("order.total", (), MONEY), Field("order.number", (), INT)
COUNT, SPEND = Field("window.orders", (), INT), Field("window.spend", (), MONEY)
SCHEMA = {
    "row": pl.UInt32(),
    **ENVELOPE,
    "data": pl.Struct({"order": pl.Struct({"customer": pl.String(), "total": pl.Decimal(38, 9), "number": pl.Int64()})}),
}
MEASURES = (
    Measure("orders", "count", None, INT),
    Measure("spend", "sum", TOTAL, MONEY),
    Measure("most", "max", NUMBER, INT),
    Measure("kinds", "distinct", NUMBER, INT),
)


def least(field: Field, value: Any) -> Tree:
    return Compare(">=", field, Constant(value, field.type))


conditions = st.sampled_from([None, least(NUMBER, 0), least(NUMBER, 1)])
whens = st.sampled_from(
    [
        None,
        least(COUNT, 2),
        least(COUNT, 3),
        least(SPEND, "2"),
        And((least(COUNT, 2), least(NUMBER, 1))),
        least(NUMBER, 2),
        Compare("<=", COUNT, Constant(1, INT)),
        Not(least(SPEND, "2")),
    ]
)
kinds = st.sampled_from([("sliding", "crossing"), ("sliding", "every"), ("tumbling", "crossing"), ("tumbling", "close")])
more_kinds = kinds | st.sampled_from([("session", "crossing"), ("session", "every"), ("session", "close")])
watched = st.builds(
    lambda tenant, flow, condition, when, kind, size, lateness, measures, retract: (
        tenant,
        flow,
        condition,
        Window(CUSTOMER, kind[0], size, measures, when, kind[1], lateness, retract if kind[1] == "close" else 0),
    ),
    st.sampled_from(["acme", "globex", ALL]),
    st.sampled_from(["f", "g"]),
    conditions,
    whens,
    more_kinds,
    st.sampled_from([5, 20]),
    st.sampled_from([0, 0, 7]),
    st.sampled_from([MEASURES, MEASURES[:2]]),
    st.sampled_from([0, 8, 40]),
)
events = st.lists(
    st.tuples(
        st.integers(0, 9),  # its id
        st.sampled_from(["acme", "globex"]),
        st.integers(-12, 12),  # from the clock to its time
        st.sampled_from([None, "a", "b"]),
        st.none() | st.integers(-1, 3).map(Decimal),
        st.none() | st.integers(-1, 2),
        st.sampled_from([0, 0, 1, 1, 3, 15]),  # how far the clock goes on
        st.integers(0, 3),  # how far deadlines are behind it
    ),
    max_size=14,
)


def drawn(parts: Sequence[tuple[Any, ...]]) -> list[Event]:
    made: list[Event] = []
    clock = until = BASE
    for number, tenant, off, customer, total, count, on, behind in parts:
        clock += on
        until = max(until, clock - behind - 1)
        made.append(Event(f"e{number}", tenant, clock + off, customer, total, count, clock, until))
    return made


def watchers_of(listed: Sequence[tuple[str, str, Tree | None, Window]]) -> list[Watcher]:
    places: dict[tuple[str, str], int] = {}
    made = []
    for entry, (tenant, flow, condition, window) in enumerate(listed):
        order = places[tenant, flow] = places.get((tenant, flow), -1) + 1
        made.append(Watcher(entry, tenant, flow, order, feed_of(condition), condition, window, window.when))
    return made


class Kernel:
    """Windows, and what they stored."""

    def __init__(self, watchers: list[Watcher]) -> None:
        self.watchers = watchers
        self.file = StoredWindows()
        self.windows = self.opened()
        self.verdicts: list[Verdict] = []
        self.late: list[Late] = []
        self.back: list[Back] = []

    def opened(self) -> Windows:
        blocks = {shape: list(listed) for shape, listed in self.file.blocks.items()}
        windows = Windows(StoredWindows(list(self.file.tenants), dict(self.file.marks), blocks))
        windows.deploy(EVENT, self.watchers, [])
        return windows

    def take(self, events: Sequence[Event], first_row: int = 0) -> None:
        frame = _frame(events)
        copy = frame.clone()
        clock, until = np.array([one.clock for one in events], np.int64), np.array([one.until for one in events], np.int64)
        self._note(self.windows.take(Events(EVENT, frame, DATA, clock, until)), frame, first_row)
        assert frame.equals(copy)

    def advance(self, until: int) -> None:
        self._note(self.windows.advance(until), _frame([]), 0)

    def restart(self) -> None:
        store(self.file, self.windows.take_changes())
        self.windows = self.opened()

    def _note(self, found: list[Found], frame: pl.DataFrame, first_row: int) -> None:
        for one in found:
            for said in one.outcome.verdicts:
                ids, rows, clocks = said.events["id"].to_list(), said.row.tolist(), said.clock_us.tolist()
                measures = [tuple(row.items()) for row in said.windows.iter_rows(named=True)]
                for at, tenant, entry in said.pairs.rows():
                    row = rows[at] + first_row if rows[at] >= 0 else -1
                    self.verdicts.append(Verdict(entry, tenant, ids[at], row, clocks[at], measures[at]))
            if one.outcome.late is not None:
                ids = frame["id"].to_list()
                self.back += [Back(ids[back.row], back.tenant, back.flow, back.event) for back in one.outcome.taken_back]
                self.late += [Late(ids[row], tenant, flow, key) for row, tenant, flow, key, _ in one.outcome.late.rows()]


def store(file: StoredWindows, changes: WindowChanges) -> None:
    file.tenants = [*file.tenants, *changes.tenants]
    for shape in changes.dropped:
        file.marks.pop(shape, None)
        file.blocks.pop(shape, None)
    for shape, kind, block in changes.gone:
        file.blocks[shape] = [one for one in file.blocks.get(shape, []) if (one.kind, one.block) != (kind, block)]
    file.marks.update(changes.marks)
    for made in changes.blocks:
        kept = [one for one in file.blocks.get(made.shape, []) if (one.kind, one.block) != (made.kind, made.block)]
        file.blocks[made.shape] = [*kept, WindowBlock(*made)]


def _frame(events: Sequence[Event]) -> pl.DataFrame:
    rows = [
        {
            "row": row,
            "id": one.id,
            "source": "/shop",
            "type": EVENT,
            "time": one.time,
            "tenant": one.tenant,
            "hops": 0,
            "data": {"order": {"customer": one.customer, "total": one.total, "number": one.number}},
        }
        for row, one in enumerate(events)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def ordered(verdicts: list[Verdict]) -> list[Verdict]:
    return sorted(verdicts, key=lambda one: (one[:5], str(one.measures)))


@given(st.lists(watched, min_size=1, max_size=4), events, st.integers(0, 40))
@settings(max_examples=examples(120), deadline=None)
def test_windows_agree_with_their_slow_twin(listed: Any, parts: Any, on: int) -> None:
    watchers, made = watchers_of(listed), drawn(parts)
    kernel, twin = Kernel(watchers), Twin(EVENT, watchers, [])
    for one in (kernel, twin):
        one.take(made)
        one.advance(made[-1].until + on if made else BASE)
    assert ordered(kernel.verdicts) == ordered(twin.verdicts)
    assert sorted(kernel.late) == sorted(twin.late)
    assert sorted(kernel.back) == sorted(twin.back)


@given(st.lists(watched, min_size=1, max_size=3), events, st.lists(st.integers(0, 14), max_size=4), st.booleans())
@settings(max_examples=examples(60), deadline=None)
def test_batch_edges_and_restarts_do_not_show(listed: Any, parts: Any, cuts: list[int], again: bool) -> None:
    watchers, made = watchers_of(listed), drawn(parts)
    whole, cut = Kernel(watchers), Kernel(watchers)
    edges = sorted({0, len(made), *(place for place in cuts if place < len(made))})
    whole.take(made)
    for first, end in pairwise(edges):
        cut.take(made[first:end], first)
        cut.advance(made[end - 1].until)
        if again:
            cut.restart()
    until = (made[-1].until if made else BASE) + 50
    whole.advance(until)
    cut.advance(until)
    assert ordered(cut.verdicts) == ordered(whole.verdicts)
    assert sorted(cut.late) == sorted(whole.late)
    assert sorted(cut.back) == sorted(whole.back)


@given(st.lists(watched, min_size=1, max_size=3), events)
@settings(max_examples=examples(30), deadline=None)
def test_sharding_by_tenant_does_not_show(listed: Any, parts: Any) -> None:
    watchers, made = watchers_of(listed), drawn(parts)
    whole = Kernel(watchers)
    whole.take(made)
    whole.advance(BASE + 10_000)
    found: list[tuple[Any, ...]] = []
    for tenant in ("acme", "globex"):
        shard = Kernel(watchers)
        shard.take([one for one in made if one.tenant == tenant])
        shard.advance(BASE + 10_000)
        found += [_without_row(one) for one in shard.verdicts]
    assert sorted(found, key=str) == sorted((_without_row(one) for one in whole.verdicts), key=str)


def _without_row(one: Verdict) -> tuple[Any, ...]:
    return (one.entry, one.tenant, one.event, one.row >= 0, one.clock, one.measures)


@given(st.lists(watched, min_size=1, max_size=3), events)
@settings(max_examples=examples(30), deadline=None)
def test_state_empties_after_its_time(listed: Any, parts: Any) -> None:
    kernel = Kernel(watchers_of(listed))
    kernel.take(drawn(parts))
    kernel.advance(BASE + 10_000 + 2 * SILENT_US)
    assert kernel.windows.height() == (0, 0)
    assert kernel.windows.next_due_us() is None
    kernel.restart()
    assert all(not blocks for blocks in kernel.file.blocks.values())


@given(st.lists(watched, min_size=1, max_size=3), events)
@settings(max_examples=examples(40), deadline=None)
def test_the_next_verdict_is_due_when_it_is_said_to_be(listed: Any, parts: Any) -> None:
    kernel = Kernel(watchers_of(listed))
    kernel.take(drawn(parts))
    while (due := kernel.windows.next_due_us()) is not None:
        told = len(kernel.verdicts)
        kernel.advance(due - 1)
        assert (len(kernel.verdicts), kernel.windows.next_due_us()) == (told, due)
        kernel.advance(due)
        assert (kernel.windows.next_due_us() or due + 1) > due
