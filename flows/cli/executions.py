"""`millrace executions list | show | history`: what runs, what ended, what each execution waits for, and how it came to that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from flows.cli.ask import ask, quoted, where
from flows.cli.past import NEVER_US, as_it_stood, known
from flows.cli.saying import found_execution, time_of
from flows.cli.terminal import Terminal
from flows.deployment import in_force
from flows.settings import Settings, load_settings
from flows.versions.in_home import versions_in
from operators.turn.emit import LIMIT, OPERATOR
from schemas.errors import InvalidInput
from schemas.expression.types import Type
from schemas.program_values import value_types
from sinks.projection.query import Question

COLUMNS: Final = "execution, tenant, flow, status, trigger_event, started_at, ended_at, waiting_on, wait_until, error"
WAITING: Final = ("execution", "tenant", "flow", "status", "waits_for", "kind", "since", "until", "error")
VALUES: Final = ("name", "value")
STEPS: Final = ("step", "kind", "started_at", "ended_at", "outcome", "detail")
ACTIONS: Final = ("action", "step", "type", "status", "created_at", "delivered_at", "attempts", "code", "error", "params")
HISTORY: Final = ("at", "name", "step", "detail")
STATUSES: Final = ("running", "waiting", "closing", "completed", "failed", "cancelled")


def list_executions(  # noqa: PLR0913  what was typed
    terminal: Terminal,
    *,
    flow: str | None,
    status: str | None,
    limit: int,
    tenant: str | None,
    home: Path | None,
    waiting: bool = False,
) -> int:
    """List executions, newest first. Raises InvalidInput for a status that does not exist."""
    if status is not None and status not in STATUSES:
        raise InvalidInput(f"there is no status {status!r}; wanted {', '.join(STATUSES)}")
    settings = load_settings(home=home, tenant=tenant)
    held = [flow and f"flow = {quoted(flow)}", status and f"status = {quoted(status)}"]
    if waiting:
        answer = ask(terminal, settings.home, Question(_waiting(held, limit), settings.tenant))
        terminal.rows(answer.records(), WAITING)
        return 0
    sql = f"select {COLUMNS} from executions {where(*held)} order by started_at desc, execution limit {limit}"
    answer = ask(terminal, settings.home, Question(sql, settings.tenant))
    terminal.rows(answer.records(), answer.columns)
    return 0


def show_execution(terminal: Terminal, *, execution: str, tenant: str | None, home: Path | None, at: str | None = None) -> int:
    """Show one execution as it stands, or as it stood. Raises InvalidInput where none, or more than one, begins with the id."""
    settings = load_settings(home=home, tenant=tenant)
    found = found_execution(terminal, settings, execution)
    whole = quoted(str(found["execution"]))
    sql = f"select {', '.join(STEPS)} from steps where execution = {whole} order by position"
    steps = _rows(terminal, settings, sql)
    actions = _rows(
        terminal, settings, f"select {', '.join(ACTIONS)} from actions where execution = {whole} order by created_at, action"
    )
    forked = f"select detail->>'$.execution' as forked_from from history where execution = {whole} and kind = 'forked'"
    found |= next(iter(_rows(terminal, settings, forked)), {})
    turns, at_us = turns_of(terminal, settings, whole), NEVER_US if at is None else time_of(at, "--at")
    if at is not None:
        found, steps, actions = as_it_stood(found, history_of(terminal, settings, whole), turns, actions, at_us)
    values = known(turns, at_us, types_of(settings.home, {str(turn["version"]) for turn in turns}))
    if terminal.json:
        terminal.value({**found, "values": values, "steps": steps, "actions": actions})
        return 0
    for name, value in found.items():
        if value is not None:
            terminal.print(f"{name:>14}  {value}")
    terminal.rows([{"name": name, "value": value} for name, value in values.items()], VALUES)
    terminal.rows(steps, STEPS)
    terminal.rows(actions, ACTIONS)
    return 0


def history(terminal: Terminal, *, execution: str, tenant: str | None, home: Path | None) -> int:
    """Show what happened to one execution, in order. Raises InvalidInput where none, or more than one, begins with the id."""
    settings = load_settings(home=home, tenant=tenant)
    found = found_execution(terminal, settings, execution)
    rows = history_of(terminal, settings, quoted(str(found["execution"])))
    terminal.rows([{name: row[name] for name in HISTORY} for row in rows], HISTORY)
    return 0


def _waiting(held: Sequence[str | None], limit: int) -> str:
    """Ask what executions wait for: the step that is next to move, since when it waits and until when."""
    live = "status in ('running', 'waiting', 'closing')"
    step, asks = f"regexp_replace(waiting_on, '^{OPERATOR}', '')", f"starts_with(waiting_on, '{OPERATOR}')"
    return f"""
        select executions.execution, executions.tenant, flow, status, waiting_on as waits_for,
            coalesce(nullif(any_value(regexp_extract(waiting_on, '^({LIMIT}|{OPERATOR})', 1)).trim(), ''), any_value(steps.kind))
                as kind,
            coalesce(max(if({asks}, steps.ended_at, steps.started_at)), any_value(executions.started_at)) as since,
            wait_until as until, error
        from (select * from executions {where(live, *held)}) executions
        left join steps on steps.execution = executions.execution and steps.tenant is not distinct from executions.tenant
            and steps.step = {step} and (outcome = 'waiting' or {asks})
        group by all order by until nulls last, since, execution limit {limit}"""


def types_of(home: Path, versions: Collection[str]) -> dict[str, dict[str, Type]]:
    """Give the types of the values of versions, as far as the control topic still has these."""
    there = versions_in(home)
    answers = {one.name: one.answer for one in in_force(home).policies() if one.answer is not None}
    programs = {version: there.program(version) for version in versions}
    return {version: value_types(one, answers) for version, one in programs.items() if one is not None}


def turns_of(terminal: Terminal, settings: Settings, execution: str) -> list[dict[str, Any]]:
    """Give how an execution stood after each of its turns, in order; `execution` is quoted."""
    return _rows(terminal, settings, f"select * from turns where execution = {execution} order by position")


def history_of(terminal: Terminal, settings: Settings, execution: str) -> list[dict[str, Any]]:
    """Give what happened to an execution, in order; `execution` is quoted."""
    sql = f'select "at", name, step, verb, kind, detail from history where execution = {execution} order by position'
    return _rows(terminal, settings, sql)


def _rows(terminal: Terminal, settings: Settings, sql: str) -> list[dict[str, Any]]:
    return ask(terminal, settings.home, Question(sql, settings.tenant)).records()
