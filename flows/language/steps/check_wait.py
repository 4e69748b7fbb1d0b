"""Wait: the next event that fits, with a deadline and what its passing means."""

from __future__ import annotations

from flows.language.awaits import awaited, read_await
from flows.language.literals import positive
from flows.language.names import Names, optional
from flows.language.nodes import Node, inner
from flows.language.steps.walk import Ran, Walk, joined
from flows.language.typed import TypedStep
from schemas.expression.tree import Constant, Tree
from schemas.expression.types import DURATION
from schemas.flow.step import WaitStep
from schemas.program import END, Wait


def check_wait(walk: Walk, step: WaitStep, node: Node, names: Names) -> Ran:
    """Bind the event; it is missing after a timeout that goes on."""
    of = awaited(str(step.wait), str(step.as_ or ""), inner(node, "wait"), walk.known, walk.elaborator)
    if of.data is None and of.bind:
        walk.untyped.append((of.bind, of.event, inner(node, "as")))
    late = walk.way(step.on_timeout, inner(node, "on_timeout"), names)
    met = walk.bind_result(step, node, of.type, names)
    if not step.as_:
        message = f"wait '{step.wait}' has no name: after an edit its executions would not find it again; add as"
        walk.report.warn(node, "unnamed-wait", message)
    wait = Wait(
        name=walk.step_names.of(step, f"wait_{step.wait.replace('.', '_')}"),
        await_=read_await(of, node, names, walk.elaborator),
        timeout=deadline_of(walk, step.timeout, node, names, f"wait '{step.as_ or step.wait}'"),
        next=END,
        on_timeout="continue" if step.on_timeout == "continue" else "fail",
        look_back_us=positive(step.look_back, inner(node, "look_back"), "look_back", walk.report),
    )
    _check_passing(walk, step, node)
    typed = TypedStep(wait, on_timeout=late.steps, event=of.type)
    if step.on_timeout in (None, "fail"):
        return Ran((typed,), met)
    if step.on_timeout == "continue":
        return Ran((typed,), walk.bind_result(step, node, optional(of.type), names))
    return joined((typed,), names, [Ran((), met), late])


def deadline_of(walk: Walk, given: object, node: Node, names: Names, what: str) -> Tree:
    """Read the duration after which nothing is waited for any more."""
    if given is None:
        walk.report.add(node, "no-deadline", f"{what} has no timeout; a wait must end: add timeout and on_timeout")
        return Constant(0, DURATION)
    tree = walk.elaborator.expression(inner(node, "timeout"), "timeout", names, DURATION)
    return tree if tree is not None else Constant(0, DURATION)


def _check_passing(walk: Walk, step: WaitStep, node: Node) -> None:
    if step.on_timeout is None and step.timeout is not None:
        what = f"wait '{step.as_ or step.wait}'"
        walk.report.add(
            node, "no-deadline", f"{what} does not say what its timeout means; add on_timeout: continue, fail or steps"
        )
