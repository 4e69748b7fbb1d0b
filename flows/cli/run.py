"""`millrace run ROLE`: one role in the foreground."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import msgspec

from flows.cli.table import ROLES, load
from flows.cli.terminal import Terminal
from flows.roles.process import ClockName, RoleEnd, RoleOptions
from flows.settings import load_settings
from schemas.errors import Fatal


def run(
    terminal: Terminal, role: str, *, home: Path | None, clock: ClockName | None, default_tenant: str | None, **rest: object
) -> int:
    """Run a role until it is told to stop. Raises what the role raises; with --report a Fatal is told on stdout too."""
    del terminal
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s {role} %(levelname)s %(message)s")
    settings = load_settings(home=home, clock=clock, default_tenant=default_tenant, port=rest.get("port"))
    parent = rest.get("parent")
    options = RoleOptions(
        home=settings.home,
        clock=settings.clock,
        report=bool(rest.get("report")),
        default_tenant=settings.default_tenant,
        port=settings.port,
        parent=parent if isinstance(parent, int) else None,
    )
    try:
        load(ROLES[role])(options)
    except Fatal as error:
        if options.report:
            sys.stdout.buffer.write(msgspec.json.encode(RoleEnd(role, type(error).__name__, str(error))) + b"\n")
            sys.stdout.flush()
        raise
    return 0
