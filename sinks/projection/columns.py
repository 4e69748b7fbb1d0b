"""History, action, result and dead-letter records → columns, in bulk.

Reads: records of the engine's and the dispatcher's topics. Emits: a frame a table. State: none.
Cost: 2-4 µs a record. All records of a poll are read as one JSON array; only where that fails are they looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Annotated, Any, Final, TypeVar

import msgspec
import polars as pl

from schemas.ports import Chunk
from schemas.records import DeadLetter, Late, Mistyped
from sinks.projection.tables import ACTIONS, DEAD_LETTERS, HISTORY, LATE, MISTYPED, RESULTS, TRANSITIONS

T = TypeVar("T")
TIME: Final = pl.Datetime("us", "UTC")
_TOLD: Final = ("started", "ended")  # of a whole execution: its history rows say so
NO_RAW: Final = msgspec.Raw(b"null")
Frames = dict[str, pl.DataFrame]


class _Transition(msgspec.Struct, frozen=True, array_like=True):
    at: int
    kind: str
    step: str
    verb: str
    detail: msgspec.Raw = NO_RAW


class Told(msgspec.Struct, frozen=True):
    """What an execution did in one turn, as far as views show it."""

    tenant: str
    execution: str
    flow: str
    version: str
    event: str
    status: str
    transitions: list[_Transition]
    namespace: str = "live"
    waiting_on: str | None = None
    wait_until: int | None = None
    started: int = 0
    cause: msgspec.Raw = NO_RAW
    bound: msgspec.Raw = NO_RAW


class _History(Told, frozen=True):
    """A record of the topic `history`: without a transition it would tell nothing, so it is damaged."""

    transitions: Annotated[list[_Transition], msgspec.Meta(min_length=1)]


class _Action(msgspec.Struct, frozen=True):
    id: str
    type: str
    subject: str
    time: str
    tenant: str
    flow: str
    version: str
    step: str
    awaited: bool = False
    data: msgspec.Raw = NO_RAW


class _Result(msgspec.Struct, frozen=True):
    action: str
    tenant: str
    status: str
    attempts: int
    at: int
    code: str | None = None
    error: str | None = None


class _Failure(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Actor(msgspec.Struct, frozen=True):
    by: str = ""


class Unreadable(msgspec.Struct, frozen=True):
    """A record that is not what its topic holds; shown as a dead letter."""

    chunk: Chunk
    position: int
    reason: str


_histories = msgspec.json.Decoder(list[_History])
_actions = msgspec.json.Decoder(list[_Action])
_results = msgspec.json.Decoder(list[_Result])
_letters = msgspec.json.Decoder(list[DeadLetter])
_late = msgspec.json.Decoder(list[Late])
_mistyped = msgspec.json.Decoder(list[Mistyped])
LIMIT: Final = "limit"  # who cancels, and what leaves out, where an execution had no place
_actors = msgspec.json.Decoder(_Actor)
_failures = msgspec.json.Decoder(_Failure)


def history_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of `history` and `transitions`; `ord` counts from `first`."""
    records = [record for record in read_records(_histories, chunks, bad) if record.namespace == "live"]
    if not records:
        return {}
    flat = [(record, moment) for record in records for moment in record.transitions if moment.step or moment.kind not in _TOLD]
    return {
        HISTORY: frame_of(
            {
                "ord": (pl.Int64, range(first, first + len(records))),
                "tenant": (pl.String, [r.tenant for r in records]),
                "execution": (pl.String, [r.execution for r in records]),
                "flow": (pl.String, [r.flow for r in records]),
                "version": (pl.String, [r.version for r in records]),
                "status": (pl.String, [r.status for r in records]),
                "trigger_event": (pl.String, [r.event for r in records]),
                "started_at": (TIME, [r.started or r.transitions[0].at for r in records]),
                "happened_at": (TIME, [r.transitions[-1].at for r in records]),
                "waiting_on": (pl.String, [r.waiting_on for r in records]),
                "wait_until": (TIME, [r.wait_until for r in records]),
                "error": (pl.String, [_error(r) for r in records]),
                "cause": (pl.String, [text_of(r.cause) for r in records]),
                "bound": (pl.String, [text_of(r.bound) for r in records]),
            }
        ),
        TRANSITIONS: frame_of(
            {
                "ord": (pl.Int64, range(first, first + len(flat))),
                "tenant": (pl.String, [r.tenant for r, _ in flat]),
                "execution": (pl.String, [r.execution for r, _ in flat]),
                "step": (pl.String, [m.step for _, m in flat]),
                "verb": (pl.String, [m.verb for _, m in flat]),
                "kind": (pl.String, [m.kind for _, m in flat]),
                "happened_at": (TIME, [m.at for _, m in flat]),
                "detail": (pl.String, [text_of(m.detail) for _, m in flat]),
            }
        ),
    }


def action_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of `actions`."""
    records = read_records(_actions, chunks, bad)
    if not records:
        return {}
    columns = {
        "ord": (pl.Int64, range(first, first + len(records))),
        "tenant": (pl.String, [r.tenant for r in records]),
        "action": (pl.String, [r.id for r in records]),
        "execution": (pl.String, [r.subject for r in records]),
        "flow": (pl.String, [r.flow for r in records]),
        "version": (pl.String, [r.version for r in records]),
        "step": (pl.String, [r.step for r in records]),
        "type": (pl.String, [r.type for r in records]),
        "params": (pl.String, [text_of(r.data) for r in records]),
        "created_at": (pl.String, [r.time for r in records]),
        "awaited": (pl.Boolean, [r.awaited for r in records]),
    }
    times = pl.col("created_at").str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    return {ACTIONS: frame_of(columns).with_columns(times)}


def result_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of `results`."""
    records = read_records(_results, chunks, bad)
    if not records:
        return {}
    columns = {
        "ord": (pl.Int64, range(first, first + len(records))),
        "tenant": (pl.String, [r.tenant for r in records]),
        "action": (pl.String, [r.action for r in records]),
        "status": (pl.String, [r.status for r in records]),
        "happened_at": (TIME, [r.at for r in records]),
        "attempts": (pl.Int32, [r.attempts for r in records]),
        "code": (pl.String, [r.code for r in records]),
        "error": (pl.String, [r.error for r in records]),
    }
    return {RESULTS: frame_of(columns)}


def dead_letter_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of `dead_letters`."""
    del first
    records = read_records(_letters, chunks, bad)
    return {DEAD_LETTERS: letter_frame(records)} if records else {}


def late_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of `late`."""
    del first
    records = read_records(_late, chunks, bad)
    columns: dict[str, tuple[Any, Sequence[Any]]] = {
        "tenant": (pl.String, [r.tenant for r in records]),
        "flow": (pl.String, [r.flow for r in records]),
        "event": (pl.String, [r.event for r in records]),
        "time": (TIME, [r.time for r in records]),
        "appended_at": (TIME, [r.appended_at for r in records]),
        "key": (pl.String, [r.key for r in records]),
    }
    return {LATE: frame_of(columns)} if records else {}


def mistyped_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of `mistyped`."""
    del first
    records = read_records(_mistyped, chunks, bad)
    columns: dict[str, tuple[Any, Sequence[Any]]] = {
        "tenant": (pl.String, [r.tenant for r in records]),
        "flow": (pl.String, [r.flow for r in records]),
        "version": (pl.String, [r.version for r in records]),
        "minute": (TIME, [r.minute for r in records]),
        "events": (pl.Int64, [r.events for r in records]),
    }
    return {MISTYPED: frame_of(columns)} if records else {}


def unreadable_frame(bad: Sequence[Unreadable], now_us: int) -> pl.DataFrame:
    """Give `dead_letters` rows for records that could not be read here."""
    return letter_frame([_letter(one, now_us) for one in bad])


def _letter(one: Unreadable, now_us: int) -> DeadLetter:
    return DeadLetter(
        kind="result",
        tenant=None,
        source=one.chunk.source,
        topic=one.chunk.topic,
        partition=one.chunk.partition,
        position=one.position,
        reason="wrong-schema",
        detail=one.reason,
        payload=one.chunk.records[one.position - one.chunk.base],
        at=now_us,
    )


def letter_frame(records: Sequence[DeadLetter]) -> pl.DataFrame:
    """Give `dead_letters` rows."""
    return frame_of(
        {
            "tenant": (pl.String, [r.tenant for r in records]),
            "kind": (pl.String, [r.kind for r in records]),
            "source": (pl.String, [r.source for r in records]),
            "topic": (pl.String, [r.topic for r in records]),
            "partition": (pl.Int32, [r.partition for r in records]),
            "position": (pl.Int64, [r.position for r in records]),
            "reason": (pl.String, [r.reason for r in records]),
            "detail": (pl.String, [r.detail for r in records]),
            "payload": (pl.Binary, [r.payload for r in records]),
            "happened_at": (TIME, [r.at for r in records]),
            "id": (pl.String, [r.id for r in records]),
        }
    )


def read_records(decoder: msgspec.json.Decoder[list[T]], chunks: Sequence[Chunk], bad: list[Unreadable]) -> list[T]:
    """Read all records at once; where one of them spoils it, one by one."""
    whole = b"[" + b",".join(record for chunk in chunks for record in chunk.records) + b"]"
    try:
        return decoder.decode(whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return list(_read_singly(decoder, chunks, bad))


def _read_singly(decoder: msgspec.json.Decoder[list[T]], chunks: Sequence[Chunk], bad: list[Unreadable]) -> Iterator[T]:
    for chunk in chunks:
        for position, record in zip(count(chunk.base), chunk.records, strict=False):
            try:
                yield from decoder.decode(b"[" + record + b"]")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                bad.append(Unreadable(chunk, position, str(error)))


def frame_of(columns: Mapping[str, tuple[Any, Sequence[Any]]]) -> pl.DataFrame:
    """Make a frame; times come as int microseconds."""
    series = []
    for name, (dtype, values) in columns.items():
        stored = pl.Int64 if dtype is TIME else dtype
        column = pl.Series(name, values, dtype=stored)
        series.append(column.cast(TIME) if dtype is TIME else column)
    return pl.DataFrame(series)


def _error(record: Told) -> str | None:
    """Give the error that an execution closes or ended with: code and message of the last failure of the record.

    One that was cancelled has the word of who did it.
    """
    if record.status not in ("closing", "failed", "cancelled"):
        return None
    for moment in reversed(record.transitions):
        if moment.kind == "failed":
            try:
                failure = _failures.decode(moment.detail)
            except msgspec.DecodeError:
                return text_of(moment.detail)
            return f"{failure.code}: {failure.message}"
        if moment.kind == "cancelled" and not moment.step:
            by = _by(moment.detail)
            return "cancelled: a later start took its place" if by == LIMIT else f"cancelled: by {by}"
        if moment.kind == "skipped" and moment.verb == LIMIT:
            return "skipped: the run before it was still alive"
    return None


def _by(detail: msgspec.Raw) -> str:
    try:
        return _actors.decode(detail).by or "an operator"
    except msgspec.DecodeError:
        return "an operator"


def text_of(raw: msgspec.Raw) -> str | None:
    """Give JSON as text; None for null."""
    data = bytes(raw)
    return None if data == b"null" else data.decode()


Reader = Callable[[Sequence[Chunk], int, list[Unreadable]], Frames]
