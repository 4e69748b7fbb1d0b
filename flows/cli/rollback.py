"""`millrace rollback`: put the version before the active one in force again."""

from __future__ import annotations

from pathlib import Path

from flows.cli.deploy import SHORT
from flows.cli.home import must_exist
from flows.cli.terminal import Terminal
from flows.deployment import ACTIVE, append_controls, await_applied, deploying, open_ingress
from flows.settings import load_settings
from flows.versions.in_home import versions_in
from infra.clock import SystemClock
from schemas.errors import InvalidInput, MillraceError
from sinks.ingress.client import SocketIngress

ALL = "*"


def rollback(terminal: Terminal, *, flow: str, wait: bool, tenant: str | None, home: Path | None) -> int:
    """Point a flow at the version before; executions in flight stay on theirs. Raises InvalidInput where there is none."""
    settings = load_settings(home=home)
    key = (tenant or ALL, flow)
    with open_ingress(must_exist(settings.home)) as ingress:
        with deploying(settings.home):
            pointer = versions_in(settings.home).active.get(key)
            if pointer is None:
                whose = f" of tenant {tenant}" if tenant else ""
                raise InvalidInput(f"no flow '{flow}'{whose} is in force; `millrace diff deployed FILE` shows those that are")
            if not pointer.before:
                raise InvalidInput(f"flow '{flow}' has no version before {pointer.version[:SHORT]}; deploy another one")
            before = pointer.before[0]
            end = append_controls(ingress, {f"{ACTIVE}{key[0]}/{flow}": {"version": before, "instead_of": pointer.version}})
        runs = isinstance(ingress, SocketIngress)
    row = {"flow": flow, "tenant": key[0], "version": before, "was": pointer.version}
    if terminal.json:
        terminal.value(row)
    else:
        terminal.say(f"flow {flow}: {pointer.version[:SHORT]} -> {before[:SHORT]}; what is in flight stays on its version")
    if wait:
        if not runs:
            raise MillraceError(f"it is written, but no `millrace up` runs on {settings.home}, so nothing applies it yet")
        await_applied(settings.home, end, SystemClock())
    return 0
