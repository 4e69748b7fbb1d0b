"""What starts at one row starts in one order, whatever started it: an event alone, a window, the clock; shadows stand behind."""

from __future__ import annotations

from typing import Final

import pytest

from tests.laws.rolled_out import order, rolled
from tests.laws.test_rollout_laws import CONTRACTS
from tests.simulation.files import executions_and_timers

HOUR: Final = 60
FLOWS: Final = """
flow: zulu
trigger: {event: order.placed}
steps: [{delay: 9d}]
---
flow: mike
trigger: {event: order.placed, window: {key: order.customer_id, tumbling: 1h, fire: every, measures: {orders: count()}}}
steps: [{delay: 9d}]
---
flow: alpha
trigger: {event: order.placed}
ROLLOUT
steps: [{delay: DAYS}]
---
flow: kilo
trigger: {event: order.placed, WINDOW}
ROLLOUT
steps: [{delay: DAYS}]
---
flow: bravo
trigger: {event: order.cancelled}
steps: [{delay: 9d}]
---
flow: late_end
trigger: {event: order.placed, window: {key: order.customer_id, tumbling: 1h, fire: close, lateness: 30m,
  measures: {orders: count()}}}
steps: [{delay: 9d}]
---
flow: soon_end
trigger: {event: order.placed, window: {key: order.customer_id, tumbling: 1h, fire: close, lateness: 10m,
  measures: {orders: count()}}}
steps: [{delay: 9d}]
"""
EACH: Final = "window: {key: order.customer_id, tumbling: 1h, fire: every, measures: {orders: count()}}"
# by name; a shadow behind the one that it runs beside, also where the shadow starts by the event alone and the other by a window
PLACED: Final = ["alpha", "alpha in shadow", "kilo", "kilo in shadow", "mike", "zulu"]
ENDS: Final = ["soon_end", "late_end"]  # behind the starts of their row, in order of their time


@pytest.mark.parametrize("turn_rows", [1, 8192])
def test_starts_go_by_row_then_by_time_then_by_name_and_shadows_stand_behind(turn_rows: int) -> None:
    with rolled(turn_rows) as both:
        live = set(both.deploy(CONTRACTS + FLOWS.replace("ROLLOUT", "").replace("DAYS", "9d").replace("WINDOW", EACH)))
        beside = FLOWS.replace("ROLLOUT", "rollout: {shadow: true}").replace("DAYS", "8d")
        both.deploy(CONTRACTS + beside.replace("WINDOW", "conditions: [order.total >= 1]"))
        both.hold(held=True)
        customer = {"total": 1, "customer_id": "ann"}
        both.tell(
            [
                order(1, 0, customer),
                order(2, 1, customer, kind="order.cancelled"),
                order(3, 2, customer),
                order(4, 3 * HOUR, customer),
            ]
        )
        begun, _ = executions_and_timers(both.home)
        names = [one.flow if one.version in live else f"{one.flow} in shadow" for one in begun]
    assert names == [*PLACED, "bravo", *PLACED, *ENDS, *PLACED]
