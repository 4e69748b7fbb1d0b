"""The command line: all families of commands under one name."""

from __future__ import annotations

import typer

from flows.cli.commands import approvals, connectors, dead_letters, executions, flows, policies, running, schedules, writing

app = typer.Typer(
    name="millrace",
    help="Business automations as stateful streaming dataflows: events in, actions out, exactly once.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(running.app)
app.add_typer(writing.app)
app.add_typer(executions.app, name="executions")
app.add_typer(approvals.app, name="approvals")
app.add_typer(flows.app, name="flows")
app.add_typer(schedules.app, name="schedules")
app.add_typer(policies.app, name="policies")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(connectors.app, name="connectors")
