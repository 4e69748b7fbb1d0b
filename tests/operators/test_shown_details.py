"""What a history tells of values is what people read: times, durations and money by their types, numbers as they are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from schemas.effects import Ended
from schemas.expression.template import Items, Value, Whole, parse_template
from schemas.expression.types import DURATION, TIMESTAMP, Type
from schemas.policy import Rule, TablePolicy
from schemas.program import Call, Decide, Set
from tests.operators.executions import NOW, World, act, data, moment, runnable, span, tree

TIME = "2026-01-01T00:00:00Z"
MONEY = Type("money", currency="GBP")
ANSWER = Type("record", fields=(("due", TIMESTAMP), ("patience", DURATION), ("most", MONEY)))
THEN = {"due": TIME, "patience": "1h30m", "most": "12.50 GBP"}


def _details(world: World) -> Any:
    return world.details("completed")[0]


def test_what_is_set_is_told_as_people_read_it() -> None:
    when, length = Whole(moment(f'timestamp("{TIME}")')), Whole(span("1h30m"))
    step = Set("set", (("due", when), ("both", Items((Value("1"), length))), ("all", Items((when, when)))), 1)
    world = World(runnable(step, act("use"))).start()
    assert _details(world) == {"due": TIME, "both": [1, "1h30m"], "all": [TIME, TIME]}
    assert world.all[0].env["due"] == NOW


def test_the_answer_of_a_table_is_told_so() -> None:
    rule = Rule(tree("true"), parse_template(THEN))
    hits: tuple[tuple[Literal["first", "collect"], Any], ...] = (("first", THEN), ("collect", [THEN]))
    for hit, told in hits:
        table = TablePolicy("route", f"t-{hit}", Type("record"), ANSWER, hit, (rule,), None)
        policies = {"policies.table": table, "policies": {"table": table.version}}
        world = World(runnable(Decide("ask", "table", data({}), 1, "route"), act("use"), policies=("table",)), policies).start()
        assert _details(world)["answer"] == told
        assert world.all[0].env["route"] != told


def test_the_output_of_a_called_flow_is_told_so() -> None:
    call = Call("child", "invoicing", "v9", data({}), 1, result=ANSWER)
    world = World(runnable(call, act("use"))).start()
    world.ended(world.all[0].calls[0].token, Ended("completed", dict(THEN)))
    assert _details(world) == THEN
    assert world.all[-1].env["child"]["most"] == Decimal("12.50")
