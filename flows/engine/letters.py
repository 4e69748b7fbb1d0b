"""Dead letters of what the engine cannot take: one place that knows their shape."""

from __future__ import annotations

from collections.abc import Sequence

from operators.schedules.schedule_book import DueSlot
from schemas.decode import BadRow
from schemas.errors import BadRecord
from schemas.ports import Append, Chunk, Damage, Slot
from schemas.records import Control, DeadLetter
from schemas.topics import CONTROL, DEAD_LETTERS


def count(emitted: Sequence[Append]) -> int:
    """Count the dead letters among what a turn writes: those of its inputs, and those of starts that a limit refused."""
    return sum(len(one.records) for one in emitted if one.topic == DEAD_LETTERS)


def bad_event(bad: BadRow, now_us: int) -> DeadLetter:
    """Set an event aside that decoding refused."""
    slot = bad.slot
    return DeadLetter(
        kind="event",
        tenant=bad.tenant,
        source=slot.source,
        topic=slot.topic,
        partition=slot.partition,
        position=bad.position,
        reason=bad.reason,
        detail=bad.detail,
        payload=bad.payload,
        at=now_us,
    )


def bad_control(chunk: Chunk, index: int, error: BadRecord, now_us: int) -> DeadLetter:
    """Set a control record aside that cannot be read."""
    return _at(chunk, index, ("control", error.reason, error.detail), now_us)


def bad_input(chunk: Chunk, index: int, detail: str, now_us: int) -> DeadLetter:
    """Set a record aside that is for an execution and cannot be read: a result, a decision, an operator's command."""
    kind = chunk.topic.removesuffix("s")
    return _at(chunk, index, (kind, f"malformed-{kind}", detail), now_us)


def bad_slot(slot: DueSlot, detail: str, now_us: int) -> DeadLetter:
    """Set the slot of a schedule aside whose inputs are not what its flow wants."""
    key = slot.key
    return DeadLetter(
        kind="command",
        tenant=key.tenant,
        reason="bad-inputs",
        detail=f"flow '{key.flow}', slot {slot.slot.local} {key.zone}: {detail}",
        payload=b"",
        at=now_us,
    )


def poison(chunk: Chunk, index: int, now_us: int) -> DeadLetter:
    """Set the record aside that kills the process."""
    why = "a process died again and again on this record; it was set aside so that the others go on"
    return _at(chunk, index, ("poison", "poison", why), now_us)


def refused_control(control: Control, error: BadRecord, now_us: int) -> DeadLetter:
    """Set a control record aside that can be read and not be carried out."""
    chunk = Chunk("", CONTROL, 0, 0, now_us, [b""])
    return _at(chunk, 0, ("control", error.reason, f"{control.key}: {error.detail}"), now_us)


def damaged(damage: Damage, now_us: int) -> DeadLetter:
    """Say which records of the log are lost to a broken file."""
    why = f"{damage.count} records from here on cannot be read: {damage.reason}; restore the file to send them again"
    return _at(_at_slot(damage.slot, damage.base), 0, ("event", "damaged", why), now_us)


def _at_slot(slot: Slot, position: int) -> Chunk:
    return Chunk(*slot, position, 0, [b""])


def _at(chunk: Chunk, index: int, why: tuple[str, str, str], now_us: int) -> DeadLetter:
    kind, reason, detail = why
    return DeadLetter(
        kind=kind,  # type: ignore[arg-type]
        tenant=None,
        source=chunk.source,
        topic=chunk.topic,
        partition=chunk.partition,
        position=chunk.base + index,
        reason=reason,
        detail=detail,
        payload=chunk.records[index],
        at=now_us,
    )
