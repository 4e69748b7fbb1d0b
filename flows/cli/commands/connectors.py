"""`millrace connectors ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import AsJson, Home, Tenant, perform

app = typer.Typer(no_args_is_help=True, help="Which connector carries out which type of action.")


@app.command("list", epilog="Example:  millrace connectors list --json")
def connectors_list(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """List the rules; an action type without one goes to the file connector."""
    perform("connectors list", json=json, tenant=tenant, home=home)


@app.command("set", epilog="Example:  millrace connectors set 'send_*' http url=https://api.example.com/mail")
def connectors_set(
    *,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Action types, e.g. send_email, 'send_*' or '*'.")],
    connector: Annotated[str, typer.Argument(metavar="CONNECTOR", help="http, webhook or file.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="Its settings; secret:NAME for secrets.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="For this tenant alone.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Let a connector carry out the action types that a pattern fits; the longest pattern wins."""
    perform("connectors set", json=json, pattern=pattern, connector=connector, settings=settings or [], tenant=tenant, home=home)


@app.command("remove", epilog="Example:  millrace connectors remove 'send_*'")
def connectors_remove(
    *,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="The pattern of the rule.")],
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The rule of this tenant.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Take a rule away."""
    perform("connectors remove", json=json, pattern=pattern, tenant=tenant, home=home)
