"""The step `approve`: N of those who may decide, reminders, escalation, a form that fits its type."""

from __future__ import annotations

from typing import Any, Final

from operators.execution.execution import NOWHERE, Ballot, Parked, Vote
from operators.execution.issue import shared_row, shared_template
from operators.execution.noted import noted
from operators.execution.run import Run, StepFailed, StepFunction
from operators.steps.emit_event import event_of
from schemas.errors import BrokenInvariant
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import print_timestamp
from schemas.expression.read_json import read_json
from schemas.ids import action_id
from schemas.program import Approve, Deciders
from schemas.records import Decision, Json
from schemas.topics import APPROVAL_EVENTS

ESCALATE: Final = "escalated"
REMIND: Final = "reminded"


def approve(step: Approve) -> StepFunction:
    """Make the function that asks."""
    timeout, title = shared_row(step.timeout), shared_template(step.title)
    excluded = None if step.excluded is None else shared_template(step.excluded)
    show = None if step.show is None else shared_template(step.show)

    def ask(run: Run) -> int:
        length = timeout(run.env)
        if length is None:
            raise StepFailed("missing_value", f"the timeout of step '{step.name}' has no value")
        said = title(run.env)
        roles, people = _deciders(run, step.by)
        ballot = Ballot(0, run.now_us, roles, people, _texts(excluded(run.env)) if excluded is not None else [])
        ballot.title = str(said)
        ballot.show = shown = None if show is None else show(run.env)
        ballot.occurrence = run.occurrence(step.name)
        waits = run.park(run.now_us + length, "deadline", ballot.occurrence)
        run.more().ballots[run.token] = ballot
        until_us = run.parked[run.token].due_us
        asked = {"title": said, "roles": roles, "people": people, "need": step.need, "until": until_us, "show": shown}
        noticed = {name: noted(value) for name, value in asked.items()}
        run.note("requested", step.name, "approval", {"occurrence": ballot.occurrence, **noticed})
        _tell(run, step, ballot, "requested", asked)
        _plan_notice(run, step, ballot)
        return waits

    return ask


def _deciders(run: Run, by: Deciders) -> tuple[list[str], list[str]]:
    roles = [] if by.role is None else _texts(shared_template(by.role)(run.env))
    return roles, [] if by.people is None else _texts(shared_template(by.people)(run.env))


def _texts(value: Any) -> list[str]:
    """Give names: a text or a list of texts; what is missing is left out."""
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one is not None]


def _tell(run: Run, step: Approve, ballot: Ballot, what: str, data: dict[str, Json]) -> None:
    """Say an internal event, so that a flow of the user can notify people by any action."""
    identity = action_id(run.id, f"{step.name}:{what}:{ballot.notices}:{len(ballot.votes)}", ballot.occurrence).hex()
    flow = run.runnable.program.flow
    about = {"execution": run.hex_id, "flow": flow, "step": step.name, "occurrence": ballot.occurrence}
    if "until" in data:
        data = data | {"until": print_timestamp(data["until"])}
    to = (f"approval.{what}", APPROVAL_EVENTS)
    run.events = (*run.events, event_of(run, identity, to, run.hex_id, {"approval": about | data}, internal=True))


def _notices(step: Approve) -> list[tuple[int, str]]:
    """Give what is said while nobody decides, in order of time."""
    notices = [(length, REMIND) for length in step.remind_us]
    return sorted([*notices, (step.escalate_us, ESCALATE)] if step.escalate_us else notices)


def _plan_notice(run: Run, step: Approve, ballot: Ballot) -> None:
    notices, asking = _notices(step), run.parked[run.token]
    ballot.notice = NOWHERE
    if ballot.notices < len(notices):
        due_us = ballot.since_us + notices[ballot.notices][0]
        if due_us < asking.due_us:
            ballot.notice = run.new_token()
            notice = Parked(ballot.notice, asking.step, due_us, "notice", asking.frame, asking.token)
            run.parked[notice.token] = notice
            run.timers_set.append(notice)


def give_notice(run: Run, notice: Parked) -> None:
    """Remind or escalate; the approval goes on being waited for."""
    step, token = _step(run, notice), notice.about
    run.unpark(notice.token)
    if token is None:
        raise BrokenInvariant("a notice belongs to no approval")
    run.switch(token, notice.frame)
    ballot = run.more().ballots[token]
    _, what = _notices(step)[ballot.notices]
    ballot.notices += 1
    if what == ESCALATE and step.escalate_to is not None:
        roles, people = _deciders(run, step.escalate_to)
        ballot.roles = [*ballot.roles, *roles]
        ballot.people = [*ballot.people, *people]
    who: dict[str, Json] = {"roles": ballot.roles, "people": ballot.people}
    said = {"occurrence": ballot.occurrence, **who}
    run.note("escalated" if what == ESCALATE else "reminded", step.name, "approval", said)
    _tell(run, step, ballot, what, who | {"until": run.parked[token].due_us})
    _plan_notice(run, step, ballot)


def find_ballot(run: Run, decision: Decision) -> Parked | None:
    """Find the approval that a decision is about."""
    for token, ballot in run.rest.ballots.items() if run.rest is not None else ():
        parked = run.parked[token]
        if _step(run, parked).name == decision.step and ballot.occurrence == decision.occurrence:
            return parked
    return None


def refusal(run: Run, parked: Parked, decision: Decision) -> str:
    """Say why a decision does not count; empty if it does."""
    step, ballot = _step(run, parked), run.more().ballots[parked.token]
    if not decision.outcome:
        return "no_outcome"
    allowed = decision.by in ballot.people or not set(ballot.roles).isdisjoint(decision.roles)
    if not allowed or decision.by in ballot.excluded:
        return "not_allowed"
    if any(vote.by == decision.by for vote in ballot.votes):
        return "decided_already"
    if decision.outcome == "rejected" and decision.form is None:
        return ""
    if unknown := _unasked(step, decision):
        return f"bad_form: {unknown}"
    try:
        _form(step, decision)
    except ExpressionError as error:
        return f"bad_form: {'.'.join(map(str, error.path))}: {error.message}"
    return ""


def _unasked(step: Approve, decision: Decision) -> str:
    """Say which field a form has that was not asked for: a slip of whoever decides, who means something by it."""
    if step.form is None or not isinstance(decision.form, dict):
        return ""
    asked = [name for name, _ in step.form.fields]
    unknown = next((name for name in decision.form if name not in asked), None)
    return "" if unknown is None else f"{unknown}: the form asks for {', '.join(asked)}; write one of these or leave it out"


def _form(step: Approve, decision: Decision) -> Json:
    if step.form is None or (decision.form is None and decision.outcome == "rejected"):
        return None
    return read_json({} if decision.form is None else decision.form, step.form)


def take_decision(run: Run, parked: Parked, decision: Decision) -> int | None:
    """Count a decision; give the step behind the approval if it decides it."""
    step, ballot = _step(run, parked), run.more().ballots[parked.token]
    run.switch(parked.token, parked.frame)
    said: dict[str, Json] = {"occurrence": ballot.occurrence, "outcome": decision.outcome, "by": decision.by, "via": decision.via}
    vote = Vote(decision.by, run.now_us, _form(step, decision))
    if step.form is not None and decision.form:  # as it was given; of several who decide only the last one's is bound
        said["form"] = noted(decision.form)
    run.note("decided", step.name, "approval", said)
    ballot.votes.append(vote)
    if decision.outcome == "approved" and len(ballot.votes) < step.need:
        return None
    _tell(run, step, ballot, "decided", {"outcome": decision.outcome, "by": decision.by})
    return _decided(run, parked, decision.outcome, vote)


def _decided(run: Run, parked: Parked, outcome: str, vote: Vote | None) -> int:
    step = _step(run, parked)
    occurrence = run.more().ballots[parked.token].occurrence
    _end_asking(run, parked)
    by, form = (None, None) if vote is None else (vote.by, vote.form)
    if step.bind:
        run.bind(step.bind, {"outcome": outcome, "by": by, "at": run.now_us, "form": form})
    run.note("completed", step.name, "approval", {"occurrence": occurrence, "outcome": outcome, "by": by})
    return step.next


def _end_asking(run: Run, parked: Parked) -> None:
    ballot = run.more().ballots.pop(parked.token)
    if ballot.notice != NOWHERE:
        run.unpark(ballot.notice)
    run.unpark(parked.token)


def time_out_asking(run: Run, parked: Parked) -> int:
    """Give the step behind an approval that nobody decided in time; raises StepFailed."""
    step = _step(run, parked)
    run.note("timed_out", step.name, "approval", {"occurrence": run.more().ballots[parked.token].occurrence})
    if step.on_timeout == "fail":
        _end_asking(run, parked)
        raise StepFailed("timeout", "nobody decided in time")
    run.switch(parked.token, parked.frame)
    return _decided(run, parked, step.on_timeout, None)


def _step(run: Run, parked: Parked) -> Approve:
    step = run.runnable.program.steps[parked.step]
    if not isinstance(step, Approve):
        raise BrokenInvariant(f"step '{step.name}' is no approval")
    return step
