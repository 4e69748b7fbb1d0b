"""`millrace migrate`: let executions in flight go on in the version in force, those that can."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Final
from uuid import uuid4

from flows.cli.deploy import SHORT
from flows.cli.home import must_exist
from flows.cli.plan import STRANDS, tell_fates
from flows.cli.saying import who
from flows.cli.terminal import Terminal
from flows.deployment import open_ingress
from flows.settings import load_settings
from flows.versions.in_home import not_in_force, versions_in
from flows.versions.plan import ALL, Fate, fates_of
from flows.versions.pointing import runs
from infra.clock import SystemClock
from schemas.errors import InvalidInput
from schemas.records import OperatorCommand, encode
from schemas.topics import COMMANDS
from sinks.ingress.protocol import Item

BLOCK: Final = 1_000


def migrate(terminal: Terminal, *, flow: str, dry_run: bool, by: str | None, tenant: str | None, home: Path | None) -> int:
    """Order the move of all executions of a flow that can go on in its version in force; 3 if some would strand and stay."""
    settings = load_settings(home=home, tenant=tenant)
    fates, version = _fates(flow, must_exist(settings.home), settings.tenant)
    moving = [fate for fate in fates if fate.outcome == "migrates"]
    if not dry_run:
        _order(settings.home, moving, who(by))
    counts = Counter(fate.outcome for fate in fates)
    if terminal.json:
        terminal.value(
            {"flow": flow, "version": version, "moved": 0 if dry_run else len(moving), "fates": [asdict(one) for one in fates]}
        )
    else:
        staying = [fate for fate in fates if fate.outcome != "migrates"]
        if staying:
            tell_fates(terminal, staying)
        did = "could be moved" if dry_run else "are told to move"
        told = f"flow {flow}: {len(moving)} {did} to {version[:SHORT]}"
        terminal.say(f"{told}; {counts['strands']} would strand and stay, {counts['pinned']} end where they are")
    return STRANDS if counts["strands"] else 0


def _fates(flow: str, home: Path, tenant: str | None) -> tuple[list[Fate], str]:
    versions = versions_in(home)
    key = versions.of_tenant(tenant or ALL, flow)
    program = versions.program(versions.active[key].version) if key is not None else None
    if key is None or program is None:
        raise not_in_force(flow, tenant, versions)
    told = versions.active[key].told
    if told.rest is not None:
        raise InvalidInput(
            f"flow '{flow}' is rolled out {runs(told)}: executions stay where they are while two versions share what starts; "
            "deploy one of them for all, or roll back, first"
        )
    concerned = (tenant or key[0], flow)
    return fates_of({concerned: program}, home, versions)[concerned], program.version


def _order(home: Path, moving: list[Fate], by: str) -> None:
    at_us = SystemClock().now_us()
    with open_ingress(home) as ingress:
        for first in range(0, len(moving), BLOCK):
            orders = [
                OperatorCommand(command="migrate", tenant=fate.tenant, execution=fate.execution, id=uuid4().hex, by=by, at=at_us)
                for fate in moving[first : first + BLOCK]
            ]
            ingress.append([Item(COMMANDS, [encode(order)], order.tenant) for order in orders])
