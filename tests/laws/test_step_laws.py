"""Laws of the steps: every drawn flow compiles, keeps its meaning in canonical form, and its table hangs together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.language.canonical import canonical_bytes
from flows.language.compile import CompiledFlow
from flows.language.definitions import Source, check_sources
from schemas.contracts import EventContract
from schemas.expression.type_text import parse_type
from schemas.program import Branch, EachEnd, Fail, ForEach, Fork, Program, Step, Stop, Wait, pack, unpack
from tests.examples import examples
from tests.laws.spoiled import junk, spoiled

DEAL = parse_type({"deal": {"id": "string", "value": "int", "stage": "string", "partner": "string?", "tags": "list(string)"}})
CONTRACTS = [
    EventContract(event="deal.closed", topic="deal.events", data=DEAL),
    EventContract(event="deal.paid", topic="deal.events", data=DEAL),
    EventContract(event="deal.noted", topic="deal.events", data=parse_type({"note": {"id": "string", "text": "string?"}})),
]
Document = dict[str, Any]
NAME = "$name"  # a place for a name of its own


def act(**options: Any) -> Document:
    return {"action": "one", "with": {"a": "{{ deal.id }}"}, **options}


undo = {"action": "undo", "with": {"what": "{{ deal.id }}"}}
commands = st.fixed_dictionaries(
    {"action": st.sampled_from(["one", "two"]), "with": st.just({"a": "{{ deal.value }}"})},
    optional={
        "batch": st.just({"key": "deal.stage", "max": 5, "wait": "30s"}),
        "concurrency": st.just({"key": "deal.id", "max": 2}),
        "retry": st.just({"for": ["timeout", "away"], "attempts": 2}),
    },
)
awaited = st.fixed_dictionaries(
    {"action": st.just("one"), "await": st.just(True), "timeout": st.sampled_from(["1h", "60m"]), "as": st.just(NAME)},
    optional={
        "returns": st.just({"id": "string", "at": "timestamp?"}),
        "compensate": st.just(undo),
        "on_unknown": st.sampled_from(["ask", "look_up"]),
    },
)
ends = st.sampled_from(
    [[{"stop": "done"}], [{"fail": "bad", "message": "no {{ deal.id }}"}], [{"stop": "done", "compensate": True}]]
)
waits = st.fixed_dictionaries(
    {
        "wait": st.just("deal.paid"),
        "as": st.just(NAME),
        "correlate": st.just(f"{NAME}.deal.id == deal.id and {NAME}.deal.stage == deal.stage"),
        "timeout": st.sampled_from(["1d", "24h", "if(deal.value > 3, 1h, 2h)"]),
        "on_timeout": st.one_of(st.sampled_from(["continue", "fail"]), ends),
    },
    optional={
        "look_back": st.just("10m"),
        "conditions": st.just([f"{NAME}.deal.value >= deal.value", f"exists({NAME}.event.time)"]),
    },
)
approvals = st.fixed_dictionaries(
    {
        "approve": st.just("Ship {{ deal.id }}?"),
        "as": st.just(NAME),
        "by": st.sampled_from([{"role": "finance"}, {"person": "{{ deal.id }}"}, {"people": ["ann", "bob"]}]),
        "timeout": st.just("3d"),
        "on_timeout": st.sampled_from(["approved", "rejected", "fail"]),
    },
    optional={
        "not": st.sampled_from([["ann"], "{{ deal.tags }}"]),
        "form": st.just({"limit": "money(GBP)", "why": "string?"}),
        "remind": st.just(["4h", "1d"]),
        "escalate": st.just({"after": "2d", "to": {"role": "cfo"}}),
    },
)
plain = st.one_of(
    commands,
    awaited,
    waits,
    approvals,
    st.just({"delay": "1h"}),
    st.just({"emit": "deal.noted", "key": "deal.id", "with": {"note": {"id": "{{ deal.id }}"}}}),
)


def blocks(inner: st.SearchStrategy[list[Document]]) -> st.SearchStrategy[list[Document]]:
    on_error = st.one_of(st.sampled_from(["fail", "continue"]), inner, ends)
    branch = st.fixed_dictionaries(
        {"branch": inner.map(lambda then: [{"when": "deal.value > 3", "then": then}]), "else": st.just("continue")},
        optional={"on_error": on_error},
    )
    parallel = st.fixed_dictionaries(
        {"parallel": st.dictionaries(st.sampled_from(["left", "right", "mid"]), inner, min_size=2)},
        optional={"join": st.sampled_from(["all", "any", 2]), "on_error": on_error, "as": st.just(NAME)},
    )
    loop = st.fixed_dictionaries(
        {"for_each": st.sampled_from(["[1h, 2h]", "[deal.id]"]), "each": st.just(NAME), "steps": inner},
        optional={
            "on_error": on_error,
            "failures": st.just("collect"),
            "result": st.just({"id": "{{ deal.id }}"}),
            "as": st.just(NAME),
        },
    )
    caught = st.builds(lambda step, handler: {**step, "on_error": handler}, plain, on_error)
    return st.lists(st.one_of(plain, caught, branch, parallel, loop), min_size=1, max_size=3)


steps = st.recursive(st.lists(plain, min_size=1, max_size=2), blocks, max_leaves=8)
ABSENCE = {"of": "deal.paid", "as": "paid", "correlate": "paid.deal.id == deal.id", "within": "1h", "retract": "1d"}
around: dict[str, st.SearchStrategy[Any]] = {"on_error": steps, "output": st.just({"id": "{{ deal.id }}"})}
flows = st.one_of(
    st.fixed_dictionaries({"flow": st.just("f"), "trigger": st.just({"event": "deal.closed"}), "steps": steps}, optional=around),
    st.fixed_dictionaries(
        {
            "flow": st.just("f"),
            "trigger": st.just({"event": "deal.closed", "absence": ABSENCE}),
            "steps": steps,
            "on_retract": steps,
        },
        optional=around,
    ),
).map(lambda document: {**_named(document, count(1)), "trigger": document["trigger"]})


def _named(value: Any, numbers: Iterator[int]) -> Any:
    """Give each step names of its own."""
    if isinstance(value, list):
        return [_named(item, numbers) for item in value]
    if not isinstance(value, dict):
        return value
    own = f"n{next(numbers)}"
    written = {}
    for key, item in value.items():
        if key in ("as", "each"):
            written[key] = f"{own}_{key}"
        elif key in ("correlate", "conditions"):
            written[key] = json.loads(json.dumps(item).replace(NAME, f"{own}_as"))
        else:
            written[key] = _named(item, numbers)
    return written


def compiled(document: Any) -> CompiledFlow:
    found = check_sources([Source("f.json", json.dumps(document))], CONTRACTS)
    assert found.ok, [str(problem) for problem in found.errors]
    return found.flows[0]


@settings(max_examples=examples(120), deadline=None)
@given(flows)
def test_the_canonical_form_means_the_same(document: Document) -> None:
    once = compiled(document)
    again = compiled(json.loads(canonical_bytes(dict(once.document))))
    assert canonical_bytes(dict(again.document)) == canonical_bytes(dict(once.document))
    assert again.version == once.version
    assert pack(again.program) == pack(once.program)
    assert unpack(pack(once.program)) == once.program


@settings(max_examples=examples(120), deadline=None)
@given(flows)
def test_every_step_can_be_reached(document: Document) -> None:
    program = compiled(document).program
    reached, todo = set[int](), [program.entry, program.on_error, program.on_retract]
    while todo:
        at = todo.pop()
        if at >= 0 and at not in reached:
            reached.add(at)
            todo += _targets(program.steps[at])
    assert reached == set(range(len(program.steps)))


def _targets(step: Step) -> list[int]:
    handler = [] if isinstance(step, EachEnd | Stop) else [step.handler]
    match step:
        case Branch():
            return [*handler, step.otherwise, *(arm.target for arm in step.arms)]
        case Fork():
            return [*handler, step.join, *(target for _, target in step.arms)]
        case ForEach():
            return [*handler, step.body, step.end, step.next]
        case EachEnd() | Fail() | Stop():
            return handler
        case Wait():
            return [*handler, step.next, *([step.on_timeout] if isinstance(step.on_timeout, int) else [])]
        case _:
            return [*handler, step.next]


@settings(max_examples=examples(120), deadline=None)
@given(flows)
def test_no_way_leads_into_a_frame_or_out_of_one_but_by_its_end(document: Document) -> None:
    program = compiled(document).program
    frames = list(_frames(program))
    for at, step in enumerate(program.steps):
        for target in _targets(step):
            entered = [frame for frame in frames if target in frame and at not in frame]
            left = [frame for frame in frames if at in frame and 0 <= target not in frame and at != frame.stop - 1]
            assert not left, (at, target)
            assert all(at == frame.start - 1 for frame in entered), (at, target)


def _frames(program: Program) -> Iterator[range]:
    """Give the places of each frame's steps, its end with them."""
    for at, step in enumerate(program.steps):
        if isinstance(step, Fork):
            yield range(at + 1, step.join + 1)
        elif isinstance(step, ForEach):
            yield range(at + 1, step.end + 1)


@settings(max_examples=examples(200), deadline=None)
@given(flows, junk, st.integers(0, 10**6))
def test_junk_in_any_place_of_any_step_is_answered_with_a_place(document: Document, new: Any, where: int) -> None:
    found = check_sources([Source("f.json", json.dumps(spoiled(document, new, where)))], CONTRACTS)
    assert not found.ok or found.flows or found.contracts or found.actions
    assert all(problem.line == 1 and problem.column >= 1 and problem.message for problem in found.problems)
