"""The commands and their flags, as typer shows them. What a command does stands in its own module (see `table`)."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from flows.cli.table import COMMANDS, load
from flows.cli.terminal import Terminal
from schemas.errors import InvalidFlow, InvalidInput, MillraceError

FINE: Final = 0
FAILED: Final = 1
INVALID: Final = 2

Home = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="The folder with all state (default .millrace).")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML or JSON; each may hold several documents.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="The most rows to show.")]


class Role(StrEnum):
    """The processes that `up` runs."""

    SERVER = "server"
    ENGINE = "engine"
    DISPATCHER = "dispatcher"
    PROJECTOR = "projector"


class Clock(StrEnum):
    """Whose time it is."""

    WALL = "wall"
    EVENTS = "events"


class DataSet(StrEnum):
    """The public data sets that have a reader."""

    CRM_SALES = "crm_sales"
    INCIDENT_UCI498 = "incident_uci498"
    ONLINE_RETAIL = "online_retail"


app = typer.Typer(
    name="millrace",
    help="Business automations as stateful streaming dataflows: events in, actions out, exactly once.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)
executions_app = typer.Typer(no_args_is_help=True, help="What is running, what ended, and what each execution waits for.")
dlq_app = typer.Typer(no_args_is_help=True, help="Records and actions that were set aside.")
connectors_app = typer.Typer(no_args_is_help=True, help="Which connector carries out which type of action.")
app.add_typer(executions_app, name="executions")
app.add_typer(dlq_app, name="dlq")
app.add_typer(connectors_app, name="connectors")


def perform(command: str, *, json: bool = False, **options: Any) -> None:
    """Run a command and end with its exit code: 0 fine, 1 failed, 2 invalid input."""
    terminal = Terminal(json=json)
    try:
        code = load(COMMANDS[command])(terminal, **options)
    except InvalidFlow as error:
        for problem in error.problems:
            terminal.say(str(problem))
        code = INVALID
    except InvalidInput as error:
        terminal.say(f"millrace {command}: {error}")
        code = INVALID
    except MillraceError as error:
        terminal.say(f"millrace {command}: {error}")
        code = FAILED
    except KeyboardInterrupt:
        code = FAILED
    except BrokenPipeError:
        sys.stderr.close()
        code = FAILED
    raise typer.Exit(code or FINE)


@app.command(epilog="Example:  millrace demo --events 50000 --seed 7 --json")
def demo(
    *,
    events: Annotated[int, typer.Option(min=100, help="How many records the generator writes.")] = 50_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same business events.")] = 7,
    crash: Annotated[int, typer.Option(min=0, help="Kill engine, dispatcher and projector at that many random moments.")] = 0,
    home: Annotated[Path, typer.Option("--home", metavar="DIR", help="Emptied first, if an earlier demo made it.")] = Path(
        ".millrace-demo"
    ),
    json: AsJson = False,
) -> None:
    """Run the whole way once: generated events in, automations decided, actions delivered to a recorder, and count."""
    perform("demo", json=json, events=events, seed=seed, crash=crash, home=home)


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


@app.command(epilog="Example:  millrace deploy flows/catalog/*.yaml --wait")
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


@app.command(epilog="Example:  millrace up --clock events --until-idle")
def up(
    *,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Work off what is there, then exit.")] = False,
    clock: Annotated[Clock | None, typer.Option(help="wall (default), or events: time follows the events.")] = None,
    default_tenant: Annotated[str | None, typer.Option(metavar="NAME", help="The tenant of events that name none.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The summary counts only this tenant.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Run server, engine, dispatcher and projector under one supervisor, all state in one folder."""
    perform("up", json=json, until_idle=until_idle, clock=clock, default_tenant=default_tenant, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace run engine --home .millrace --clock wall")
def run(  # noqa: PLR0913  a command's parameters are its flags
    *,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="server, engine, dispatcher or projector.")],
    clock: Annotated[Clock | None, typer.Option(help="wall (default), or events: time follows the events.")] = None,
    default_tenant: Annotated[str | None, typer.Option(metavar="NAME", help="The tenant of events that name none.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Status lines on stdout, for a supervisor.")] = False,
    parent: Annotated[int | None, typer.Option(metavar="PID", hidden=True)] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", hidden=True)] = None,
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --report.")] = False,
) -> None:
    """Run one role in the foreground until SIGTERM. A role always serves all tenants."""
    options: dict[str, Any] = {"clock": clock, "default_tenant": default_tenant, "report": report or json, "parent": parent}
    perform("run", role=role.value, home=home, tenant=tenant, **options)


@app.command(epilog="Example:  millrace send --topic support.events incidents.jsonl --infer")
def send(  # noqa: PLR0913  a command's parameters are its flags
    *,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="CloudEvents, one JSON a line; - is stdin.")
    ] = None,
    topic: Annotated[str | None, typer.Option(metavar="NAME", help="The event topic, e.g. support.events.")] = None,
    avro: Annotated[
        str | None, typer.Option(metavar="SCHEMA", help="Encode as Avro: an event type, a schema id or a file.")
    ] = None,
    infer: Annotated[bool, typer.Option("--infer", help="Register contracts of event types that have none.")] = False,
    dataset: Annotated[DataSet | None, typer.Option(help="Read a public data set; FILE is its folder.")] = None,
    tenant_column: Annotated[str | None, typer.Option(metavar="COLUMN", help="The data set's column that is the tenant.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after that many records.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The tenant of events that name none.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Append events to a topic, durably, beside a running `up` or without one. Judges nothing; decoding does."""
    what = {"files": files or [], "topic": topic, "avro": avro, "infer": infer, "limit": limit}
    perform("send", json=json, dataset=dataset and dataset.value, tenant_column=tenant_column, tenant=tenant, home=home, **what)


@app.command(epilog='Example:  millrace query "select flow, status, count(*) from executions group by all" --json')
def query(
    *,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement in DuckDB's SQL over the views.")],
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Ask the views: events, executions, steps, actions, dead_letters, flow_stats, late_events."""
    perform("query", json=json, sql=sql, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace topics --json")
def topics(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """List the topics of a home with their records."""
    perform("topics", json=json, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace doctor --home .millrace")
def doctor(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """Look at the machine and the home: versions, files, locks, connectors, what is stuck. Exit 1 if something is wrong."""
    perform("doctor", json=json, tenant=tenant, home=home)


@executions_app.command("list", epilog="Example:  millrace executions list --status waiting --tenant acme")
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


@executions_app.command("show", epilog="Example:  millrace executions show 019a1f2e44c1b7")
def executions_show(
    *,
    execution: Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or its first characters.")],
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Show one execution: its steps, its actions and what became of them."""
    perform("executions show", json=json, execution=execution, tenant=tenant, home=home)


@dlq_app.command("list", epilog="Example:  millrace dlq list --tenant -")
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


@dlq_app.command("redrive", epilog="Example:  millrace dlq redrive --reason unknown-event --tenant acme")
def dlq_redrive(
    *,
    reason: Annotated[str | None, typer.Option(metavar="NAME", help="Only this reason.")] = None,
    position: Annotated[str | None, typer.Option(metavar="TOPIC/PARTITION/POSITION", help="Only this one.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant; - is: no tenant.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Send dead letters again, after their cause is mended: events to their topic, actions to their connector."""
    perform("dlq redrive", json=json, reason=reason, position=position, tenant=tenant, home=home)


@connectors_app.command("list", epilog="Example:  millrace connectors list --json")
def connectors_list(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """List the rules; an action type without one goes to the file connector."""
    perform("connectors list", json=json, tenant=tenant, home=home)


@connectors_app.command("set", epilog="Example:  millrace connectors set 'send_*' http url=https://api.example.com/mail")
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


@connectors_app.command("remove", epilog="Example:  millrace connectors remove 'send_*'")
def connectors_remove(
    *,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="The pattern of the rule.")],
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The rule of this tenant.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Take a rule away."""
    perform("connectors remove", json=json, pattern=pattern, tenant=tenant, home=home)
