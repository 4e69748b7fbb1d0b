"""The reference runner over a log in which flows are deployed on the way: the same rows, one by one, with what is in force there.

Unlike the oracle it shares decoding, the row evaluator and the execution core with the engine; so it says not only what must
come out, but every transition, and when.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from flows.local.run_local import LocalRun
from schemas.program import Program, unpack
from schemas.registry import Registry
from schemas.topics import COMMANDS, CONTROL
from tests.simulation.files import Placed


def run_reference(records: Iterable[Placed], is_bad: Callable[[Placed], bool]) -> LocalRun:
    """Run all records of an ingress log under the event clock, then let the clock run out."""
    run = LocalRun(Registry())
    programs: dict[str, Program] = {}
    active: dict[tuple[str, str], Program] = {}
    for record in records:
        if is_bad(record) or record.topic == COMMANDS:
            continue
        if record.topic == CONTROL:
            if _apply(json.loads(record.data), run.registry, programs, active):
                run.put_in_force(active.values())
            continue
        run.take_event(record.topic, record.data)
    run.let_time_pass()
    return run


def _apply(
    control: Mapping[str, Any], registry: Registry, programs: dict[str, Program], active: dict[tuple[str, str], Program]
) -> bool:
    """Take a control record in; tell whether another version is in force now."""
    key, value = control["key"], control["value"]
    registry.apply(key, value)
    kind, *rest = key.split("/")
    if kind == "version":
        programs[rest[2]] = unpack(base64.b64decode(value["program"]))
    elif kind == "active":
        tenant, flow = rest
        active.pop((tenant, flow), None)
        if value is not None:
            tenants = () if tenant == "*" else (tenant,)
            active[tenant, flow] = msgspec.structs.replace(programs[value["version"]], tenants=tenants)
    return bool(kind == "active")
