"""`millrace executions ...`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flows.cli.options import AsJson, By, Home, Limit, Occurrence, Role, Tenant, perform

app = typer.Typer(no_args_is_help=True, help="What is running, what ended, what each execution waits for, and operating them.")
Execution = Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or its first characters.")]
Step = Annotated[str, typer.Option("--step", metavar="NAME", help="The step that is meant; default: the one that waits.")]


class Outcome(StrEnum):
    """What became of a command that nobody knows the end of."""

    DONE = "done"
    NOT_DONE = "not_done"


@app.command("list", epilog="Example:  millrace executions list --status waiting --tenant acme")
def executions_list(  # noqa: PLR0913  a command's parameters are its flags
    *,
    flow: Annotated[str | None, typer.Option(metavar="NAME", help="Only this flow.")] = None,
    status: Annotated[str | None, typer.Option(metavar="STATUS", help="running, waiting, completed, failed ...")] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="What each waits for, since when and until when.")] = False,
    limit: Limit = 50,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """List executions, newest first; with --waiting those that are alive, first whose wait ends first."""
    perform("executions list", json=json, flow=flow, status=status, waiting=waiting, limit=limit, tenant=tenant, home=home)


@app.command("show", epilog="Example:  millrace executions show 019a1f2e44c1b7 --at 2026-11-21T09:30:00Z")
def executions_show(
    *,
    execution: Execution,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="As it stood at that time.")] = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Show one execution: its steps, its actions and what became of them."""
    perform("executions show", json=json, execution=execution, at=at, tenant=tenant, home=home)


@app.command("history", epilog="Example:  millrace executions history 019a1f2e44c1b7 --json")
def executions_history(*, execution: Execution, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """Show everything that happened to one execution, in order."""
    perform("executions history", json=json, execution=execution, tenant=tenant, home=home)


@app.command("cancel", epilog="Example:  millrace executions cancel 019a1f2e44c1b7 --by ann")
def executions_cancel(
    *, execution: Execution, by: By = None, role: Role = None, tenant: Tenant = None, home: Home = None, json: AsJson = False
) -> None:
    """End an execution: what is open is withdrawn, what was done is undone."""
    perform("executions cancel", json=json, execution=execution, by=by, role=role or [], tenant=tenant, home=home)


@app.command("retry", epilog="Example:  millrace executions retry 019a1f2e44c1b7 --step charge")
def executions_retry(  # noqa: PLR0913  a command's parameters are its flags
    *,
    execution: Execution,
    step: Step = "",
    occurrence: Occurrence = 0,
    by: By = None,
    role: Role = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Try again what failed and waits for an operator."""
    options = {"step": step, "occurrence": occurrence, "by": by, "role": role or []}
    perform("executions retry", json=json, execution=execution, tenant=tenant, home=home, **options)


@app.command("skip", epilog="Example:  millrace executions skip 019a1f2e44c1b7 --step received --by ann")
def executions_skip(  # noqa: PLR0913  a command's parameters are its flags
    *,
    execution: Execution,
    step: Step = "",
    occurrence: Occurrence = 0,
    by: By = None,
    role: Role = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Go on without a step that waits, or without undoing one that cannot be undone."""
    options = {"step": step, "occurrence": occurrence, "by": by, "role": role or []}
    perform("executions skip", json=json, execution=execution, tenant=tenant, home=home, **options)


@app.command("resume", epilog="Example:  millrace executions resume 019a1f2e44c1b7 --step refund --outcome done")
def executions_resume(  # noqa: PLR0913  a command's parameters are its flags
    *,
    execution: Execution,
    outcome: Annotated[Outcome, typer.Option(help="Whether the command was carried out.")],
    step: Step = "",
    occurrence: Occurrence = 0,
    by: By = None,
    role: Role = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Say what became of a command whose end is unknown, so that the execution goes on."""
    options = {"step": step, "occurrence": occurrence, "outcome": outcome.value, "by": by, "role": role or []}
    perform("executions resume", json=json, execution=execution, tenant=tenant, home=home, **options)
