"""`millrace executions`: what runs, what ended, and what each execution waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from flows.cli.ask import ask, quoted, where
from flows.cli.terminal import Terminal
from flows.settings import load_settings
from infra.clock import SystemClock
from schemas.errors import InvalidInput
from sinks.projection.query import Question
from sinks.projection.query_socket import QueryClient

COLUMNS: Final = "execution, tenant, flow, status, trigger_event, started_at, ended_at, waiting_on, wait_until, error"
STEPS: Final = ("step", "kind", "started_at", "ended_at", "outcome", "detail")
ACTIONS: Final = ("action", "step", "type", "status", "created_at", "delivered_at", "attempts", "params")
STATUSES: Final = ("running", "waiting", "closing", "completed", "failed", "cancelled")
CANDIDATES: Final = 5


def list_executions(
    terminal: Terminal, *, flow: str | None, status: str | None, limit: int, tenant: str | None, home: Path | None
) -> int:
    """List executions, newest first. Raises InvalidInput for a status that does not exist."""
    if status is not None and status not in STATUSES:
        raise InvalidInput(f"there is no status {status!r}; wanted {', '.join(STATUSES)}")
    settings = load_settings(home=home, tenant=tenant)
    held = where(flow and f"flow = {quoted(flow)}", status and f"status = {quoted(status)}")
    sql = f"select {COLUMNS} from executions {held} order by started_at desc, execution limit {limit}"
    answer = ask(terminal, settings.home, Question(sql, settings.tenant))
    terminal.rows(answer.records(), answer.columns)
    return 0


def show_execution(terminal: Terminal, *, execution: str, tenant: str | None, home: Path | None) -> int:
    """Show one execution. Raises InvalidInput where none, or more than one, begins with the id."""
    settings = load_settings(home=home, tenant=tenant)

    first = f"select * from executions where starts_with(execution, {quoted(execution)}) limit {CANDIDATES}"
    found = ask(terminal, settings.home, Question(first, settings.tenant)).records()
    if len(found) != 1:
        names = ", ".join(str(one["execution"]) for one in found)
        raise InvalidInput(
            f"{len(found)} or more executions begin with {execution} ({names}); give more characters"
            if found
            else f"no execution begins with {execution}; `millrace executions list` shows them"
        )

    def rows(sql: str) -> list[dict[str, Any]]:  # how old the views are was said once
        return QueryClient(settings.home, SystemClock()).ask(Question(sql, settings.tenant)).records()

    whole = quoted(str(found[0]["execution"]))
    steps = rows(f"select {', '.join(STEPS)} from steps where execution = {whole} order by started_at, ended_at, step")
    actions = rows(f"select {', '.join(ACTIONS)} from actions where execution = {whole} order by created_at, action")
    if terminal.json:
        terminal.value({**found[0], "steps": steps, "actions": actions})
        return 0
    for name, value in found[0].items():
        if value is not None:
            terminal.print(f"{name:>14}  {value}")
    terminal.rows(steps, STEPS)
    terminal.rows(actions, ACTIONS)
    return 0
