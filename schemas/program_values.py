"""What the values that an execution knows are, by name, and how people see them: times as RFC 3339, money with its currency.

An execution holds a time as microseconds and money as a bare amount; only its program says which is which. What the program
does not say (the answer of a decision table) is given by whoever knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from schemas.expression.fit import type_of
from schemas.expression.literal_fit import literal_type
from schemas.expression.literals import print_decimal, print_duration, print_money, print_timestamp
from schemas.expression.scope import SCHEDULE
from schemas.expression.template import Items, Record, Template, Text, Value, Whole, value_of
from schemas.expression.types import ANY, STRING, Type
from schemas.program import (
    After,
    Await,
    Decide,
    EachEnd,
    EventTrigger,
    ForEach,
    Program,
    Schedule,
    Sequence,
    Set,
    Trigger,
    Wait,
    Window,
)
from schemas.program_graph import bound
from schemas.records import Json

Ways = tuple[tuple[tuple[str, ...], Type], ...]


def value_types(program: Program, answers: Mapping[str, Type] | None = None) -> dict[str, Type]:
    """Give the types of what executions of a version may know; `answers` are those of decision tables by policy."""
    inputs = program.inputs.fields if program.inputs is not None else ()
    types = dict(program.reads) | {f"inputs.{name}": kind for name, kind in inputs}
    for trigger in program.triggers:
        types |= _of_trigger(trigger)
    for step in program.steps:
        types |= {name: kind for name, kind in bound(step).items() if kind is not None}
        match step:
            case Set():
                types |= {name: template_type(template) for name, template in step.values}
            case Wait():
                types |= _of_event(step.await_)
            case ForEach() if step.bind:
                types[step.bind] = Type("record", fields=(("results", Type("list", item=_result_of(program, step))),))
            case Decide() if step.bind and answers is not None and step.policy in answers:
                types[step.bind] = answers[step.policy]
            case _:
                pass
    return types


def type_at(types: Mapping[str, Type], name: str) -> Type | None:
    """Give the type of a value or of a part of it: `paid.order.at`; None where nothing says."""
    holder = next((one for one in sorted(types, key=len, reverse=True) if name == one or name.startswith(f"{one}.")), None)
    found = None if holder is None else types[holder]
    for part in name[len(holder) + 1 :].split(".") if holder is not None and name != holder else ():
        found = dict(found.fields).get(part) if found is not None and found.name == "record" else None
    return found


def template_type(template: Template) -> Type:
    """Give the type of what a template gives."""
    match template:
        case Value():
            return literal_type(value_of(template))
        case Whole():
            return type_of(template.tree)
        case Text():
            return STRING
        case Record():
            return Type("record", fields=tuple((name, template_type(item)) for name, item in template.items))
        case Items():
            kinds = tuple((str(at), template_type(item)) for at, item in enumerate(template.items))
            alike = len({kind for _, kind in kinds}) == 1
            return Type("list", item=kinds[0][1]) if alike else Type("list", item=ANY, fields=kinds)  # each place has its own


def shown_as(value: Any, of: Type | None) -> Json:
    """Give a value as people read it; as it stands where it is of another type than is said."""
    match value:
        case list() if of is not None and of.name == "list":
            kinds = dict(of.fields)
            return [shown_as(item, kinds.get(str(at), of.item)) for at, item in enumerate(value)]
        case dict() if of is not None and of.name == "record":
            kinds = dict(of.fields)
            return {name: shown_as(item, kinds.get(name)) for name, item in value.items()}
        case bool():
            return value
        case int() if of is not None and of.name in ("timestamp", "duration"):
            return _time(value) if of.name == "timestamp" else print_duration(value)
        case Decimal() if value.is_finite():
            return print_money(value, of.currency) if of is not None and of.name == "money" else Decimal(print_decimal(value))
        case _:
            return value


def _time(us: int) -> Json:
    try:
        return print_timestamp(us)
    except OverflowError:  # beyond the year 9999: no time of ours
        return us


def _of_trigger(trigger: Trigger) -> dict[str, Type]:
    """Give what a trigger binds beside the fields of its event."""
    match trigger:
        case Schedule():
            return {f"schedule.{name}": kind for name, kind in SCHEDULE.fields}
        case After():
            outputs = {f"after.{flow}.output": kind for flow, kind in zip(trigger.flows, trigger.outputs, strict=False)}
            return outputs | _of_window(trigger.window)
        case EventTrigger(detail=Sequence() as sequence):
            return _of_sequence(sequence)
        case EventTrigger(detail=Window() as window):
            return _of_window(window)
        case _:
            return {}


def _of_window(window: Window | None) -> dict[str, Type]:
    return {} if window is None else {f"window.{one.name}": one.type for one in window.measures}


def _of_sequence(sequence: Sequence) -> dict[str, Type]:
    first = {sequence.first: _record(sequence.reads)} if sequence.first else {}
    return first | {name: kind for one in sequence.then for name, kind in _of_event(one).items()}


def _of_event(of: Await) -> dict[str, Type]:
    return {of.bind: _record(of.reads)} if of.bind else {}


def _record(ways: Ways) -> Type:
    """Put the parts that are read into one record."""
    under: dict[str, list[tuple[tuple[str, ...], Type]]] = {}
    for way, kind in ways:
        under.setdefault(way[0], []).append((way[1:], kind))
    return Type("record", fields=tuple((name, _part(tuple(parts))) for name, parts in under.items()))


def _part(parts: Ways) -> Type:
    whole = next((kind for way, kind in parts if not way), None)
    return whole if whole is not None else _record(parts)


def _result_of(program: Program, step: ForEach) -> Type:
    end = program.steps[step.end]
    return template_type(end.result) if isinstance(end, EachEnd) and end.result is not None else ANY
