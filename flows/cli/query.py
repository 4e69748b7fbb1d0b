"""`millrace query`: SQL over the views, beside a running `up` or without one."""

from __future__ import annotations

import sys
from pathlib import Path

from flows.cli.ask import ask
from flows.cli.terminal import Terminal
from flows.settings import load_settings
from sinks.projection.query import Question


def query(terminal: Terminal, *, sql: str, tenant: str | None, home: Path | None) -> int:
    """Answer one statement. Raises InvalidInput with what DuckDB says about a bad one."""
    settings = load_settings(home=home, tenant=tenant)
    answer = ask(terminal, settings.home, Question(sql, settings.tenant))
    if terminal.json:
        sys.stdout.buffer.write(answer.json() + b"\n")
        sys.stdout.flush()
    else:
        terminal.rows(answer.records(), answer.columns)
    return 0
