"""The flows of the language's description: they check against contracts as one would guess, compile, and keep their meaning."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from flows.language.canonical import canonical_bytes
from flows.language.compile import CompiledFlow
from flows.language.definitions import Definitions, Source, check_sources
from operators.steps.steps import make_runnable
from schemas.program import (
    NO_STEP,
    Act,
    Approve,
    Call,
    Decide,
    Emit,
    ForEach,
    Fork,
    Join,
    Program,
    Step,
    Wait,
    pack,
    unpack,
)

HERE = Path(__file__).parent / "twelve"
NAMES = (
    "awaiting_user",
    "collection",
    "deal_closed",
    "dunning",
    "late_delivery",
    "month_end",
    "month_report",
    "new_customer_onboarding",
    "order_over_limit",
    "order_processing",
    "sla_watch",
    "ticket_escalation",
    "velocity",
)


def sources(*names: str) -> list[Source]:
    return [Source(name, (HERE / name).read_text()) for name in names]


@cache
def twelve() -> Definitions:
    return check_sources(sources("contracts.yaml", "flows.yaml", "onboarding.json"))


def flow(name: str) -> CompiledFlow:
    return next(one for one in twelve().flows if one.name == name)


def steps(name: str, kind: type[Step]) -> list[Step]:
    return [step for step in flow(name).program.steps if isinstance(step, kind)]


def test_all_but_the_models_compile() -> None:
    later = "the language has it and this version of Millrace does not run it yet; take the step away"
    assert [str(problem) for problem in twelve().errors] == [
        f"flows.yaml:99:6: error[not-yet]: step 'features': {later}",
        f"flows.yaml:100:6: error[not-yet]: step 'score': {later}",
    ]
    assert sorted(one.name for one in twelve().flows) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_read_back_as_it_was_written(name: str) -> None:
    program = flow(name).program
    assert unpack(pack(program)) == program


@pytest.mark.parametrize("name", NAMES)
def test_a_program_can_be_run(name: str) -> None:
    program = flow(name).program
    assert len(make_runnable(program).steps) == len(program.steps)


@pytest.mark.parametrize("name", NAMES)
def test_the_canonical_form_is_a_document_that_means_the_same(name: str) -> None:
    texts = sources("contracts.yaml", "flows.yaml", "onboarding.json")
    own = flow(name)
    again = check_sources([*texts[:1], Source("again.json", canonical_bytes(dict(own.document)).decode()), *_others(own, texts)])
    (found,) = [one for one in again.flows if one.name == name]
    assert found.document == own.document
    assert found.version == own.version
    assert found.program == own.program


def _others(own: CompiledFlow, texts: list[Source]) -> list[Source]:
    """Give the other flows, which this one may call or come after."""
    name = own.name
    kept = [part for part in texts[1].text.split("\n---\n") if f"flow: {name} " not in part and f"flow: {name}\n" not in part]
    return [Source("others.yaml", "\n---\n".join(kept))]


def test_every_step_of_the_description_checks() -> None:
    found = check_sources(sources("contracts.yaml", "every_step.yaml"))
    assert found.errors == ()
    kinds = {type(step) for one in found.flows for step in one.program.steps}
    assert {Act, Approve, Call, Decide, Emit, ForEach, Fork, Join, Wait} - kinds <= {Fork, Join}  # its arms never wait
    assert {type(step).__name__ for step in next(one for one in found.flows if one.name == "every_step").program.steps} >= {
        "Act",
        "Delay",
        "Set",
        "Branch",
        "ForEach",
        "EachEnd",
        "Call",
        "Wait",
        "Approve",
        "Decide",
        "Stop",
        "Emit",
    }


def test_a_race_names_its_winner_and_its_arms_lead_to_the_join() -> None:
    program = flow("awaiting_user").program
    (fork,) = [step for step in program.steps if isinstance(step, Fork)]
    join = program.steps[fork.join]
    assert isinstance(join, Join)
    assert (join.need, join.bind, join.arms) == (1, "race", 3)
    assert [name for name, _ in fork.arms] == ["answered", "resolved", "silent"]
    assert _ends(program, dict(fork.arms)["silent"]) == fork.join


def _ends(program: Program, first: int) -> int:
    """Follow a list of steps to what stands behind it."""
    here = first
    while not isinstance(program.steps[here], Join):
        here = program.steps[here].next  # type: ignore[union-attr]
    return here


def test_a_call_is_locked_to_the_version_it_was_checked_against() -> None:
    (call,) = steps("dunning", Call)
    assert isinstance(call, Call)
    assert (call.flow, call.version, call.awaited) == ("collection", flow("collection").version, False)


def test_errors_of_arms_leave_their_frame_and_own_steps_catch_their_own() -> None:
    program = flow("order_processing").program
    by_name = {step.name: step for step in program.steps}
    visit = by_name["visit"]
    assert isinstance(visit, Act)
    assert program.steps[visit.handler].name == "branch_1"
    slot, held = by_name["slot"], by_name["held"]
    assert isinstance(slot, Act)
    assert isinstance(held, Act)
    assert (slot.handler, held.handler) == (NO_STEP, NO_STEP)


def test_a_wait_says_which_parts_of_its_event_are_read() -> None:
    (taken,) = steps("ticket_escalation", Wait)
    assert isinstance(taken, Wait)
    assert [(one.key, one.value is not None) for one in taken.await_.correlate] == [("incident.number", True)]
    assert [way for way, _ in taken.await_.reads] == [("incident", "assigned_to")]
    (received,) = steps("dunning", Wait)
    assert isinstance(received, Wait)
    assert [way for way, _ in received.await_.reads] == [("payment", "amount")]
