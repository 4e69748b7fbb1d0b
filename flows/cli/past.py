"""How an execution stood at a time: its history up to then, folded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.errors import InvalidInput
from schemas.exact_json import from_exact
from schemas.expression.literals import parse_timestamp_us, print_timestamp
from schemas.expression.types import Type
from schemas.program_values import shown_as

Row = Mapping[str, Any]
_NEWS: Final = ("refused", "retried", "resumed", "closing")
_WAITS: Final = ("entered", "requested", "reminded", "escalated", "decided", "called")
_ENDS: Final = ("completed", "failed", "cancelled")
_BLOCKS: Final = ("parallel", "for_each")
NEVER_US: Final = 1 << 62  # behind all times


def as_it_stood(
    execution: Row, history: Sequence[Row], turns: Sequence[Row], actions: Sequence[Row], at_us: int
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
    before = [row for row in turns if parse_timestamp_us(row["at"]) <= at_us] or list(turns[:1])
    version = {"version": before[-1]["version"]} if before else {}
    over = next((row["at"] for row in past if row["kind"] == "ended" and not row["step"]), None)
    if over is not None:  # nothing waits any more
        steps = [{**step, "ended_at": over, "outcome": "cancelled"} if step["outcome"] == "waiting" else step for step in steps]
    whole = {**execution, **version, "as_of": print_timestamp(at_us), **_standing(execution, past, steps)}
    if whole["status"] in ("waiting", "closing"):
        whole |= _waited_for(past, steps, before)
    return whole, steps, [_action(row, at_us) for row in issued]


def known(turns: Sequence[Row], at_us: int, types: Mapping[str, Mapping[str, Type]]) -> dict[str, Any]:
    """Give what an execution knew at a time: what it took along from its cause, and what its steps had bound by then.

    `types` are those of its values, by version and name: what a time or money is, only its program says.
    """
    values: dict[str, Any] = {}
    for turn in turns:
        if parse_timestamp_us(turn["at"]) <= at_us:
            of = types.get(turn["version"], {})
            bound = {name: value for name, value in (turn["bound"] or {}).items() if name[:1].isalpha()}
            values |= {name: shown_as(from_exact(value), of.get(name)) for name, value in bound.items()}
    return values


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
        if row["kind"] != "closing":
            step["detail"] = row["detail"] if row["detail"] is not None else step.get("detail")
        if row["kind"] not in _NEWS:
            waits = row["kind"] in _WAITS or (row["kind"] == "issued" and (undoes or row["step"] in unanswered))
            waits = waits and not (row["kind"] == "called" and row["detail"].get("awaited") is False)
            step["outcome"] = "waiting" if waits else row["kind"]
            step["ended_at"] = None if waits else row["at"]
    return list(folded.values())


def _standing(execution: Row, past: Sequence[Row], steps: Sequence[Row]) -> dict[str, Any]:
    """Say whether it had ended, and how."""
    ended = next((row for row in past if row["kind"] == "ended"), None)
    closing = any(row["kind"] == "closing" and not row["verb"] for row in past)
    waiting = any(step["outcome"] == "waiting" for step in steps) or past[-1]["verb"] == "limit"
    status = str(ended["detail"]) if ended else "closing" if closing else "waiting" if waiting else "running"
    return {
        "status": status,
        "ended_at": ended["at"] if ended else None,
        "waiting_on": None,
        "wait_until": None,
        "error": execution["error"] if closing or status in _ENDS else None,
    }


def _waited_for(past: Sequence[Row], steps: Sequence[Row], turns: Sequence[Row]) -> dict[str, Any]:
    """Say what it waited for: the step that was to move first. Until when an awaited action is waited for, its turn says."""
    known = {row["waiting_on"]: row["wait_until"] for row in turns}
    known |= {row["step"]: until for row in past if row["step"] and (until := _until(row)) is not None}
    waiting = [step["step"] for step in steps if step["outcome"] == "waiting" and step["kind"] not in _BLOCKS]
    if not waiting:
        return {"waiting_on": turns[-1]["waiting_on"], "wait_until": turns[-1]["wait_until"]} if turns else {}
    first = min(waiting, key=lambda step: NEVER_US if (until := known.get(step)) is None else parse_timestamp_us(until))
    return {"waiting_on": first, "wait_until": known.get(first)}


def _until(row: Row) -> str | None:
    """Read until when a step waits, from what it noted."""
    if row["kind"] == "entered" and row["verb"] in ("delay", "until", "wait"):
        return str(row["detail"])
    return row["detail"].get("until") if isinstance(row["detail"], dict) else None


def _action(row: Row, at_us: int) -> dict[str, Any]:
    delivered = row["delivered_at"]
    if delivered is None or parse_timestamp_us(delivered) <= at_us:
        return dict(row)
    return {**row, "status": "pending", "delivered_at": None}
