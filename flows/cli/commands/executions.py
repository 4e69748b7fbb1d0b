"""`millrace executions ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import AsJson, Home, Limit, Tenant, perform

app = typer.Typer(no_args_is_help=True, help="What is running, what ended, and what each execution waits for.")


@app.command("list", epilog="Example:  millrace executions list --status waiting --tenant acme")
def executions_list(
    *,
    flow: Annotated[str | None, typer.Option(metavar="NAME", help="Only this flow.")] = None,
    status: Annotated[str | None, typer.Option(metavar="STATUS", help="running, waiting, completed, failed ...")] = None,
    limit: Limit = 50,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """List executions, newest first, with what each waits for and until when."""
    perform("executions list", json=json, flow=flow, status=status, limit=limit, tenant=tenant, home=home)


@app.command("show", epilog="Example:  millrace executions show 019a1f2e44c1b7")
def executions_show(
    *,
    execution: Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or its first characters.")],
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Show one execution: its steps, its actions and what became of them."""
    perform("executions show", json=json, execution=execution, tenant=tenant, home=home)
