"""Issuing commands: the step `action`, up to where it goes on or waits for the outcome."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from operators.execution.run import Run, StepFailed, StepFunction
from schemas.commands import Command, CommandBody, command_head
from schemas.expression.literals import print_timestamp
from schemas.expression.rows import Row, compile_row
from schemas.expression.template import compile_template
from schemas.ids import action_id, key_text
from schemas.program import Act, Program
from schemas.records import AtOnceWith, BatchWith

SHARED: Final = 16_384  # templates and expressions that steps of many flows have in common
stamp = lru_cache(maxsize=4_096)(print_timestamp)
shared_template = lru_cache(maxsize=SHARED)(compile_template)
shared_row = lru_cache(maxsize=SHARED)(compile_row)


def act(step: Act, program: Program) -> StepFunction:
    """Make the function of an action."""
    params = shared_template(step.params)
    key = None if step.idempotency is None else shared_template(step.idempotency)
    order = None if step.order_key is None else shared_row(step.order_key)
    head, name, action, following = command_head(step, program), step.name, step.action, step.next
    keyed = _keyed(step)

    def issue(run: Run) -> int:
        occurrence = run.passes.get(name, 0)
        run.passes[name] = occurrence + 1
        identity = action_id(run.id, name, occurrence).hex()
        env = run.env
        body = envelope(run, identity, params(env))
        if key is not None:
            body.idempotencykey = text_of(key(env), name, "idempotency")
        if order is not None:
            body.orderkey = text_of(order(env), name, "order_key")
        if keyed is not None:
            keyed(body, env)
        run.commands.append(Command(action, head, body))
        run.note("issued", name, "action", identity)
        if step.awaited:
            return run.park(run.now_us + step.timeout_us, "result", occurrence)
        return following

    return issue


def envelope(run: Run, identity: str, params: Any) -> CommandBody:
    """Make what a command of this execution says beside what its step always says."""
    cause = run.cause
    return CommandBody(
        identity,
        run.hex_id,
        stamp(run.now_us),
        run.tenant,
        cause.correlationid,
        cause.event,
        cause.hops + 1,
        identity,
        params,
    )


def text_of(value: Any, step: str, option: str) -> str:
    """Give a key as text; raises StepFailed where it is missing."""
    if value is None:
        raise StepFailed("missing_value", f"'{option}' of step '{step}' has no value; say coalesce(...) in the flow")
    return str(value)


def _keyed(step: Act) -> Any:
    """Make what fills in the keys of a batch and of a concurrency."""
    if step.batch is None and step.concurrency is None:
        return None
    batch, at_once = step.batch, step.concurrency
    batch_key = None if batch is None else shared_row(batch.key)
    at_once_key = None if at_once is None else shared_row(at_once.key)

    def fill(body: CommandBody, env: dict[str, Any]) -> None:
        if batch is not None and batch_key is not None:
            body.batch = BatchWith(_key(batch_key, env, step.name, "batch"), batch.most, batch.wait_us)
        if at_once is not None and at_once_key is not None:
            body.concurrency = AtOnceWith(_key(at_once_key, env, step.name, "concurrency"), at_once.most)

    return fill


def _key(row: Row, env: dict[str, Any], step: str, option: str) -> str:
    return text_of(key_text(row(env)), step, option)
