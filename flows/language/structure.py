"""Checks the shape of one document against the models of the language and reports every fault at its place.

What is faulty is taken out of the nodes, so that the rest of the document can still be checked for meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from flows.language.bound_names import STEP_LISTS
from flows.language.faults import validated
from flows.language.nodes import Mapping, Node, Scalar, Sequence, plain
from flows.language.report import Report, near, slip
from schemas.flow.documents import KINDS
from schemas.flow.step import LATER_VERBS, VERBS
from schemas.flow.words import LATER, Words, sort_of

STEPS_MAX: Final = 500
STEP_DEPTH_MAX: Final = 16
_NOTHING: Final = Mapping(((Scalar("delay", text="delay"), Scalar(0, text="0")),))  # where every step was left out


@dataclass(frozen=True, slots=True)
class Shaped:
    """A document whose shape is right: its model, its nodes, and names that a faulty, left-out step would have bound."""

    model: Words
    node: Mapping
    lost: frozenset[str] = frozenset()


def shape(kind: str, node: Mapping, report: Report) -> Shaped | None:
    """Read a document as its kind; None if so much is wrong that nothing can be made of it."""
    lost: set[str] = set()
    if kind in ("flow", "workflow"):
        count = _Count()
        node = _prune_lists(node, report, lost, count, 0)
    found = validated(KINDS[kind], kind, node, report)
    return None if found is None else Shaped(*found, frozenset(lost))


@dataclass(slots=True)
class _Count:
    steps: int = 0


def _prune_lists(node: Mapping, report: Report, lost: set[str], count: _Count, depth: int) -> Mapping:
    """Take faulty steps out of every list of steps under a flow, a step or an arm."""
    items: list[tuple[Scalar, Node]] = []
    for key, value in node.items:
        if isinstance(value, Sequence) and (key.value in STEP_LISTS or slip(str(key.value), STEP_LISTS)):
            items.append((key, _prune_steps(value, report, lost, count, depth + 1)))
        else:
            items.append((key, value))
    return replace(node, items=tuple(items))


def _prune_steps(steps: Sequence, report: Report, lost: set[str], count: _Count, depth: int) -> Sequence:
    if depth > STEP_DEPTH_MAX:
        if depth == STEP_DEPTH_MAX + 1:
            nested = STEP_DEPTH_MAX + _depth(steps)
            message = f"steps nest {nested} deep, limit max_depth is {STEP_DEPTH_MAX}; move a part into a flow and call it"
            report.add(steps, "too-deep", message)
        return replace(steps, items=())
    kept: list[Node] = []
    for step in steps.items:
        count.steps += 1
        if count.steps == STEPS_MAX + 1:
            report.add(
                step, "too-large", f"more than {STEPS_MAX} steps, the limit max_steps; move a part into a flow and call it"
            )
        if count.steps <= STEPS_MAX:
            good = _step(step, report, lost, count, depth)
            kept.extend([good] if good is not None else [])
    emptied = bool(steps.items) and not kept
    return replace(steps, items=(_NOTHING,) if emptied else tuple(kept))


def _depth(node: Node) -> int:
    """Count how deep lists of steps stand in each other."""
    if isinstance(node, Sequence):
        steps = any(isinstance(item, Mapping) and any(verb in item.names() for verb in VERBS) for item in node.items)
        return int(steps) + max((_depth(item) for item in node.items), default=0)
    return max((_depth(value) for _, value in node.items), default=0) if isinstance(node, Mapping) else 0


def _step(step: Node, report: Report, lost: set[str], count: _Count, depth: int) -> Node | None:
    if not isinstance(step, Mapping):
        report.add(
            step,
            "want-mapping",
            f"{sort_of(plain(step))} stands where a step was wanted; write one verb and its object, as in delay: 2h",
        )
        return None
    verbs = [key for key in step.names() if key in VERBS or key in LATER_VERBS]
    if len(verbs) == 1 and verbs[0] in VERBS:
        return _inside(verbs[0], step, report, lost, count, depth)
    _refuse_step(step, verbs, report)
    lost.update(_bound_names(step))
    return None


def _bound_names(step: Mapping) -> list[str]:
    named, assigned = step.get("as"), step.get("set")
    own = [named.text] if isinstance(named, Scalar) else []
    return [*own, *(assigned.names() if isinstance(assigned, Mapping) else [])]


def _refuse_step(step: Mapping, verbs: list[str], report: Report) -> None:
    if len(verbs) > 1:
        both = " and ".join(f"'{verb}'" for verb in verbs)
        report.add(step, "two-verbs", f"one step has {both}; make {'two' if len(verbs) == 2 else len(verbs)} steps")
    elif verbs:
        report.add(step.key(verbs[0]) or step, "not-yet", f"step '{verbs[0]}': {LATER}; take the step away")
    else:
        first = step.names()[0] if step.items else ""
        guess = next((near(key, [*VERBS, *LATER_VERBS]) for key in step.names() if near(key, [*VERBS, *LATER_VERBS])), "")
        shown = f"'{first}'" if first else "nothing"
        report.add(step, "no-verb", f"a step begins with {shown}, which is no verb ({', '.join(VERBS)}){guess}")


def _inside(verb: str, step: Mapping, report: Report, lost: set[str], count: _Count, depth: int) -> Mapping:
    found = step.get(verb)
    if verb == "branch" and isinstance(found, Sequence):
        arms = tuple(_prune_lists(arm, report, lost, count, depth) if isinstance(arm, Mapping) else arm for arm in found.items)
        step = _with_value(step, verb, replace(found, items=arms))
    if verb == "parallel" and isinstance(found, Mapping):
        named = tuple(
            (key, _prune_steps(value, report, lost, count, depth + 1) if isinstance(value, Sequence) else value)
            for key, value in found.items
        )
        step = _with_value(step, verb, replace(found, items=named))
    return _prune_lists(step, report, lost, count, depth)


def _with_value(step: Mapping, name: str, new: Node) -> Mapping:
    return replace(step, items=tuple((key, new if key.value == name else value) for key, value in step.items))
