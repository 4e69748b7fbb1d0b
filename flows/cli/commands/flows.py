"""`millrace flows ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import AsJson, By, Home, Role, Tenant, perform

app = typer.Typer(no_args_is_help=True, help="Which flows are in force, and starting them by hand.")


@app.callback()
def flows() -> None:
    """Show flows in force, and start them by hand."""


@app.command("list", epilog="Example:  millrace flows list --tenant acme")
def flows_list(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """List the versions in force and for whom: for all, for a part (new, rest), or in shadow."""
    perform("flows list", json=json, tenant=tenant, home=home)


@app.command("start", epilog="Example:  millrace flows start collection --input invoice_id=I7 --role finance --tenant acme")
def flows_start(  # noqa: PLR0913  a command's parameters are its flags
    *,
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="A flow with a manual trigger.")],
    pairs: Annotated[list[str] | None, typer.Option("--input", metavar="KEY=VALUE", help="One of its inputs.")] = None,
    inputs: Annotated[str | None, typer.Option("--inputs", metavar="JSON", help="Its inputs as one JSON object.")] = None,
    key: Annotated[str | None, typer.Option("--id", metavar="KEY", help="Idempotency key: the same key starts once.")] = None,
    by: By = None,
    role: Role = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Start a flow that has a manual trigger."""
    options = {"pairs": pairs or [], "inputs": inputs, "key": key, "by": by, "role": role or []}
    perform("flows start", json=json, flow=flow, tenant=tenant, home=home, **options)
