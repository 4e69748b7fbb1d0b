"""Checks the shape of `test` documents; what they mean is the matter of the runner.

A test must send or fire something and expect something; its lines are in order of time, each with one verb.
"""

from __future__ import annotations

from flows.language.conditions import duration_us
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.parse import Document
from flows.language.report import Report, listed
from flows.language.structure import shape
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_timestamp_us
from schemas.flow.scenario import DOES, Moments, Test

_WITH = {
    "send": frozenset(["with", "id", "time", "source"]),
    "fire": frozenset(["with", "zone", "by", "roles", "refused"]),
    "decide": frozenset(["outcome", "by", "roles", "form", "refused"]),
    "command": frozenset(["step", "by", "roles", "outcome", "refused"]),
}
_OUTCOMES = {"decide": ("approved", "rejected"), "resume": ("done", "not_done")}
_REFUSALS = {
    "decide": ("not_allowed", "decided_already", "bad_form", "not_open"),
    "fire": ("not_allowed", "bad_inputs"),
    "command": ("not_possible",),
}


def check_test(document: Document, report: Report) -> bool:
    """Tell what is wrong with a test; give whether it may be run."""
    before = len(report.problems)
    shaped = shape(document.kind, document.node, report)
    if shaped is None or not isinstance(shaped.model, Test):
        return False
    test, node = shaped.model, shaped.node
    clock_us = _clock(test.clock, inner(node, "clock"), report)
    places = inner(node, "timeline")
    last_us = clock_us
    for line, place in zip(test.timeline, places.items if isinstance(places, Sequence) else (), strict=True):
        _check_line(line, place, report)
        at_us = moment_us(line.at, clock_us, inner(place, "at"), report)
        if at_us < last_us:
            message = f"'{line.at}' comes before the line above it; put the lines in order of time"
            report.add(inner(place, "at"), "bad-order", message)
        last_us = max(last_us, at_us)
    if len(report.problems) == before:  # else a line may be left out
        _check_whole(test, places, report)
    return len(report.problems) == before


def _clock(text: str, place: Node, report: Report) -> int:
    try:
        return parse_timestamp_us(text)
    except ExpressionError as error:
        report.add(place, error.name, error.message)
        return 0


def moment_us(text: str, clock_us: int, place: Node, report: Report) -> int:
    """Read an offset from the clock, or a timestamp; the clock itself stands for what is neither, which is told."""
    try:
        return clock_us + duration_us(text)
    except ExpressionError as error:
        try:
            return parse_timestamp_us(text)
        except ExpressionError:
            report.add(place, error.name, f"{error.message}; or a timestamp")
            return clock_us


def _check_line(line: Moments, place: Node, report: Report) -> None:
    names = place.names() if isinstance(place, Mapping) else []
    verbs = [verb for verb in DOES if verb in names]
    if not verbs:
        report.add(place, "no-verb", f"a line of a test does nothing; write one of {listed(DOES)}")
        return
    if len(verbs) > 1:
        report.add(place, "two-verbs", f"one line has '{verbs[0]}' and '{verbs[1]}'; make two lines")
        return
    allowed = _WITH.get(verbs[0], frozenset()) | {"at", verbs[0]}
    for key in names:
        if key not in allowed and isinstance(place, Mapping):
            message = f"a line with '{verbs[0]}' has no key '{key}' ({listed(sorted(allowed))})"
            report.add(place.key(key) or place, "unknown-key", message)
    _check_words(line, verbs[0], place, report)


def _check_words(line: Moments, verb: str, place: Node, report: Report) -> None:
    """Tell of an outcome or a refusal that the line's verb cannot have."""
    told = verb if verb == "decide" else str(line.command)
    outcomes = _OUTCOMES.get(told, ())
    if outcomes and line.outcome is None:
        what = "a decision" if told == "decide" else "a resume"
        report.add(place, "missing-key", f"{what} has no 'outcome' and needs one; write {' or '.join(outcomes)}")
    elif line.outcome is not None and "outcome" in _WITH.get(verb, ()) and line.outcome not in outcomes:
        wanted = f"write {' or '.join(outcomes)}" if outcomes else "take it away"
        report.add(inner(place, "outcome"), "bad-word", f"'{line.outcome}' is no outcome of '{told}'; {wanted}")
    told = "a schedule" if line.fire == "schedule" else f"'{verb}'"
    refusals = () if line.fire == "schedule" else _REFUSALS.get(verb, ())
    if line.refused is not None and "refused" in _WITH.get(verb, ()) and line.refused not in refusals:
        wanted = f"write {' or '.join(refusals)}" if refusals else "take it away"
        message = f"{told} is never refused as '{line.refused}'; {wanted}"
        report.add(inner(place, "refused"), "bad-word", message)


def _check_whole(test: Test, places: Node, report: Report) -> None:
    if not any(line.send or line.fire for line in test.timeline):
        report.add(places, "empty-test", "nothing starts in this test; send an event or fire a trigger")
    if not any(line.expect is not None for line in test.timeline):
        report.add(places, "empty-test", "this test expects nothing, so it cannot fail; add a line with expect")
