"""Laws of the engine for everything that comes into executions: waits, outcomes, decisions, calls, emitted events, watches.

However the inputs are cut into turns, however little a transaction may fire, wherever the engine dies: the histories are those
that the reference runner gives for the same order of inputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.engine.settings import EngineSettings
from flows.language.definitions import Definitions, control_records, load_definitions
from schemas.avro.schema import avro_schema
from schemas.expression.literals import print_timestamp
from schemas.records import Control, OperatorCommand, encode
from schemas.topics import COMMANDS, CONTROL
from tests.examples import examples
from tests.laws.recorded import HOLD, PARTITIONS, TENANT, Recorded, recorded, replayed

FLOWS: Final = Path(__file__).with_name("every_input.yaml")
START_US: Final = 1_770_000_000_000_000
MINUTE_US: Final = 60_000_000
seeds = st.integers(min_value=0, max_value=1 << 32)


@cache
def definitions() -> Definitions:
    loaded = load_definitions([FLOWS])
    assert loaded.ok, loaded.problems
    return loaded


def controls() -> list[bytes]:
    numbers = iter(range(1, 1000))
    records = control_records(definitions(), lambda _: next(numbers), avro_schema)
    return [encode(one) for one in (Control(key=HOLD, value=True), *records)]


def story(rng: Random, length: int) -> list[tuple[str, bytes]]:
    """Draw what is sent from outside: events of few orders, out of order and twice, starts by hand, cancels."""
    sent: list[tuple[str, bytes]] = []
    at_us = START_US
    for number in range(length):
        at_us += rng.choice((0, 1, 30, 60, 90)) * MINUTE_US
        order = f"O{rng.randrange(5)}"
        lot = rng.random()
        if lot < 0.1 and sent:
            sent.append(rng.choice(sent))
        elif lot < 0.17:
            sent.append((COMMANDS, by_hand(rng, order, at_us)))
        else:
            early_us = rng.choice((0, 0, 0, 90)) * MINUTE_US
            sent.append(event(rng, number, order, at_us - early_us))
    return sent


def event(rng: Random, number: int, order: str, at_us: int) -> tuple[str, bytes]:
    kind = rng.choice(("order.placed", "order.placed", "payment.received", "order.changed", "payment.received"))
    total = rng.randrange(100)
    if kind == "payment.received":
        data: dict[str, Any] = {"payment": {"order": order, "amount": total}}
    else:
        data = {"order": {"id": order, "total": total} | ({"days": rng.randrange(3)} if kind == "order.placed" else {})}
    record = {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/law",
        "type": kind,
        "tenant": TENANT,
        "time": print_timestamp(at_us),
        "data": data,
    }
    return "shop.events", json.dumps(record).encode()


def by_hand(rng: Random, order: str, at_us: int) -> bytes:
    roles = rng.choice((["clerk"], ["clerk"], ["guest"]))
    inputs = rng.choice(({"order": order, "days": 1}, {"order": order, "days": 1}, {"order": 7}))
    return encode(
        OperatorCommand(command="start", tenant=TENANT, flow="settle", inputs=inputs, id=order, by="ann", roles=roles, at=at_us)
    )


def run(
    one: Recorded, sent: Sequence[tuple[str, bytes]], cuts: Sequence[int], deaths: Sequence[int], partings: Sequence[int] = ()
) -> None:
    one.send(CONTROL, *controls())
    at = 0
    for turn, size in enumerate(cycle(cuts)):
        for topic, data in sent[at : at + size]:
            one.send(topic, data)
        at += size
        if turn in deaths:
            one.restart(mid_turn=turn % 2 == 0)
        one.step(*([1 + turn % 2] if turn in partings else []))
        if turn % 3 == 0:
            one.answer()
        if at >= len(sent):
            break
    one.come_to_rest()


@settings(max_examples=examples(12), deadline=None)
@given(
    seed=seeds,
    cuts=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    turn_rows=st.sampled_from([3, 7, 8192]),
    due_most=st.sampled_from([1, 3, 20_000]),
    meet_most=st.sampled_from([1, 2, 20_000]),
    deaths=st.lists(st.integers(0, 40), max_size=4),
)
def test_any_cut_and_any_death_give_what_the_reference_gives_for_the_same_order(
    seed: int, cuts: list[int], turn_rows: int, due_most: int, meet_most: int, deaths: list[int]
) -> None:
    sent = story(Random(seed), 60)
    with recorded(EngineSettings("events", turn_rows, partitions=PARTITIONS), seed, due_most, meet_most) as one:
        one.desk.programs = {flow.version: flow.program for flow in definitions().flows}
        run(one, sent, cuts, deaths)
        local = replayed(one.order)
        assert one.histories == transitions(local.histories())
        forked = sum(moment[1] == "forked" for moments in one.histories.values() for moment in moments)
        seen(f"forks: {min(forked, 3)}")
        assert {action["id"] for action in one.actions} == {command.id for command in local.commands}
        assert len(one.actions) == len(local.commands)
        assert sorted(one.late) == sorted(local.late)
        assert sorted(json.loads(data)["id"] for data in one.events) == sorted(event.id for _, event in local.events)
        assert all(status_ended(history.status) for history in local.histories())


@settings(max_examples=examples(12), deadline=None)
@given(
    seed=seeds,
    cuts=st.lists(st.integers(4, 20), min_size=1, max_size=6),
    meet_most=st.sampled_from([1, 2]),
    partings=st.sets(st.integers(0, 14), min_size=4),
)
def test_a_death_between_two_parts_of_a_turn_makes_nothing_happen_twice(
    seed: int, cuts: list[int], meet_most: int, partings: set[int]
) -> None:
    sent = story(Random(seed), 40)
    with recorded(EngineSettings("events", partitions=PARTITIONS), seed, 20_000, meet_most) as one:
        one.desk.programs = {flow.version: flow.program for flow in definitions().flows}
        run(one, sent, cuts, [], sorted(partings))
        seen(f"deaths between parts: {min(one.partings, 5)}")
        local = replayed(one.order)
        assert one.histories == transitions(local.histories())
        assert sorted(action["id"] for action in one.actions) == sorted(command.id for command in local.commands)
        assert sorted(one.late) == sorted(local.late)
        letters = [(letter["topic"], letter["partition"], letter["position"]) for letter in one.dead if letter["topic"]]
        assert len(letters) == len(set(letters))


def transitions(histories: Sequence[Any]) -> dict[str, list[Any]]:
    return {one.execution: json.loads(encode(one), parse_float=Decimal)["transitions"] for one in histories}


def status_ended(status: str) -> bool:
    return status in ("completed", "failed", "cancelled")


def said(number: int, kind: str, minutes: int, order: str, total: int = 5) -> tuple[str, bytes]:
    paid = kind == "payment.received"
    data = {"payment": {"order": order, "amount": 1}} if paid else {"order": {"id": order, "total": total, "days": 0}}
    time = print_timestamp(START_US + minutes * MINUTE_US)
    envelope = {"specversion": "1.0", "id": f"e{number}", "source": "/law", "type": kind, "tenant": TENANT, "time": time}
    return "shop.events", json.dumps(envelope | {"data": data}).encode()


def test_what_comes_behind_the_verdict_of_an_absence_is_late() -> None:
    placed = said(1, "order.placed", 0, "O1")
    on_time, beyond, late = (
        said(2, "payment.received", 30, "O2"),
        said(3, "payment.received", 300, "O1"),
        said(4, "payment.received", 60, "O1"),
    )
    with recorded(EngineSettings("events", partitions=PARTITIONS), 1, 20_000) as one:
        run(one, [placed, on_time, said(5, "order.changed", 299, "O9"), beyond, late, late], [1], [4])
        local = replayed(one.order)
        begun = {of.runnable.program.flow: of.id.hex() for of in local.executions.values()}
        assert sorted(one.late) == sorted([(begun["missing"], "e4"), (begun["last_wins"], "e4")]) == sorted(local.late)
        assert "retracted" in [kind for _, kind, *_ in one.histories[begun["missing"]]]


@pytest.mark.parametrize("cuts", [[1], [3], [20]])
def test_an_absence_goes_by_the_times_of_events_and_not_by_which_came_first(cuts: list[int]) -> None:
    sent = [
        said(1, "payment.received", 10, "O1"),
        said(2, "order.placed", 0, "O1"),  # late itself: it was paid in its time, and that has been read already
        said(3, "payment.received", -5, "O2"),
        said(4, "order.placed", 0, "O2"),  # that payment was before it
        said(5, "order.placed", 0, "O3"),
        said(6, "payment.received", -5, "O3"),  # before it too, though it comes behind
        said(7, "payment.received", 11, "O4"),
        said(8, "order.changed", 42, "O9"),
        said(9, "order.placed", 0, "O4"),  # later than its lateness says: what came over 30 minutes ago is not asked
        said(10, "order.changed", 170, "O9"),  # the verdicts
        said(11, "payment.received", -1, "O2"),
        said(12, "payment.received", 5, "O3"),  # disproves
        said(13, "order.changed", 400, "O9"),
    ]
    with recorded(EngineSettings("events", partitions=PARTITIONS), 1, 20_000) as one:
        run(one, sent, cuts, [4])
        local = replayed(one.order)
        done = [(told["step"], told["data"]["order"]) for told in one.actions if told["flow"] == "missing"]
        assert sorted(done) == [("alarm", "O2"), ("alarm", "O3"), ("alarm", "O4"), ("calm", "O3")]
        missing = {of.id.hex() for of in local.executions.values() if of.runnable.program.flow == "missing"}
        assert [event for execution, event in one.late if execution in missing] == ["e12"]
        assert sorted(one.late) == sorted(local.late)


@pytest.mark.parametrize("cuts", [[1], [3], [20]])
def test_what_comes_behind_the_end_of_a_sequence_that_was_given_up_is_late(cuts: list[int]) -> None:
    sent = [
        said(1, "order.placed", 0, "O1"),
        said(2, "order.placed", 10, "O1"),
        said(3, "order.changed", 180, "O1", 1),  # in time for both, and not what they wait for
        said(4, "order.changed", 400, "O9"),  # both are given up: at 180 and at 190
        said(5, "order.changed", 150, "O1", 9),  # too late for both, told once, by the one that was given up first
        said(6, "order.changed", 185, "O1", 9),  # too late for the second alone
        said(7, "order.changed", 191, "O1", 9),  # beyond both
        said(8, "order.changed", -1, "O1", 9),  # before both
        said(9, "order.placed", 200, "O2"),  # its own time was over when it came
        said(10, "order.placed", 220, "O3"),  # its time ends just now
        said(11, "order.changed", 300, "O2", 9),
        said(12, "order.changed", 399, "O3", 9),  # in time
    ]
    with recorded(EngineSettings("events", partitions=PARTITIONS), 1, 20_000) as one:
        run(one, sent, cuts, [6])
        local = replayed(one.order)
        ids = {of.id.hex() for of in local.executions.values()}
        late = [("e1", "e5"), ("e2", "e6"), ("e9", "e9"), ("e9", "e11")]
        assert sorted(told for told in one.late if told[0] not in ids) == sorted(late)
        assert sorted(one.late) == sorted(local.late)
        grown = [of for of in local.executions.values() if of.runnable.program.flow == "again" and of.transitions]
        assert [of.cause.event for of in grown] == ["e12"]


def test_under_the_wall_clock_an_outage_makes_no_first_event_late() -> None:
    hour_us = 60 * MINUTE_US
    with recorded(EngineSettings("wall", partitions=PARTITIONS), 1, 20_000) as one:
        one.send(CONTROL, *controls())
        one.step()
        minutes = (one._clock.at_us - START_US) // MINUTE_US
        one.send(*said(1, "order.placed", minutes, "O1"))
        one.send(*said(2, "order.placed", minutes - 181, "O2"))
        one._clock.at_us += hour_us
        one.send(*said(3, "order.changed", minutes + 10, "O1", 9))
        one._clock.at_us += 24 * hour_us
        one.send(*said(4, "order.changed", minutes - 100, "O2", 9))
        while one.step():
            one.answer()
        one.answer()
        assert [told for told in one.late if len(told[0]) < 5] == [("e2", "e2"), ("e2", "e4")]
        assert [(done["step"], done["data"]["order"]) for done in one.actions if done["flow"] == "again"] == [("grown", "O1")]
