"""Laws of the language: any text is answered, the canonical form is its own, and what does not count does not show."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import json
import random
from typing import Any
from unittest.mock import patch

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.explain.flow_text import explain
from flows.language.canonical import canonical_bytes
from flows.language.compile import CompiledFlow, compile_flow
from flows.language.definitions import Source, check_sources
from flows.language.parse import parse
from schemas.contracts import EventContract
from schemas.expression.type_text import parse_type
from schemas.program import Branch, EachEnd, Fail, Fork, Step, Stop, pack
from tests.examples import examples
from tests.laws.spoiled import junk, spoiled

DEAL = EventContract(
    event="deal.closed",
    topic="deal.events",
    data=parse_type(
        {
            "deal": {
                "id": "string",
                "value": "int",
                "stage": "string",
                "partner": "string?",
                "age": "duration",
                "due_at": "timestamp",
            }
        }
    ),
)
WORDS = [
    "flow: f", "workflow: w", "event: a.b", "action: x", "trigger:", "  event: deal.closed", "  conditions:", "    - deal.value > 3",
    "    - {field: deal.value, operator: '>', value: 3}", "    - any: [", "steps:", "  - action: x", "    with: {a: '{{ deal.id }}'}",
    "  - delay: 1h", "  - until: deal.due_at", "  - set: {a: 1}", "  - branch:", "      - when: deal.value", "        then: continue",
    "    else: continue", "  - parallel: {a: [", "  - stop: x", "actions: [{type: x}]", "---", "fields: {a: string}", "params: {}",
    "\t", "{{ x }}", "&a", "*a", "!!t", "~", ": ", "- ", "? ", "|", ">", "'", '"', "[", "]", "{", "}", ",", "#", "0x1", "é\U0001f600",
]  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    pieces = st.lists(st.sampled_from(WORDS), max_size=14).map("\n".join)
    return st.one_of(
        st.text(max_size=80), pieces, st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), max_size=12).map("".join)
    )


@settings(max_examples=examples(250), deadline=None)
@given(texts(), st.sampled_from(["a.yaml", "a.json"]))
def test_any_text_is_answered_with_problems_or_definitions(text: str, file: str) -> None:
    found = check_sources([Source(file, text)], [DEAL])
    lines = len(text.splitlines()) + 2  # a lone carriage return ends a line of YAML too
    assert all(
        problem.line <= lines and problem.line >= 1 and problem.column >= 1 for problem in found.problems if problem.file == file
    )
    assert all(isinstance(flow, CompiledFlow) for flow in found.flows)


@settings(max_examples=examples(120), deadline=None)
@given(texts())
def test_both_yaml_scanners_read_the_same_nodes(text: str) -> None:
    fast = parse(text)
    with patch.object(yaml, "__with_libyaml__", new=False):
        slow = parse(text)
    if not fast.problems and not slow.problems:
        assert fast == slow


conditions = st.recursive(
    st.one_of(
        st.sampled_from(
            ["deal.value > 3", "exists(deal.partner)", 'deal.stage == "Won" or deal.value < 2', "deal.age >= 1h30m", "true"]
        ),
        st.integers(-5, 10**12).map(lambda value: {"field": "deal.value", "operator": ">=", "value": value}),
        st.sampled_from(["Won", 'Lo"st', "{x", "é"]).map(lambda value: {"field": "deal.stage", "operator": "==", "value": value}),
        st.just({"field": "deal.age", "operator": "<", "value": "4h"}),
        st.just({"field": "deal.stage", "operator": "in", "value": ["Won", "Lost"]}),
        st.just({"field": "deal.partner", "operator": "exists", "value": False}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"all": items}),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"any": items}),
        inner.map(lambda item: {"not": item}),
    ),
    max_leaves=5,
)
data = st.recursive(
    st.one_of(
        st.integers(-(10**6), 10**6),
        st.booleans(),
        st.none(),
        st.text(max_size=6).filter(lambda text: "{{" not in text),
        st.sampled_from(["{{ deal.id }}", "{{deal.value * 2}}", "is {{ deal.id }} at {{ event.time }}", "{{{{ braces }}"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcdef"), inner, max_size=3)),
    max_leaves=6,
)


def _action(kind: str, parameters: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    return {"action": kind, "with": parameters, **options}


options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from(["high", "normal", "low"]),
        "not_after": st.sampled_from(["1h", "60m", "PT1H", "7d"]),
        "retry": st.fixed_dictionaries({}, optional={"attempts": st.integers(1, 9), "wait": st.sampled_from(["1s", "1000ms"])}),
        "on_error": st.sampled_from(["fail", "continue"]),
        "idempotency": st.just("k-{{ deal.id }}"),
        "order_key": st.just("deal.stage"),
        "note": st.text(max_size=5),
    },
)
plain_steps = st.one_of(
    st.builds(_action, st.sampled_from(["one", "two"]), st.dictionaries(st.sampled_from("abc"), data, max_size=3), options),
    st.sampled_from(["1h", "90m", "0", "deal.age * 2"]).map(lambda text: {"delay": text}),
    st.sampled_from(["deal.due_at", "event.time+1d"]).map(lambda text: {"until": text}),
)
steps = st.recursive(
    st.lists(plain_steps, min_size=1, max_size=3),
    lambda inner: st.lists(
        st.one_of(
            plain_steps,
            st.builds(
                lambda when, then, other: {"branch": [{"when": when, "then": then}], "else": other}, conditions, inner, inner
            ),
            st.dictionaries(st.sampled_from(["left", "right", "mid"]), inner, min_size=1).map(lambda arms: {"parallel": arms}),
        ),
        min_size=1,
        max_size=3,
    ),
    max_leaves=6,
)
flows = st.fixed_dictionaries(
    {
        "flow": st.just("f"),
        "trigger": st.fixed_dictionaries({"event": st.just("deal.closed"), "conditions": st.lists(conditions, max_size=3)}),
        "steps": steps,
    },
    optional={
        "title": st.text(max_size=5),
        "tenant": st.sampled_from(["acme", ["b", "a"]]),
        "priority": st.sampled_from(["high", "low"]),
        "timeout": st.sampled_from(["60d", "1440h"]),
        "defaults": st.just({"retry": {"attempts": 3}, "priority": "low"}),
        "output": st.just({"id": "{{ deal.id }}"}),
    },
)


def compiled(document: Any) -> CompiledFlow:
    found = check_sources([Source("f.json", json.dumps(document))], [DEAL])
    assert found.ok, [str(problem) for problem in found.problems]
    return found.flows[0]


@settings(max_examples=examples(80), deadline=None)
@given(flows)
def test_the_canonical_form_is_its_own_canonical_form_and_means_the_same(document: dict[str, Any]) -> None:
    once = compiled(document)
    again = compiled(json.loads(canonical_bytes(dict(once.document))))
    assert canonical_bytes(dict(again.document)) == canonical_bytes(dict(once.document))
    assert again.version == once.version
    assert pack(again.program) == pack(once.program)
    assert explain(again.document) == explain(once.document)


def _shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(item, dice)) for key, item in value.items()]
        dice.shuffle(items)
        return dict(items)
    return [_shuffled(item, dice) for item in value] if isinstance(value, list) else value


@settings(max_examples=examples(50), deadline=None)
@given(flows, st.randoms(use_true_random=False))
def test_key_order_notes_and_titles_do_not_show(document: dict[str, Any], dice: random.Random) -> None:
    other = {**_shuffled(document, dice), "description": "another", "title": "another"}
    one, two = compiled(document), compiled(other)
    assert one.version == two.version
    assert pack(one.program) == pack(two.program)


@settings(max_examples=examples(40), deadline=None)
@given(flows, st.booleans())
def test_yaml_comments_and_style_do_not_show(document: dict[str, Any], flow_style: bool) -> None:
    text = yaml.safe_dump(
        document, default_flow_style=flow_style, allow_unicode=True, sort_keys=False, default_style='"' if flow_style else None
    )
    if "!!" in text or "&id" in text:
        return  # what safe_dump needs tags or anchors for is no text of the language
    found = check_sources([Source("f.yaml", "# a comment\n" + text + "# another\n")], [DEAL])
    if found.ok:
        assert found.flows[0].version == compiled(document).version


@settings(max_examples=examples(40), deadline=None)
@given(flows)
def test_every_step_can_be_reached_and_every_target_exists(document: dict[str, Any]) -> None:
    program = compile_flow(document, [DEAL])
    reached, todo = set[int](), [program.entry]
    while todo:
        at = todo.pop()
        if at >= 0 and at not in reached:
            reached.add(at)
            todo += _targets(program.steps[at])
    assert reached == set(range(len(program.steps)))


def _targets(step: Step) -> list[int]:
    match step:
        case Branch():
            return [step.otherwise, *(arm.target for arm in step.arms)]
        case Fork():
            return [step.join, *(target for _, target in step.arms)]
        case Stop() | Fail() | EachEnd():
            return []
        case _:
            return [step.next]


@settings(max_examples=examples(150), deadline=None)
@given(flows, junk, st.integers(0, 10**6))
def test_junk_in_any_place_is_answered_with_a_place(document: dict[str, Any], new: Any, where: int) -> None:
    found = check_sources([Source("f.json", json.dumps(spoiled(document, new, where)))], [DEAL])
    assert not found.ok or found.flows or found.contracts or found.actions  # a fault of the text leaves what it does not touch
    assert all(problem.line == 1 and problem.column >= 1 and problem.message for problem in found.problems)
