"""Holds a story against the reference runner, given what the engine took in, in its order: executions, histories, commands."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from flows.local.run_local import LocalRun
from schemas.records import encode
from tests.simulation.files import Read, read_home
from tests.simulation.followed import WallRun, followed
from tests.simulation.invariants import _plain, _same
from tests.simulation.recorder import Recorder

UNKNOWN_TO_IT: Final = ("counted", "clocked")  # flows of windows and schedules have oracles of their own


def check_reference(home: Path, recorder: Recorder, coverage: Counter[str], *, exact: bool) -> None:
    """Hold that every execution has the transitions that the reference runner gives it, and says the same commands."""
    local = followed(recorder) if exact else _under_wall_clock(recorder)
    read = read_home(home)
    wanted = {one.execution: json.loads(encode(one), parse_float=Decimal)["transitions"] for one in local.histories()}
    names: dict[str, str] = {}
    found: dict[str, list[Any]] = defaultdict(list)
    for record in read.histories:
        if not record["flow"].startswith(UNKNOWN_TO_IT):
            found[record["execution"]] += record["transitions"]
            names[record["execution"]] = f"{record['tenant']} {record['flow']} {record['event']}"
    for execution, transitions in wanted.items():
        got, must = [_plain(one) for one in found[execution]], [_plain(one) for one in transitions]
        at = next((at for at, (one, other) in enumerate(zip(got, must, strict=False)) if one != other), min(len(got), len(must)))
        name = names.get(execution, "nobody")
        assert got == must, f"{name} ({execution}) did {got[at : at + 3]}, the reference runner {must[at : at + 3]}"
    _same("executions of the reference runner", set(wanted), set(found))
    _check_commands(local, read)
    coverage[f"story: histories equal to the reference runner's, {'event' if exact else 'wall'} clock"] += len(wanted)


def _under_wall_clock(recorder: Recorder) -> LocalRun:
    run = WallRun()
    run.follow(recorder)
    return run


def _check_commands(local: LocalRun, read: Read) -> None:
    """Hold that the same commands were said, with the same parameters."""
    got = {one["id"]: _plain(one["data"]) for one in read.actions if not one["flow"].startswith(UNKNOWN_TO_IT)}
    must = {one.id: _plain(json.loads(encode(one), parse_float=Decimal)["data"]) for one in local.commands}
    _same("commands of the reference runner", set(must), set(got))
    other = [identity for identity, data in must.items() if got[identity] != data]
    assert not other, f"command {other[0]} says {got[other[0]]}, the reference runner's {must[other[0]]}"
