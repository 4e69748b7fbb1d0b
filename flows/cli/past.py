"""How an execution stood at a time: its history up to then, folded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.errors import InvalidInput
from schemas.expression.literals import parse_timestamp_us, print_timestamp

Row = Mapping[str, Any]
_NEWS: Final = ("refused", "retried", "resumed")
_WAITS: Final = ("entered", "requested", "reminded", "escalated", "decided", "called")
_ENDS: Final = ("completed", "failed", "cancelled")


def as_it_stood(
    execution: Row, history: Sequence[Row], actions: Sequence[Row], at_us: int
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Give the execution, its steps and its actions as of a time. Raises InvalidInput for one before its start."""
    past = [row for row in history if parse_timestamp_us(row["at"]) <= at_us]
    if not past:
        raise InvalidInput(
            f"{execution['execution']} had not started at {print_timestamp(at_us)}; it did at {execution['started_at']}"
        )
    issued = [row for row in actions if parse_timestamp_us(row["created_at"]) <= at_us]
    answered = {row["step"] for row in past if row["kind"] == "answered"}
    awaited = {row["step"] for row in history if row["kind"] == "answered"}
    steps = _steps(past, awaited - answered)
    return _whole(execution, past, steps, at_us), steps, [_action(row, at_us) for row in issued]


def _steps(past: Sequence[Row], unanswered: set[str]) -> list[dict[str, Any]]:
    """Fold the transitions of each step, and apart from it those that undo it."""
    folded: dict[tuple[str, bool], dict[str, Any]] = {}
    for row in past:
        if not row["step"]:
            continue
        undoes = row["verb"] == "compensation"
        step = folded.setdefault(
            (row["step"], undoes),
            {"step": row["step"], "kind": "", "started_at": row["at"], "ended_at": None, "outcome": "waiting"},
        )
        step["kind"] = step["kind"] or (row["verb"] if row["verb"] != "operator" else "")
        step["detail"] = row["detail"] if row["detail"] is not None else step.get("detail")
        if row["kind"] not in _NEWS:
            waits = row["kind"] in _WAITS or (row["kind"] == "issued" and (undoes or row["step"] in unanswered))
            step["outcome"] = "waiting" if waits else row["kind"]
            step["ended_at"] = None if waits else row["at"]
    return list(folded.values())


def _whole(execution: Row, past: Sequence[Row], steps: Sequence[Row], at_us: int) -> dict[str, Any]:
    """Give the execution itself; what it waited for is the first of its waiting steps."""
    ended = next((row for row in past if row["kind"] == "ended"), None)
    closing = any(row["kind"] == "closing" and not row["verb"] for row in past)
    waiting = [step for step in steps if step["outcome"] == "waiting" and step["kind"] not in ("parallel", "for_each")]
    status = str(ended["detail"]) if ended else "closing" if closing else "waiting" if waiting else "running"
    return {
        **execution,
        "as_of": print_timestamp(at_us),
        "status": status,
        "ended_at": ended["at"] if ended else None,
        "waiting_on": waiting[0]["step"] if waiting and not ended else None,
        "wait_until": _until(waiting[0]["detail"]) if waiting and not ended else None,
        "error": execution["error"] if closing or status in _ENDS else None,
    }


def _until(detail: Any) -> str | None:
    """Read until when a step waits, from what it noted: a time, or a record that has one."""
    found = detail.get("until") if isinstance(detail, dict) else detail
    return print_timestamp(found) if isinstance(found, int) else None


def _action(row: Row, at_us: int) -> dict[str, Any]:
    delivered = row["delivered_at"]
    if delivered is None or parse_timestamp_us(delivered) <= at_us:
        return dict(row)
    return {**row, "status": "pending", "delivered_at": None}
