"""The laws of connectors: every one that is registered passes all of them, over the real file and real HTTP.

A replay does not show · a half-write retried equals one write · order per execution is kept · a batch is its members, once each
and in order.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dispatch import Command, Connector
from schemas.ids import batch_id
from schemas.records import Json
from sinks.connectors.file import FileConnector
from sinks.connectors.http import HttpConnector
from sinks.connectors.webhook import webhook
from tests.examples import examples
from tests.sinks.world import Answer, HandClock, Home, action, command, receiving, work_off


class Subject:
    """A connector at work: makes it anew as a restart does, breaks its next call, and tells what arrived outside, in order."""

    def __init__(
        self, make: Callable[[], Connector], settings: Json, seen: Callable[[], list[str]], cut: Callable[[], None]
    ) -> None:
        self.make = make
        self.settings = settings
        self.seen = seen
        self.cut = cut
        self.connector = make()

    def restart(self) -> None:
        self.connector.close()
        self.connector = self.make()


@contextmanager
def a_file() -> Iterator[Subject]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "actions" / "acme" / "create_project.jsonl"

        def seen() -> list[str]:
            lines = path.read_bytes().splitlines() if path.exists() else []
            return [json.loads(line)["id"] for line in lines]

        def cut() -> None:
            """Leave the last line as a crash in the middle of the write would."""
            if path.exists() and path.stat().st_size:
                data = path.read_bytes()
                whole = data.rfind(b"\n", 0, len(data) - 1) + 1
                path.write_bytes(data[: whole + (len(data) - whole) // 2])

        subject = Subject(lambda: FileConnector(Path(folder)), {}, seen, cut)
        yield subject
        subject.connector.close()


@contextmanager
def a_service(make: Callable[[], Connector], **more: Json) -> Iterator[Subject]:
    """An HTTP receiver that honours idempotency keys, as a good API does; `cut` loses its answer to the next request."""
    done: list[str] = []
    losing: list[bool] = []

    def answer(body: Json, before: int) -> Answer:
        items = body if isinstance(body, list) else [body]
        done.extend(item["id"] for item in items if item["id"] not in done)
        return Answer(close=bool(losing) and losing.pop())

    with receiving(answer) as receiver:
        subject = Subject(make, {"url": receiver.url, **more}, lambda: list(done), lambda: losing.append(True))
        yield subject
        subject.connector.close()


SUBJECTS: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
    "file": a_file,
    "http": lambda: a_service(HttpConnector),
    "webhook": lambda: a_service(lambda: webhook(HandClock()), secret="hush"),
}
every_connector = pytest.mark.parametrize("kind", SUBJECTS)
names = st.lists(st.integers(0, 5).map(lambda at: f"c{at}"), min_size=1, max_size=8)


def carry_out(subject: Subject, commands: list[Command]) -> None:
    """Call until nothing asks for another attempt."""
    while commands:
        outcomes = subject.connector.call(commands)
        assert len(outcomes) == len(commands)
        commands = [one for one, outcome in zip(commands, outcomes, strict=True) if outcome.retry]


@every_connector
@settings(max_examples=examples(15), deadline=None)
@given(calls=st.lists(st.tuples(names, st.booleans()), min_size=1, max_size=4))
def test_a_replay_does_not_show(kind: str, calls: list[tuple[list[str], bool]]) -> None:
    with SUBJECTS[kind]() as subject:
        first: list[str] = []
        for batch, restart in calls:
            if restart:
                subject.restart()
            wanted = list(dict.fromkeys(batch))  # a batch never has a command twice: executions differ
            carry_out(subject, [command(name, subject.settings) for name in wanted])
            first += [name for name in wanted if name not in first]
        assert sorted(subject.seen()) == sorted(first)


@every_connector
@settings(max_examples=examples(15), deadline=None)
@given(before=names, last=st.sampled_from(["x", "y"]))
def test_a_half_write_retried_equals_one_write(kind: str, before: list[str], last: str) -> None:
    with SUBJECTS[kind]() as subject:
        carry_out(subject, [command(name, subject.settings) for name in dict.fromkeys(before)])
        if kind == "file":
            carry_out(subject, [command(last, subject.settings)])
            subject.cut()
        else:
            subject.cut()
            subject.connector.call([command(last, subject.settings)])
        subject.restart()
        again = command(last, subject.settings, attempt=2)
        found = subject.connector.resolve(again)
        assert found is not None
        if found.retry:
            carry_out(subject, [again])
        assert sorted(subject.seen()) == sorted([*dict.fromkeys(before), last])


@every_connector
@settings(max_examples=examples(5), deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), losses=st.integers(0, 2))
def test_order_per_execution_is_kept(kind: str, lengths: list[int], losses: int) -> None:
    with SUBJECTS[kind]() as subject, tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.rule(kind, **subject.settings)
        issued = [action(f"e{e}-{at}", f"e{e}") for at in range(max(lengths)) for e, length in enumerate(lengths) if at < length]
        home.issue(*issued, connector=kind)
        for _ in range(losses if kind != "file" else 0):
            subject.cut()
        dispatcher = home.dispatcher(subject.connector)
        while not dispatcher.idle:
            work_off(dispatcher)
            home.clock.us += 10_000_000
        for e, length in enumerate(lengths):
            ours = [name for name in subject.seen() if name.startswith(f"e{e}-")]
            assert ours == [f"e{e}-{at}" for at in range(length)]
        assert {result.status for result in home.results()} == {"delivered"}
        home.close()


def together(names: list[str], settings: Json) -> Command:
    """Make the batch of some commands."""
    members = tuple(command(name, settings) for name in names)
    raw = b"[" + b",".join(member.raw for member in members) + b"]"
    return replace(command(batch_id(names), settings, members=members), raw=raw, body={})


@every_connector
@settings(max_examples=examples(15), deadline=None)
@given(batches=st.lists(names, min_size=1, max_size=4), lose=st.booleans())
def test_a_batch_is_its_members_once_each_and_in_order(kind: str, batches: list[list[str]], *, lose: bool) -> None:
    with SUBJECTS[kind]() as subject:
        wanted: list[str] = []
        for batch in batches:
            fresh = list(dict.fromkeys(name for name in batch if name not in wanted))
            if not fresh:
                continue
            one = together(fresh, subject.settings)
            if lose and kind != "file":
                subject.cut()
            carry_out(subject, [one, one])
            subject.restart()
            found = subject.connector.resolve(one)
            assert found is not None
            assert found.status in ("delivered", "unknown")
            wanted += fresh
        assert subject.seen() == wanted


@every_connector
def test_of_a_batch_that_was_cut_each_member_is_found_or_not(kind: str) -> None:
    with SUBJECTS[kind]() as subject:
        one = together(["a", "b"], subject.settings)
        carry_out(subject, [one])
        subject.cut()
        subject.restart()
        found = subject.connector.resolve(one)
        assert found is not None
        ends = [item.status for item in found.items] or [found.status] * 2
        assert ends == (["delivered", "failed"] if kind == "file" else ["unknown"] * 2)
        carry_out(subject, [one])
        assert subject.seen() == ["a", "b"]
