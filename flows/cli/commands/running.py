"""Commands that run a home and look at the whole of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import AsJson, Home, Tenant, perform

app = typer.Typer()
Port = Annotated[int | None, typer.Option(min=0, max=65_535, help="HTTP on 127.0.0.1; default: the last one, or a free one.")]


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
    SCMS_DELIVERY = "scms_delivery"


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


@app.command(epilog="Example:  millrace up --clock events --until-idle")
def up(  # noqa: PLR0913  a command's parameters are its flags
    *,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Work off what is there, then exit.")] = False,
    clock: Annotated[Clock | None, typer.Option(help="wall (default), or events: time follows the events.")] = None,
    default_tenant: Annotated[str | None, typer.Option(metavar="NAME", help="The tenant of events that name none.")] = None,
    port: Port = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The summary counts only this tenant.")] = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Run server, engine, dispatcher and projector under one supervisor, all state in one folder."""
    options: dict[str, Any] = {"until_idle": until_idle, "clock": clock, "default_tenant": default_tenant, "port": port}
    perform("up", json=json, tenant=tenant, home=home, **options)


@app.command(epilog="Example:  millrace run engine --home .millrace --clock wall")
def run(  # noqa: PLR0913  a command's parameters are its flags
    *,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="server, engine, dispatcher or projector.")],
    clock: Annotated[Clock | None, typer.Option(help="wall (default), or events: time follows the events.")] = None,
    default_tenant: Annotated[str | None, typer.Option(metavar="NAME", help="The tenant of events that name none.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Status lines on stdout, for a supervisor.")] = False,
    port: Port = None,
    parent: Annotated[int | None, typer.Option(metavar="PID", hidden=True)] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", hidden=True)] = None,
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --report.")] = False,
) -> None:
    """Run one role in the foreground until SIGTERM. A role always serves all tenants."""
    options: dict[str, Any] = {
        "clock": clock,
        "default_tenant": default_tenant,
        "report": report or json,
        "parent": parent,
        "port": port,
    }
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
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="The tenant of events that name none, or of all of a data set.")
    ] = None,
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
    """Ask the views, in SQL.

    They are events, executions, history, steps, approvals, actions, dead_letters, flow_stats, late_events, turns,
    shadow_executions and shadow_differences. `mistyped` of flow_stats counts events in which a field that no contract types is
    of another type than a condition of the flow's trigger wants; conditions of steps, and of what a sequence or an absence waits
    for, do not count.
    """
    perform("query", json=json, sql=sql, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace topics --json")
def topics(*, tenant: Tenant = None, home: Home = None, json: AsJson = False) -> None:
    """List the topics of a home with their records."""
    perform("topics", json=json, tenant=tenant, home=home)


@app.command(epilog="Example:  millrace doctor --home .millrace")
def doctor(
    *,
    settle: Annotated[
        bool, typer.Option("--settle", help="Count commands that can never have an outcome as ended, so that the clock goes on.")
    ] = False,
    tenant: Tenant = None,
    home: Home = None,
    json: AsJson = False,
) -> None:
    """Look at the machine and the home: versions, files, locks, connectors, what is stuck. Exit 1 if something is wrong."""
    perform("doctor", json=json, settle=settle, tenant=tenant, home=home)
