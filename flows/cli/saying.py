"""What a person says on the command line, appended to the log: decisions and operators' words. It is decided by a turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from getpass import getuser
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from flows.cli.ask import ask, quoted
from flows.cli.home import must_exist
from flows.cli.terminal import Terminal
from flows.deployment import open_ingress
from flows.settings import Settings
from schemas.errors import InvalidInput
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_timestamp_us
from schemas.records import Decision, Json, OperatorCommand, encode
from schemas.topics import COMMANDS, DECISIONS
from sinks.ingress.protocol import Item
from sinks.projection.query import Question

ID_CHARACTERS: Final = 32
CANDIDATES: Final = 5
ACCEPTED: Final = "accepted"
ENDED: Final = ("completed", "failed", "cancelled")


def append(home: Path, record: Decision | OperatorCommand) -> None:
    """Append what somebody says, durably, beside a running `up` or without one."""
    topic = DECISIONS if isinstance(record, Decision) else COMMANDS
    with open_ingress(must_exist(home)) as ingress:
        ingress.append([Item(topic, [encode(record)], record.tenant)])


def found_execution(terminal: Terminal, settings: Settings, text: str) -> dict[str, Any]:
    """Find the execution whose id begins so, as the views show it. Raises InvalidInput where none, or more than one, does."""
    sql = f"select * from executions where starts_with(execution, {quoted(text)}) limit {CANDIDATES}"
    found = ask(terminal, settings.home, Question(sql, settings.tenant)).records()
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(one["execution"]) for one in found)
    raise InvalidInput(
        f"{len(found)} or more executions begin with {text} ({names}); give more characters"
        if found
        else f"no execution begins with {text}; `millrace executions list` shows them"
    )


class Addressed(NamedTuple):
    """An execution that something is said to; `over`: why nothing can be said to it any more."""

    tenant: str
    execution: str
    over: str = ""


def addressed(terminal: Terminal, settings: Settings, text: str) -> Addressed:
    """Find the execution whose id begins so; a whole id with a tenant needs no views. Raises InvalidInput where none is found."""
    if settings.tenant is not None and len(text) == ID_CHARACTERS:
        return Addressed(settings.tenant, text)
    found = found_execution(terminal, settings, text)
    name, status = str(found["execution"]), found["status"]
    over = f"{name} has ended: {status}; `millrace executions fork {name} --from STEP` starts another one from a step"
    return Addressed(str(found["tenant"]), name, over if status in ENDED else "")


def execution_of(terminal: Terminal, settings: Settings, text: str) -> tuple[str, str]:
    """Give tenant and id of an execution that is to do something. Raises InvalidInput, also for one that has ended."""
    found = addressed(terminal, settings, text)
    if found.over:
        raise InvalidInput(found.over)
    return found.tenant, found.execution


def who(by: str | None) -> str:
    """Give the name that was given, else that of the user of this machine."""
    return by or getuser()


def named_values(pairs: Sequence[str], what: str) -> dict[str, Json]:
    """Read KEY=VALUE pairs, VALUE as JSON where it is that, else as text. Raises InvalidInput."""
    found: dict[str, Json] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{what} {pair!r} is not KEY=VALUE; write for instance {what}=1")
        found[name] = json_or_text(text)
    return found


def time_of(text: str, flag: str) -> int:
    """Read a time that somebody typed. Raises InvalidInput."""
    try:
        return parse_timestamp_us(text)
    except ExpressionError as error:
        raise InvalidInput(f"{flag}: {error}") from error


def json_or_text(text: str) -> Json:
    """Read a text as JSON where it is that, else take it as it stands."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def told(terminal: Terminal, said: Mapping[str, Json], text: str) -> int:
    """Say that it was taken in; what becomes of it shows in the history."""
    if terminal.json:
        terminal.value({"status": ACCEPTED, **said})
    else:
        terminal.say(text)
    return 0
