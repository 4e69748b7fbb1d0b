"""The steps of a program as functions: each does its work on a run and gives the step that comes next.

Cost: one call a step, plus the closures of its expressions; nothing is looked up by name while an execution runs.
"""

from __future__ import annotations

from typing import Any, Final, assert_never, cast

import msgspec

from operators.execution.closing import close, end_of, finish, stop_well
from operators.execution.issue import act, shared_row, shared_template
from operators.execution.noted import noted
from operators.execution.run import END, Awaited, Code, Run, Runnable, StepFailed, StepFunction
from operators.steps.approve import approve
from operators.steps.call_flow import call_flow
from operators.steps.decide_by_table import decide_by_table
from operators.steps.emit_event import emit_event
from operators.steps.for_each import each_end, for_each
from operators.steps.fork import fork, join
from operators.steps.wait_for import awaited, wait_for
from operators.triggers.admission import is_limited
from schemas.commands import compensation_head
from schemas.expression.template import Items, Record, Text, Value, Whole, compile_template, template_keys
from schemas.expression.tree import Node, Tree
from schemas.expression.walk import keys
from schemas.program import (
    Absence,
    Act,
    Approve,
    Branch,
    Call,
    Decide,
    Delay,
    EachEnd,
    Emit,
    EventTrigger,
    Fail,
    ForEach,
    Fork,
    Join,
    Program,
    Sequence,
    Set,
    Step,
    Stop,
    Trigger,
    Wait,
)
from schemas.program_values import template_type

TIME_LEAST_US: Final = 0
TIME_MOST_US: Final = 7_258_118_400_000_000  # 2200-01-01


def make_runnable(program: Program) -> Runnable:
    """Compile a program's steps. Pure: the same program gives the same behaviour."""
    steps = program.steps
    return Runnable(
        program,
        tuple(_compile(step, program) for step in steps),
        frozenset(at for at, step in enumerate(steps) if getattr(step, "on_error", "fail") == "continue"),
        any(key.startswith("execution.") for key in _keys_of(steps) | _keys_of(program.output)),
        {at: code for at, step in enumerate(steps) if (code := _code(step, program)) is not None},
        {at: watched for at, trigger in enumerate(program.triggers) if (watched := _watched(trigger))},
        None if program.output is None else compile_template(program.output),
        is_limited(program),
    )


def _compile(step: Step, program: Program) -> StepFunction:
    match step:
        case Act():
            return act(step, program)
        case Delay():
            return _delay(step)
        case Set():
            return _set(step)
        case Branch():
            return _branch(step)
        case Fail():
            return _fail(step)
        case Stop():
            return _stop(step)
        case _:
            return _compile_block(step)


def _compile_block(step: Fork | Join | ForEach | EachEnd | Wait | Approve | Emit | Call | Decide) -> StepFunction:
    match step:
        case Fork():
            return fork(step)
        case Join():
            return join(step)
        case ForEach():
            return for_each(step)
        case EachEnd():
            return each_end(step)
        case _:
            return _compile_effect(step)


def _compile_effect(step: Wait | Approve | Emit | Call | Decide) -> StepFunction:
    match step:
        case Wait():
            return wait_for(step)
        case Approve():
            return approve(step)
        case Emit():
            return emit_event(step)
        case Call():
            return call_flow(step)
        case Decide():
            return decide_by_table(step)
        case _:
            assert_never(step)


def _code(step: Step, program: Program) -> Code | None:
    """Make what is needed when something comes in for a step."""
    if isinstance(step, Act | Call):
        compensate = step.compensate
        if compensate is None:
            return Code()
        return Code(None, shared_template(compensate.params), compensation_head(step.name, compensate, program))
    if not isinstance(step, Wait):
        return None
    return Code(awaited(step.await_).holds, ways=tuple(way for way, _ in step.await_.reads))


def _watched(trigger: Trigger) -> tuple[Awaited, ...]:
    detail = trigger.detail if isinstance(trigger, EventTrigger) else None
    match detail:
        case Absence():
            return (awaited(detail.of),)
        case Sequence():
            return tuple(awaited(one) for one in detail.then)
        case _:
            return ()


def _delay(step: Delay) -> StepFunction:
    time, verb, name = shared_row(step.time), "until" if step.until else "delay", step.name

    def delay(run: Run) -> int:
        given = time(run.env)
        if given is None:
            raise StepFailed("missing_value", f"the {'time' if step.until else 'delay'} of step '{name}' has no value")
        due_us = given if step.until else run.now_us + given
        if due_us <= run.now_us:
            return step.next
        if due_us > TIME_MOST_US:
            raise StepFailed("limit_exceeded", f"step '{name}' would wait beyond the year 2200")
        run.note("entered", name, verb, due_us)
        return run.park(due_us, "delay")

    return delay


def _set(step: Set) -> StepFunction:
    values = tuple((name, shared_template(template, raw=True)) for name, template in step.values)
    types = tuple((name, template_type(template)) for name, template in step.values)

    def bind(run: Run) -> int:
        for name, value in values:
            run.bind(name, value(run.env))
        run.note("completed", step.name, "set", {name: noted(run.env[name], of) for name, of in types})
        return step.next

    return bind


def _branch(step: Branch) -> StepFunction:
    arms = tuple((shared_row(arm.when), arm.target) for arm in step.arms)

    def branch(run: Run) -> int:
        for index, (holds, target) in enumerate(arms):
            if holds(run.env) is True:
                run.note("completed", step.name, "branch", index)
                return target
        run.note("completed", step.name, "branch", "else")
        return step.otherwise

    return branch


def _fail(step: Fail) -> StepFunction:
    message = None if step.message is None else shared_template(step.message)

    def fail(run: Run) -> int:
        raise StepFailed(step.code, step.code if message is None else str(message(run.env)))

    return fail


def _stop(step: Stop) -> StepFunction:
    def stop(run: Run) -> int:
        run.note("stopped", step.name, "stop", step.reason)
        closing = run.rest.closing if run.rest is not None else None
        if closing is not None:
            finish(run, end_of(closing))
        elif step.compensate:
            close(run, StepFailed("", step.reason), step.name, "completed")
        else:
            stop_well(run, step.reason)
        return END

    return stop


def _keys_of(value: Any) -> frozenset[str]:
    """Give the environment keys that the expressions within a record read."""
    match value:
        case Value() | Whole() | Text() | Record() | Items():
            return template_keys(value)
        case Node():
            return keys(cast(Tree, value))
        case tuple():
            return frozenset().union(*map(_keys_of, value))
        case msgspec.Struct():
            return frozenset().union(*(_keys_of(getattr(value, name)) for name in value.__struct_fields__))
        case _:
            return frozenset()
