"""What `check` says of the keys around the steps, and what they come to in the program."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from flows.language.canonical import canonical_bytes
from flows.language.definitions import Definitions, Source, check_sources
from schemas.expression.print import print_tree
from schemas.pointer import Share, tree_of
from schemas.program import Limit

CONTRACTS = """\
event: order.placed
fields: {order: {id: string, customer_id: string?, country: string, total: money(GBP), email: string?, parts: list(string)}}
"""
FLOW = "flow: f\ntrigger: {event: order.placed}\nsteps: [{delay: 1h}]\n"


def checked(around: str) -> Definitions:
    return check_sources([Source("contracts.yaml", CONTRACTS), Source("a.yaml", FLOW + around)])


WRONG: list[tuple[str, list[str]]] = [
    (
        "inputs: {a: sting, b: {c: int}}\n",
        [
            "4:13: error[bad-type]: 'sting' is no type; did you mean 'string'?",
        ],
    ),
    (
        "limits: {concurrency: {key: order.parts, max: 1, over: wait}, rate: {key: order.idd, max: 0, per: 1m}, quota: {max: 3, per: 0s, over: cancel_running}}\n",
        [
            "4:29: error[type-mismatch]: a list stands at 'key', which tells one from another; write one value of it",
            "4:56: error[bad-word]: 'wait' is no word for 'over'; write 'queue', 'drop' or 'cancel_running'",
            "4:91: error[bad-value]: '0' cannot stand at 'max': input should be greater than or equal to 1",
            "4:125: error[bad-duration]: '0s' is no time at all and 'per' wants some; write one like 1m",
            "4:135: error[bad-word]: 'cancel_running' is no word for 'over'; write 'queue' or 'drop'",
        ],
    ),
    (
        'limits: {concurrency: {key: "{{ order.id }}", max: 1}, rate: {max: 3}, quota: {max: 3, per: 900d}, max: 3}\n',
        [
            "4:29: error[template-in-expression]: 'key' is an expression already; write order.id, without {{ }}",
            "4:62: error[missing-key]: 'rate' has no 'per' and needs one; add it",
            "4:93: error[too-long]: per '900d' is over 400d, the longest; write less",
            "4:100: error[unknown-key]: 'limits' has no key 'max' (concurrency, rate, quota)",
        ],
    ),
    (
        "timeout: 1101d\nobjectives: {complete: 4, share: 2}\n",
        [
            "4:10: error[too-long]: timeout '1101d' is over 1100d, the longest; write less",
            "5:1: warning[not-yet]: 'objectives' is checked and kept, and this version of Millrace does not act on it: nothing measures or alarms it",
            "5:24: error[bad-duration]: '4' has no unit; write 4s, 4m, 4h or 4d",
            "5:34: error[bad-value]: '2' cannot stand at 'share': input should be less than or equal to 1",
        ],
    ),
    (
        "retention: {history: 1d, data: 2d}\nprivacy: {order.emial: mask, order.email: blank}\n",
        [
            "4:1: warning[not-yet]: 'retention' is checked and kept, and this version of Millrace does not act on it: histories and the values in them stay",
            "4:32: error[bad-retention]: values cannot stay longer than the histories that they stand in; make history at least as long as data",
            "5:1: warning[not-yet]: 'privacy' is checked and kept, and this version of Millrace does not act on it: history and views show the values as they are",
            "5:11: error[unknown-field]: 'order.emial' is not in order.placed (order.id, order.customer_id, order.country, order.total, order.email, order.parts); did you mean 'order.email'?",
            "5:43: error[bad-word]: 'blank' is no word for 'order.email'; write 'mask', 'hash', 'hide' or 'encrypt'",
        ],
    ),
    (
        "rollout: {percent: 101, by: order.id, shadw: true}\n",
        [
            "4:20: error[bad-value]: '101' cannot stand at 'percent': input should be less than or equal to 100",
            "4:39: error[unknown-key]: 'rollout' has no key 'shadw' (percent, by, shadow); did you mean 'shadow'?",
        ],
    ),
    (
        "rollout: {percent: 25, by: order.parts}\n",
        [
            "4:28: error[type-mismatch]: a list stands at 'by', which tells one from another; write one value of it",
        ],
    ),
    (
        "rollout: {percent: 25, by: execution.id}\n",
        [
            "4:28: error[bad-rollout]: 'execution.id' does not tell an entity for good: it belongs to one start; write a field of what starts the flow",
        ],
    ),
    (
        'views:\n  - {view: executions, from: executions, by: {n: order.country}, measures: {n: count()}}\n  - {view: mine, from: orders, measures: {n: count()}}\n  - {view: own, from: executions, where: state == "waiting", by: {day: \'date(event.time, "UTC")\', c: status}, measures: {v: sum(order.totl)}}\n',
        [
            "4:1: warning[not-yet]: 'views' is checked and kept, and this version of Millrace does not act on it: no table is made",
            "5:12: error[defined-twice]: 'executions' is the name of a view of Millrace already; choose another name",
            "5:47: error[bound-twice]: 'n' is a measure as well; choose another name",
            "6:24: error[bad-word]: 'orders' is no word for 'from'; write 'executions', 'actions' or 'events'",
            "7:42: error[unknown-field]: field 'state' is not in order.placed (order.id, order.customer_id, order.country, order.total, order.email, order.parts, tenant, flow, version, status, started_at, ended_at, ...); did you mean 'status'?",
            "7:129: error[unknown-field]: field 'order.totl' is not in order.placed (order.id, order.customer_id, order.country, order.total, order.email, order.parts, tenant, flow, version, status, started_at, ended_at, ...); did you mean 'order.total'?",
        ],
    ),
    (
        "on_retract: [{delay: 1h}]\n",
        [
            "4:1: error[unreachable]: nothing is ever taken back in this flow; add retract to an absence, or to a window with fire: close",
        ],
    ),
    (
        "priority: urgent\n",
        [
            "4:11: error[bad-word]: 'urgent' is no word for 'priority'; write 'high', 'normal' or 'low'",
        ],
    ),
]


@pytest.mark.parametrize(("around", "expected"), WRONG)
def test_a_key_around_the_steps_is_told_with_its_place(around: str, expected: list[str]) -> None:
    assert [str(problem).removeprefix("a.yaml:") for problem in checked(around).problems] == expected


EVERY = """\
owner: order-desk
labels: {area: orders}
priority: low
inputs: {a: string, b: int?, c: {d: list(decimal)}}
timeout: 1100d
limits: {concurrency: {key: order.customer_id, max: 1, over: cancel_running}, rate: {key: event.tenant, max: 600, per: 60s}, quota: {max: 50000, per: 1d, over: drop}}
objectives: {complete: 4d, share: 0.990}
retention: {history: 400d, data: 90d}
privacy: {order.email: mask, order.customer_id: hash}
rollout: {percent: 25, by: order.customer_id}
views:
  - {view: held, from: executions, where: status == "waiting", by: {country: order.country, day: 'date(event.time, "Europe/London")'},
     measures: {orders: count(), value: sum(order.total)}}
  - {view: sent, from: actions, by: {type: type}, measures: {n: count(), tries: max(attempts)}}
"""


def test_limits_are_compiled_and_take_what_they_read_along() -> None:
    program = checked(EVERY).flows[0].program
    assert [(one.kind, one.most, one.key and print_tree(one.key), one.per_us, one.over) for one in program.limits] == [
        ("concurrency", 1, "order.customer_id", 0, "cancel_running"),
        ("rate", 600, "event.tenant", 60_000_000, "queue"),
        ("quota", 50000, None, 86_400_000_000, "drop"),
    ]
    assert isinstance(program.limits[0], Limit)
    assert [key for key, _ in program.reads] == ["event.tenant", "order.customer_id"]
    assert (program.priority, program.timeout_us) == ("low", 1100 * 86_400_000_000)
    assert program.inputs is not None
    assert [name for name, _ in program.inputs.fields] == ["a", "b", "c"]


def test_a_rollout_is_said_beside_the_program_and_makes_no_other_version() -> None:
    quarter = checked(EVERY).flows[0]
    assert (quarter.rollout.percent, quarter.rollout.by, quarter.shadow) == (25, "order.customer_id", False)
    by = tree_of(quarter.rollout)
    assert by is not None
    assert print_tree(by) == "order.customer_id"
    others = [
        "rollout: {percent: 50, by: order.id}",
        "rollout: {shadow: true}",
        "rollout: {percent: 100, by: order.customer_id}",
        "",
    ]
    for other in others:
        flow = checked(EVERY.replace("rollout: {percent: 25, by: order.customer_id}", other)).flows[0]
        assert (flow.version, flow.program) == (quarter.version, quarter.program)
    assert (flow.rollout, flow.shadow) == (Share(), False)


def test_a_part_of_the_slots_of_a_schedule_is_refused() -> None:
    text = 'flow: f\ntrigger: {schedule: "0 1 * * *", zone: UTC}\nrollout: {percent: 25, shadow: SHADOW}\nsteps: [{action: a}]\n'
    for shadow in ("true", "false"):
        (problem,) = check_sources([Source("a.yaml", text.replace("SHADOW", shadow))]).problems
        assert str(problem) == (
            "a.yaml:3:20: error[bad-rollout]: 25 % of what? slots of a schedule have no entity; "
            "deploy it whole, or in shadow beside the version before"
        )
    assert not check_sources([Source("a.yaml", text.replace("percent: 25, shadow: SHADOW", "shadow: true"))]).problems


def test_the_canonical_form_keeps_them_all() -> None:
    found = checked(EVERY)
    assert [problem.name for problem in found.problems] == ["not-yet"] * 4
    (flow,) = found.flows
    again = check_sources([Source("contracts.yaml", CONTRACTS), Source("a.json", canonical_bytes(dict(flow.document)).decode())])
    assert [problem.name for problem in again.problems] == ["not-yet"] * 4
    assert (again.flows[0].version, again.flows[0].program) == (flow.version, flow.program)
    for key in ("inputs", "limits", "objectives", "retention", "privacy", "rollout", "views", "owner", "labels"):
        assert key in flow.document


def test_two_flows_may_share_a_webhook_that_says_the_same() -> None:
    def flows(second: str) -> list[str]:
        trigger = "trigger: {webhook: shop/orders, event: order.placed, signature: none}\nsteps: [{delay: 1h}]\n"
        text = f"flow: f\n{trigger}---\nflow: g\n{trigger.replace('signature: none', second)}"
        found = check_sources([Source("contracts.yaml", CONTRACTS), Source("a.yaml", text)])
        return [str(problem) for problem in found.problems]

    assert flows("signature: none") == []
    assert flows("signature: none, id: order.id") == [
        "a.yaml:6:20: error[defined-twice]: webhook 'shop/orders' of flow 'f' differs in event, id or signature; write the same, or choose another path"
    ]
