"""`millrace rollback`: put the version before the active one in force again; of two in force the older one, for all."""

from __future__ import annotations

from pathlib import Path

from flows.cli.deploy import SHORT
from flows.cli.home import must_exist
from flows.cli.terminal import Terminal
from flows.deployment import ACTIVE, append_controls, await_applied, deploying, open_ingress
from flows.settings import load_settings
from flows.versions.in_home import Active, not_in_force, versions_in
from infra.clock import SystemClock
from schemas.errors import InvalidInput, MillraceError
from schemas.pointer import Pointer, write_pointer
from sinks.ingress.client import SocketIngress

ALL = "*"


def rollback(terminal: Terminal, *, flow: str, wait: bool, tenant: str | None, home: Path | None) -> int:
    """Point a flow at the version before; executions in flight stay on theirs. Raises InvalidInput where there is none."""
    settings = load_settings(home=home)
    key = (tenant or ALL, flow)
    with open_ingress(must_exist(settings.home)) as ingress:
        with deploying(settings.home):
            versions = versions_in(settings.home)
            active = versions.active.get(key)
            if active is None:
                raise not_in_force(flow, tenant, versions)
            back = _back(flow, active)
            end = append_controls(ingress, {f"{ACTIVE}{key[0]}/{flow}": write_pointer(back)})
        runs = isinstance(ingress, SocketIngress)
    was = active.told.shadow or active.version
    row = {"flow": flow, "tenant": key[0], "version": back.version, "was": was}
    if terminal.json:
        terminal.value(row)
    elif active.told.shadow:
        terminal.say(f"flow {flow}: {was[:SHORT]} runs in shadow no more; {back.version[:SHORT]} stays in force for all")
    else:
        terminal.say(f"flow {flow}: {was[:SHORT]} -> {back.version[:SHORT]}; what is in flight stays on its version")
    if wait:
        if not runs:
            raise MillraceError(f"it is written, but no `millrace up` runs on {settings.home}, so nothing applies it yet")
        await_applied(settings.home, end, SystemClock())
    return 0


def _back(flow: str, active: Active) -> Pointer:
    """Give the pointer to go back to: without the shadow, or to the version of the rest, or to the one before."""
    if active.told.shadow is not None:
        return Pointer(active.version)
    if active.told.rest is not None:
        return Pointer(active.told.rest, instead_of=active.version)
    if not active.before:
        raise InvalidInput(f"flow '{flow}' has no version before {active.version[:SHORT]}; deploy another one")
    return Pointer(active.before[0], instead_of=active.version)
