"""The steps of a program as functions: each does its work on a run and gives the step that comes next.

Cost: one call a step, plus the closures of its expressions; nothing is looked up by name while an execution runs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, assert_never

from operators.advance import END, Run, Runnable, StepFailed, StepFunction
from operators.noted import noted
from schemas.commands import Command, CommandBody, command_head
from schemas.expression.literals import print_timestamp
from schemas.expression.rows import compile_row
from schemas.expression.template import compile_template, template_keys
from schemas.expression.walk import keys
from schemas.ids import action_id
from schemas.program import Act, Branch, Delay, Fork, Join, Program, Set, Step, Stop

TIME_LEAST_US: Final = 0
TIME_MOST_US: Final = 7_258_118_400_000_000  # 2200-01-01

SHARED: Final = 16_384  # templates and expressions that steps of many flows have in common

_stamp = lru_cache(maxsize=4_096)(print_timestamp)
_template = lru_cache(maxsize=SHARED)(compile_template)
_row = lru_cache(maxsize=SHARED)(compile_row)


def make_runnable(program: Program) -> Runnable:
    """Compile a program's steps. Pure: the same program gives the same behaviour."""
    steps = tuple(_compile(step, program) for step in program.steps)
    tolerant = frozenset(
        index for index, step in enumerate(program.steps) if isinstance(step, Act | Delay | Set) and step.on_error == "continue"
    )
    used = frozenset().union(*(_keys_of(step) for step in program.steps))
    return Runnable(program, steps, tolerant, any(key.startswith("execution.") for key in used))


def _compile(step: Step, program: Program) -> StepFunction:
    match step:
        case Act():
            return _act(step, program)
        case Delay():
            return _until(step) if step.until else _delay(step)
        case Set():
            return _set(step)
        case Branch():
            return _branch(step)
        case Fork():
            return _fork(step)
        case Join():
            return _join(step)
        case Stop():
            return _stop(step)
        case _:
            assert_never(step)


def _act(step: Act, program: Program) -> StepFunction:
    params = _template(step.params)
    key = _template(step.idempotency) if step.idempotency is not None else None
    order = _row(step.order_key) if step.order_key is not None else None
    head, name, action, following = command_head(step, program), step.name, step.action, step.next

    def act(run: Run) -> int:
        occurrence = run.passes.get(name, 0)
        run.passes[name] = occurrence + 1
        identity = action_id(run.id, name, occurrence).hex()
        cause, env = run.cause, run.env
        body = CommandBody(
            identity,
            run.hex_id,
            _stamp(run.now_us),
            run.tenant,
            cause.correlationid,
            cause.event,
            cause.hops + 1,
            identity if key is None else _text(key(env), name, "idempotency"),
            params(env),
            None if order is None else _text(order(env), name, "order_key"),
        )
        run.commands.append(Command(action, head, body))
        run.note("issued", name, "action", identity)
        return following

    return act


def _text(value: Any, step: str, option: str) -> str:
    if value is None:
        raise StepFailed("missing_value", f"'{option}' of step '{step}' has no value; say coalesce(...) in the flow")
    return str(value)


def _delay(step: Delay) -> StepFunction:
    time = _row(step.time)

    def delay(run: Run) -> int:
        length = time(run.env)
        if length is None:
            raise StepFailed("missing_value", f"the delay of step '{step.name}' has no value")
        return _wait(run, step, run.now_us + length)

    return delay


def _until(step: Delay) -> StepFunction:
    time = _row(step.time)

    def until(run: Run) -> int:
        due = time(run.env)
        if due is None:
            raise StepFailed("missing_value", f"the time of step '{step.name}' has no value")
        return _wait(run, step, due)

    return until


def _wait(run: Run, step: Delay, due_us: int) -> int:
    if due_us <= run.now_us:
        return step.next
    if due_us > TIME_MOST_US:
        raise StepFailed("limit_exceeded", f"step '{step.name}' would wait beyond the year 2200")
    verb = "until" if step.until else "delay"
    run.note("entered", step.name, verb, due_us)
    return run.park(due_us)


def _set(step: Set) -> StepFunction:
    values = tuple((name, _template(template, raw=True)) for name, template in step.values)

    def bind(run: Run) -> int:
        for name, value in values:
            run.env[name] = value(run.env)
        run.note("completed", step.name, "set", {name: noted(run.env[name]) for name, _ in values})
        return step.next

    return bind


def _branch(step: Branch) -> StepFunction:
    arms = tuple((_row(arm.when), arm.target) for arm in step.arms)

    def branch(run: Run) -> int:
        for index, (holds, target) in enumerate(arms):
            if holds(run.env) is True:
                run.note("completed", step.name, "branch", index)
                return target
        run.note("completed", step.name, "branch", "else")
        return step.otherwise

    return branch


def _fork(step: Fork) -> StepFunction:
    targets = tuple(target for _, target in step.arms)

    def fork(run: Run) -> int:
        run.note("entered", step.name, "parallel")
        for target in targets:
            run.fork(target)
        return END

    return fork


def _join(step: Join) -> StepFunction:
    def join(run: Run) -> int:
        here = run.step
        arrived = run.arrived.get(here, 0) + 1
        if arrived < step.arms:
            run.arrived[here] = arrived
            return END
        run.arrived.pop(here, None)
        run.note("completed", step.name, "parallel")
        return step.next

    return join


def _stop(step: Stop) -> StepFunction:
    def stop(run: Run) -> int:
        run.note("stopped", step.name, "stop", step.reason)
        run.end("completed")
        return END

    return stop


def _keys_of(step: Step) -> frozenset[str]:
    match step:
        case Act():
            order = keys(step.order_key) if step.order_key is not None else frozenset[str]()
            key = template_keys(step.idempotency) if step.idempotency is not None else frozenset[str]()
            return template_keys(step.params) | order | key
        case Delay():
            return keys(step.time)
        case Set():
            return frozenset().union(*(template_keys(template) for _, template in step.values))
        case Branch():
            return frozenset().union(*(keys(arm.when) for arm in step.arms))
        case Fork() | Join() | Stop():
            return frozenset()
        case _:
            assert_never(step)
