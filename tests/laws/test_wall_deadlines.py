"""Laws of deadlines under the wall clock: what was appended by then wins, what was appended behind loses, however it is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from flows.engine.settings import EngineSettings
from flows.language.definitions import control_records, load_definitions
from schemas.avro.schema import avro_schema
from schemas.records import Decision, encode
from schemas.topics import CONTROL, DECISIONS
from tests.laws.recorded import PARTITIONS, TENANT, Recorded, recorded
from tests.simulation.business import stamp

MINUTE_US: Final = 60_000_000
DAY_US: Final = 24 * 60 * MINUTE_US
FLOWS: Final = """
event: order.placed
topic: shop.events
fields: {order: {id: string}}
---
event: order.paid
topic: shop.events
fields: {order: {id: string}}
---
flow: asked
trigger: {event: order.placed}
steps: [{approve: "{{ order.id }}?", as: ask, by: {role: boss}, timeout: 10m, on_timeout: rejected}]
---
flow: paid_soon
trigger:
  sequence: {key: order.id, within: 20m, events: [{event: order.placed, as: first}, {event: order.paid, as: second}]}
steps: [{action: note, with: {order: "{{ first.order.id }}"}}]
---
flow: hourly
trigger: {schedule: 0 * * * *, zone: UTC, missed: last}
steps: [{action: note, with: {order: none}}]
---
flow: raced
trigger: {event: order.placed}
steps:
  - parallel:
      soon: [{wait: order.paid, as: met, correlate: met.order.id == order.id, timeout: 30m, on_timeout: continue}]
      later: [{delay: 40m}]
      also: [{wait: order.paid, as: again, correlate: again.order.id == order.id, timeout: 50m, on_timeout: continue}]
    join: all
    as: arms
"""


def deployed(one: Recorded, path: Path, *flows: str) -> Recorded:
    documents = FLOWS.strip().split("---\n")
    kept = [text for text in documents if not text.startswith("flow:") or text.split()[1] in flows]
    send_flows(one, path, "---\n".join(kept))
    while one.step():
        pass
    return one


def send_flows(one: Recorded, path: Path, text: str) -> None:
    (path / "flows.yaml").write_text(text)
    found = load_definitions([path / "flows.yaml"])
    assert found.ok, found.problems
    numbers = iter(range(1, 10))
    one.send(CONTROL, *(encode(record) for record in control_records(found, lambda _: next(numbers), avro_schema)))


def event(one: Recorded, kind: str, order: str, ago_us: int = 0, **more: int) -> None:
    said = {"specversion": "1.0", "source": "/shop", "type": kind, "tenant": TENANT, "id": f"{kind} {order}"}
    said["time"] = stamp(one._clock.at_us - ago_us)
    one.send("shop.events", json.dumps(said | {"data": {"order": {"id": order, **more}}}).encode())


def at_rest(one: Recorded) -> list[list[str]]:
    """Work off what is there; give what each execution did, in the order of their starts."""
    while one.step():
        one.answer()
    one.answer()
    return [[f"{step}.{kind}" for _, kind, step, *_ in did] for did in one.histories.values()]


def decision(execution: str) -> bytes:
    return encode(Decision(tenant=TENANT, execution=execution, step="ask", outcome="approved", by="ann", roles=["boss"], at=0))


class Nobody:
    """A desk that says nothing of itself."""

    def answers(self, action: dict[str, Any]) -> None:
        """Answer no command."""

    def decides(self, history: dict[str, Any]) -> tuple[()]:
        """Decide nothing."""
        return ()

    unsticks = forks = decides


@pytest.mark.parametrize("turn_rows", [1, 8192])
def test_a_decision_in_time_counts_though_more_came_behind_the_deadline(tmp_path: Path, turn_rows: int) -> None:
    with recorded(EngineSettings("wall", turn_rows, partitions=PARTITIONS), 0, 20_000) as one:
        one.desk = Nobody()  # type: ignore[assignment]
        deployed(one, tmp_path, "asked")
        event(one, "order.placed", "o1")
        at_rest(one)
        (asked,) = one.histories
        one._clock.at_us += 5 * MINUTE_US
        one.send(DECISIONS, decision(asked))
        one._clock.at_us += 10 * MINUTE_US
        one.send(DECISIONS, decision("00" * 16))  # in one turn with it, and appended behind the deadline
        one._clock.at_us += 120 * MINUTE_US
        (did,) = at_rest(one)
        assert "ask.decided" in did
        assert "ask.timed_out" not in did


@pytest.mark.parametrize(("behind_us", "counts"), [(-1, True), (0, True), (1, False)])
def test_a_decision_at_the_very_deadline_still_counts(tmp_path: Path, behind_us: int, *, counts: bool) -> None:
    with recorded(EngineSettings("wall", partitions=PARTITIONS), 0, 20_000) as one:
        one.desk = Nobody()  # type: ignore[assignment]
        deployed(one, tmp_path, "asked")
        event(one, "order.placed", "o1")
        at_rest(one)
        (asked,) = one.histories
        one._clock.at_us += 10 * MINUTE_US + behind_us
        one.send(DECISIONS, decision(asked))
        one._clock.at_us += 120 * MINUTE_US
        (did,) = at_rest(one)
        assert ("ask.decided" in did, "ask.timed_out" in did) == (counts, not counts)


@pytest.mark.parametrize("turn_rows", [1, 8192])
def test_a_sequence_that_is_over_when_it_begins_is_over_for_the_next_row(tmp_path: Path, turn_rows: int) -> None:
    with recorded(EngineSettings("wall", turn_rows, partitions=PARTITIONS), 0, 20_000) as one:
        deployed(one, tmp_path, "paid_soon")
        event(one, "order.placed", "o1", 60 * MINUTE_US)
        one._clock.at_us += MINUTE_US
        event(one, "order.paid", "o1", 51 * MINUTE_US)  # ten minutes later, but a minute behind what was over by then
        assert at_rest(one) == []


@pytest.mark.parametrize("beside", [(), ("hourly",)], ids=["alone", "beside a slot"])
@pytest.mark.parametrize("due_most", [1, 2, 3, 20_000])
def test_delays_and_deadlines_that_are_long_over_go_by_their_times(
    tmp_path: Path, due_most: int, beside: tuple[str, ...]
) -> None:
    with recorded(EngineSettings("wall", partitions=PARTITIONS), 0, due_most) as one:
        deployed(one, tmp_path, "raced", *beside)
        event(one, "order.placed", "o1")
        event(one, "order.placed", "o2")
        at_rest(one)
        one._clock.at_us += 45 * MINUTE_US
        event(one, "order.paid", "o1")
        event(one, "order.paid", "o2")
        one._clock.at_us += 120 * MINUTE_US
        all_did = at_rest(one)
        assert len(all_did) == 2 + len(beside)
        for did in all_did[:2]:
            ends = [word for word in did if word.endswith(("timed_out", "met")) or word == "delay_1.completed"]
            assert ends == ["met.timed_out", "delay_1.completed", "again.met"]


@pytest.mark.parametrize("order", ["o1", "o9"], ids=["heeded", "heeded by nobody"])
def test_time_passes_before_an_event_whether_or_not_somebody_heeds_it(tmp_path: Path, order: str) -> None:
    with recorded(EngineSettings("wall", 8192, partitions=PARTITIONS), 0, 20_000) as one:
        deployed(one, tmp_path, "raced")
        event(one, "order.placed", "o1")
        at_rest(one)
        one._clock.at_us += MINUTE_US
        event(one, "order.paid", order)
        one._clock.at_us += 120 * MINUTE_US
        (did,) = at_rest(one)
        ends = [what for what in did if what.startswith(("met.", "again.", "delay_1.")) and not what.endswith(".entered")]
        assert ends[0] == "delay_1.completed", (
            "a delay that is due ends before the first row of a turn, deadlines behind what came in time"
        )
        assert len(ends) == 3, ends


SILENT: Final = """
event: order.placed
topic: shop.events
fields: {order: {id: string, pieces: int}}
---
event: order.asked
topic: shop.events
fields: {order: {id: string}}
---
event: order.told
topic: told.events
fields: {order: {id: string}}
---
flow: counted
trigger:
  event: order.placed
  conditions: [order.pieces >= 1]
  window: {key: order.id, sliding: 20m, fire: every, measures: {orders: count()}, when: window.orders >= 1, lateness: 0s}
steps: [{action: note, with: {orders: "{{ window.orders }}"}}]
---
flow: tells
trigger: {event: order.asked}
steps: [{emit: order.told, with: {order: {id: "{{ order.id }}"}}}]
"""


@pytest.mark.parametrize("deaths", [0, 1, 3], ids=["no death", "a death", "deaths until it reads one input at a time"])
def test_what_has_passed_stays_so_while_the_engine_has_own_events_to_read(tmp_path: Path, deaths: int) -> None:
    with recorded(EngineSettings("wall", partitions=PARTITIONS), 0, 20_000) as one:
        send_flows(one, tmp_path, SILENT)
        at_rest(one)
        first_us = one._clock.at_us
        event(one, "order.placed", "o1", pieces=-1)  # moves the time of its tenant; nothing is held for it
        at_rest(one)
        one._clock.at_us += 3 * DAY_US
        event(one, "order.asked", "o2")
        one._clock.at_us += MINUTE_US
        send_flows(one, tmp_path, SILENT)  # what comes behind a deployment waits for the next turn
        event(one, "order.placed", "o3", one._clock.at_us - first_us - 10 * MINUTE_US, pieces=1)
        one._clock.at_us += 60 * MINUTE_US
        assert one.step()
        one.answer()
        assert one.events, "the first turn has emitted an event, which nobody has read yet"
        for _ in range(deaths):
            one.restart(mid_turn=True)
        at_rest(one)
        assert one.late == [("o3", "order.placed o3")]
        assert not any("note" in action["type"] for action in one.actions)
