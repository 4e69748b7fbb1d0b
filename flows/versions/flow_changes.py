"""What differs between two versions of a flow, its steps matched by name: for executions in flight, callers and readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from flows.explain.data_text import json_text
from flows.explain.mermaid import trigger_words
from flows.versions.change import Change, breaks, changes, weighed
from flows.versions.contract_changes import field_changes
from schemas.contracts import type_differences
from schemas.expression.literals import print_duration
from schemas.expression.print import print_tree
from schemas.expression.template import Record, Template, print_template
from schemas.expression.types import Type
from schemas.program import Act, Approve, Call, Delay, EventTrigger, Program, Step, Wait
from schemas.program_graph import Graph, acts, bound, parks

_EMPTY: Final = Type("record")


def flow_changes(old: Program, new: Program) -> tuple[Change, ...]:
    """List the changes from one version of a flow to another; () if nothing that runs differs."""
    before, after = Graph(old), Graph(new)
    found = [
        *_trigger_changes(old, new),
        *_step_changes(before, after),
        *_input_changes(old.inputs or _EMPTY, new.inputs or _EMPTY),
        *_output_changes(old.output, new.output),
        *_around(old, new),
    ]
    return weighed(found)


def _trigger_changes(old: Program, new: Program) -> Iterable[Change]:
    before = [" · ".join(trigger_words(one)) for one in old.triggers]
    after = [" · ".join(trigger_words(one)) for one in new.triggers]
    yield from (changes("trigger", f"no longer starts by {one}") for one in before if one not in after)
    yield from (changes("trigger", f"now starts by {one}") for one in after if one not in before)
    if before == after and old.triggers != new.triggers:
        yield changes("trigger", "starts by the same with other options")
    gone = sorted(_names(old) - _names(new))
    yield from (breaks("trigger", f"trigger.name is never {name} any more; steps may ask for it") for name in gone if name)


def _names(program: Program) -> set[str]:
    return {trigger.name for trigger in program.triggers if isinstance(trigger, EventTrigger)}


def _step_changes(old: Graph, new: Graph) -> Iterable[Change]:
    for name, place in old.places.items():
        if name in new.places:
            yield from _matched(name, old, new)
        elif parks(old.program.steps[place]):
            yield breaks(f"step {name}", f"is gone; executions that {_stands(old.step(name))} can only stay on the old version")
        else:
            yield changes(f"step {name}", f"is gone ({_verb(old.step(name))})")
    for name in new.places:
        if name not in old.places:
            yield changes(f"step {name}", f"is new ({_verb(new.step(name))})")


def _matched(name: str, old: Graph, new: Graph) -> Iterable[Change]:
    before, after, place = old.step(name), new.step(name), f"step {name}"
    if type(before) is not type(after) or parks(before) != parks(after):
        weight = breaks if parks(before) else changes
        yield weight(place, f"was {_verb(before)} and is now {_verb(after)}")
        return
    if parks(before):
        yield from _moved(name, old, new)
    yield from _binding_changes(place, before, after)
    for what, show in _SHOWN.get(type(before), {}).items():
        if show(before) != show(after):
            yield changes(place, f"{what} was {show(before)} and is now {show(after)}")


def _moved(name: str, old: Graph, new: Graph) -> Iterable[Change]:
    place = f"step {name}"
    before, after = old.blocks(old.places[name]), new.blocks(new.places[name])
    if before != after:
        yield breaks(place, f"moved from {_block(before)} to {_block(after)}; executions that wait there cannot follow")
        return
    twice = again(old, new, name)
    if twice:
        yield breaks(place, f"now stands before {', '.join(twice)}; executions that wait there would do that a second time")


def again(old: Graph, new: Graph, name: str) -> list[str]:
    """Name the steps that act which an execution at a step has passed for good and would come to again."""
    here_old, here_new = old.places[name], new.places[name]
    passed = {other for other, place in old.places.items() if here_old in old.after(place) and place not in old.after(here_old)}
    ahead = {other for other, place in new.places.items() if place in new.after(here_new)}
    return sorted(other for other in passed & ahead if acts(new.step(other)))


def _binding_changes(place: str, old: Step, new: Step) -> Iterable[Change]:
    before, after = bound(old), bound(new)
    for name in sorted(before.keys() & after.keys()):
        kind, other = before[name], after[name]
        if kind is not None and other is not None and kind != other:
            unfit = type_differences(kind, other, name)
            told = {reason.split(" ", 1)[0] for reason in unfit}
            yield from (breaks(place, f"binds another type: {reason}") for reason in unfit)
            yield from (change for change in field_changes(kind, other, name) if change.place not in told)
    gone = sorted(before.keys() - after.keys())
    yield from (breaks(place, f"no longer binds {name}") for name in gone)


def _input_changes(old: Type, new: Type) -> Iterable[Change]:
    before, after = dict(old.fields), dict(new.fields)
    for name, kind in after.items():
        if name not in before and not kind.optional:
            yield breaks(f"inputs.{name}", "is new and required; callers, schedules and people do not give it yet")
        elif name in before and (reasons := type_differences(before[name], kind, name)):
            yield from (breaks(f"inputs.{name}", reason) for reason in reasons)
    for name in sorted(before.keys() - after.keys()):
        yield breaks(f"inputs.{name}", "is gone; callers that give it are refused")


def _output_changes(old: Template | None, new: Template | None) -> Iterable[Change]:
    before, after = _fields(old), _fields(new)
    for name in sorted(before.keys() - after.keys()):
        yield breaks(f"output.{name}", "is gone; flows that call this one, or start after it, may read it")
    for name in sorted(after.keys() - before.keys()):
        yield changes(f"output.{name}", "is new")
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield changes(f"output.{name}", "is made in another way")


def _fields(output: Template | None) -> dict[str, Template]:
    return dict(output.items) if isinstance(output, Record) else {}


def _around(old: Program, new: Program) -> Iterable[Change]:
    if old.tenants != new.tenants:
        yield changes("tenant", f"was {', '.join(old.tenants) or 'all'} and is now {', '.join(new.tenants) or 'all'}")
    if old.timeout_us != new.timeout_us:
        yield changes("timeout", f"was {print_duration(old.timeout_us)} and is now {print_duration(new.timeout_us)}")
    if old.limits != new.limits:
        yield changes("limits", "are others; they hold for what starts from now on")
    if (old.priority or "") != (new.priority or ""):
        yield changes("priority", f"was {old.priority or 'by trigger'} and is now {new.priority or 'by trigger'}")
    fresh = sorted(set(new.policies) - set(old.policies))
    yield from (changes(f"policies.{name}", "is read now") for name in fresh)
    yield from _reads(dict(old.reads), dict(new.reads))


def _reads(old: dict[str, Type], new: dict[str, Type]) -> Iterable[Change]:
    for key in sorted(old.keys() & new.keys()):
        reasons = type_differences(old[key], new[key], key)
        yield from (breaks(key, f"is read as another type; executions in flight hold the old one: {one}") for one in reasons)


def _block(blocks: tuple[tuple[str, str], ...]) -> str:
    return " in ".join(f"{name}/{arm}" if arm else name for name, arm in reversed(blocks)) or "the flow itself"


def _stands(step: Step) -> str:
    return {Delay: "sleep there", Approve: "wait for people there", Wait: "wait there"}.get(type(step), "wait for its result")


def _verb(step: Step) -> str:
    match step:
        case Act():
            return f"{'awaited ' if step.awaited else ''}action {step.action}"
        case Wait():
            return f"wait for {step.await_.event}"
        case Call():
            return f"call of {step.flow}"
        case _:
            return f"{type(step).__struct_config__.tag}"


_SHOWN: Final[dict[type, dict[str, Callable[..., str]]]] = {
    Act: {
        "action": lambda step: step.action,
        "timeout": lambda step: print_duration(step.timeout_us),
        "not_after": lambda step: print_duration(step.not_after_us),
        "retry": lambda step: msgspec.json.encode(step.retry).decode(),
        "undone by": lambda step: step.compensate.action if step.compensate else "nothing",
        "parameters": lambda step: json_text(print_template(step.params)),
    },
    Wait: {
        "event": lambda step: step.await_.event,
        "correlation": lambda step: " and ".join(sorted(one.key for one in step.await_.correlate)),
        "timeout": lambda step: print_tree(step.timeout),
        "look_back": lambda step: print_duration(step.look_back_us),
    },
    Approve: {
        "need": lambda step: str(step.need),
        "timeout": lambda step: print_tree(step.timeout),
        "on_timeout": lambda step: step.on_timeout,
    },
    Delay: {"time": lambda step: print_tree(step.time)},
    Call: {
        "flow": lambda step: step.flow,
        "version": lambda step: step.version,
        "timeout": lambda step: print_duration(step.timeout_us),
    },
}
