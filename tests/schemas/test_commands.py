"""A command in two halves is the record that an Action is."""

import json

import msgspec

from schemas.commands import Command, CommandBody, command_head
from schemas.expression.template import Record
from schemas.program import END, Act, Program
from schemas.records import Action, Retry


def _command(step: Act) -> Command:
    program = Program("greet", "v1", (), (), (), (step,))
    body = CommandBody("a1", "x1", "2026-01-01T00:00:00Z", "acme", "c1", "e1", 2, "k1", {"name": "Zoë"}, "order-7")
    return Command(step.action, command_head(step, program), body)


def test_both_halves_together_are_the_action() -> None:
    retry = Retry(attempts=9)
    action = _command(Act("mail", "send_email", Record(()), END, "high", 60_000_000, retry)).action()
    assert action == Action(
        id="a1",
        source="/flows/greet",
        type="send_email",
        subject="x1",
        time="2026-01-01T00:00:00Z",
        tenant="acme",
        correlationid="c1",
        causationid="e1",
        hops=2,
        flow="greet",
        version="v1",
        step="mail",
        idempotencykey="k1",
        priority="high",
        notafter=60_000_000,
        orderkey="order-7",
        retry=retry,
        data={"name": "Zoë"},
    )


def test_the_version_leads_and_the_usual_is_left_out() -> None:
    command = _command(Act("mail", "send_email", Record(()), END))
    command.body.orderkey = None
    record = command.record()
    assert record.startswith(b'{"v":1,"specversion":"1.0",')
    assert not {"retry", "orderkey"} & json.loads(record).keys()
    assert msgspec.json.decode(record, type=Action).retry == Retry()
