"""`millrace dlq`: what was set aside, and sending it again."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.cli.ask import ask, quoted, where
from flows.cli.home import must_exist
from flows.cli.terminal import Terminal
from flows.deployment import in_force, open_ingress
from flows.settings import Settings, load_settings
from infra.clock import SystemClock
from schemas.errors import InvalidInput
from schemas.records import Action, Control, Json, Redrive, decode, encode
from schemas.topics import ACTIONS_PREFIX, COMMANDS
from sinks.ingress.protocol import Item
from sinks.projection.query import Question
from sinks.projection.query_socket import QueryClient

COLUMNS: Final = ("at", "tenant", "kind", "topic", "partition", "position", "reason", "detail", "payload")
SELECTED: Final = ", ".join(f'"{name}"' for name in COLUMNS)  # `at` is a word of DuckDB's grammar
PAGE: Final = 2_000  # letters asked for at once; their payloads are held in memory, up to what an answer may weigh
SENT_TO_TOPIC: Final = ("event", "poison", "control")  # their payload is a record of the topic that they came from
SHOWN_CHARACTERS: Final = 120


def list_dead_letters(terminal: Terminal, *, reason: str | None, limit: int, tenant: str | None, home: Path | None) -> int:
    """List dead letters, newest first; tenant `-`: those without a readable tenant."""
    settings = load_settings(home=home, tenant=tenant)
    held = where(reason and f"reason = {quoted(reason)}")
    order = 'order by "at" desc, topic, partition, position desc'
    answer = ask(
        terminal,
        settings.home,
        Question(f"select {SELECTED} from dead_letters {held} {order} limit {limit}", settings.tenant),
    )
    rows = answer.records()
    if not terminal.json:
        rows = [{name: _short(value) for name, value in row.items()} for row in rows]
    terminal.rows(rows, COLUMNS)
    return 0


def redrive(
    terminal: Terminal,
    *,
    reason: str | None,
    position: str | None,
    put_back: bool,
    tenant: str | None,
    home: Path | None,
) -> int:
    """Send dead letters again. What was sent before and failed again is sent once. Raises InvalidInput where none fits.

    Control records go by position alone: an old pointer among many others would put an old version in force, unseen.
    """
    settings = load_settings(home=home, tenant=tenant)
    held = where(reason and f"reason = {quoted(reason)}", _at(position) if position else "kind <> 'control'")
    if position:
        _warn(terminal, settings, held, put_back=put_back)
    asked = sent = 0
    for letters in _pages(settings, held):
        items = list(_items(letters))
        if items:
            with open_ingress(settings.home) as ingress:
                ingress.append(items)
        asked, sent = asked + len(letters), sent + len(items)
    if not asked:
        hint = "; control records are sent again by --position alone" if position is None else ""
        raise InvalidInput(f"no dead letter fits; `millrace dlq list` shows what there is{hint}")
    if not sent:
        raise InvalidInput(
            f"none of the {asked:,} dead letters that fit can be sent again: they are results, events of too many hops, or "
            "records that are damaged or unreadable; `millrace dlq list` shows why each was set aside"
        )
    if terminal.json:
        terminal.value({"redriven": sent, "left": asked - sent})
    else:
        left = asked - sent
        terminal.say(
            f"{sent} sent again"
            + (f"; {left} cannot be (results, events of too many hops, and what is lost or unreadable)" if left else "")
        )
    return 0


def _warn(terminal: Terminal, settings: Settings, held: str, *, put_back: bool) -> None:
    """Say what control records would change of what is in force. Raises InvalidInput where nobody said that they shall."""
    said = [f"  {_would(key, value, settings.home)}" for key, value in _controls(settings, held)]
    if not said:
        return
    what = "this control record holds for everything that comes behind it:\n" + "\n".join(said)
    if not put_back:
        raise InvalidInput(f"{what}\nnothing was sent; to send it all the same, add --put-back")
    terminal.say(what)


def _controls(settings: Settings, held: str) -> Iterator[tuple[str, Json]]:
    """Give key and value of each control record that can be read; one that cannot changes nothing."""
    for letter in (letter for page in _pages(settings, held) for letter in page if letter["kind"] == "control"):
        try:
            control = decode(Control, b64decode(letter["payload"]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        yield control.key, control.value


def _would(key: str, value: Json, home: Path) -> str:
    now = in_force(home).values.get(key)
    if now == value:
        return f"{key} stays as it is"
    return f"{key} becomes {_short(_json(value))}" + (f"; now it is {_short(_json(now))}" if now is not None else "")


def _pages(settings: Settings, held: str) -> Iterator[list[dict[str, Any]]]:
    """Give the letters that fit, equal ones once, as many at a time as one answer holds."""
    columns = "kind, topic, partition, tenant, payload"
    groups = f"select {columns}, min(position) as first from dead_letters {held} group by {columns}"
    order = "order by topic, partition, first, kind, tenant, payload"
    sql = f"select kind, topic, partition, tenant, to_base64(payload) as payload from ({groups}) {order}"
    place = 0
    while True:
        answer = QueryClient(must_exist(settings.home), SystemClock()).ask(
            Question(f"{sql} limit {PAGE} offset {place}", settings.tenant)
        )
        letters = answer.records()
        if letters:
            yield letters
        place += len(letters)
        if len(letters) < PAGE and not answer.truncated:
            return


def _items(letters: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    """Give what is appended for each dead letter: the record to its topic, or the wish to carry out a command again."""
    at_us = SystemClock().now_us()
    for letter in letters:
        payload = b64decode(letter["payload"])
        if not payload:
            continue  # damaged: the bytes are lost
        if letter["kind"] in SENT_TO_TOPIC:
            yield Item(letter["topic"], [payload], None, letter["partition"])
        elif letter["kind"] == "action":
            action = _action(payload)
            if action is None:
                continue
            connector = str(letter["topic"]).removeprefix(ACTIONS_PREFIX)
            wish = Redrive(redrive=action.id, tenant=action.tenant, connector=connector, payload=payload, at=at_us)
            yield Item(COMMANDS, [encode(wish)], action.tenant)


def _action(payload: bytes) -> Action | None:
    """Read a command that was set aside; None where that is why it was: to send it again would set it aside again."""
    try:
        return decode(Action, payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _short(value: Any) -> Any:
    return f"{value[:SHOWN_CHARACTERS]}..." if isinstance(value, str) and len(value) > SHOWN_CHARACTERS else value


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def _at(position: str) -> str:
    """Read TOPIC/PARTITION/POSITION."""
    topic, *numbers = position.split("/")
    if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        raise InvalidInput(f"position {position!r} is not TOPIC/PARTITION/POSITION, e.g. crm.events/3/17")
    return f"topic = {quoted(topic)} and partition = {numbers[0]} and position = {numbers[1]}"
