"""Test documents of flows with windows, schedules, limits and starts after others: they are run as the engine runs them."""

from __future__ import annotations

from functools import cache

import pytest

from flows.language.definitions import Source, check_sources
from flows.scenarios.coverage import Coverage
from flows.scenarios.run_tests import Told, run_tests
from schemas.registry import Registry

WORLD = """event: order.placed
fields: {order: {id: string, customer: string, total: money(GBP)}}
topic: orders.events
---
{action: tell, params: {text: string}}
---
{policy: most, type: int, value: 2}
---
flow: several
trigger: {event: order.placed, window: {key: order.customer, tumbling: 1h, fire: close, retract: 1d,
  measures: {orders: count(), kinds: distinct(order.total), spend: sum(order.total)}, when: window.kinds >= policies.most}}
steps: [{action: tell, with: {text: "{{ window.orders }} {{ window.kinds }} {{ window.spend }}"}}, {delay: 2h}]
on_retract: [{action: tell, with: {text: "not {{ order.id }}"}}]
---
flow: few
trigger: {event: order.placed, window: {key: order.customer, tumbling: 1h, fire: close, retract: 1d,
  measures: {orders: count()}, when: window.orders < 3}}
steps: [{action: tell, with: {text: few}}, {delay: 2h}]
on_retract: [{action: tell, with: {text: many}}]
---
flow: one_by_one
trigger: {event: order.placed}
limits: {concurrency: {key: order.customer, max: 1, over: queue}}
steps: [{action: tell, with: {text: "{{ order.id }}"}}, {delay: 1h}]
---
flow: dropped
trigger: {event: order.placed}
limits: {quota: {max: 2, per: 1d, over: drop}}
steps: [{action: tell, with: {text: "{{ order.id }}"}}]
---
flow: slowed
trigger: {event: order.placed}
limits: {rate: {max: 1, per: 20m, over: queue}}
steps: [{action: tell, with: {text: "{{ order.id }}"}}]
---
flow: newest
trigger: {event: order.placed}
limits: {concurrency: {max: 1, over: cancel_running}}
steps: [{delay: 1h}, {action: tell, with: {text: "{{ order.id }}"}}]
---
flow: nightly
trigger: {schedule: "0 3 * * *", zone: [Europe/London, Asia/Tokyo]}
steps: [{delay: 30h}, {action: tell, with: {text: "{{ schedule.zone }} {{ schedule.slot }}"}}]
---
flow: queued
trigger: {as: clock, schedule: "0 3 * * *", zone: UTC, overlap: queue}
steps: [{delay: 30h}, {action: tell, with: {text: "UTC {{ schedule.slot }}"}}]
---
flow: reported
trigger: {after: [dropped, nightly], within: 2d, key: 'coalesce(after.nightly.status, after.dropped.status)'}
steps: [{action: tell, with: {text: both}}]
---
flow: behind
trigger: {after: dropped}
steps: [{action: tell, with: {text: behind}}]
"""


@cache
def story(flow: str, timeline: str) -> Told:
    head = f'---\ntest: a story\nflow: {flow}\nclock: "2026-03-02T09:00:00Z"\ntimeline:\n'
    definitions = check_sources([Source("flows.yaml", WORLD + head + timeline)])
    assert not definitions.errors, definitions.errors
    (told,) = run_tests(definitions, Registry, Coverage())
    return told


def placed(at: str, name: str, customer: str = "C1", total: int = 5, time: str = "") -> str:
    order = f"{{order: {{id: {name}, customer: {customer}, total: {total} GBP}}}}"
    return f"  - {{at: {at}, send: order.placed, {f'time: {time}, ' if time else ''}with: {order}}}\n"


def fired(at: str, zone: str = "") -> str:
    return f"  - {{at: {at}, fire: schedule{f', zone: {zone}' if zone else ''}}}\n"


def expect(at: str, what: str) -> str:
    return f"  - {{at: {at}, expect: {{{what}}}}}\n"


def said(*texts: tuple[str, str]) -> str:
    return "actions: [" + ", ".join(f'{{action: tell, at: {at}, with: {{text: "{text}"}}}}' for at, text in texts) + "]"


STORIES = {
    "a window counts what differs and speaks at its end": (
        "several",
        placed("1m", "A")
        + placed("2m", "B")
        + placed("3m", "C", total=7)
        + placed("4m", "D", "C2")
        + expect("2h", said(("1h", "3 2 17.00 GBP"))),
    ),
    "a policy that changes is asked anew": (
        "several",
        placed("1m", "A") + placed("3m", "C", total=7) + "  - {at: 10m, policies: {most: 3}}\n" + expect("2h", "executions: 0"),
    ),
    "a late event takes a verdict back": (
        "few",
        placed("1m", "A")
        + placed("2m", "B")
        + expect("61m", said(("1h", "few")))
        + placed("70m", "C", time="59m")
        + expect("71m", f"{said(('1h', 'few'), ('70m', 'many'))}, history_include: [retracted]"),
    ),
    "a start waits until its turn has come": (
        "one_by_one",
        placed("0s", "A")
        + placed("1m", "B")
        + expect("2m", "status: waiting, waiting: {step: limit, until: 9600h1m}, executions: 2")
        + expect("3h", said(("0s", "A"), ("1h", "B"))),
    ),
    "of what is over a quota nothing starts": (
        "dropped",
        placed("0s", "A")
        + placed("1m", "B")
        + placed("2m", "C")
        + expect("1h", f"executions: 2, {said(('0s', 'A'), ('1m', 'B'))}"),
    ),
    "a rate lets one begin when it is free": (
        "slowed",
        placed("0s", "A")
        + placed("5m", "B")
        + expect("6m", "waiting: {step: limit, until: 21m}")
        + expect("1h", said(("0s", "A"), ("21m", "B"))),
    ),
    "the newest ends those before": (
        "newest",
        placed("0s", "A") + placed("1m", "B") + expect("3h", said(("61m", "B"))),
    ),
    "a slot is that of its own zone, and one that would overlap is skipped": (
        "nightly",
        fired("0s", "Europe/London")
        + fired("10h", "Asia/Tokyo")
        + fired("18h", "Europe/London")
        + expect("18h", "executions: 3, status: cancelled, history_include: [limit.skipped]")
        + expect("3d", said(("30h", "Europe/London 2026-03-02T03:00:00Z"), ("40h", "Asia/Tokyo 2026-03-02T18:00:00Z"))),
    ),
    "a slot may wait for the one before": (
        "queued",
        fired("0s") + fired("18h") + expect("3d", said(("30h", "UTC 2026-03-02T03:00:00Z"), ("60h", "UTC 2026-03-03T03:00:00Z"))),
    ),
    "a flow starts after two others": (
        "reported",
        fired("0s", "Europe/London")
        + placed("1m", "A")
        + expect("29h", "status: none")
        + expect("31h", "executions: 3, actions_include: [{action: tell, at: 30h, with: {text: both}}]"),
    ),
    "a flow starts once after another": (
        "behind",
        placed("0s", "A") + expect("1h", f"executions: 2, {said(('0s', 'A'), ('0s', 'behind'))}"),
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_run_as_the_engine_would(name: str) -> None:
    told = story(*STORIES[name])
    assert told.failure is None, str(told)


def test_a_slot_that_has_run_does_not_run_again() -> None:
    told = story("queued", fired("0s") + fired("1h") + expect("1h", "executions: 1"))
    assert told.failure is not None
    assert told.failure.message == (
        "the slot 2026-03-02T03:00 in UTC has run already, and each runs once; the next is 2026-03-03T03:00"
    )
