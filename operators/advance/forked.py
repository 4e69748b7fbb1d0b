"""A fork: another execution that goes on from a step of one that was, with what that one had bound there.

It has the cause of the other, an id of its own in the namespace `fork n`, and the whole time of its flow before it. What the
other did before that step stays the other's: it is not done again, and the fork undoes only what it does itself.
"""

from __future__ import annotations

from typing import Any, Final

from operators.advance.fold import ERROR, check_place
from operators.execution.execution import Cause
from operators.execution.run import Run
from schemas.errors import InvalidInput
from schemas.exact_json import from_exact
from schemas.ids import execution_id
from schemas.program import Program
from schemas.program_graph import bound
from schemas.records import OperatorCommand

FORK: Final = "#fork"  # no name of a flow's; the key under which a start carries where it goes on, until it begins


def fork_id(tenant: str, flow: str, origin: bytes, number: str, time_us: int) -> bytes:
    """Identify a fork; the same number of the same execution is the same fork."""
    return execution_id(f"fork {number}", tenant, flow, origin, time_us)


def fork_start(program: Program, order: OperatorCommand) -> tuple[bytes, Cause, dict[str, Any]]:
    """Give the id of a fork, its cause, and the environment that it starts with.

    Raises InvalidInput where it cannot start, ValueError where the order was not written by the command.
    """
    if program.flow != order.flow:
        raise InvalidInput(f"version {program.version} is one of flow '{program.flow}', not of '{order.flow}'")
    check_place(program, order.step)
    folded = order.folded
    if folded is None:
        raise InvalidInput("the order does not say how the execution stood; fork it by the command")
    said: dict[str, Any] = {"execution": order.execution, "step": order.step, "by": order.by}
    said |= {"changed": folded.changed} if folded.changed else {}
    env = {name: from_exact(value) for name, value in folded.bound.items() if name != FORK}
    env[FORK] = {"said": said, "used": [bytes.fromhex(key) for key in folded.used]}
    cause = Cause(*folded.cause)
    identity = fork_id(order.tenant, order.flow, bytes.fromhex(order.execution), order.id, cause.time_us)
    return identity, cause, env


def go_on_from(run: Run) -> int:
    """Note what an execution was forked from, and give the step that it goes on with."""
    mark = run.root.pop(FORK)
    said = mark["said"]
    run.used = tuple(mark["used"])
    program = run.runnable.program
    by_steps = {name for one in program.steps for name in bound(one)}
    said |= {"kept": sorted(name for name in run.root if name in by_steps)}
    errors = {name: value for name, value in run.root.items() if name.startswith(ERROR)}
    run.note("forked", "", "", said | ({"error": errors} if errors else {}))
    return check_place(program, said["step"])
