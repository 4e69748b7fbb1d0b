"""Prove that nothing outlives its deadline: every live execution has a time at which it goes on, or waits for a known outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flows.cli.finding import Finding
from infra.overdue import Untimed, overdue
from operators.execution.execution import State, unpack
from schemas.expression.literals import print_timestamp
from schemas.topics import engine_file

MARGIN_US: Final = 60_000_000  # what a busy engine may be behind
SHOWN: Final = 3


def overdue_finding(home: Path) -> Finding:
    """Look for what is past its time and for what no time will wake."""
    found = overdue(home / engine_file(0), MARGIN_US)
    if found is None:
        return Finding("note", "deadlines", "no engine has run here yet")
    if found.late and found.first_us is not None:
        detail = f"{found.late:,} timers and deadlines are past their time, the first since {print_timestamp(found.first_us)}"
        return Finding("wrong", "deadlines", f"{detail}; is an input unreadable? see the files above, and `millrace up`")
    stuck = [one for one in found.untimed if not is_awaited(unpack(one.state))]
    if stuck:
        named = ", ".join(_name(one) for one in stuck[:SHOWN]) + (", ..." if len(stuck) > SHOWN else "")
        detail = f"{len(stuck):,} executions wait for nothing that could come: {named}"
        return Finding("wrong", "deadlines", f"{detail}; `millrace executions cancel` ends them; this is a bug: report it")
    waiting = len(found.untimed)
    known = f"; {waiting:,} wait for the outcome of a command or for an operator" if waiting else ""
    return Finding("ok", "deadlines", f"nothing has outlived its time{known}")


def is_awaited(state: State) -> bool:
    """Tell whether an execution without a deadline waits for an outcome, which always comes, or for an operator."""
    closing = state.rest is not None and state.rest.closing is not None
    return closing or any(parked.kind == "result" for parked in state.parked)


def _name(one: Untimed) -> str:
    return f"{one.id.hex()} ({one.tenant}, {one.flow})"
