"""`millrace policies ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import AsJson, Home, Tenant, perform

app = typer.Typer(no_args_is_help=True, help="What policies are worth, changing them, and what they were.")
Policy = Annotated[str, typer.Argument(metavar="NAME", help="The policy.")]


@app.command("list", epilog="Example:  millrace policies list --tenant acme")
def policies_list(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """List the policies in force."""
    perform("policies list", json=json, tenant=tenant, home=home)


@app.command("set", epilog="Example:  millrace policies set approval_limit '6000 GBP' --tenant acme")
def policies_set(  # noqa: PLR0913  a command's parameters are its flags
    *,
    name: Policy,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its new value, of its type: '6000 GBP', 4h, 0.15.")],
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Of a keyed policy: for this key; else its default.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Valid from then on; default: at once.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="For this tenant alone.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Give a policy another value, without touching a flow. Tables are changed in their file and deployed."""
    perform("policies set", json=json, name=name, value=value, key=key, since=since, tenant=tenant, home=home)


@app.command("history", epilog="Example:  millrace policies history approval_limit")
def policies_history(*, name: Policy, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """Show every version of a policy, newest first."""
    perform("policies history", json=json, name=name, tenant=tenant, home=home)
