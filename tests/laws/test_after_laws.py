"""Laws of starts after several ends: how the input is cut and where it restarts does not show, and what starts is what should."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.deployment import check_files, deploy
from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.sqlite import open_reader, rows
from schemas.ports import Append
from schemas.topics import FLOW_EVENTS, partition_of
from sinks.ingress.client import FileIngress
from tests.examples import examples
from tests.laws.test_trigger_engine_laws import MINUTE_US, START_US, _hold, _text, a_home, tell

FLOWS: Final = """
event: order.noticed
topic: notices.events
fields: {order: {said: string}}
---
flow: extract
inputs: {customer: string, total: "money(GBP)"}
trigger: {manual: {roles: [desk]}}
steps: [{delay: 1m}]
output: {customer: "{{ inputs.customer }}", total: "{{ inputs.total }}"}
---
flow: enrich
inputs: {customer: string}
trigger: {manual: {roles: [desk]}}
steps: [{delay: 1m}]
output: {customer: "{{ inputs.customer }}"}
---
flow: bare
trigger: {manual: {roles: [desk]}}
steps: [{delay: 1m}]
---
flow: together
trigger: {after: [extract, enrich], within: 2h, key: 'coalesce(after.extract.output.customer, after.enrich.output.customer)'}
steps:
  - delay: 5m
  - {emit: order.noticed, with: {order: {said: "{{ after.extract.output.total }} {{ after.enrich.execution }} {{ event.id }}"}}}
---
flow: of_one_order
trigger: {after: [extract, enrich], status: any, within: 30m, conditions: [after.extract.status == "completed"]}
steps:
  - {emit: order.noticed, with: {order: {
      said: "{{ event.correlationid }} {{ coalesce(after.enrich.error.code, after.enrich.status) }}"}}}
---
flow: often
trigger:
  after: extract
  window: {key: after.extract.output.customer, sliding: 1h, lateness: 10m,
    measures: {ends: count(), spend: sum(after.extract.output.total)}, when: window.ends >= 2}
steps:
  - {emit: order.noticed, with: {order: {said: "{{ window.ends }} {{ window.spend }} {{ after.extract.output.total }}"}}}
---
flow: by_shift
trigger:
  after: [extract, enrich]
  join: any
  status: any
  window: {key: event.tenant, tumbling: 6h, fire: close, retract: 2d,
    measures: {ends: count(), places: distinct(after.extract.error.step)}, when: window.ends < 4}
steps:
  - delay: 20m
  - {emit: order.noticed, with: {order: {
      said: "{{ window.ends }} {{ window.places }} {{ coalesce(after.extract.error.message, '') }}"}}}
on_retract: [{emit: order.noticed, with: {order: {said: none}}}]
---
flow: of_bare
trigger: {after: [bare, enrich], join: any, window: {key: event.tenant, session: 30m, fire: every, measures: {ends: count()}}}
steps: [{emit: order.noticed, with: {order: {said: "{{ window.ends }} {{ coalesce(after.bare.status, 'enrich') }}"}}}]
"""

ends = st.lists(
    st.tuples(
        st.integers(0, 40),  # its id: some come twice
        st.sampled_from(["acme", "globex"]),
        st.sampled_from([0, 1, 10, 45, 200]),  # minutes from the last
        st.sampled_from([0, 0, 0, 3, 30, 240]),  # minutes too late
        st.sampled_from(["extract", "extract", "enrich", "enrich", "bare"]),
        st.sampled_from(["completed", "completed", "failed"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda one: one[0],
)


def records(drawn: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, bytes]]:
    now_us = START_US
    for number, tenant, on, late, flow, status, customer, total in drawn:
        now_us += on * MINUTE_US
        output = {"customer": customer, **({"total": f"{total}.10 GBP"} if flow == "extract" else {})}
        ended = {"flow": flow, "version": "v1", "status": status, "execution": f"x{number}"}
        error = {"code": f"code_{total}", "step": f"step_{customer}", "message": f"no {number}", "compensated": ["pay"] * total}
        data = ended | ({"output": output} if status == "completed" else {"error": error})
        envelope = {"id": f"e{number}", "source": f"/flows/{flow}", "type": "flow.ended", "tenant": tenant, "specversion": "1.0"}
        more = {"time": _text(now_us - late * MINUTE_US), "correlationid": f"c{customer}", "data": data}
        yield tenant, json.dumps(envelope | more).encode()


def expected(drawn: Sequence[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """Give (tenant, what is said) of flow `together`, by the plainest reading of what it says; no end is late."""
    open_: dict[tuple[str, str], tuple[int, dict[str, tuple[int, str]]]] = {}
    said = []
    now = 0
    for number, tenant, on, _, flow, status, customer, total in drawn:
        now += on
        if status != "completed" or flow == "bare":
            continue
        first, kept = open_.get((tenant, customer), (now, {}))
        if now > first + 120:
            first, kept = now, {}
        kept[flow] = (total, f"x{number}")
        open_[tenant, customer] = first, kept
        if len(kept) == 2:
            del open_[tenant, customer]
            said.append((tenant, f"{kept['extract'][0]}.10 GBP {kept['enrich'][1]} e{number}"))
    return sorted(said)


def expected_sessions(drawn: Sequence[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """Give (tenant, what is said) of flow `of_bare`: at each end how many have come with less than half an hour between them."""
    last: dict[str, tuple[int, int]] = {}
    said = []
    now = 0
    for _, tenant, on, _, flow, status, _, _ in drawn:
        now += on
        if status == "completed" and flow in ("bare", "enrich"):
            before, count = last.get(tenant, (-30, 0))
            last[tenant] = now, count + 1 if now - before < 30 else 1
            said.append((tenant, f"{last[tenant][1]} {'completed' if flow == 'bare' else 'enrich'}"))
    return sorted(said)


@settings(max_examples=examples(12), deadline=None)
@given(ends, st.lists(st.integers(1, 10), max_size=5), st.sampled_from([1, 3, 8192]), st.booleans())
def test_cuts_and_restarts_do_not_show(drawn: Any, sizes: list[int], turn_rows: int, again: bool) -> None:
    told = list(records(drawn))
    whole = tell(FLOWS, FLOW_EVENTS, told, ([], 8192), again=False)
    cut = tell(FLOWS, FLOW_EVENTS, told, (sizes, turn_rows), again=again)
    assert cut[1:] == whole[1:]
    assert cut[0] == whole[0]


@settings(max_examples=examples(12), deadline=None)
@given(ends)
def test_what_starts_together_is_what_should(drawn: Any) -> None:
    punctual = [(*one[:3], 0, *one[4:]) for one in drawn]
    _, _, _, dead, said = tell(FLOWS, FLOW_EVENTS, list(records(punctual)), ([], 8192), again=False)
    assert [(tenant, text) for tenant, source, text in said if source == "/flows/together"] == expected(punctual)
    assert [(tenant, text) for tenant, source, text in said if source == "/flows/of_bare"] == expected_sessions(punctual)
    assert all(reason == "incomplete" for _, reason, _, _ in dead)


def test_a_redeploy_completes_what_is_gathered_in_the_version_that_opened_it() -> None:
    drawn = [(1, "acme", 0, 0, "extract", "completed", "a", 5), (2, "acme", 10, 0, "enrich", "completed", "a", 0)]
    (tenant, first), (_, second) = records(drawn)
    versions = []
    with a_home(FLOWS) as home:
        log = IngressLog(home / "ingress.db")
        _hold(log, value=True)  # an idle clock would run on to where nothing is gathered any more
        for text, data in ((FLOWS, first), (FLOWS.replace("delay: 5m", "delay: 7m"), second)):
            (home / "flows.yaml").write_text(text)
            told = deploy(FileIngress(log, SystemClock()), home, check_files([home / "flows.yaml"], home))
            versions += [one.version for one in told.flows if one.flow == "together"]
            log.append([Append(FLOW_EVENTS, partition_of(tenant, log.partitions), [data])], START_US)
            work_off(home)
        _hold(log, value=None)
        work_off(home)
        log.close()
        connection = open_reader(home / "engine-0.db")
        found = list(rows(connection, "select version, status from executions where flow = 'together'"))
        connection.close()
    assert len(set(versions)) == 2
    assert found == [(versions[0], "completed")]


def work_off(home: Path) -> None:
    """Run an engine from its start until nothing is left to do."""
    engine = build_engine(home, EngineSettings("events"))
    turns = 0
    while engine.step() is not None:
        turns += 1
        assert turns < 500
    engine.close()
