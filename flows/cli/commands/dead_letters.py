"""`millrace dlq ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import AsJson, Home, Limit, perform

app = typer.Typer(no_args_is_help=True, help="Records and actions that were set aside.")


@app.command("list", epilog="Example:  millrace dlq list --tenant -")
def dlq_list(
    *,
    reason: Annotated[str | None, typer.Option(metavar="NAME", help="Only this reason, e.g. malformed-json.")] = None,
    limit: Limit = 50,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant; - is: no tenant.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """List what was set aside, newest first: place, reason, payload."""
    perform("dlq list", json=json, reason=reason, limit=limit, tenant=tenant, home=home)


@app.command("redrive", epilog="Example:  millrace dlq redrive --reason unknown-event --tenant acme")
def dlq_redrive(
    *,
    reason: Annotated[str | None, typer.Option(metavar="NAME", help="Only this reason.")] = None,
    position: Annotated[str | None, typer.Option(metavar="TOPIC/PARTITION/POSITION", help="Only this one.")] = None,
    put_back: Annotated[
        bool, typer.Option("--put-back", help="Send a control record too, which changes what is in force (with --position).")
    ] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant; - is: no tenant.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Send dead letters again, after their cause is mended: events to their topic, actions to their connector.

    Control records (deploys) are left out of it: they go by --position alone.
    """
    options = {"reason": reason, "position": position, "put_back": put_back}
    perform("dlq redrive", json=json, tenant=tenant, home=home, **options)
