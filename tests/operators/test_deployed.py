"""What is deployed: a flow of a tenant's own stands before the one for all, until it is taken out of force."""

from __future__ import annotations

from base64 import b64encode

import polars as pl
import pytest

from operators.deployed import Deployed
from operators.match import match_events
from schemas.errors import BadRecord
from schemas.frames import select_keys
from schemas.program import EventTrigger, Program, Stop, pack
from schemas.records import Control


def deploy(deployed: Deployed, tenant: str, version: str, event: str) -> None:
    program = Program(
        "greet", version, () if tenant == "*" else (tenant,), (EventTrigger(event),), (), (Stop("stop_end", "end"),)
    )
    value = {"program": b64encode(pack(program)).decode()}
    deployed.apply(Control(key=f"version/{tenant}/greet/{version}", value=value))
    deployed.apply(Control(key=f"active/{tenant}/greet", value={"version": version}))


def started(deployed: Deployed, event: str) -> list[tuple[str, str]]:
    table = deployed.table(event, 0)
    if table is None:
        return []
    tenants = pl.DataFrame({"row": pl.Series([0, 1], dtype=pl.UInt32), "tenant": ["acme", "borealis"]})
    (pairs,) = match_events([(tenants, table)], select_keys)
    return [(row["tenant"], deployed.entry(row["entry"])[0]) for row in pairs.to_dicts()]


def test_a_tenants_own_flow_wins_also_on_events_that_start_only_the_one_for_all() -> None:
    deployed = Deployed()
    deploy(deployed, "*", "v1", "order.placed")
    assert started(deployed, "order.placed") == [("acme", "v1"), ("borealis", "v1")]
    deploy(deployed, "acme", "v2", "deal.closed")
    assert started(deployed, "order.placed") == [("borealis", "v1")]
    assert started(deployed, "deal.closed") == [("acme", "v2")]
    deployed.apply(Control(key="active/acme/greet", value=None))
    assert started(deployed, "order.placed") == [("acme", "v1"), ("borealis", "v1")]


@pytest.mark.parametrize("value", [{"version": "v2"}, {"version": ["v1"]}, {}, "v1", 1])
def test_a_pointer_to_nothing_leaves_in_force_what_was(value: object) -> None:
    deployed = Deployed()
    deploy(deployed, "*", "v1", "order.placed")
    with pytest.raises(BadRecord, match=r"not deployed|cannot be read"):
        deployed.apply(Control(key="active/*/greet", value=value))
    assert started(deployed, "order.placed") == [("acme", "v1"), ("borealis", "v1")]


def test_a_version_in_force_is_not_taken_away() -> None:
    deployed = Deployed()
    deploy(deployed, "*", "v1", "order.placed")
    with pytest.raises(BadRecord, match="is active"):
        deployed.apply(Control(key="version/*/greet/v1", value=None))
    deployed.apply(Control(key="active/*/greet", value=None))
    deployed.apply(Control(key="version/*/greet/v1", value=None))
    assert deployed.program("v1") is None
