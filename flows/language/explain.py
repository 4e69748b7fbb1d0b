"""Says in words what a flow does: what starts it, its steps, its waits and its actions. Reads the canonical form alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from flows.language.canonical import NOT_AFTER
from schemas.flow.step import RetryRule
from schemas.records import Json

_INDENT: Final = "   "
_WHOLE: Final = re.compile(r"\{\{ ((?:(?!\}\}).)*) \}\}\Z", re.DOTALL)
_ORDINAL: Final = re.compile(r"^arm_[0-9]+_")  # put there by desugaring, to keep the listed order
_json = msgspec.json.Encoder(order="sorted", decimal_format="number")
Document = Mapping[str, Json]


def explain(document: Document, topics: Mapping[str, str] | None = None, *, title: str | None = None, version: str = "") -> str:
    """Explain a flow by its canonical form; `topics` gives the topic of each event type where a contract says."""
    lines = [
        f"flow {document['flow']}" + (f", version {version}" if version else ""),
        *([f"  {title}"] if title else []),
        f"  {_around(document)}",
        *_triggers(document["trigger"], topics or {}),
        "then:",
        *_steps(document["steps"], ""),
        *([f"gives: {_record(document['output'])}"] if document.get("output") else []),
    ]
    return "\n".join(lines) + "\n"


def _around(document: Document) -> str:
    tenants = document.get("tenant")
    parts = [
        f"for {'tenant ' + ', '.join(tenants) if tenants else 'all tenants'}",
        f"priority {document['priority']}",
        f"ends after {document['timeout']} at the latest",
    ]
    parts += [f"owner {document['owner']}"] if document.get("owner") else []
    parts += [", ".join(f"{key} {value}" for key, value in sorted(document["labels"].items()))] if document.get("labels") else []
    parts += [] if document.get("enabled", True) else ["switched off"]
    return "; ".join(parts)


def _triggers(triggers: Iterable[Document], topics: Mapping[str, str]) -> Iterator[str]:
    for number, trigger in enumerate(triggers):
        event = trigger["event"]
        topic = f" (topic {topics[event]})" if event in topics else ""
        name = f", named {trigger['as']}" if trigger.get("as") else ""
        conditions = trigger.get("conditions", [])
        start = f"{'starts' if number == 0 else 'or starts'} on each {event}{topic}{name}"
        yield start + (" for which" if conditions else "")
        for at, condition in enumerate(conditions):
            yield f"{_INDENT}{'and ' if at else ''}{condition_text(condition, grouped=len(conditions) > 1)}"


def condition_text(condition: Json, *, grouped: bool = False) -> str:
    """Print a canonical condition in infix form; short forms that a contract reads keep their value as it stands."""
    if isinstance(condition, str):
        return f"({condition})" if grouped and " or " in condition else condition
    if isinstance(condition, list):
        return " and ".join(condition_text(item, grouped=True) for item in condition)
    if "field" in condition:
        return _short(condition)
    if "not" in condition:
        return f"not ({condition_text(condition['not'])})"
    word = "any" if "any" in condition else "all"
    text = (" or " if word == "any" else " and ").join(condition_text(item, grouped=True) for item in condition[word])
    return f"({text})" if grouped else text


def _short(condition: Document) -> str:
    value = _json.encode(condition["value"]).decode()
    if condition["operator"] in ("starts_with", "ends_with"):
        return f"{condition['operator']}({condition['field']}, {value})"
    return f"{condition['field']} {condition['operator']} {value}"


def _steps(steps: Iterable[Document], indent: str) -> Iterator[str]:
    for number, step in enumerate(steps, 1):
        verb = next(verb for verb in _VERBS if verb in step)
        first, *more = _VERBS[verb](step, indent + _INDENT)
        note = "; if it fails, go on" if step.get("on_error") == "continue" else ""
        name = f" (step {step['as']})" if step.get("as") else ""
        yield f"{indent}{number}. {first}{name}{note}"
        yield from more


def _action(step: Document, indent: str) -> Iterator[str]:
    params = f": {_record(step['with'])}" if step["with"] else ""
    yield f"action {step['action']}{params}"
    options = [f"priority {step['priority']}"] if step["priority"] != "normal" else []
    options += [f"key {_value(step['idempotency'])}"] if "idempotency" in step else []
    options += [f"in order per {step['order_key']}"] if "order_key" in step else []
    options += [f"not after {step['not_after']}"] if step["not_after"] != NOT_AFTER else []
    options += [_retry(step["retry"])] if step["retry"] != RetryRule().model_dump() else []
    if options:
        yield f"{indent}{'; '.join(options)}"


def _retry(rule: Document) -> str:
    factor = rule["factor"]
    return (
        f"tried {rule['attempts']} times, {rule['wait']} apart and {factor} times longer each time up to {rule['most']}, "
        f"each try {rule['attempt_timeout']} long"
    )


def _delay(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"wait {step['delay']}"


def _until(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"wait until {step['until']}"


def _set(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"set {_record(step['set'])}"


def _branch(step: Document, indent: str) -> Iterator[str]:
    yield "the first that holds:"
    for arm in step["branch"]:
        yield from _way(f"when {condition_text(arm['when'])}", arm["then"], indent)
    yield from _way("else", step["else"], indent)


def _way(head: str, steps: Json, indent: str) -> Iterator[str]:
    if steps == "continue":
        yield f"{indent}{head}: go on"
    else:
        yield f"{indent}{head}:"
        yield from _steps(steps, indent + _INDENT)


def _parallel(step: Document, indent: str) -> Iterator[str]:
    yield "side by side, then go on when all have ended:"
    for name, steps in step["parallel"].items():
        yield f"{indent}{_ORDINAL.sub('', name)}:"
        yield from _steps(steps, indent + _INDENT)


def _stop(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"stop: {step['stop']}"


_VERBS: Final[dict[str, Callable[[Document, str], Iterator[str]]]] = {
    "action": _action,
    "delay": _delay,
    "until": _until,
    "set": _set,
    "branch": _branch,
    "parallel": _parallel,
    "stop": _stop,
}


def _record(values: Document) -> str:
    return ", ".join(f"{key} = {_value(value)}" for key, value in values.items())


def _value(value: Json) -> str:
    """Print data: one `{{ }}` alone as its expression, everything else as JSON."""
    found = _WHOLE.match(value) if isinstance(value, str) and not value.startswith("{{{{") else None
    return found[1] if found else _json.encode(value).decode()
