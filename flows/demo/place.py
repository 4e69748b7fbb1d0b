"""The demo's folder: emptied only if a demo made it, with the catalogue deployed and every action sent to the recorder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flows.demo.encoding import Contracts
from flows.demo.flows import demo_files
from flows.demo.oracle import RULES
from flows.deployment import append_controls, deploy, in_force, open_ingress
from flows.language.definitions import load_definitions
from schemas.connector_rules import ALL, PREFIX
from schemas.errors import InvalidFlow, InvalidInput, MillraceError

MARK: Final = "made-by-millrace-demo"
RECORDER: Final = "recorder"
STOP_S: Final = 10.0


def refuse_foreign(home: Path) -> None:
    """Raise InvalidInput for a folder that holds something and was not made by a demo."""
    if home.exists() and (not home.is_dir() or (any(home.iterdir()) and not (home / MARK).exists())):
        raise InvalidInput(f"{home} holds something that no demo made; name an empty or new folder with --home")


def empty(home: Path, keep: str) -> None:
    """Take away what an earlier demo left, but for `keep`, and leave the mark. The caller holds the home's lock."""
    for item in home.iterdir():
        if item.name == keep:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
    (home / MARK).touch()
    (home / RECORDER).mkdir()


def deploy_catalogue(home: Path, url: str) -> Contracts:
    """Deploy the demo's flows and let the http connector carry every action to `url`; give the registered contracts."""
    definitions = load_definitions(demo_files())
    if not definitions.ok:
        raise InvalidFlow(definitions.problems)
    with open_ingress(home) as ingress:
        deploy(ingress, home, definitions)
        append_controls(ingress, {f"{PREFIX}{ALL}/*": {"connector": "http", "settings": {"url": url}}})
    contracts = in_force(home).registry.contracts()
    lacking = sorted(set(RULES) - set(contracts))
    if lacking:
        raise MillraceError(f"the demo has no contract of {', '.join(lacking)}, which the demo's events need")
    return contracts


@contextmanager
def running_recorder(home: Path, seed: int) -> Iterator[str]:
    """Run the recorder in a process of its own and give its address."""
    command = [sys.executable, "-m", "flows.demo.recorder", str(home / RECORDER), "--seed", str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)  # noqa: S603  our own module
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise MillraceError("the recorder did not start; what it said stands above")
        yield f"http://127.0.0.1:{port.decode()}/commands"
    finally:
        process.terminate()
        if process.stdout is not None:
            process.stdout.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
