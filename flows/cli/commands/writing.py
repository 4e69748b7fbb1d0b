"""Commands for those who write flows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import AsJson, Files, Home, Tenant, perform

app = typer.Typer()


@app.command(epilog="Example:  millrace check flows/catalog/*.yaml")
def check(
    *,
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE...]", help="YAML or JSON; several documents each.")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="EVENTS", help="Also run the flow on CloudEvents JSON lines.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the language instead.")] = False,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Find every problem of flow files at once: file:line:column, what is, what was wanted, what to do."""
    perform("check", json=json, files=files or [], run=run, schema=schema, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace explain flows/catalog/onboarding.json")
def explain(
    *,
    files: Files,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Draw them as Mermaid flowcharts instead.")] = False,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Say in words what the flows of a file do: what starts them, their steps, their waits and actions."""
    perform("explain", json=json, files=files, mermaid=mermaid, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace reference wait")
def reference(
    *,
    construct: Annotated[
        list[str] | None, typer.Argument(metavar="[CONSTRUCT]", help="A document, trigger, step or key; or functions.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every page.")] = False,
    json: AsJson = False,
) -> None:
    """Describe the language: a page a construct with its keys, what they hold and mean, and a worked example."""
    perform("reference", json=json, words=construct or [], everything=everything)


@app.command(epilog="Example:  millrace diff deployed flows/order_over_limit.yaml")
def diff(
    *,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A file or folder, or `deployed`: what is in force.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A file or folder.")],
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Tell what differs between two versions of flows and events; exit 3 if executions in flight, callers or readers break."""
    perform("diff", json=json, old=old, new=new, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace fmt --check flows/*.yaml")
def fmt(
    *,
    files: Files,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")] = False,
    json: AsJson = False,
) -> None:
    """Lay flow files out in the one way: block style, the language's order of keys, comments kept; - is stdin to stdout."""
    perform("fmt", json=json, files=files, check=check)


@app.command(epilog="Example:  millrace test flows/order_over_limit.test.yaml --coverage")
def test(
    *,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Test files; the other files of their folder are read too.")
    ],
    coverage: Annotated[bool, typer.Option("--coverage", help="Also name the steps and arms that no test entered.")] = False,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Run test documents, each in milliseconds, and tell the first difference of each with its place. Exit 1 if one fails."""
    perform("test", json=json, files=files, coverage=coverage, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace deploy flows/catalog/contracts.yaml flows/catalog/onboarding.json --wait")
def deploy(
    *,
    files: Files,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the running engine has applied it.")] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Deploy for this tenant alone.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Check files and put their contracts and flows in force, without a restart; nothing if anything is wrong."""
    perform("deploy", json=json, files=files, wait=wait, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace plan flows/order_over_limit.yaml")
def plan(
    *,
    files: Files,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="As deploy --tenant would.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Say before a deploy what each execution in flight could do: stay, be moved, or strand and why; the exit code is 3 then."""
    perform("plan", json=json, files=files, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace rollback order_over_limit --wait")
def rollback(
    *,
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="Its name.")],
    wait: Annotated[bool, typer.Option("--wait", help="Return when the running engine has applied it.")] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The flow of this tenant alone.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Put the version before in force again; of two in force the older one, for all. A shadow ends. What is in flight stays."""
    perform("rollback", json=json, flow=flow, wait=wait, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace migrate order_over_limit --dry-run")
def migrate(
    *,
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="Its name.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be moved.")] = False,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so (default: the user).")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant's executions.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Let executions in flight go on in the version in force; what would strand stays, with why, and the exit code is 3."""
    perform("migrate", json=json, flow=flow, dry_run=dry_run, by=by, tenant=tenant, home=home)
