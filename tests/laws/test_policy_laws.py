"""Law of policies: a history names exactly the versions that were asked, in the ones of that moment, however inputs are cut.

The flow writes down the values that it found, so each version named can be checked against what was done by it.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Final

from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.engine.settings import EngineSettings
from flows.language.definitions import Definitions, control_records, load_definitions
from schemas.avro.schema import avro_schema
from schemas.records import Control, encode
from schemas.topics import CONTROL
from tests.examples import examples
from tests.laws.recorded import HOLD, PARTITIONS, Recorded, recorded, replayed
from tests.laws.test_input_laws import said, transitions

VALUES: Final = 5
TEXT: Final = """
event: order.placed
topic: shop.events
fields: {{order: {{id: string, total: int, days: int}}}}
---
event: payment.received
topic: shop.events
fields: {{payment: {{order: string, amount: int}}}}
---
action: send
params: {{order: string, text: int}}
---
{{policy: lowest, type: int, value: {0}}}
---
{{policy: limit, type: int, value: {0}}}
---
flow: judge
trigger: {{event: order.placed, conditions: [order.total > policies.lowest]}}
steps:
  - {{wait: payment.received, as: received, correlate: received.payment.order == order.id, timeout: 3h, on_timeout: continue}}
  - {{action: send, as: told, with: {{order: "{{{{ order.id }}}}", text: "{{{{ policies.limit }}}}"}}}}
  - {{delay: 1h}}
  - {{action: send, as: again, with: {{order: "{{{{ order.id }}}}", text: "{{{{ policies.limit }}}}"}}}}
"""


@cache
def _of(value: int) -> Definitions:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flows.yaml"
        path.write_text(TEXT.format(value))
        loaded = load_definitions([path])
    assert loaded.ok, loaded.problems
    return loaded


def _records(value: int) -> list[Control]:
    numbers = iter(range(1, 100))
    return control_records(_of(value), lambda _: next(numbers), avro_schema)


def _change(name: str, value: int) -> tuple[str, bytes]:
    return CONTROL, next(encode(one) for one in _records(value) if one.key == f"policy/*/{name}")


def _versions(name: str) -> dict[str, int]:
    """Give the value of each version."""
    return {one.policy.version: value for value in range(VALUES) for one in _of(value).policies if one.policy.name == name}


def _story(rng: Random, length: int) -> list[tuple[str, bytes]]:
    sent = [(CONTROL, encode(one)) for one in (Control(key=HOLD, value=True), *_records(rng.randrange(VALUES)))]
    minutes = 0
    for number in range(length):
        minutes += rng.choice((0, 1, 30, 90))
        lot = rng.random()
        if lot < 0.3:
            sent.append(_change(rng.choice(("lowest", "limit")), rng.randrange(VALUES)))
        else:
            kind = "order.placed" if lot < 0.7 else "payment.received"
            sent.append(said(number, kind, minutes, f"O{rng.randrange(4)}", rng.randrange(1, VALUES + 4)))
    return sent


def _run(one: Recorded, sent: list[tuple[str, bytes]], cuts: list[int], deaths: list[int]) -> None:
    at = 0
    for turn, size in enumerate(cycle(cuts)):
        for topic, data in sent[at : at + size]:
            one.send(topic, data)
        at += size
        if turn in deaths:
            one.restart(mid_turn=turn % 2 == 0)
        one.step()
        if at >= len(sent):
            break
    one.come_to_rest()


def _totals(sent: list[tuple[str, bytes]]) -> dict[str, int]:
    events = [json.loads(data) for topic, data in sent if topic != CONTROL]
    return {one["id"]: one["data"]["order"]["total"] for one in events if one["type"] == "order.placed"}


@settings(max_examples=examples(12), deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    turn_rows=st.sampled_from([1, 5, 8192]),
    deaths=st.lists(st.integers(0, 30), max_size=3),
)
def test_a_history_names_the_versions_that_were_asked(seed: int, cuts: list[int], turn_rows: int, deaths: list[int]) -> None:
    sent = _story(Random(seed), 30)
    with recorded(EngineSettings("events", turn_rows, partitions=PARTITIONS), seed, 20_000) as one:
        _run(one, sent, cuts, deaths)
        local = replayed(one.order)
        assert one.histories == transitions(local.histories())
        totals = _totals(sent)
        texts = _texts(one.actions)
        for execution in local.executions.values():
            moments = one.histories[execution.id.hex()]
            _judge(moments, totals[execution.cause.event], texts.get(execution.id.hex(), []))


def _texts(actions: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for action in actions:
        found.setdefault(action["subject"], []).append(int(action["data"]["text"]))
    return found


def _judge(moments: list[Any], total: int, told: list[int]) -> None:
    """The start names the version by which the condition held; what was told are the values of those named after it."""
    used = [detail for _, kind, _, _, detail in moments if kind == "used"]
    lowest, *limits = [next(iter(one.items())) for one in used]
    assert all(len(one) == 1 for one in used)
    assert lowest[0] == "lowest"
    assert _versions("lowest")[lowest[1]] < total
    found = [_versions("limit")[version] for _, version in limits]
    changed = [value for at, value in enumerate(told) if at == 0 or value != told[at - 1]]
    assert found == changed
    seen(f"limits: {len(found)}")


WATCHES: Final = """
event: order.placed
topic: shop.events
fields: {order: {id: string, total: int, days: int}}
---
event: payment.received
topic: shop.events
fields: {payment: {order: string, amount: int}}
---
action: send
params: {order: string}
---
{policy: lowest, type: int, value: 1}
---
flow: unpaid
trigger:
  event: order.placed
  conditions: [order.total > policies.lowest]
  absence: {of: payment.received, as: paid, correlate: paid.payment.order == order.id, within: 1h}
steps: [{action: send, with: {order: "{{ order.id }}"}}]
---
flow: again
trigger:
  sequence:
    key: order.id
    within: 2d
    events:
      - {event: order.placed, as: first, conditions: [first.order.total > policies.lowest]}
      - {event: order.placed, as: second}
steps: [{action: send, with: {order: "{{ first.order.id }}"}}]
---
flow: summed
trigger:
  event: order.placed
  window:
    key: order.id
    tumbling: 1d
    fire: every
    measures: {worth: sum(order.total)}
    when: window.worth > policies.lowest
steps: [{action: send, with: {order: "{{ order.id }}"}}]
"""


def test_watches_and_windows_name_what_their_triggers_asked(tmp_path: Path) -> None:
    (tmp_path / "flows.yaml").write_text(WATCHES)
    found = load_definitions([tmp_path / "flows.yaml"])
    assert found.ok, found.problems
    numbers = iter(range(1, 100))
    controls = [encode(one) for one in control_records(found, lambda _: next(numbers), avro_schema)]
    with recorded(EngineSettings("events", partitions=PARTITIONS), 0, 20_000) as one:
        one.send(CONTROL, encode(Control(key=HOLD, value=True)), *controls)
        for number, (kind, minutes) in enumerate((("order.placed", 0), ("order.placed", 30), ("payment.received", 600))):
            topic, data = said(number, kind, minutes, "O1", 9)
            one.send(topic, data)
        one.come_to_rest()
        did = [[kind for _, kind, *_ in moments] for moments in one.histories.values()]
    assert did == [["started", "used", "issued", "ended"]] * 5, "two each of the absence and the window, one of the sequence"
