"""Drive the real command line on real homes: commands in this process, what starts roles in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from typer.testing import CliRunner

from flows.cli.app import app

ROOT: Final = Path(__file__).parents[2]
DEADLINE_S: Final = 120
LAB: Final = """
event: thing.made
topic: lab.events
fields: {thing: {id: string, size: float?, count: int?, price: decimal?, cost: "money(EUR)?", made_at: timestamp?, extra: any?}}
---
flow: things
trigger: {event: thing.made}
steps:
  - action: note
    with: {id: "{{ thing.id }}", extra: "{{ thing.extra }}"}
"""


class Ended(NamedTuple):
    """What a command wrote; it ended with the exit code that was wanted."""

    stdout: str
    stderr: str


def command(*arguments: str, home: Path | None, code: int = 0) -> Ended:
    """Run a command in this process; without a home, one that needs none."""
    place = [] if home is None else ["--home", str(home)]
    result = CliRunner().invoke(app, [*arguments, *place], catch_exceptions=False)
    assert result.exit_code == code, result.stderr
    return Ended(result.stdout, result.stderr)


def value(*arguments: str, home: Path, code: int = 0) -> Any:
    """Run a command with --json and give the one value on its stdout."""
    return json.loads(command(*arguments, "--json", home=home, code=code).stdout)


def process(
    *arguments: str,
    home: Path,
    code: int = 0,
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> Ended:
    """Run a command in a process of its own, `under` another one that sets its limits."""
    line = [*under, sys.executable, "-m", "flows", *arguments, "--home", str(home)]
    result = subprocess.run(
        line,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert result.returncode == code, result.stderr
    return Ended(result.stdout, result.stderr)


def thing(name: str, **fields: Any) -> dict[str, Any]:
    """Give an event of the lab; its id is made of its name."""
    envelope = {"id": f"e-{name}", "source": "test", "type": "thing.made", "tenant": "acme", "time": "2026-01-05T10:00:00Z"}
    return {**envelope, "data": {"thing": {"id": name, **fields}}}


def deployed(home: Path, text: str = LAB) -> Path:
    """Deploy definitions to a home, and give it back."""
    home.parent.mkdir(parents=True, exist_ok=True)
    file = home.parent / f"{home.name}.yaml"
    file.write_text(text)
    command("deploy", str(file), home=home)
    return home


def sent(home: Path, *records: dict[str, Any] | bytes) -> None:
    """Send records of the lab, one a line."""
    file = home.parent / f"{home.name}.jsonl"
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    file.write_bytes(b"\n".join(lines) + b"\n")
    command("send", "--topic", "lab.events", str(file), home=home)
