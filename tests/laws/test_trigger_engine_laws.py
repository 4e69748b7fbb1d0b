"""Laws of windows and schedules in the engine: how the input is cut and where it restarts does not show."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.deployment import check_files, deploy
from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from infra.sqlite import open_reader, rows
from schemas.ports import Append
from schemas.records import Control, encode
from schemas.topics import CONTROL, partition_of
from sinks.ingress.client import FileIngress
from tests.examples import examples
from tests.simulation.run import MEMORY

START_US: Final = 1_774_720_000_000_000  # 2026-03-28 17:46:40 UTC
MINUTE_US: Final = 60_000_000
TOPIC: Final = "orders.events"
READ: Final = ("history", "late", "dead_letters", "notices.events")
FLOWS: Final = """
event: order.placed
topic: orders.events
fields: {order: {id: string, customer_id: string?, total: "money(GBP)"}}
---
event: order.noticed
topic: notices.events
fields: {order: {said: string, at: timestamp?}}
---
flow: velocity
trigger: {event: order.placed, conditions: [exists(order.customer_id)], window: {key: order.customer_id, sliding: 1h,
  measures: {orders: count(), spend: sum(order.total)}, when: window.orders >= 2}}
steps: [{emit: order.noticed, with: {order: {said: "{{ order.id }} {{ window.orders }} {{ window.spend }}"}}}]
---
flow: patient
trigger:
  - {as: one, event: order.placed, conditions: [order.total > 4 GBP]}
  - {as: many, event: order.placed, conditions: [exists(order.customer_id)], window: {key: order.customer_id, session: 2h,
     lateness: 10m, fire: every, measures: {orders: count()}, when: window.orders >= 2 and order.total > 1 GBP}}
steps: [{emit: order.noticed, with: {order: {said: "{{ order.id }} {{ trigger.name }}"}}}]
---
flow: by_day
trigger: {event: order.placed, conditions: [exists(order.customer_id)], window: {key: order.customer_id, tumbling: 6h,
  fire: close, lateness: 5m, measures: {orders: count(), spend: sum(order.total)}, when: window.spend > 3 GBP}}
steps: [{delay: 20m}, {emit: order.noticed, with: {order: {said: "{{ order.id }} {{ window.spend }}"}}}]
---
flow: lonely
trigger: {event: order.placed, conditions: [exists(order.customer_id)], window: {key: order.customer_id, tumbling: 3h,
  fire: close, retract: 2d, measures: {orders: count()}, when: window.orders == 1}}
limits: {concurrency: {max: 1, over: queue}}
steps: [{delay: 20m}, {emit: order.noticed, with: {order: {said: "{{ order.id }}"}}}]
on_retract: [{emit: order.noticed, with: {order: {said: "not {{ order.id }}"}}}]
---
flow: nightly
tenant: [acme, globex]
inputs: {region: string}
trigger: {schedule: "*/30 1-3,18 * * *", zone: [Europe/Berlin, UTC], jitter: 7m, with: {region: emea}}
steps:
  - delay: 40m
  - {emit: order.noticed, with: {order: {said: "{{ schedule.zone }} {{ inputs.region }}", at: "{{ schedule.slot }}"}}}
---
flow: queued
tenant: acme
trigger: {schedule: "0 * * * *", zone: UTC, overlap: queue}
steps: [{delay: 90m}, {emit: order.noticed, with: {order: {said: hourly, at: "{{ schedule.slot }}"}}}]
"""

orders = st.lists(
    st.tuples(
        st.integers(0, 30),  # its id: some come twice
        st.sampled_from(["acme", "globex"]),
        st.sampled_from([0, 1, 10, 45, 200]),  # minutes from the last
        st.sampled_from([0, 0, 0, 3, 30, 240]),  # minutes too late
        st.sampled_from([None, "a", "b"]),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=25,
)


def records(drawn: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, bytes]]:
    now_us = START_US
    for number, tenant, on, late, customer, total in drawn:
        now_us += on * MINUTE_US
        order = {"id": f"o{number}", "customer_id": customer, "total": f"{total} GBP"}
        envelope = {"id": f"e{number}", "source": "/shop", "type": "order.placed", "tenant": tenant}
        time = _text(now_us - late * MINUTE_US)
        yield tenant, json.dumps({**envelope, "specversion": "1.0", "time": time, "data": {"order": order}}).encode()


def _text(us: int) -> str:
    return datetime.fromtimestamp(us // 1_000_000, UTC).isoformat()


@contextmanager
def a_home(flows: str) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="law-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        (home / "flows.yaml").write_text(flows)
        yield home
    finally:
        shutil.rmtree(home)


def run(drawn: Sequence[tuple[Any, ...]], sizes: Sequence[int], turn_rows: int, *, again: bool) -> tuple[Any, ...]:
    """Send orders in pieces; give histories, late events and what is still held."""
    return tell(FLOWS, TOPIC, list(records(drawn)), (sizes, turn_rows), again=again)


def tell(
    flows: str, topic: str, told: Sequence[tuple[str, bytes]], cut: tuple[Sequence[int], int], *, again: bool
) -> tuple[Any, ...]:
    """Send events (tenant, record) in pieces, turns behind each, perhaps a restart too; give what `read` finds."""
    sizes, turn_rows = cut
    with a_home(flows) as home:
        log = IngressLog(home / "ingress.db")
        deploy(FileIngress(log, SystemClock()), home, check_files([home / "flows.yaml"], home))
        engine = build_engine(home, EngineSettings("events", turn_rows))
        left = list(told)
        _hold(log, value=True)  # an idle clock would run on between two pieces
        for size in [*sizes, len(left)]:
            piece, left = left[:size], left[size:]
            log.append([Append(topic, partition_of(tenant, log.partitions), [data]) for tenant, data in piece], START_US)
            while engine.step() is not None:
                pass
            if again:
                engine.close()
                engine = build_engine(home, EngineSettings("events", turn_rows))
        _hold(log, value=None)
        turns = 0
        while engine.step() is not None:
            turns += 1
            assert turns < 5_000
        engine.close()
        log.close()
        return read(home)


def _hold(log: IngressLog, *, value: bool | None) -> None:
    log.append([Append(CONTROL, 0, [encode(Control(key="clock/hold/law", value=value, at=START_US))])], START_US)


def read(home: Path) -> tuple[Any, ...]:
    histories: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    late = []
    dead, said = [], []
    reader = FileReader(home / "engine-0.db", READ.__contains__, {})
    while chunks := reader.poll(10_000):
        for chunk in chunks:
            for data in chunk.records:
                record = json.loads(data)
                if chunk.topic == "dead_letters":
                    dead.append((record["tenant"], record["reason"], record["detail"], record["at"]))
                elif chunk.topic == "notices.events":
                    said.append((record["tenant"], record["source"], record["data"]["order"]["said"]))
                elif chunk.topic == "late":
                    late.append((record["tenant"], record["flow"], record["event"], record["time"], record["key"]))
                else:
                    histories[record["flow"], record["tenant"], record["execution"]] += record["transitions"]
    reader.close()
    connection = open_reader(home / "engine-0.db")
    try:
        statuses = sorted(rows(connection, "select flow, tenant, status, count(*) from executions group by 1, 2, 3"))
    finally:
        connection.close()
    return dict(histories), sorted(late), statuses, sorted(dead), sorted(said)


@settings(max_examples=examples(12), deadline=None)
@given(orders, st.lists(st.integers(1, 10), max_size=5), st.sampled_from([1, 3, 8192]), st.booleans())
def test_cuts_and_restarts_do_not_show(drawn: Any, sizes: list[int], turn_rows: int, again: bool) -> None:
    whole = run(drawn, [], 8192, again=False)
    cut = run(drawn, sizes, turn_rows, again=again)
    assert cut[1:] == whole[1:]
    assert cut[0] == whole[0]
