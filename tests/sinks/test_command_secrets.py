"""Secrets in the parameters of a command: put in where the step refers to them, only for the call, and written nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.commands import Command as Issued
from schemas.commands import CommandBody, command_head
from schemas.dispatch import Command, Outcome
from schemas.expression.check import Scope
from schemas.expression.template import elaborate_template, parse_template
from schemas.program import END, Act, Program
from schemas.records import Action
from sinks.calls import InlineCalls
from tests.sinks.script import Scripted
from tests.sinks.world import Home, action, work_off


class Listening(Scripted):
    """Remembers the data that it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        self.heard += [json.loads(one.raw)["data"] for one in commands]
        return super().call(commands)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


def test_a_secret_is_put_in_for_the_call_alone(home: Home, tmp_path: Path) -> None:
    script = Listening()
    data = {"auth": {"token": {"$secret": "token"}}, "lines": [{"$secret": "token"}], "price": 0.1}
    home.issue(action("a1", data=data, secrets=((("auth", "token"), "token"),)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    assert script.heard == [{"auth": {"token": "s3"}, "lines": [{"$secret": "token"}], "price": 0.1}]  # data stays data
    assert [one.status for one in home.results()] == ["delivered"]
    for path in tmp_path.iterdir():
        assert b'"s3"' not in path.read_bytes(), path


def test_a_command_without_its_secret_waits_and_says_so(home: Home) -> None:
    script = Listening()
    home.issue(action("a1", data={"token": {"$secret": "other"}}, secrets=((("token",), "other"),)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert not script.heard
    assert dispatcher.open_actions == 1
    dispatcher.close()


def test_a_step_says_where_it_refers_to_secrets() -> None:
    scope = Scope(secrets=True)
    params = elaborate_template(parse_template({"token": "{{ secrets.pay }}", "all": ["x", "{{ secrets.pay }}"]}), scope).template
    step = Act("pay", "charge", params, END)
    body = CommandBody("a1", "x1", "2026-01-01T00:00:00Z", "acme", "c1", "e1", 2, "k1", {})
    issued: Action = Issued("charge", command_head(step, Program("f", "v", (), (), (), (step,))), body).action()
    assert issued.secrets == ((("token",), "pay"), (("all", 1), "pay"))
