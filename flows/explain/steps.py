"""The steps of a flow, in words: one numbered line each, what stands inside them further in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from flows.explain.data_text import Document, condition_text, json_text, listed, many, record_text, value_text, words_of
from schemas.records import Json

INDENT: Final = "   "
_ORDINAL: Final = re.compile(r"^arm_[0-9]+_")  # put there by desugaring, to keep the listed order
_RETRY: Final[Mapping[str, Json]] = {"attempts": 5, "wait": "1s", "factor": 2, "most": "5m", "attempt_timeout": "30s"}
_RETRIED: Final = ["unavailable", "timeout", "rate_limited"]
_UNKNOWN: Final = {"look_up": "the receiver is asked", "compensate": "it is undone anyway"}


def step_lines(steps: Iterable[Document], indent: str = "") -> Iterator[str]:
    """Say what steps do, in their order."""
    for number, step in enumerate(steps, 1):
        verb = next(verb for verb in _VERBS if verb in step)
        first, *more = _VERBS[verb](step, indent + INDENT)
        name = f" (step {step['as']})" if step.get("as") else ""
        after = step.get("on_error", "fail")
        tail = "; if it fails, go on" if after == "continue" else ""
        colon = ":" if first.endswith(":") else ""
        yield f"{indent}{number}. {first.removesuffix(':')}{name}{tail}{colon}"
        yield from more
        if isinstance(after, list) and after:
            yield from _way("if it fails", after, indent + INDENT)


def _way(head: str, steps: Json, indent: str) -> Iterator[str]:
    if isinstance(steps, list):
        yield f"{indent}{head}:"
        yield from step_lines(steps, indent + INDENT)
    else:
        yield f"{indent}{head}: {'go on' if steps == 'continue' else steps}"


def _action(step: Document, indent: str) -> Iterator[str]:
    limit = f"wait up to {step['timeout']}" if step.get("timeout") else "wait"
    awaited = f", {limit} for its result" if step.get("await") else ""
    yield f"action {step['action']}{_with(step)}{awaited}"
    for options in (list(_options(step)), list(_grouping(step))):
        if options:
            yield f"{indent}{'; '.join(options)}"
    if step.get("on_unknown") in _UNKNOWN:
        yield f"{indent}if nobody knows whether it was done: {_UNKNOWN[step['on_unknown']]}"
    if step.get("returns"):
        yield f"{indent}gives {_types(step['returns'])}"
    yield from _undo(step, indent)


def _options(step: Document) -> Iterator[str]:
    if step.get("priority", "normal") != "normal":
        yield f"priority {step['priority']}"
    if step.get("idempotency") is not None:
        yield f"key {value_text(step['idempotency'])}"
    if step.get("order_key") is not None:
        yield f"in order per {step['order_key']}"
    if step.get("not_after", "7d") not in ("7d", step.get("timeout")):
        yield f"not after {step['not_after']}"
    if step.get("retry"):
        yield from _retry(step["retry"])


def _grouping(step: Document) -> Iterator[str]:
    if step.get("batch"):
        yield f"up to {step['batch']['max']} of one {step['batch']['key']} in one call, gathered for {step['batch']['wait']}"
    if step.get("concurrency"):
        yield f"at most {step['concurrency']['max']} at a time per {step['concurrency']['key']}"


def _retry(said: Document) -> Iterator[str]:
    rule = {**_RETRY, **said}
    if any(rule[key] != value for key, value in _RETRY.items()):
        yield (
            f"tried {rule['attempts']} times, {rule['wait']} apart and {rule['factor']} times longer each time up to "
            f"{rule['most']}, each try {rule['attempt_timeout']} long"
        )
    if sorted(rule.get("for", _RETRIED)) != sorted(_RETRIED):
        yield f"tried again after {listed(rule['for'], 'or')}"


def _undo(step: Document, indent: str) -> Iterator[str]:
    if step.get("compensate"):
        undo = step["compensate"]
        yield f"{indent}undone by action {undo['action']}{_with(undo)}"


def _delay(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"wait {step['delay']}"


def _until(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"wait until {step['until']}"


def _set(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"set {record_text(step['set'])}"


def _branch(step: Document, indent: str) -> Iterator[str]:
    yield "the first that holds:"
    for arm in step["branch"]:
        yield from _way(f"when {condition_text(arm['when'])}", arm["then"], indent)
    if "else" in step:
        yield from _way("else", step["else"], indent)


def _parallel(step: Document, indent: str) -> Iterator[str]:
    join = step.get("join", "all")
    ended = "all have" if join == "all" else "the first has" if join == "any" else f"{join} have"
    others = "" if join == "all" else "; the others are cancelled"
    yield f"side by side, then go on when {ended} ended{others}:"
    for name, steps in step["parallel"].items():
        yield f"{indent}{_ORDINAL.sub('', name)}:"
        yield from step_lines(steps, indent + INDENT)


def _for_each(step: Document, indent: str) -> Iterator[str]:
    most = f", at most {step['max']}" if step.get("max") else ""
    pace = "one after the other" if step.get("concurrency", 1) == 1 else f"{step['concurrency']} at a time"
    failures = "; failures are collected" if step.get("failures") == "collect" else ""
    yield f"for each {step['each']} of {condition_text(step['for_each'])}{most}, {pace}{failures}:"
    yield from step_lines(step["steps"], indent + INDENT)
    if step.get("result"):
        yield f"{indent}result of each: {record_text(step['result'])}"


def _call(step: Document, indent: str) -> Iterator[str]:
    limit = f", wait up to {step['timeout']} for its end" if step.get("timeout") else ", wait for its end"
    yield f"call flow {step['call']}{_with(step)}{limit if step.get('await', True) else ', go on at once'}"
    yield from _undo(step, indent)


def _wait(step: Document, indent: str) -> Iterator[str]:
    yield f"wait up to {step['timeout']} for {step['wait']} with {step.get('correlate') or 'the same correlation id'}"
    if step.get("conditions"):
        yield f"{indent}and {condition_text(step['conditions'])}"
    if step.get("look_back", "0") not in ("0", "0s", 0):
        yield f"{indent}one that came up to {step['look_back']} before counts too"
    yield from _way("if none comes", step.get("on_timeout", "fail"), indent)


def _approve(step: Document, indent: str) -> Iterator[str]:
    need = step.get("need", 1)
    yield f"ask {_people(step['by'], need)}: {value_text(step['approve'])}"
    if step.get("not"):
        yield f"{indent}but not {listed((value_text(one) for one in _list(step['not'])), 'or')}"
    if step.get("show"):
        yield f"{indent}shown: {record_text(step['show'])}"
    if step.get("form"):
        yield f"{indent}they fill in {_types(step['form'])}"
    if step.get("remind"):
        yield f"{indent}reminded after {listed(words_of(step['remind']))}"
    if step.get("escalate"):
        yield f"{indent}after {step['escalate']['after']} {_people(step['escalate']['to'], 1)} is asked too"
    yield f"{indent}no decision within {step['timeout']}: {step.get('on_timeout', 'fail')}"


def _list(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _people(people: Document, need: int) -> str:
    if people.get("role") is not None:
        role = _name(people["role"])
        return f"{many(need, role)}" if need > 1 else f"a {role}"
    names = listed((_name(one) for one in _list(people.get("people") or people.get("person"))), "or")
    return f"{need} of {names}" if need > 1 else names


def _name(value: Json) -> str:
    text = value_text(value)
    return text.strip('"')


def _emit(step: Document, indent: str) -> Iterator[str]:
    del indent
    key = f" about {step['key']}" if step.get("key") is not None else ""
    yield f"emit event {step['emit']}{key}{_with(step)}"


def _decide(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"decide by the table {step['decide']}{_with(step)}"


def _features(step: Document, indent: str) -> Iterator[str]:
    yield f"read features {step['features']} of {record_text(step.get('entity', {}))}"
    stale = {"missing": "they are missing", "use": "they are used", "fail": "it fails"}[step.get("on_stale", "missing")]
    if step.get("max_age"):
        yield f"{indent}if older than {step['max_age']}: {stale}"


def _score(step: Document, indent: str) -> Iterator[str]:
    source = step["from"] if isinstance(step["from"], str) else record_text(step["from"])
    yield f"score with model {step['score']} ({step.get('alias', 'champion')}) from {source}"
    if step.get("bands"):
        yield f"{indent}bands: {', '.join(f'{name} up to {bound}' for name, bound in step['bands'].items())}"
    fallback = step.get("fallback")
    if fallback:
        told = f"the table {fallback['decide']}" if "decide" in fallback else record_text(fallback)
        yield f"{indent}if the model or its features are away: {told}"


def _generate(step: Document, indent: str) -> Iterator[str]:
    yield f"generate {step['generate']} with {record_text(step.get('with', {}))}"
    yield f"{indent}gives {_types(step.get('output', {}))}, at most {step['budget']['tokens']} tokens and {step['timeout']}"


def _fail(step: Document, indent: str) -> Iterator[str]:
    del indent
    message = f", {value_text(step['message'])}" if step.get("message") else ""
    yield f"fail: {step['fail']}{message}; what is done is undone"


def _stop(step: Document, indent: str) -> Iterator[str]:
    del indent
    yield f"stop: {step['stop']}{'; what is done is undone' if step.get('compensate') else ''}"


def _with(step: Document) -> str:
    return f": {record_text(step['with'])}" if step.get("with") else ""


def _types(types: Document) -> str:
    return ", ".join(f"{name} ({kind if isinstance(kind, str) else json_text(kind)})" for name, kind in types.items())


_VERBS: Final[dict[str, Callable[[Document, str], Iterator[str]]]] = {
    "action": _action,
    "delay": _delay,
    "until": _until,
    "set": _set,
    "branch": _branch,
    "parallel": _parallel,
    "for_each": _for_each,
    "call": _call,
    "wait": _wait,
    "approve": _approve,
    "emit": _emit,
    "decide": _decide,
    "features": _features,
    "score": _score,
    "generate": _generate,
    "fail": _fail,
    "stop": _stop,
}
