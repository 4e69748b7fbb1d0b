"""`millrace schedules ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import AsJson, Home, Tenant, perform

app = typer.Typer(no_args_is_help=True, help="Which slots flows have, and when they come.")


@app.command("list", epilog="Example:  millrace schedules list --json")
def schedules_list(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """List the schedules in force, each zone for itself, with its next slot."""
    perform("schedules list", json=json, tenant=tenant, home=home)


@app.command("preview", epilog="Example:  millrace schedules preview month_end --count 6 --from 2026-12-01T00:00:00Z")
def schedules_preview(
    *,
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="A flow with a schedule.")],
    count: Annotated[int, typer.Option("--count", min=1, max=100_000, help="How many slots.")] = 10,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Slots after this time; default: now.")] = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Show the next slots of a flow over all its zones, as its clocks will show them."""
    perform("schedules preview", json=json, flow=flow, count=count, since=since, tenant=tenant, home=home)
