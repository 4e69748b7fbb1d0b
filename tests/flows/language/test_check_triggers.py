"""What `check` says of triggers: text and exact messages, in the voice of flow-language.md section 8."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import msgspec
import pytest

from flows.language.canonical import canonical_bytes
from flows.language.definitions import Definitions, Source, check_sources
from operators.triggers.admission import RANKS
from operators.turn.limited import rank_of
from schemas.expression.print import print_tree
from schemas.program import After, EventTrigger, Manual, Schedule, Sequence, Webhook, Window, pack, unpack

CONTRACTS = """\
event: order.placed
fields: {order: {id: string, customer_id: string?, country: string, total: money(GBP), placed_at: timestamp, parts: list(string)}}
---
event: order.cancelled
fields: {order: {id: string, customer_id: string?, total: money(GBP)}}
---
event: order.counted
fields: {order: {id: int, customer_id: int}}
---
{flow: paid, trigger: {event: order.placed}, steps: [{delay: 1h}], output: {order: "{{ order.id }}", total: "{{ order.total }}"}}
---
{policy: patience, key: string, type: duration, values: {UK: 4h}, default: 1d}
---
action: notify
params: {to: string, text: string?}
"""


def checked(trigger: str) -> Definitions:
    text = "flow: f\ntrigger:\n  " + ("- " + trigger if trigger.startswith("{") else trigger) + "\nsteps: [{delay: 1h}]\n"
    return check_sources([Source("contracts.yaml", CONTRACTS), Source("a.yaml", text)])


WRONG: list[tuple[str, list[str]]] = [
    (
        "event: order.placed\n  window: {key: order.country, measures: {n: count(1), s: sum(order.id), z: total(order.total)}, when: window.n > 3}",
        [
            "4:11: error[unbounded]: a window without sliding, tumbling or session would keep events for ever; say how long, as in sliding: 1h",
            "4:46: error[wrong-arguments]: 'count' has 1 arguments; write count()",
            "4:63: error[type-mismatch]: [order.id] is a list(string); 'sum' wants a list of one of decimal, duration, float, int, money",
            "4:77: error[bad-measure]: 'total(order.total)' is no measure; write one of count() sum(x) min(x) max(x) mean(x) distinct(x)",
        ],
    ),
    (
        "event: order.placed\n  window: {key: order.country, sliding: 1h, tumbling: 1d, measures: {n: count()}, when: window.m > 3}",
        [
            "4:11: error[two-windows]: one window has 'sliding' and 'tumbling'; write one of them",
            "4:89: error[unknown-field]: field 'window.m' is not in window (window.n); did you mean 'window.n'?",
        ],
    ),
    (
        "event: order.placed\n  window: {key: order.parts, sliding: 0s, fire: close, retract: 3d, measures: {n: count()}, whn: 3}",
        [
            "4:17: error[type-mismatch]: a list stands at 'key', which tells one from another; write one value of it",
            "4:39: error[bad-duration]: '0s' is no time at all and 'sliding' wants some; write one like 30s",
            "4:49: error[bad-window]: a sliding window has no end; fire: close goes with tumbling or session",
            "4:93: error[unknown-key]: 'window' has no key 'whn' (key, sliding, tumbling, session, measures, when, fire, lateness, retract); did you mean 'when'?",
            "4:98: error[type-mismatch]: 3 is an int; a condition (a bool) is wanted here",
        ],
    ),
    (
        "event: order.placed\n  window: {key: order.nation, session: 401d, measures: {}, fire: every, retract: 3d}",
        [
            "4:56: error[empty-list]: 'measures' is empty; write at least one, or take the key away",
        ],
    ),
    (
        "event: order.placed\n  window: {key: order.country, sliding: 1h, measures: {n: count()}}",
        [
            "4:11: error[missing-key]: a window that fires when it becomes true has no 'when' and needs one; add it, or write fire: every or close",
        ],
    ),
    (
        "event: order.placed\n  window: {key: 'policies.patience[order.country]', sliding: 1h, "
        "measures: {n: 'max(policies.patience[order.country])'}, fire: every}",
        [
            "4:17: error[changing-key]: 'policies.patience' stands in a key, and what was gathered would change with it; "
            "ask for it in 'conditions' or 'when'",
            "4:80: error[changing-key]: 'policies.patience' stands in a measure, and what was gathered would change with it; "
            "ask for it in 'conditions' or 'when'",
        ],
    ),
    (
        'event: order.placed\n  window: {key: "{{ order.country }}", sliding: 1h, measures: {n: 3}, fire: every}',
        [
            "4:17: error[template-in-expression]: 'key' is an expression already; write order.country, without {{ }}",
            "4:67: error[bad-measure]: '3' is no measure; write one of count() sum(x) min(x) max(x) mean(x) distinct(x)",
        ],
    ),
    (
        "event: order.placed\n  absence: {of: order.cancelled, as: c, correlate: c.order.idd == order.id}",
        [
            "4:12: error[no-deadline]: an absence has neither 'within' nor 'until' and is over at one time; write within: 4h, or until: and a timestamp",
            "4:52: error[cannot-be-met]: order.cancelled has no field 'order.idd'; this wait could only time out",
        ],
    ),
    (
        "event: order.placed\n  absence: {of: order.cancelled, as: order, within: 4h, until: order.placed_at}",
        [
            "4:12: error[two-deadlines]: an absence has 'within' and 'until' and is over at one time; write within: 4h, or until: and a timestamp",
            "4:38: error[shadows-field]: 'order' is a field of order.placed; a binding needs another name",
        ],
    ),
    (
        "event: order.placed\n  absence: {of: order.cancelled, as: c, correlate: c.order.total > order.total, within: 30, lateness: -1h, retract: 2000d}",
        [
            "4:52: error[bad-correlate]: correlate finds the event by equalities joined by and, each a field of c == a value without c; write one like that and move the rest to conditions",
            "4:89: error[bad-duration]: '30' has no unit; write 30s, 30m, 30h or 30d",
            "4:103: error[bad-duration]: '-1h' is less than nothing and 'lateness' wants a time ahead; write one like 30s",
            "4:117: error[too-long]: retract '2000d' is over 1100d, the longest; write less",
        ],
    ),
    (
        'event: order.placed\n  absence: {of: order.cancelled, as: c, correlate: c.order.id == order.id, within: "policies.patience[order.customer_id]"}',
        [
            "4:84: error[maybe-missing]: 'policies.patience[order.customer_id]' may be missing and 'within' needs it; write coalesce(policies.patience[order.customer_id], ...)",
        ],
    ),
    (
        "event: order.placed\n  window: {key: order.id, sliding: 1h, measures: {n: count()}, fire: every}\n  absence: {of: order.cancelled, as: c, within: 1h}",
        [
            "5:12: error[two-sorts]: one trigger has 'window' and 'absence'; make two triggers, each with its own as",
        ],
    ),
    (
        "sequence: {key: order.total + 1 GBP, within: 0, events: [{event: order.placed, as: a}, {event: order.cancelled, as: a}]}",
        [
            "3:19: error[bad-key]: the key of a sequence is read in every event; write one path, as in order.customer_id",
            "3:48: error[bad-duration]: '0' is no time at all and 'within' wants some; write one like 30s",
            "3:119: error[bound-twice]: 'a' names an event of this sequence already; choose another name",
        ],
    ),
    (
        "sequence: {key: order.customer_id, within: 1h, events: [{event: order.placed, as: a}]}",
        [
            "3:58: error[too-few]: 'events' has 1 and needs 2 at least; add another",
        ],
    ),
    (
        'sequence: {key: order.customer_id, within: 1h, events: [{event: order.placed, as: a}, {event: order.cancelled, as: b, conditions: [b.order.totl > a.order.total, order.country == "UK"]}]}',
        [
            "3:134: error[unknown-field]: field 'b.order.totl' is not in 'b.order' (b.order.id, b.order.customer_id, b.order.total); did you mean 'b.order.total'?",
            "3:164: error[unknown-field]: field 'order.country' is not in order.cancelled (order.id, order.customer_id, order.total, a, b); did you mean 'order.customer_id'?",
        ],
    ),
    (
        "sequence: {key: order.id, within: 1h, events: [{event: order.placed, as: order}, {event: order.counted, as: b, when: 3}]}",
        [
            "3:19: error[type-mismatch]: the key is int and string in these events; a sequence wants one type",
            "3:76: error[shadows-field]: 'order' is a field of an event of this sequence; a binding needs another name",
            "3:114: error[unknown-key]: an event of 'sequence' has no key 'when' (event, as, conditions)",
        ],
    ),
    (
        'schedule: "0 25 * * *"\n  zone: [CET+1, Europe/Berlin, Berlin, Europe/Berlin]\n  jitter: 2d\n  with: {book: main}',
        [
            "3:13: error[bad-schedule]: '0 25 * * *' has hour 25 (0-23); next slots cannot be computed",
            "4:10: error[bad-schedule]: 'CET+1' is not an IANA zone; did you mean 'Europe/Berlin'?",
            "4:32: error[bad-schedule]: 'Berlin' is not an IANA zone; did you mean 'Europe/Berlin'?",
            "4:40: error[bad-schedule]: zone 'Europe/Berlin' stands twice, which would run each slot twice; remove one",
            "5:11: error[too-long]: jitter '2d' is over 1d, the longest; write less",
            "6:10: error[unknown-field]: this flow takes no 'book' (it takes nothing)",
        ],
    ),
    (
        "schedule: 5\n  zone: UTC\n  missed: first",
        [
            "3:13: error[want-string]: 5 is a number and 'schedule' wants a string; quote it: \"5\"",
            "5:11: error[bad-word]: 'first' is no word for 'missed'; write 'last', 'all' or 'none'",
        ],
    ),
    (
        'schedule: "* * *"\n  zone: Mars/Olympus',
        [
            "3:13: error[bad-schedule]: '* * *' has 3 fields; wanted five: minute hour day-of-month month weekday; next slots cannot be computed",
            "4:9: error[bad-schedule]: 'Mars/Olympus' is not an IANA zone; write one like Europe/Berlin, or UTC",
        ],
    ),
    (
        "webhook: shop/returns\n  event: order.placed\n  signature: {header: X-Signature, scheme: hmac-sha256, secret: abc, tolerance: 0s}",
        [
            "5:65: error[secret-in-clear]: 'secret' is written out here; store it and write its name, as in secrets.shop_hook",
        ],
    ),
    (
        "webhook: /Shop\n  event: order.placed",
        [
            "3:3: error[missing-key]: trigger 'webhook' has no 'signature' and needs one; add it, or say signature: none",
            "3:12: error[bad-name]: '/Shop' is no path of a webhook; write one to eight words of small letters, digits, _ and - between slashes, as in shop/returns",
        ],
    ),
    (
        "webhook: shop\n  event: order.placed\n  signature: nothing\n  id: order.customer_id",
        [
            "5:14: error[bad-word]: 'nothing' is no word for 'signature'; write 'none'",
        ],
    ),
    (
        "manual: {}\n  id: inputs.x",
        [
            "3:11: error[missing-key]: 'manual' has no 'roles' and needs one; add it",
        ],
    ),
    (
        "manual: {roles: [lead]}\n  rols: [x]",
        [
            "4:3: error[unknown-key]: trigger 'manual' has no key 'rols' (manual, id, as)",
        ],
    ),
    (
        "after: [paid, paidd, paid]\n  join: all\n  window: {key: event.correlationid, tumbling: 1d, measures: {n: count()}, fire: close}",
        [
            "3:3: error[unbounded]: the ends of several flows would be kept for ever; say for how long, as in within: 1d",
            "3:10: error[bound-twice]: a flow stands twice behind after; name each once",
            "3:17: warning[unknown-flow]: no flow 'paidd' is known: what it gives cannot be checked; give its file as well; did you mean 'paid'?",
            "5:11: error[two-sorts]: a window counts each end, and join: all waits for one of each; write join: any, or take the window away",
        ],
    ),
    (
        'after: paid\n  key: event.id\n  conditions: [after.paid.outpt.order == "x"]',
        [
            "4:3: error[needs-several]: 'key' says how several flows belong together, and there is one; take it away",
            "5:16: error[unknown-field]: field 'after.paid.outpt' is not in after.paid (after.paid.status, after.paid.execution, after.paid.version, after.paid.output, after.paid.error); did you mean 'after.paid.output'?",
        ],
    ),
    (
        "after: [paid, nope]\n  join: any\n  conditions: [after.paid.output.totl > 3 GBP]",
        [
            "3:17: warning[unknown-flow]: no flow 'nope' is known: what it gives cannot be checked; give its file as well",
            "5:16: error[unknown-field]: field 'after.paid.output.totl' is not in 'after.paid.output' (after.paid.output.order, after.paid.output.total); did you mean 'after.paid.output.total'?",
        ],
    ),
    (
        '{event: order.placed, as: p}\n  - {schedule: "0 1 * * *", zone: UTC}\n  - {manual: {roles: [x]}, as: p}',
        [
            "4:5: error[missing-key]: one of several triggers has no 'as' and needs one; add it, trigger.name will say which started",
            "5:32: error[bound-twice]: 'p' names a trigger already; choose another name",
        ],
    ),
]


@pytest.mark.parametrize(("trigger", "expected"), WRONG)
def test_a_trigger_is_told_with_its_place(trigger: str, expected: list[str]) -> None:
    assert [str(problem).removeprefix("a.yaml:") for problem in checked(trigger).problems] == expected


def one(trigger: str) -> Definitions:
    found = checked(trigger)
    assert not found.errors, found.problems
    return found


def test_a_window_is_typed_by_its_measures() -> None:
    found = one(
        "event: order.placed\n  window: {key: order.customer_id, sliding: 1h, lateness: 5m, "
        "measures: {n: count(), spend: sum(order.total), most: max(order.total), first: min(order.placed_at)}, when: window.spend > 500 GBP}"
    )
    (trigger,) = found.flows[-1].program.triggers
    assert isinstance(trigger, EventTrigger)
    window = trigger.detail
    assert isinstance(window, Window)
    assert (window.kind, window.size_us, window.lateness_us, window.fire) == ("sliding", 3_600_000_000, 300_000_000, "crossing")
    assert [(one.name, one.kind, one.type.name, one.type.optional) for one in window.measures] == [
        ("first", "min", "timestamp", False),
        ("most", "max", "money", False),
        ("n", "count", "int", False),
        ("spend", "sum", "money", False),
    ]
    assert window.when is not None
    assert print_tree(window.when) == "window.spend > 500 GBP"


def test_a_sequence_keeps_what_is_read_of_its_events() -> None:
    found = one(
        "sequence: {key: order.customer_id, within: 1h, events: [{event: order.cancelled, as: first, conditions: [first.order.total > 5 GBP]}, "
        '{event: order.placed, as: second, conditions: [second.order.total > first.order.total, order.country == "UK"]}]}'
    )
    (trigger,) = found.flows[-1].program.triggers
    assert isinstance(trigger, EventTrigger)
    assert trigger.event == "order.cancelled"
    assert trigger.condition is not None
    assert print_tree(trigger.condition) == "order.total > 5 GBP"  # bare: matching sees the event's own keys
    detail = trigger.detail
    assert isinstance(detail, Sequence)
    (then,) = detail.then
    assert then.condition is not None
    assert print_tree(then.condition) == 'second.order.total > first.order.total and second.order.country == "UK"'
    assert [(one.key, print_tree(one.value)) for one in then.correlate if one.value] == [
        ("order.customer_id", "first.order.customer_id")
    ]
    assert [way for way, _ in then.reads] == [("order", "country"), ("order", "total")]
    assert [way for way, _ in detail.reads] == [("order", "customer_id"), ("order", "total")]


def test_a_webhook_is_a_door_and_a_trigger_on_its_event() -> None:
    found = one(
        "webhook: shop/returns\n  event: order.placed\n  id: order.id\n  conditions: [order.total > 5 GBP]\n"
        "  signature: {header: X-Signature, scheme: hmac-sha256, secret: secrets.shop_hook}"
    )
    door, trigger = found.flows[-1].program.triggers
    assert isinstance(door, Webhook)
    assert (door.path, door.event, door.scheme, door.header, door.secret, door.tolerance_us) == (
        "shop/returns",
        "order.placed",
        "hmac-sha256",
        "X-Signature",
        "shop_hook",
        300_000_000,
    )
    assert isinstance(trigger, EventTrigger)
    assert trigger.condition is not None


def test_who_waits_decides_the_priority_of_a_flow_that_says_none() -> None:
    unsigned = "webhook: shop\n  event: order.placed\n  signature: none"
    sorts = {
        "manual: {roles: [lead]}": "high",
        unsigned: "high",
        "event: order.placed": "normal",
        'schedule: "0 1 * * *"\n  zone: UTC': "low",
    }
    assert {trigger: one(trigger).flows[-1].document["priority"] for trigger in sorts} == sorts
    assert {trigger: one(trigger).flows[-1].program.priority for trigger in sorts} == sorts


def test_of_several_sorts_each_start_has_its_own_priority() -> None:
    text = "\n  - {as: desk, manual: {roles: [lead]}}\n  - {as: shop, webhook: shop, event: order.placed, signature: none}\n"
    event, nightly = "  - {as: placed, event: order.placed}", '  - {as: night, schedule: "0 1 * * *", zone: UTC}'
    flow_text = f"flow: f\ntrigger:{text}{event}\n{nightly}\nsteps: [{{delay: 1h}}]\n"
    found = check_sources([Source("a.yaml", CONTRACTS), Source("b.yaml", flow_text)])
    assert not found.problems
    flow = found.flows[-1]
    assert flow.program.priority is None and "priority" not in flow.document
    sources = ("/manual/f", "/hooks/shop", "/crm", "/schedules/f")
    assert [rank_of(flow.program, source) for source in sources] == [RANKS[one] for one in ("high", "high", "normal", "low")]


def test_the_other_sorts_are_their_records() -> None:
    (schedule,) = one('schedule: "0 18 L * *"\n  zone: [Europe/Berlin, Asia/Tokyo]\n  jitter: 5m').flows[-1].program.triggers
    assert schedule == Schedule("0 18 L * *", ("Europe/Berlin", "Asia/Tokyo"), jitter_us=300_000_000)
    (manual,) = one("manual: {roles: [lead, boss, lead]}").flows[-1].program.triggers
    assert manual == Manual(("boss", "lead"))
    (after,) = one("after: paid\n  status: any").flows[-1].program.triggers
    assert isinstance(after, After)
    assert [[name for name, _ in output.fields] for output in after.outputs] == [["order", "total"]]
    assert msgspec.structs.replace(after, outputs=()) == After(("paid",), "any")


@pytest.mark.parametrize(("status", "there"), [("failed", True), ("cancelled", True), ("any", False), ("completed", False)])
def test_the_error_of_an_end_is_there_where_only_bad_ends_start_a_flow(status: str, there: bool) -> None:
    text = "after: paid\n  status: STATUS\n  conditions: ['starts_with(join(after.paid.error.compensated, \",\"), after.paid.error.code)']"
    found = [problem.name for problem in checked(text.replace("STATUS", status)).problems]
    assert ("maybe-missing-branch" in found) is not there
    assert checked("after: paid\n  status: failed\n  conditions: [after.paid.error.cod == after.paid.error.step]").errors


EVERY = [
    "event: order.placed\n  conditions: [order.total > 5 GBP, {any: [exists(order.customer_id), {field: order.country, operator: ==, value: UK}]}]",
    "event: order.placed\n  window: {key: order.customer_id, tumbling: 1d, lateness: PT5M, fire: close, retract: 30d, measures: {n: count(), s: sum( order.total )}, when: [window.n>3, window.s > 5 GBP]}",
    "event: order.placed\n  window: {key: order.country, session: 30m, fire: every, measures: {n: distinct(order.id)}}",
    "event: order.placed\n  absence: {of: order.cancelled, as: c, correlate: c.order.id==order.id, conditions: [c.order.total >= order.total], within: 'policies.patience[order.country]'}",
    "event: order.placed\n  absence: {of: order.cancelled, as: c, until: order.placed_at+1d, lateness: 7d, retract: 550d}",
    "sequence: {key: order.customer_id, within: 60m, lateness: 1m, events: [{event: order.placed, as: a}, {event: order.cancelled, as: b, conditions: [b.order.total==a.order.total]}]}",
    'schedule: "0  18 L * *"\n  zone: Europe/Berlin\n  missed: all\n  overlap: queue\n  jitter: 120s',
    "webhook: shop/returns\n  event: order.placed\n  id: order.id\n  signature: {header: X-Signature, scheme: hmac-sha256, secret: secrets.hook, tolerance: 300s}",
    "webhook: shop\n  event: order.placed\n  signature: none\n  window: {key: order.id, sliding: 1h, measures: {n: count()}, when: window.n==2}",
    "manual: {roles: [lead, boss]}\n  id: event.id",
    "after: [paid]\n  conditions: [after.paid.output.total > 3 GBP]\n  window: {key: after.paid.output.order, sliding: 2d, measures: {n: count()}, when: window.n == 3}",
    "{after: [paid, f2], as: x, join: any}\n  - {event: order.placed, as: y}",
]


@pytest.mark.parametrize("trigger", EVERY)
def test_a_canonical_trigger_is_a_document_of_the_same_version(trigger: str) -> None:
    flow = one(trigger).flows[-1]
    written = canonical_bytes(dict(flow.document)).decode()
    again = check_sources([Source("contracts.yaml", CONTRACTS), Source("a.json", written)])
    assert not again.errors, again.problems
    assert again.flows[-1].version == flow.version
    assert again.flows[-1].program == flow.program
    assert unpack(pack(flow.program)) == flow.program


def test_what_millrace_itself_says_needs_no_contract() -> None:
    text = "flow: f\ntrigger: {event: EVENT}\nsteps: [{set: {x: 1}}]\n---\nflow: g\ntrigger: {after: f}\nsteps: [{delay: 1h}]\n"
    asked = check_sources([Source("a.yaml", text.replace("EVENT", "approval.requested, conditions: [approval.occurrence > 1]"))])
    assert [one.name for one in asked.problems] == ["unused-binding"]
    ended, *_ = check_sources([Source("a.yaml", text.replace("EVENT", "flow.ended"))]).problems
    assert str(ended) == (
        "a.yaml:2:18: error[cannot-be-met]: the end of a flow is told to those alone that start after it; "
        "write after: FLOW in place of event"
    )
