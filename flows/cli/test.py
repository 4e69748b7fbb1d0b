"""`millrace test`: run the test documents of files on the reference runner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from flows.cli.terminal import Terminal
from flows.deployment import in_force, read_files
from flows.language.definitions import Definitions
from flows.scenarios.coverage import Coverage
from flows.scenarios.run_tests import Told, run_tests
from flows.settings import load_settings
from schemas.errors import InvalidFlow, InvalidInput

FINE: Final = 0
FAILED: Final = 1
ENDINGS: Final = (".yaml", ".yml", ".json")


def test(terminal: Terminal, *, files: Sequence[Path], coverage: bool, tenant: str | None, home: Path | None) -> int:
    """Run tests; 1 if one fails. Raises InvalidFlow with every problem of the files, InvalidInput where they hold no test."""
    settings = load_settings(home=home, tenant=tenant)
    definitions = read_files(_all_files(files), settings.home)
    if not definitions.ok:
        raise InvalidFlow(definitions.problems)
    if not definitions.tests:
        raise InvalidInput("the files hold no test; write one beside its flow, in <flow>.test.yaml, and name that file too")
    watched = Coverage()
    told = list(run_tests(definitions, lambda: in_force(settings.home).registry, watched))
    left_out = _left_out(definitions, told, watched) if coverage else {}
    _tell(terminal, told, left_out, coverage=coverage)
    return FAILED if any(one.failure for one in told) else FINE


def _all_files(files: Sequence[Path]) -> list[Path]:
    """Take the files of folders too, and beside a test its flow, contracts and policies: all files of its folder.

    Raises InvalidInput for a folder without any.
    """
    found: dict[Path, None] = {}
    for path in files:
        folder = path if path.is_dir() else path.parent if ".test." in path.name else None
        around = (
            sorted(one for one in folder.iterdir() if one.suffix in ENDINGS) if folder is not None and folder.is_dir() else []
        )
        if path.is_dir() and not around:
            raise InvalidInput(f"folder {path} holds no file that ends in {', '.join(ENDINGS)}; name one that does, or files")
        wanted = around if path.is_dir() else [*(one for one in around if ".test." not in one.name), path]
        found |= dict.fromkeys(wanted)
    return list(found)


def _left_out(definitions: Definitions, told: Iterable[Told], coverage: Coverage) -> dict[str, list[str]]:
    tested = {one.flow for one in told}
    return {flow.name: coverage.left_out(flow.name) for flow in definitions.flows if flow.name in tested}


def _tell(terminal: Terminal, told: Sequence[Told], left_out: dict[str, list[str]], *, coverage: bool) -> None:
    failed = sum(one.failure is not None for one in told)
    if terminal.json:
        value: dict[str, object] = {"tests": [asdict(one) for one in told], "failed": failed}
        terminal.value({**value, "left_out": left_out} if coverage else value)
        return
    for one in told:
        terminal.print(str(one))
    for flow, places in left_out.items():
        terminal.print(f"{flow}: {'every step and arm was entered' if not places else 'no test entered'}")
        for place in places:
            terminal.print(f"  {place}")
    terminal.say(f"{len(told)} tests, {failed} failed")
