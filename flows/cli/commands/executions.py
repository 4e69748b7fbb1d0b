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
    """Show one execution: what it knows, its steps, its actions and what became of them."""
    perform("executions show", json=json, execution=execution, at=at, tenant=tenant, home=home)


@app.command("history", epilog="Example:  millrace executions history 019a1f2e44c1b7 --json")
def executions_history(*, execution: Execution, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """Show everything that happened to one execution, in order."""
    perform("executions history", json=json, execution=execution, tenant=tenant, home=home)


def _word(word: str, means: str, example: str, *, of_a_step: bool = True) -> None:
    """Make the command of an operator's word."""

    def said(  # noqa: PLR0913  a command's parameters are its flags
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
        options = {"word": word, "step": step, "occurrence": occurrence, "by": by, "role": role or []}
        perform(f"executions {word}", json=json, execution=execution, tenant=tenant, home=home, **options)

    def said_of_all(
        *, execution: Execution, by: By = None, role: Role = None, tenant: Tenant = None, home: Home = None, json: AsJson = False
    ) -> None:
        said(execution=execution, by=by, role=role, tenant=tenant, home=home, json=json)

    app.command(word, help=means, epilog=f"Example:  millrace executions {example}")(said if of_a_step else said_of_all)


_word(
    "cancel",
    "End an execution: what is open is withdrawn, what was done is undone.",
    "cancel 019a1f2e44c1b7 --by ann",
    of_a_step=False,
)
_word(
    "retry",
    "Try now what waits for its next attempt, or again what could not be undone.",
    "retry 019a1f2e44c1b7 --step charge",
)
_word(
    "skip",
    "Go on without a step that waits, or without undoing one that cannot be undone.",
    "skip 019a1f2e44c1b7 --step received --by ann",
)


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
    said = {"word": "resume", "outcome": outcome.value, "by": by, "role": role or []}
    perform(
        "executions resume", json=json, execution=execution, step=step, occurrence=occurrence, tenant=tenant, home=home, **said
    )


@app.command("fork", epilog="Example:  millrace executions fork 019a1f2e44c1b7 --from charge --set order.total=120")
def executions_fork(  # noqa: PLR0913  a command's parameters are its flags
    *,
    execution: Execution,
    step: Annotated[str, typer.Option("--from", metavar="STEP", help="The first step that is done anew.")],
    version: Annotated[
        str | None, typer.Option(metavar="HASH", help="Of its flow (default: its own); `active`: in force.")
    ] = None,
    pairs: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value that it is to have.")] = None,
    key: Annotated[str | None, typer.Option("--id", metavar="KEY", help="Idempotency key: the same key forks once.")] = None,
    by: By = None,
    role: Role = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Start another execution from a step of this one, with what it knew there; what was done before is not done again.

    From that step on everything is done for good, under ids of its own. The execution itself stays as it is; cancel it if the
    fork takes its place. What steps before did is its own to undo, the fork undoes only what it does.
    """
    said = {"step": step, "version": version, "pairs": pairs or [], "key": key, "by": by, "role": role or []}
    perform("executions fork", json=json, execution=execution, tenant=tenant, home=home, **said)
