"""What is deployed: a flow of a tenant's own stands before the one for all, until it is taken out of force."""

from __future__ import annotations

from base64 import b64encode

import polars as pl
import pytest

from operators.triggers.lanes import lanes_of, slots_of
from operators.triggers.match import match_events
from operators.turn.deployed import Deployed
from schemas.errors import BadRecord
from schemas.frames import select_keys
from schemas.pointer import Pointer, Share
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
    return [(row["tenant"], deployed.entry(row["entry"])[0].version) for row in pairs.to_dicts()]


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


def point(deployed: Deployed, tenant: str, **value: object) -> None:
    deployed.apply(Control(key=f"active/{tenant}/greet", value=value))


def test_of_two_versions_each_trigger_stands_for_itself_and_a_tenants_own_flow_before_both() -> None:
    deployed = Deployed()
    for version, event in (("v1", "order.placed"), ("v2", "order.placed"), ("v3", "deal.closed")):
        deploy(deployed, "*", version, event)
    point(deployed, "*", version="v2", rest="v1", share={"percent": 25})
    both = [("acme", "v2"), ("acme", "v1"), ("borealis", "v2"), ("borealis", "v1")]
    assert started(deployed, "order.placed") == both
    assert [(lane.version, lane.side) for lane in deployed.lanes("acme", "greet")] == [("v2", "new"), ("v1", "rest")]
    point(deployed, "acme", version="v3")
    assert started(deployed, "order.placed") == both[2:]
    point(deployed, "acme", version="v3", shadow="v1")
    assert started(deployed, "deal.closed") == [("acme", "v3")]
    assert started(deployed, "order.placed") == [("acme", "v1"), *both[2:]]
    for version in ("v1", "v2", "v3"):
        with pytest.raises(BadRecord, match="is active"):
            deployed.apply(Control(key=f"version/*/greet/{version}", value=None))
    deployed.apply(Control(key="active/acme/greet", value=None))
    point(deployed, "*", version="v2")
    assert started(deployed, "order.placed") == [("acme", "v2"), ("borealis", "v2")]


@pytest.mark.parametrize("other", [{"rest": "v9"}, {"shadow": "v9"}, {"share": {"tree": "AAAA"}}, {"share": {"percent": "25"}}])
def test_a_pointer_whose_other_half_is_unknown_changes_nothing(other: dict[str, object]) -> None:
    deployed = Deployed()
    deploy(deployed, "*", "v1", "order.placed")
    with pytest.raises(BadRecord):
        point(deployed, "*", version="v1", **other)
    assert started(deployed, "order.placed") == [("acme", "v1"), ("borealis", "v1")]


def test_slots_stay_with_the_version_of_the_rest() -> None:
    lanes = lanes_of("f", Pointer("v2", rest="v1", share=Share(99)))
    assert slots_of(lanes) == "v1"
    assert slots_of(lanes_of("f", Pointer("v2"))) == slots_of(lanes_of("f", Pointer("v2", shadow="v1"))) == "v2"
    assert not lanes[0].takes("acme", {}, None)
