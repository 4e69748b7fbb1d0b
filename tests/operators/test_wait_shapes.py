"""Which events are remembered, and for how long, so that what begins to wait may look back to them."""

from __future__ import annotations

from operators.execution.wait_shapes import Shape, WaitShapes
from schemas.program import Absence, EventTrigger
from tests.operators.executions import HOUR, act, awaiting, runnable, span


def test_what_an_absence_waits_for_is_remembered_for_as_long_as_its_event_may_be_late() -> None:
    detail = Absence(awaiting("order.paid", "paid"), span("4h"), lateness_us=HOUR)
    shapes = WaitShapes()
    shapes.add(runnable(act("use"), triggers=(EventTrigger("order.placed", detail=detail),)).program)
    assert shapes.of("order.paid") == [Shape(("order.id",), HOUR)]
    assert shapes.longest_us == HOUR
