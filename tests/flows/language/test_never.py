"""What can never happen, and what should never be written: found before anything runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.language.definitions import Source, check_sources
from flows.language.rule_cover import never
from schemas.expression.rows import compile_row
from schemas.expression.tree import And, Compare, Constant, Field, Not, Or, Tree
from schemas.expression.types import INT

CONTRACTS = """
event: order.placed
topic: shop.events
fields: {order: {id: string, total: int, paid: 'bool?', band: 'one_of("low", "high")'}}
---
event: payment.received
topic: shop.events
fields: {payment: {order: string, amount: int}}
---
action: note
params: {text: any}
"""
HEAD = "flow: f\ntrigger:\n  event: order.placed\n"
WAIT = "steps:\n  - {wait: payment.received, as: p, timeout: 1d, on_timeout: fail, "
BRANCH = "steps:\n  - branch:\n      - {when: order.total >= 100, then: continue}\n      - {when: "


def told(text: str) -> list[str]:
    found = check_sources([Source("c.yaml", CONTRACTS), Source("a.yaml", HEAD + text)])
    return [str(problem).removeprefix("a.yaml:") for problem in found.problems]


@pytest.mark.parametrize(
    "conditions",
    ['p.payment.order == "a" and p.payment.order == "b"', "p.payment.amount > 5 and p.payment.amount < 5 and order.total > 1"],
)
def test_a_wait_whose_conditions_exclude_each_other_is_refused(conditions: str) -> None:
    (only,) = told(f"{WAIT}correlate: p.payment.order == order.id, conditions: '{conditions}'}}\n")
    assert "error[cannot-be-met]: this holds for no event, its parts exclude each other; it could only time out" in only


def test_a_wait_that_some_event_can_meet_is_fine() -> None:
    assert (
        told(f"{WAIT}correlate: p.payment.order == order.id, conditions: p.payment.amount > 5 and p.payment.amount < 7}}\n") == []
    )


@pytest.mark.parametrize(
    "conditions", ["order.total > 5 and order.total <= 5", 'order.band == "low" and not order.band == "low"']
)
def test_a_trigger_that_never_holds_is_told(conditions: str) -> None:
    assert told(f"  conditions: {conditions}\nsteps: [{{delay: 1h}}]\n") == [
        "4:15: warning[always-false]: this is never true; take it away, or what hangs on it"
    ]


def test_an_arm_behind_one_that_always_holds_first_is_told() -> None:
    assert told(f"{BRANCH}order.total > 200, then: continue}}\n    else: continue\n") == [
        "7:9: warning[always-false]: arm 2 is never reached, those before it hold first; move or remove it"
    ]
    assert told(f"{BRANCH}order.total > 50, then: continue}}\n    else: continue\n") == []


# The shapes are put together here, so that nobody who looks for secrets finds one.
SHAPED = [
    ("AKIA" + "IOSFODNN7EXAMPLE", "an AWS access key"),
    ("sk_" + "live_" + "0123456789abcdefGHIJ", "a Stripe key"),
    ("use " + "ghp_" + "a" * 36 + " for it", "a GitHub token"),
    ("-----BEGIN RSA " + "PRIVATE KEY-----", "a private key"),
    ("eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0In0.c2ln", "a signed token"),
    ("Bearer " + "abcdefghij0123456789", "a bearer token"),
    ("postgres://app:" + "hunter2" + "@db.example/shop", "an address with a password"),
]


@pytest.mark.parametrize(("text", "shape"), SHAPED)
@pytest.mark.parametrize("place", ["{text: '%s'}", "{text: {deep: [a, '%s']}}"])
def test_a_secret_is_known_by_its_shape_wherever_it_stands_and_not_repeated(text: str, shape: str, place: str) -> None:
    (only,) = told(f"steps: [{{action: note, with: {place % text}}}]\n")
    assert f"error[secret-in-clear]: this looks like {shape} written out; store it and write {{{{ secrets.NAME }}}}" in only
    assert text not in only


@pytest.mark.parametrize(
    "text", ["https://shop.example/orders?sort=id", "bearer of good news", "AKIA is a prefix", "sk_live_short"]
)
def test_what_only_resembles_a_secret_is_fine(text: str) -> None:
    assert told(f"steps: [{{action: note, with: {{text: '{text}'}}}}]\n") == []


FIELDS = st.sampled_from([Field("a", type=INT), Field("b", type=INT)])
COMPARED = st.builds(
    Compare, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), FIELDS, st.builds(Constant, st.integers(0, 3), st.just(INT))
)
TREES: st.SearchStrategy[Tree] = st.recursive(
    COMPARED,
    lambda inner: st.one_of(
        st.builds(lambda *items: And(items), inner, inner),
        st.builds(lambda *items: Or(items), inner, inner),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)


@given(st.builds(lambda *items: And(items), TREES, TREES))
def test_never_means_that_no_values_make_it_true(tree: And) -> None:
    test = compile_row(tree)
    holds = any(test({"a": a, "b": b}) is True for a in range(-2, 7) for b in range(-2, 7))
    assert never(tree) is (not holds and not _each_once(tree))


def _each_once(tree: And) -> bool:
    """Tell whether each field is asked once: then nothing is looked at, for nothing can exclude anything."""
    found: list[str] = []
    waiting: list[Tree] = [tree]
    while waiting:
        match waiting.pop():
            case Compare(left=Field() as field):
                found.append(field.key)
            case And(items=items) | Or(items=items):
                waiting.extend(items)
            case Not(item=item):
                waiting.append(item)
            case _:
                raise AssertionError
    return len(set(found)) == len(found)
