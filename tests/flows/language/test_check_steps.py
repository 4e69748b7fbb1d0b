"""What `check` says of each step: text and exact messages, in the voice of flow-language.md section 8."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from tests.flows.language.step_texts import messages

ACTIONS = [
    (
        "- {action: reserve, as: stock, with: {order: '{{ order.id }}'}, await: true}",
        [
            "4:5: error[no-deadline]: action 'stock' is awaited and has no timeout; an outcome must come: add timeout, here or under defaults"
        ],
    ),
    ("- {action: reserve, as: stock, with: {order: '{{ order.id }}'}, await: true, timeout: 1h}\n  - until: stock.ready_at", []),
    (
        "- {action: reserve, as: stock, with: {order: '{{ order.id }}'}, await: true, timeout: 1h, on_error: continue}\n  - until: stock.ready_at",
        ["5:12: error[maybe-missing]: 'stock.ready_at' may be missing and 'until' needs it; write coalesce(stock.ready_at, ...)"],
    ),
    (
        "- {action: reserve, as: stock, with: {order: '{{ order.id }}'}, await: true, timeout: 1h, on_error: [{fail: none_left}]}\n  - until: stock.ready_at",
        [],
    ),
    (
        "- {action: reserve, as: stock, with: {order: '{{ order.id }}'}, await: true, timeout: 1h, on_error: [{action: notify, with: {to: '{{ error.code }}'}}]}\n  - until: stock.ready_at",
        ["5:12: error[maybe-missing]: 'stock.ready_at' may be missing and 'until' needs it; write coalesce(stock.ready_at, ...)"],
    ),
    (
        "- {action: reserve, as: stock, with: {order: '{{ order.id }}'}, await: true, timeout: 1h}\n  - {action: notify, with: {to: '{{ stock.reservaton }}'}}",
        [
            "5:37: error[unknown-field]: field 'stock.reservaton' is not in 'stock' (stock.reservation, stock.ready_at); did you mean 'stock.reservation'?"
        ],
    ),
    (
        "- {action: reserve, with: {order: '{{ order.id }}'}, await: true, timeout: 1h, returns: {id: string}}",
        [
            "4:91: error[type-mismatch]: the contract of action 'reserve' says already what it gives; take returns away, or change the contract"
        ],
    ),
    (
        "- {action: notify, as: told, with: {to: x}, await: true, timeout: 1h, returns: {id: strin, inner: {at: int, to: timestmp}}}",
        [
            "4:87: error[bad-type]: 'strin' is no type; did you mean 'string'?",
            "4:115: error[bad-type]: 'timestmp' is no type; did you mean 'timestamp'?",
        ],
    ),
    (
        "- {action: notify, with: {to: x}, timeout: 1h, returns: {id: string}, compensate: {action: release}, on_unknown: ask}",
        [
            "4:46: error[needs-await]: 'timeout' of an action that is not awaited has no meaning; add await: true, or take it away",
            "4:59: error[needs-await]: 'returns' of an action that is not awaited has no meaning; add await: true, or take it away",
            "4:85: error[needs-await]: 'compensate' of an action that is not awaited has no meaning; add await: true, or take it away",
            "4:116: error[needs-await]: 'on_unknown' of an action that is not awaited has no meaning; add await: true, or take it away",
        ],
    ),
    (
        "- {action: notify, with: {to: x}, await: true, timeout: 1h, on_unknown: compensate}",
        ["4:75: error[missing-key]: on_unknown: compensate wants something that undoes the step; add compensate, or write ask"],
    ),
    (
        "- {action: reserve, as: stock, with: {order: x}, await: true, timeout: 1h, compensate: {action: release, with: {reservation: '{{ stock.reservation }}'}}}",
        [],
    ),
    (
        "- {action: reserve, as: stock, with: {order: x}, await: true, timeout: 1h, compensate: {action: release, with: {reservaton: '{{ stock.id }}'}, not_after: soon}}",
        [
            "4:114: error[missing-key]: action 'release' needs 'reservation' (string); add it to with",
            "4:115: error[unknown-field]: action 'release' takes no 'reservaton' (reservation); did you mean 'reservation'?",
            "4:131: error[unknown-field]: field 'stock.id' is not in 'stock' (stock.reservation, stock.ready_at); did you mean 'stock.ready_at'?",
            "4:157: error[bad-duration]: 'soon' is not a duration; write whole numbers with units w d h m s ms, as in 1h30m",
        ],
    ),
    (
        "- {action: notify, with: {to: x}, batch: {key: order.email, max: 0, wait: 30s}, concurrency: {max: 2}}",
        [
            "4:68: error[bad-value]: '0' cannot stand at 'max': input should be greater than or equal to 1",
            "4:96: error[missing-key]: 'concurrency' has no 'key' and needs one; add it",
        ],
    ),
    (
        "- {action: notify, with: {to: x}, batch: {key: order.customer, max: 5}, retry: {for: [Away], attemps: 3}}",
        [
            "4:44: error[missing-key]: 'batch' has no 'wait' and needs one; add it",
            "4:89: error[bad-name]: 'Away' is not a name; write a lower-case letter, then letters, digits and _, at most 63",
            "4:96: error[unknown-key]: 'retry' has no key 'attemps' (attempts, wait, factor, most, attempt_timeout, for); did you mean 'attempts'?",
        ],
    ),
    (
        "- {action: notify, with: {to: x, token: '{{ secrets.mail }}'}}\n  - {action: notify, with: {to: 'a {{ secrets.mail }}'}}\n  - set: {a: '{{ secrets.mail }}'}",
        [
            "5:39: error[secret-in-expression]: 'secrets.mail' is passed by reference and never read; write it as the whole of one value in 'with' of an action",
            "6:11: warning[unused-binding]: 'a' is bound and never read; read it or take it away",
            "6:18: error[secret-in-expression]: 'secrets.mail' is passed by reference and never read; write it as the whole of one value in 'with' of an action",
        ],
    ),
    (
        "- {action: notify, with: {to: '{{ error.code }}'}}",
        ["4:37: error[unknown-field]: 'error.code': 'error' is bound in on_error steps alone; move this into them"],
    ),
]

PARALLELS = [
    (
        "- parallel: {a: [{set: {x: p}}], b: [{set: {y: q}}]}\n    join: any\n    as: race\n  - branch: [{when: race.winner == \"a\", then: continue}]\n  - {action: notify, with: {to: '{{ x }}', text: '{{ y }}'}}",
        [
            '7:5: error[missing-else]: the arms do not cover "b" of race.winner; add an arm or else',
            "8:33: error[maybe-missing]: 'x' may be missing and 'to' must be there; write {{ coalesce(x, ...) }}",
        ],
    ),
    (
        "- parallel: {a: [{set: {x: p}}], b: [{set: {y: q}}]}\n    join: 3\n  - {action: notify, with: {to: '{{ x }}{{ y }}'}}",
        [
            "5:11: error[cannot-be-met]: join 3 waits for more arms than there are (2); write a smaller number, or all",
            "6:37: error[maybe-missing]: 'x' may be missing and stands inside text; write {{ coalesce(x, \"...\") }}",
            "6:44: error[maybe-missing]: 'y' may be missing and stands inside text; write {{ coalesce(y, \"...\") }}",
        ],
    ),
    ("- parallel: {a: [{stop: done}], b: [{delay: 1h}]}\n    join: any\n  - delay: 1h", []),
    (
        "- parallel: {a: [{stop: done}], b: [{fail: bad}]}\n    join: any\n  - delay: 1h",
        ["6:5: error[unreachable]: nothing comes after fail (line 4); remove the step or move it"],
    ),
    (
        "- parallel: {a: [{stop: done}], b: [{delay: 1h}]}\n  - delay: 1h",
        ["5:5: error[unreachable]: nothing comes after stop (line 4); remove the step or move it"],
    ),
    (
        "- parallel: {a: [{set: {x: p}}, {fail: bad}], b: [{delay: 1h}]}\n    on_error: [{action: notify, with: {to: '{{ error.step }}', text: '{{ coalesce(x, \"\") }}'}}]\n  - delay: 1h",
        [],
    ),
    (
        "- {parallel: {a: [{delay: 1h}]}, join: none}",
        ["4:42: error[bad-word]: 'none' is no word for 'join'; write 'all' or 'any'"],
    ),
]

LOOPS = [
    (
        "- {for_each: order.lines, each: item, steps: [{action: notify, with: {to: '{{ item.sku }}'}}]}",
        [
            "4:5: error[no-bound]: for_each over a list that is not written out has no max; a loop must end: add max, more items are an error"
        ],
    ),
    (
        "- {for_each: order.lines, each: item, max: 5, as: picks, result: {sku: '{{ item.sku }}', n: '{{ item.quantity }}'}, steps: [{set: {inner: '{{ item.sku }}'}}, {action: notify, with: {to: '{{ inner }}'}}]}\n  - {action: notify, with: {to: '{{ inner }}', level: '{{ sum(picks.results[*].n) }}', text: '{{ picks.errors[0].code }}'}}\n  - {action: notify, with: {to: '{{ item.sku }}'}}",
        [
            "5:37: error[not-yet-bound]: 'inner' lives inside for_each (line 4); hand it out in result",
            "6:37: error[not-yet-bound]: 'item' lives inside for_each (line 4); hand it out in result",
        ],
    ),
    (
        "- {for_each: order.id, each: item, max: 5, steps: [{delay: 1h}]}",
        ["4:16: error[type-mismatch]: 'order.id' is a string and for_each wants a list; write a path to one, or [a, b]"],
    ),
    (
        "- {for_each: [1d, order.total], each: item, steps: [{delay: 1h}]}",
        ["4:16: error[type-mismatch]: [1d, order.total]: a list wants items of one type"],
    ),
    (
        "- {for_each: [1h, 2h], each: age, steps: [{delay: age}]}\n  - {for_each: [1h, 2h], each: age, steps: [{delay: age}, {stop: done}]}\n  - delay: 1h",
        [],
    ),
    (
        "- {for_each: order.tags, each: order, max: 5, steps: [{delay: 1h}]}",
        ["4:34: error[shadows-field]: 'order' is a field of order.placed; a binding needs another name"],
    ),
    (
        "- set: {age: 1}\n  - {for_each: [age], each: age, steps: [{delay: 1h}]}",
        ["5:29: error[bound-twice]: 'age' is bound at line 4 already; choose another name"],
    ),
    (
        "- {for_each: order.tags, max: 0, concurrency: two, steps: []}",
        [
            "4:5: error[missing-key]: step 'for_each' has no 'each' and needs one; add it",
            "4:33: error[bad-value]: '0' cannot stand at 'max': input should be greater than or equal to 1",
            "4:49: error[want-number]: a string stands at 'concurrency' where a whole number was wanted; write a whole number",
            "4:61: error[empty-list]: 'steps' is empty; write at least one, or take the key away",
        ],
    ),
    (
        "- {for_each: order.tags, each: a, max: 2000, steps: [{for_each: order.tags, each: b, max: 2000, steps: [{delay: 1s}]}]}",
        [
            "1:1: error[too-deep]: one execution could run through 4002001 steps, the limit max_cost is 1000000; lower max of its for_each, or call a flow for each part"
        ],
    ),
    (
        "- {for_each: order.tags, each: tag, max: 3, steps: [{wait: order.held, as: held, correlate: held.order.id == tag, timeout: 1h, on_timeout: fail}]}\n  - {action: notify, with: {to: '{{ held.order.id }}'}}",
        ["5:37: error[not-yet-bound]: 'held' lives inside for_each (line 4); hand it out in result"],
    ),
]

OTHERS = [
    (
        "- {call: other, timeout: 1d}",
        ["4:12: error[unknown-flow]: no flow 'other' is known that could be called; give its file as well, or deploy it first"],
    ),
    (
        "- {call: callee, as: back, timeout: 1d}\n  - {action: notify, with: {to: '{{ back.id }}', text: '{{ back.no }}'}}",
        ["5:60: error[unknown-field]: field 'back.no' is not in 'back' (back.id); did you mean 'back.id'?"],
    ),
    (
        "- {call: callee, with: {id: x}}",
        [
            "4:5: error[no-deadline]: call 'callee' has no timeout; what it waits for must end: add timeout",
            "4:27: error[unknown-field]: flow 'callee' takes no 'id' (it takes nothing)",
        ],
    ),
    (
        "- {call: callee, as: back, await: false, timeout: 1h}\n  - {action: notify, with: {to: '{{ back.id }}'}}",
        [
            "4:53: error[needs-await]: 'timeout' of a call that is not awaited has no meaning; take await: false away, or 'timeout'",
            "5:37: error[not-awaited]: 'back.id' is the result of a call that is not awaited; take await: false from step 'back' (line 4)",
        ],
    ),
    ("- {call: f, timeout: 1h}", ["4:12: error[flow-cycle]: f calls f (line 4); a call waits for its end: take one away"]),
    ("- {emit: order.held, key: order.id, with: {order: {id: '{{ order.id }}', total: '{{ order.total }}'}}}", []),
    (
        "- {emit: order.held, with: {order: {id: '{{ order.id }}', totl: '{{ order.total }}', by: '{{ order.email }}'}}}",
        [
            "4:38: error[missing-field]: 'total' is not given and money(GBP) is wanted; add it",
            "4:67: error[unknown-field]: there is no field 'totl' here; did you mean 'total'?",
        ],
    ),
    (
        "- {emit: order.held, with: {order: {id: '{{ order.email }}', total: 5}}}",
        ["4:71: error[needs-currency]: 5 has no currency and money(GBP) is wanted; write 5 GBP"],
    ),
    (
        "- {emit: order.hold, with: {a: b}}",
        [
            "4:12: warning[no-contract]: no contract is known for order.hold: its fields cannot be checked; write an event document; did you mean 'order.held'?"
        ],
    ),
    (
        "- {emit: order.placed, with: {order: x}}",
        [
            "4:12: error[flow-cycle]: f emits order.placed (line 4), which starts f; add a condition that ends it, or a limit with over: drop",
            "4:40: error[type-mismatch]: 'x' is string and {id: string, customer: string, total: money(GBP), paid: bool, lines: list({sku: string, quantity: int}), tags: list(string), email: string?, due_at: timestamp, score: float} is wanted",
        ],
    ),
    (
        "- {decide: nothing, as: route}",
        ["4:14: error[unknown-policy]: no policy 'nothing' is known; write a policy document with rules, or deploy it first"],
    ),
    (
        "- {fail: not_paid, message: 'none for {{ order.email }}'}\n  - delay: 1h",
        [
            "4:44: error[maybe-missing]: 'order.email' may be missing and stands inside text; write {{ coalesce(order.email, \"...\") }}",
            "5:5: error[unreachable]: nothing comes after fail (line 4); remove the step or move it",
        ],
    ),
    (
        "- {fail: not_paid, on_error: continue}",
        ["4:22: error[unknown-key]: step 'fail' has no key 'on_error' (fail, message, as)"],
    ),
    (
        "- {stop: done, compensate: yes}",
        ["4:30: error[want-bool]: 'yes' is a string in YAML 1.2 and 'compensate' wants a bool; write true or false"],
    ),
    (
        "- {generate: reply_draft@3, as: draft, with: {order: '{{ order.idd }}'}, output: {subject: string}, budget: {tokens: 800}, timeout: 20s, fallback: {subject: '{{ order.total }}'}}\n  - {action: notify, with: {to: '{{ draft.subject }}'}}",
        [
            "4:16: error[not-built]: step 'generate' is not built: 'reply_draft@3' is checked and cannot be deployed; write the text by a template",
            "4:60: error[unknown-field]: field 'order.idd' is not in order.placed (order.id, order.customer, order.total, order.paid, order.lines, order.tags, order.email, order.due_at, order.score); did you mean 'order.id'?",
            "4:164: error[type-mismatch]: 'order.total' is money(GBP); a string is wanted here",
        ],
    ),
    (
        "- {generate: Reply, output: {}, budget: {}}",
        [
            "4:5: error[missing-key]: step 'generate' has no 'timeout' and needs one; add it",
            "4:16: error[bad-value]: 'Reply' is no name of a prompt; write small letters, digits and _, with @VERSION behind where one is meant, like summary@2",
            "4:31: error[empty-list]: 'output' is empty; write at least one, or take the key away",
            "4:43: error[missing-key]: 'budget' has no 'tokens' and needs one; add it",
        ],
    ),
    ("- {delay: 1h, on_error: retry}", ["4:27: error[bad-word]: 'retry' is no word for 'on_error'; write 'fail' or 'continue'"]),
    ("- {delay: 1h, on_error: []}", ["4:27: error[empty-list]: 'on_error' is empty; write at least one, or take the key away"]),
    (
        "- branch: [{when: order.paid, then: [{action: reserve, as: stock, with: {order: x}, await: true, timeout: 1h}]}]\n    else: continue\n    on_error: continue\n  - until: stock.ready_at",
        ["7:12: error[maybe-missing]: 'stock.ready_at' may be missing and 'until' needs it; write coalesce(stock.ready_at, ...)"],
    ),
    (
        "- {plan: x}\n  - {assert: order.paid}\n  - {features: a, as: history}\n  - {action: notify, with: {to: '{{ history.a }}'}}",
        [
            "4:6: error[not-yet]: step 'plan': the language has it and this version of Millrace does not run it yet; take the step away",
            "5:6: error[not-yet]: step 'assert': the language has it and this version of Millrace does not run it yet; take the step away",
            "6:6: error[not-yet]: step 'features': the language has it and this version of Millrace does not run it yet; take the step away",
        ],
    ),
    ("- {wait: payment.received, delay: 2h}", ["4:5: error[two-verbs]: one step has 'wait' and 'delay'; make two steps"]),
    (
        "- {action: notify, as: a, with: {to: x}}\n  - {delay: 1h, as: a}",
        ["5:21: error[bound-twice]: 'a' is bound at line 4 already; choose another name"],
    ),
    (
        "- {delay: 1h, as: rest}\n  - {action: notify, with: {to: '{{ rest.x }}'}}",
        ["5:37: error[unknown-field]: 'rest' names a step that binds nothing (line 4); read something else"],
    ),
    (
        "- {action: notify, with: {to: '{{ got.payment.order }}'}}\n  - {wait: payment.received, as: got, timeout: 1d, on_timeout: fail}",
        ["4:37: error[not-yet-bound]: 'got' is bound later (line 5); move this step behind it"],
    ),
    (
        "- {wait: payment.received, time_out: 1d, as: got, on_timeout: fail}",
        [
            "4:30: error[unknown-key]: step 'wait' has no key 'time_out' (wait, as, correlate, conditions, look_back, timeout, on_timeout, on_error); did you mean 'timeout'?",
        ],
    ),
    (
        "- {emit: order.held, with: {order: {id: '{{ order.email }}', total: 5 GBP}}}",
        [
            "4:43: error[maybe-missing]: 'order.email' may be missing and 'id' must be there; write {{ coalesce(order.email, ...) }}"
        ],
    ),
]


@pytest.mark.parametrize(("steps", "expected"), ACTIONS)
def test_an_action_is_told_with_its_place(steps: str, expected: list[str]) -> None:
    assert messages(steps) == expected


@pytest.mark.parametrize(("steps", "expected"), PARALLELS)
def test_a_parallel_is_told_with_its_place(steps: str, expected: list[str]) -> None:
    assert messages(steps) == expected


@pytest.mark.parametrize(("steps", "expected"), LOOPS)
def test_a_loop_is_told_with_its_place(steps: str, expected: list[str]) -> None:
    assert messages(steps) == expected


@pytest.mark.parametrize(("steps", "expected"), OTHERS)
def test_a_step_is_told_with_its_place(steps: str, expected: list[str]) -> None:
    assert messages(steps) == expected
