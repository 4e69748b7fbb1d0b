"""Draws a program as a Mermaid flowchart: what starts it, its steps, where each goes on, and where errors go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, assert_never

from schemas.expression.literals import print_duration
from schemas.expression.print import print_tree
from schemas.expression.template import Template, print_template
from schemas.program import (
    END,
    NO_STEP,
    Absence,
    Act,
    After,
    Approve,
    Branch,
    Call,
    Decide,
    Deciders,
    Delay,
    EachEnd,
    Emit,
    EventTrigger,
    Fail,
    ForEach,
    Fork,
    Join,
    Manual,
    Program,
    Schedule,
    Sequence,
    Set,
    Step,
    Stop,
    Trigger,
    Wait,
    Webhook,
    Window,
)
from schemas.program_ways import ways
from schemas.records import Json

WIDTH: Final = 80  # characters of one line in a box
_ENTITIES: Final = {'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\n": " ", "\r": " "}
_SPECIAL: Final = re.compile("|".join(map(re.escape, _ENTITIES)))
_PLAIN, _PEOPLE, _TIME, _CHOICE, _BAR, _END = ("[", "]"), ("[/", "/]"), ("([", "])"), ("{", "}"), ("{{", "}}"), ("((", "))")


def mermaid(program: Program) -> str:
    """Draw a program; the same program gives the same text."""
    lines = ["flowchart TD"]
    for number, trigger in enumerate(program.triggers):
        lines += [f"  {_box(f't{number}', _TIME, *trigger_words(trigger))}", f"  t{number} --> {_place(program.entry)}"]
    for place, step in enumerate(program.steps):
        lines += [f"  {line}" for line in _step(place, step)]
    if any(f"--> {_place(END)}" in line or f"| {_place(END)}" in line for line in lines):
        lines.append(f"  {_box(_place(END), _END, 'end')}")
    for place, name in ((program.on_error, "it failed"), (program.on_retract, "it is taken back")):
        if place != NO_STEP:
            lines += [f"  {_box(f'h{place}', _TIME, name)}", f"  h{place} -.-> {_place(place)}"]
    return "\n".join(lines) + "\n"


def _step(place: int, step: Step) -> Iterator[str]:
    shape, words = _drawn(step)
    yield _box(_place(place), shape, *words)
    for target, name in ways(step):
        yield f"{_place(place)} -->{f'|{_label(name)}|' if name else ''} {_place(target)}"
    compensate = step.compensate if isinstance(step, Act | Call) else None
    if compensate is not None:
        yield _box(f"u{place}", _PLAIN, f"action {compensate.action}")
        yield f"{_place(place)} -. undone by .-> u{place}"
    handler = NO_STEP if isinstance(step, EachEnd | Stop) else step.handler
    if handler != NO_STEP:
        yield f"{_place(place)} -. error .-> {_place(handler)}"


def _drawn(step: Step) -> tuple[tuple[str, str], tuple[str, ...]]:  # noqa: C901, PLR0911, PLR0912  one case a step
    match step:
        case Act():
            awaited = (f"result within {print_duration(step.timeout_us)}",) if step.awaited else ()
            return _PLAIN, (f"action {step.action}", *awaited)
        case Delay():
            return _TIME, (f"wait {'until ' if step.until else ''}{print_tree(step.time)}",)
        case Set():
            return _PLAIN, tuple(f"{name} = {_text(value)}" for name, value in step.values)
        case Branch():
            return _CHOICE, ("which holds first?",)
        case Fork():
            return _BAR, (f"{len(step.arms)} at once",)
        case Join():
            return _BAR, (f"{step.need} of {step.arms} ended" if step.need else "all ended",)
        case ForEach():
            return _BAR, (f"for each {step.each} of {print_tree(step.items)}",)
        case EachEnd():
            return _BAR, ("next item",)
        case Wait():
            return _TIME, (f"wait for {step.await_.event}", f"up to {print_tree(step.timeout)}")
        case Approve():
            return _PEOPLE, (_text(step.title), f"asked: {_people(step.by)}", f"up to {print_tree(step.timeout)}")
        case Emit():
            return _PLAIN, (f"emit {step.event}",)
        case Call():
            return _PLAIN, (f"call {step.flow}",)
        case Decide():
            return _CHOICE, (f"table {step.policy}",)
        case Fail():
            return _END, (f"fail: {step.code}",)
        case Stop():
            return _END, (f"stop: {step.reason}",)
        case _:
            assert_never(step)


def trigger_words(trigger: Trigger) -> tuple[str, ...]:
    """Say what starts a flow in a few words each."""
    match trigger:
        case EventTrigger():
            conditions = (print_tree(trigger.condition),) if trigger.condition is not None else ()
            return (trigger.event, *conditions, *_detail(trigger.detail))
        case Schedule():
            return (f"schedule {trigger.cron}", ", ".join(trigger.zones))
        case Manual():
            return ("by hand", *((", ".join(trigger.roles),) if trigger.roles else ()))
        case Webhook():
            return (f"webhook {trigger.path}", trigger.event)
        case After():
            return (f"after {', '.join(trigger.flows)}", trigger.status, *(_detail(trigger.window)))
        case _:
            assert_never(trigger)


def _detail(detail: Window | Absence | Sequence | None) -> tuple[str, ...]:
    match detail:
        case None:
            return ()
        case Window():
            when = (print_tree(detail.when),) if detail.when is not None else ()
            return (f"{detail.kind} {print_duration(detail.size_us)} per {print_tree(detail.key)}", *when)
        case Absence():
            return (f"and no {detail.of.event} {'until' if detail.until else 'within'} {print_tree(detail.time)}",)
        case Sequence():
            return (*tuple(f"then {one.event}" for one in detail.then), f"within {print_duration(detail.within_us)}")
        case _:
            assert_never(detail)


def _people(by: Deciders) -> str:
    return _text(by.role) if by.role is not None else _text(by.people) if by.people is not None else "anyone"


def _text(template: Template) -> str:
    value: Json = print_template(template)
    return value if isinstance(value, str) else str(value)


def _place(place: int) -> str:
    return "done" if place == END else f"s{place}"


def _box(name: str, shape: tuple[str, str], *words: str) -> str:
    return f'{name}{shape[0]}"{"<br/>".join(_cut(word) for word in words)}"{shape[1]}'


def _label(text: str) -> str:
    return f'"{_cut(text)}"'


def _cut(text: str) -> str:
    short = text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
    return _SPECIAL.sub(lambda found: _ENTITIES[found[0]], short)
