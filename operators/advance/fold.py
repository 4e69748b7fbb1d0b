"""How an execution stood when it came to a step, by its history alone: what `executions fork` starts from.

Reads: its transitions in order, what it bound turn by turn, the programs it ran on. Emits: its values as of just before the step.
State: none. Cost: a walk over its history.
Law: they are the values which the execution itself had there. For a name is bound once, so those that steps had bound by then
are all bound values without those of steps that had not come yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from schemas.errors import InvalidInput
from schemas.ids import event_key
from schemas.program import ForEach, Program
from schemas.program_graph import Graph, bound, read_by
from schemas.records import Folded, Origin, Transition

GIVEN: Final = ("policies.", "execution.", "error.")  # not kept by an execution
UNDOES: Final = "compensation"
ERROR: Final = "error."
_WORDS: Final = frozenset({"refused", "retried", "resumed"})  # an operator's or a person's, without effect on where it stands


@dataclass(frozen=True)
class Past:
    """What is known of an execution: `turns` are what it bound, by name, `programs` all versions it ran on, both in order."""

    tenant: str
    programs: Sequence[Program]
    transitions: Sequence[Transition]
    cause: Origin
    turns: Sequence[Mapping[str, Any]] = field(default_factory=list)


def fold(past: Past, step: str, to: Program, given: Collection[str] = ()) -> Folded:
    """Give how an execution stood just before it came to a step, to go on from there in a version of its flow.

    `given` are names that are to be set to other values. Raises InvalidInput where it never came there, or cannot be brought
    there again.
    """
    for program in dict.fromkeys((past.programs[-1].version, to.version)):
        check_place(next(one for one in (to, *past.programs) if one.version == program), step)
    entered = next((at for at, one in enumerate(past.transitions) if _is_entry(one, step)), None)
    if entered is None:
        came = ", ".join(dict.fromkeys(one.step for one in past.transitions if _counts(one))) or "none"
        raise InvalidInput(f"it never came to step '{step}'; it came to {came}")
    before = past.transitions[:entered]
    passed = frozenset(one.step for one in before if _counts(one))
    _check_undone(past, passed, step)
    values = dict(_values(past, passed)) | _error(past, before)
    missing = [] if to.version in {one.version for one in past.programs} else _missing(to, step, {*values, *given})
    if missing:
        raise InvalidInput(
            f"version {to.version[:12]} reads {', '.join(missing)} from step '{step}' on, which it had not kept; "
            "give it with --set, or fork from an earlier step"
        )
    return Folded(cause=past.cause, bound=values, used=_used(past.tenant, before))


def check_place(program: Program, step: str) -> int:
    """Give the place of a step from which an execution can be started. Raises InvalidInput."""
    graph, version = Graph(program), program.version[:12]
    if step not in graph.places:
        near = get_close_matches(step, graph.places, 1)
        meant = f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(graph.places)}"
        raise InvalidInput(f"flow '{program.flow}' in version {version} has no step '{step}'{meant}")
    place = graph.places[step]
    if blocks := graph.blocks(place):
        name = blocks[0][0]
        raise InvalidInput(
            f"step '{step}' stands inside '{name}', whose other parts were under way then; fork from '{name}' itself"
        )
    if place not in graph.steps():
        raise InvalidInput(
            f"step '{step}' belongs to the end of flow '{program.flow}' (its on_error or on_retract); fork from a step"
        )
    return place


def _counts(one: Transition) -> bool:
    return bool(one.step) and one.verb != UNDOES and one.kind not in _WORDS


def _is_entry(one: Transition, step: str) -> bool:
    return one.step == step and _counts(one)


def _check_undone(past: Past, passed: frozenset[str], step: str) -> None:
    """What was undone since cannot be built upon."""
    undone = dict.fromkeys(one.step for one in past.transitions if one.verb == UNDOES and one.step in passed)
    if undone:
        first = next(one.step for one in past.transitions if one.step in undone)
        raise InvalidInput(
            f"what {' and '.join(repr(name) for name in undone)} did was undone since, so '{step}' cannot build upon it; "
            f"fork from '{first}', which does it anew"
        )


def _values(past: Past, passed: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Give what it took along from its cause, and what the steps it had passed bound; items keep their names to themselves."""
    by_steps = {name for program in past.programs for one in program.steps for name in bound(one)}
    here: set[str] = set()
    for program in past.programs:
        ours = passed.difference(_within_items(program))
        here.update(name for one in program.steps if one.name in ours for name in bound(one))
    here |= {name for one in past.transitions if one.kind == "forked" for name in one.detail["kept"]}
    for turn in past.turns:
        for name, value in turn.items():
            if not name.startswith(ERROR) and (name in here or name not in by_steps):
                yield name, value


def _error(past: Past, before: Sequence[Transition]) -> dict[str, Any]:
    """Give the last error that a handler has dealt with, as its steps see it; a fork may have come with one."""
    apart = frozenset(name for program in past.programs for name in _within_items(program))
    for one in reversed(before):
        if one.kind == "failed" and isinstance(one.detail, dict) and one.detail.get("handler", "") not in {"", *apart}:
            said = {"code": one.detail.get("code"), "step": one.step, "message": one.detail.get("message")}
            return {f"{ERROR}{name}": value for name, value in said.items()}
    return next((one.detail.get("error", {}) for one in before if one.kind == "forked"), {})


def _within_items(program: Program) -> Iterator[str]:
    """Give the steps inside a for_each: what they bind ends with their item."""
    graph = Graph(program)
    for name, place in graph.places.items():
        if any(isinstance(graph.step(block), ForEach) for block, _ in graph.blocks(place)):
            yield name


def _used(tenant: str, before: Sequence[Transition]) -> list[str]:
    met = (one.detail for one in before if one.kind == "met" and isinstance(one.detail, dict) and "source" in one.detail)
    return [event_key(tenant, detail["source"], detail["event"]).hex() for detail in met]


def _missing(to: Program, step: str, values: Collection[str]) -> list[str]:
    """List what the steps ahead read and nothing gives them."""
    graph = Graph(to)
    ahead = graph.ahead(graph.places[step])
    known = {*values, *(name for place in ahead for name in bound(to.steps[place]))}
    read = {key for place in ahead for key in read_by(to.steps[place])}
    return sorted(key for key in read if key not in known and not key.startswith(GIVEN))
