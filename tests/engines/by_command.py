"""Drive the command line on a home, each command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def millrace(home: Path, *arguments: str) -> str:
    """Run a command; give what it wrote."""
    command = [sys.executable, "-m", "flows", *arguments, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(home: Path, sql: str) -> list[dict[str, Any]]:
    """Ask the views."""
    found: list[dict[str, Any]] = json.loads(millrace(home, "query", sql, "--json"))
    return found
