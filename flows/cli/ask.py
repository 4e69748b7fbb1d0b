"""Questions to the views of a home: through the projector where one runs, else from its file, with the age of what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flows.cli.home import must_exist
from flows.cli.terminal import Terminal
from infra.clock import SystemClock
from sinks.projection.query import Answer, Question
from sinks.projection.query_socket import QueryClient

OLD_US: Final = 5_000_000  # an answer that is older than this says so


def ask(terminal: Terminal, home: Path, question: Question) -> Answer:
    """Ask, and say on stderr what a reader of the answer must know: its age, and whether rows are left out."""
    client = QueryClient(must_exist(home), SystemClock())
    answer = client.ask(question)
    age_us = client.age_us(answer)
    if not answer.as_of_us:
        terminal.say_once("age", f"nothing has been projected in {home} yet; start `millrace up`")
    elif not answer.live:
        terminal.say_once("age", f"no `up` runs on {home}; the views are {_age(age_us)} old")
    elif age_us > OLD_US:
        terminal.say_once("age", f"the views are {_age(age_us)} behind")
    if answer.truncated:
        terminal.say(f"only the first {len(answer.rows):,} rows are shown; narrow the query, or aggregate")
    return answer


def quoted(text: str) -> str:
    """Write a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def where(*conditions: str | None) -> str:
    """Join those conditions that are there."""
    held = [condition for condition in conditions if condition]
    return "where " + " and ".join(held) if held else ""


def _age(age_us: int) -> str:
    seconds = age_us / 1_000_000
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
