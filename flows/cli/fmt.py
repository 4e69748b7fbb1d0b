"""`millrace fmt`: lay definition files out in the one way."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flows.cli.terminal import Terminal
from flows.fmt.definition_text import definition_text
from schemas.errors import InvalidFlow, InvalidInput, Problem

FINE: Final = 0
WOULD_CHANGE: Final = 1
STDIN: Final = Path("-")


def fmt(terminal: Terminal, *, files: Sequence[Path], check: bool) -> int:
    """Lay files out; with `check` only tell which would change, exit 1. A file that cannot be read stays as it is."""
    changed: list[str] = []
    problems: list[Problem] = []
    for path in files:
        try:
            before = _read(path)
            after = definition_text(before, "<stdin>.yaml" if path == STDIN else str(path))
        except InvalidFlow as error:
            problems += error.problems
            continue
        if path == STDIN and not check:
            sys.stdout.write(after)
        elif after != before:
            changed.append(str(path))
            if not check:
                _replace(path, after)
    _tell(terminal, changed, len(files), check=check)
    if problems:
        raise InvalidFlow(problems)
    return WOULD_CHANGE if check and changed else FINE


def _tell(terminal: Terminal, changed: Sequence[str], files: int, *, check: bool) -> None:
    if terminal.json:
        terminal.value({"changed": list(changed), "files": files})
        return
    for name in changed:
        terminal.say(f"{'would lay out' if check else 'laid out'} {name}")
    terminal.say(f"{len(changed)} of {files} files {'would change' if check else 'changed'}")


def _read(path: Path) -> str:
    if path == STDIN:
        return sys.stdin.read()
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}); name a flow file") from error


def _replace(path: Path, text: str) -> None:
    """Write beside the file, then put it in its place: no reader ever sees half of it."""
    whole = path.resolve()
    beside = whole.with_name(f".{whole.name}.fmt")
    try:
        beside.write_bytes(text.encode())
        shutil.copymode(whole, beside)
        beside.replace(whole)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InvalidInput(f"{path} cannot be written ({error.strerror}); it stays as it was") from error
