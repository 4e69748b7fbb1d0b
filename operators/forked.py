"""A fork: another execution that goes on from a step of one that was, with what that one had bound there.

It has the cause of the other, an id of its own in the namespace `fork n`, and the whole time of its flow before it. What the
other did before that step stays the other's: it is not done again, and the fork undoes only what it does itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from operators.fold import check_place
from operators.run import Run
from schemas.errors import InvalidInput
from schemas.exact_json import from_exact
from schemas.ids import execution_id
from schemas.program import Program
from schemas.records import Folded, OperatorCommand

FORK: Final = "fork"  # the key under which a start carries where it goes on, until it begins


def fork_id(tenant: str, flow: str, origin: bytes, number: str, time_us: int) -> bytes:
    """Identify a fork; the same number of the same execution is the same fork."""
    return execution_id(f"fork {number}", tenant, flow, origin, time_us)


def fork_env(program: Program, order: OperatorCommand) -> Mapping[str, Any]:
    """Give the environment that a fork starts with. Raises InvalidInput where it cannot start."""
    if program.flow != order.flow:
        raise InvalidInput(f"version {program.version} is one of flow '{program.flow}', not of '{order.flow}'")
    check_place(program, order.step)
    folded = order.folded or Folded(cause=("", "", 0, "", 0), bound={})
    said: dict[str, Any] = {"execution": order.execution, "step": order.step, "by": order.by}
    said |= {"changed": folded.changed} if folded.changed else {}
    bound = {name: from_exact(value) for name, value in folded.bound.items() if name != FORK}
    return {**bound, FORK: {"said": said, "used": [bytes.fromhex(key) for key in folded.used]}}


def go_on_from(run: Run) -> int:
    """Note what an execution was forked from, and give the step that it goes on with."""
    mark = run.root.pop(FORK)
    said = mark["said"]
    if mark["used"]:
        run.more().used = list(mark["used"])
    run.note("forked", "", "", said)
    return check_place(run.runnable.program, said["step"])
