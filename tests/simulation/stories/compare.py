"""Holds the histories of a story against the reference runner's, given what the engine took in, in its order."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from schemas.records import encode
from tests.laws.recorded import replayed
from tests.simulation.files import read_home
from tests.simulation.invariants import _plain, _same
from tests.simulation.recorder import Recorder

UNKNOWN_TO_IT: Final = ("counted", "clocked")  # flows of windows and schedules have oracles of their own


def check_reference(home: Path, recorder: Recorder, coverage: Counter[str]) -> None:
    """Hold that every execution has the transitions that the reference runner gives it."""
    local = replayed(list(recorder.order()))
    wanted = {one.execution: json.loads(encode(one), parse_float=Decimal)["transitions"] for one in local.histories()}
    names: dict[str, str] = {}
    found: dict[str, list[Any]] = defaultdict(list)
    for record in read_home(home).histories:
        if not record["flow"].startswith(UNKNOWN_TO_IT):
            found[record["execution"]] += record["transitions"]
            names[record["execution"]] = f"{record['tenant']} {record['flow']} {record['event']}"
    _same("executions of the reference runner", set(wanted), set(found))
    for execution, transitions in wanted.items():
        got, must = [_plain(one) for one in found[execution]], [_plain(one) for one in transitions]
        at = next((at for at, (one, other) in enumerate(zip(got, must, strict=False)) if one != other), min(len(got), len(must)))
        assert got == must, f"{names[execution]} ({execution}) did {got[at : at + 3]}, the reference runner {must[at : at + 3]}"
    coverage["story: histories equal to the reference runner's"] += len(wanted)
