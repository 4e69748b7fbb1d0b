"""Action records as they come from the log: made ready for the store, or set aside.

Reads: chunks of action topics, of the topic `cancels` and of the commands topic. Emits: QueuedAction, Withdrawal and DeadLetter.
State: none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import msgspec

from schemas.dispatch import Gathering, Places, QueuedAction, Withdrawal
from schemas.errors import BadRecord, MillraceError
from schemas.expression.literals import parse_timestamp_us
from schemas.ports import Chunk, Damage, Slot
from schemas.records import Action, Cancel, DeadLetter, Redrive
from schemas.topics import ACTIONS_PREFIX, CANCELS, COMMANDS

RANKS: Final = {"high": 0, "normal": 1, "low": 2}
LATEST_US: Final = 1 << 62
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
actions: Final = msgspec.json.Decoder(Action)
_redrives: Final = msgspec.json.Decoder(Redrive)
_cancels: Final = msgspec.json.Decoder(Cancel)
Item = QueuedAction | Withdrawal | DeadLetter


def read_chunk(chunk: Chunk, now_us: int) -> Iterator[Item]:
    """Give each record of a chunk: a command to carry out or to withdraw, or a dead letter.

    Records for others are passed over.
    """
    for position, record in enumerate(chunk.records, chunk.base):
        if chunk.topic == COMMANDS:
            yield from _redriven(chunk, position, record, now_us)
        elif chunk.topic == CANCELS:
            yield _withdrawn(chunk, position, record, now_us)
        else:
            yield _arrived(chunk, position, record, now_us)


def damaged(damage: Damage, now_us: int) -> DeadLetter:
    """Tell of records that can no longer be read; what they asked for is not known."""
    detail = f"positions {damage.base} to {damage.base + damage.count - 1} cannot be read: {damage.reason}"
    return _letter(damage.slot, damage.base, b"", ("damaged", detail), now_us)


def _arrived(chunk: Chunk, position: int, record: bytes, now_us: int) -> QueuedAction | DeadLetter:
    try:
        action = _readable(record)
    except BadRecord as error:
        return _letter(chunk.slot, position, record, (error.reason, error.detail), now_us)
    return _queued(action, record, chunk.topic.removeprefix(ACTIONS_PREFIX), (chunk, position, now_us))


def _redriven(chunk: Chunk, position: int, record: bytes, now_us: int) -> Iterator[QueuedAction | DeadLetter]:
    """Give the command of a redrive; other commands on the topic are for other roles."""
    try:
        wish = _redrives.decode(record)
    except UNREADABLE:
        return
    try:
        yield _queued(_readable(wish.payload), wish.payload, wish.connector, (_wished(chunk, wish, now_us), position, now_us))
    except BadRecord as error:
        yield _letter(chunk.slot, position, wish.payload, (error.reason, error.detail), now_us)


def _wished(chunk: Chunk, wish: Redrive, now_us: int) -> Chunk:
    """Count the time of a redrive from its append or from its own stamp, whichever is later: a clock may have been set back."""
    return replace(chunk, appended_us=max(chunk.appended_us, min(wish.at, now_us)))


def _withdrawn(chunk: Chunk, position: int, record: bytes, now_us: int) -> Withdrawal | DeadLetter:
    try:
        wish = _cancels.decode(record)
    except UNREADABLE as error:
        return _letter(chunk.slot, position, record, ("malformed-json", str(error)), now_us)
    return Withdrawal(wish.action, wish.execution, wish.hurry, chunk.partition, wish)


def _readable(record: bytes) -> Action:
    """Read a command. Raises BadRecord for one that could not be carried out to its end."""
    try:
        action = actions.decode(record)
        parse_timestamp_us(action.time)
    except msgspec.ValidationError as error:
        raise BadRecord("wrong-schema", str(error)) from error
    except MillraceError as error:
        raise BadRecord("bad-time", str(error)) from error
    except UNREADABLE as error:
        raise BadRecord("malformed-json", str(error)) from error
    return action


def _queued(action: Action, record: bytes, connector: str, at: tuple[Chunk, int, int]) -> QueuedAction:
    chunk, position, now_us = at
    return QueuedAction(
        id=action.id,
        tenant=action.tenant,
        connector=connector,
        lane=action.subject,
        order_lane=None if action.orderkey is None else f"{action.tenant}\0{action.orderkey}",
        rank=RANKS[action.priority],
        due_us=now_us,
        expires_us=min(chunk.appended_us + _allowed_us(action), LATEST_US),
        first=chunk.topic != COMMANDS,
        slot=chunk.slot,
        position=position,
        raw=record,
        gathering=_gathering(action, connector),
        places=None if action.concurrency is None else Places(_place(action), action.concurrency.most),
    )


def _allowed_us(action: Action) -> int:
    """Tell for how long a command may be tried: an awaited one not after its step has timed out."""
    return min(action.notafter, action.timeout) if action.awaited and action.timeout else action.notafter


def _gathering(action: Action, connector: str) -> Gathering | None:
    """Name the commands that this one may travel with: the same receiver and credential, so one tenant, type and connector.

    Those that allow another number in a batch travel apart, so none is in a larger one than its step says.
    """
    if action.batch is None:
        return None
    parts = (action.tenant, connector, action.type, action.batch.key, _place(action), str(action.batch.most))
    return Gathering("\0".join(parts), action.batch.most, action.batch.wait_us)


def _place(action: Action) -> str:
    return "" if action.concurrency is None else f"{action.tenant}\0{action.concurrency.key}"


def _letter(slot: Slot, position: int, record: bytes, why: tuple[str, str], now_us: int) -> DeadLetter:
    reason, detail = why
    return DeadLetter(
        kind="action",
        tenant=None,
        source=slot.source,
        topic=slot.topic,
        partition=slot.partition,
        position=position,
        reason=reason,
        detail=detail,
        payload=record,
        at=now_us,
    )
