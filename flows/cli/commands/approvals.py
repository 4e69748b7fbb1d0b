"""`millrace approvals ...`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flows.cli.options import AsJson, By, Home, Limit, Role, Tenant, perform

app = typer.Typer(no_args_is_help=True, help="Who is asked what, and deciding it.")


class Outcome(StrEnum):
    """What somebody decides."""

    APPROVED = "approved"
    REJECTED = "rejected"


@app.command("list", epilog="Example:  millrace approvals list --links --tenant acme")
def approvals_list(  # noqa: PLR0913  a command's parameters are its flags
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    links: Annotated[bool, typer.Option("--links", help="With links to decide by, for whom they are.")] = False,
    flow: Annotated[str | None, typer.Option(metavar="NAME", help="Only this flow.")] = None,
    limit: Limit = 50,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """List what people are asked, first what must be decided first."""
    options = {"everything": everything, "links": links, "flow": flow, "limit": limit}
    perform("approvals list", json=json, tenant=tenant, home=home, **options)


@app.command("decide", epilog="Example:  millrace approvals decide 019a1f2e44c1b7 approval approved --by ann --role cfo")
def approvals_decide(  # noqa: PLR0913  a command's parameters are its flags
    *,
    execution: Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or its first characters.")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that asks.")],
    outcome: Annotated[Outcome, typer.Argument(help="What is decided.")],
    by: By = None,
    role: Role = None,
    form: Annotated[list[str] | None, typer.Option("--form", metavar="KEY=VALUE", help="A field of the form.")] = None,
    occurrence: Annotated[int | None, typer.Option(min=0, help="Which pass of the step, from 0.")] = None,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Decide an approval. It is taken in at once; whether it counts is decided by the engine's next turn."""
    options = {"by": by, "role": role or [], "form": form or [], "occurrence": occurrence}
    place = {"execution": execution, "step": step, "outcome": outcome.value}
    perform("approvals decide", json=json, tenant=tenant, home=home, **place, **options)
