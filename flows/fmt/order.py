"""The order of keys, as flow-language.md lists them, and which literals are durations. Data keeps the order it was written in."""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from flows.language.nodes import Mapping, Node, Scalar, Sequence
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_duration_us, print_duration


@dataclass(frozen=True, slots=True)
class Shape:
    """One sort of mapping: its keys in order, and the shape of what stands under them (of each item, where that is a list)."""

    order: tuple[str, ...] = ()
    inner: Table[str, str] = field(default_factory=dict)
    every: str = ""  # the shape under every key


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DURATION: Final = "duration"
_TIMES: Final = dict.fromkeys(_words("timeout not_after wait most attempt_timeout look_back after lateness retract"), DURATION)
_VERBS: Final = "action delay until set branch parallel for_each call wait approve emit decide features score generate fail stop"
_STEP: Final = (
    f"{_VERBS} as note alias from entity max_age on_stale bands correlate conditions look_back by need not show form remind "
    "escalate key each max with output budget await timeout on_timeout returns retry idempotency priority batch concurrency "
    "failures not_after order_key on_unknown compensate fallback message steps result else join on_error"
)
_STEPS: Final = dict.fromkeys(_words("steps on_error on_timeout on_retract"), "step")
_AROUND: Final = (
    "flow workflow language title description owner labels tenant enabled priority inputs trigger timeout defaults limits "
    "objectives retention privacy rollout views steps actions on_error on_retract output"
)
_FLOW: Final = Shape(
    _words(_AROUND),
    {
        **_STEPS,
        "trigger": "trigger",
        "timeout": DURATION,
        "defaults": "defaults",
        "limits": "limits",
        "objectives": "objectives",
        "retention": "retention",
        "rollout": "rollout",
        "views": "view",
        "actions": "short_action",
    },
)
SHAPES: Final[Table[str, Shape]] = {
    "flow": _FLOW,
    "workflow": _FLOW,
    "policy": Shape(
        _words("policy language description owner type key value values default inputs outputs hit rules otherwise valid_from"),
        {"rules": "rule"},
    ),
    "event": Shape(_words("event language description fields types topic key time compatibility privacy")),
    "action": Shape(_words("action language description params result errors idempotent types privacy")),
    "test": Shape(_words("test language flow clock policies answers scores features timeline"), {"timeline": "moment"}),
    "moment": Shape(
        _words("at send fire decide expect with id source outcome by roles form refused"), {"expect": "expect", "at": DURATION}
    ),
    "expect": Shape(
        _words("status error waiting actions actions_include actions_exclude events history_include history_exclude"),
        {"waiting": "waiting", "actions": "expected", "actions_include": "expected", "actions_exclude": "expected"},
    ),
    "waiting": Shape(_words("step until"), {"until": DURATION}),
    "expected": Shape(_words("action event at with"), {"at": DURATION}),
    "trigger": Shape(
        _words(
            "as webhook schedule manual after event sequence conditions zone missed overlap jitter status join key within "
            "absence window id signature with"
        ),
        {
            "conditions": "condition",
            "jitter": DURATION,
            "within": DURATION,
            "sequence": "sequence",
            "absence": "absence",
            "window": "window",
            "signature": "signature",
            "manual": "manual",
        },
    ),
    "window": Shape(
        _words("key sliding tumbling session lateness measures when fire retract"),
        {"sliding": DURATION, "tumbling": DURATION, "session": DURATION, "when": "condition", **_TIMES},
    ),
    "sequence": Shape(
        _words("key within lateness events"), {"within": DURATION, "lateness": DURATION, "events": "sequence_event"}
    ),
    "sequence_event": Shape(_words("event as correlate conditions"), {"conditions": "condition"}),
    "absence": Shape(
        _words("of as correlate conditions within until lateness retract"),
        {"conditions": "condition", "within": DURATION, **_TIMES},
    ),
    "signature": Shape(_words("header scheme secret tolerance"), {"tolerance": DURATION}),
    "manual": Shape(_words("roles")),
    "condition": Shape(_words("field operator value"), {"all": "condition", "any": "condition", "not": "condition"}),
    "step": Shape(
        _words(_STEP),
        {
            **_STEPS,
            "branch": "arm",
            "parallel": "arms",
            "else": "step",
            "conditions": "condition",
            "timeout": DURATION,
            "not_after": DURATION,
            "look_back": DURATION,
            "max_age": DURATION,
            "remind": DURATION,
            "retry": "retry",
            "batch": "batch",
            "concurrency": "concurrency",
            "compensate": "compensate",
            "by": "people",
            "escalate": "escalate",
        },
    ),
    "arm": Shape(_words("when then"), {"when": "condition", "then": "step"}),
    "arms": Shape(every="step"),
    "short_action": Shape(_words("type delay")),
    "retry": Shape(_words("attempts wait factor most attempt_timeout for"), _TIMES),
    "batch": Shape(_words("key max wait"), _TIMES),
    "concurrency": Shape(_words("key max")),
    "compensate": Shape(_words("action with retry timeout"), {"retry": "retry", "timeout": DURATION}),
    "people": Shape(_words("role person people")),
    "escalate": Shape(_words("after to"), {"after": DURATION, "to": "people"}),
    "defaults": Shape(_words("retry timeout priority"), {"retry": "retry", "timeout": DURATION}),
    "limits": Shape(_words("concurrency rate quota"), every="limit"),
    "limit": Shape(_words("key max per over"), {"per": DURATION}),
    "objectives": Shape(_words("complete share"), {"complete": DURATION}),
    "retention": Shape(_words("history data"), every=DURATION),
    "rollout": Shape(_words("percent by shadow")),
    "view": Shape(_words("view from where by measures"), {"where": "condition"}),
    "rule": Shape(_words("when then"), {"when": "condition"}),
}


def in_order(node: Node, shape: str) -> Node:
    """Put the keys of the language into its order and durations into their first form; unknown keys stay behind, as written."""
    if isinstance(node, Sequence):
        return replace(node, items=tuple(in_order(item, shape) for item in node.items))
    if isinstance(node, Scalar):
        return _duration(node) if shape == DURATION else node
    found = SHAPES.get(shape)
    return node if found is None else _ordered(node, found)


def in_order_document(node: Mapping, kind: str) -> Mapping:
    """Put a whole document into order: its kind first. Durations of a policy that holds durations are in first form too."""
    ordered = _ordered(node, SHAPES[kind])
    kind_first = sorted(ordered.items, key=lambda item: item[0].value != kind)
    typed = node.get("type")
    if kind == "policy" and isinstance(typed, Scalar) and typed.value == DURATION:
        kind_first = [(key, _durations(value) if key.value in _POLICY_VALUES else value) for key, value in kind_first]
    return replace(ordered, items=tuple(kind_first))


_POLICY_VALUES: Final = ("value", "values", "default")


def _ordered(node: Mapping, shape: Shape) -> Mapping:
    rank = {key: place for place, key in enumerate(shape.order)}
    items = sorted(node.items, key=lambda item: rank.get(str(item[0].value), len(rank)))
    return replace(
        node, items=tuple((key, in_order(value, shape.inner.get(str(key.value), shape.every))) for key, value in items)
    )


def _durations(node: Node) -> Node:
    if isinstance(node, Mapping):
        return replace(node, items=tuple((key, _durations(value)) for key, value in node.items))
    return in_order(node, DURATION)


def _duration(node: Scalar) -> Scalar:
    """Spell a duration as 1h30m; what is none (an expression, a timestamp) stays."""
    if not isinstance(node.value, str) or not node.value.startswith(("P", "-P")):
        return node
    try:
        text = print_duration(parse_duration_us(node.value))
    except ExpressionError:
        return node
    return replace(node, value=text, text=text)
