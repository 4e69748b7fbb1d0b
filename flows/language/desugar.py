"""The one desugaring pass: the short form `workflow` becomes a `flow`; nothing after it knows the difference.

Nodes keep the place they were written at, so that every later message points into the person's own text.
"""

from __future__ import annotations

from msgspec.structs import replace

from flows.language.nodes import Mapping, Node, Scalar, Sequence

_OWN_KEYS = ("type", "delay")
_NAME_MAX = 63
_NO_DELAY = (0, "0", "0s", "0ms")


def desugar(node: Mapping) -> Mapping:
    """Turn a workflow whose shape is right into the flow that it means; a flow stays as it is."""
    if node.get("workflow") is None:
        return node
    actions = node.get("actions")
    items = tuple(_entry(key, value) for key, value in node.items if key.value != "actions")
    key = node.key("actions")
    if not isinstance(actions, Sequence) or key is None:
        return node
    return replace(node, items=(*items, (replace(key, value="steps", text="steps"), _steps(actions))))


def _entry(key: Scalar, value: Node) -> tuple[Scalar, Node]:
    return (replace(key, value="flow", text="flow"), value) if key.value == "workflow" else (key, value)


def _steps(actions: Sequence) -> Sequence:
    arms = [(item, _arm(item)) for item in actions.items if isinstance(item, Mapping)]
    if len(arms) == 1:
        return arms[0][1]
    named = [(_arm_name(number, len(arms), item), arm) for number, (item, arm) in enumerate(arms, 1)]
    parallel = Mapping(tuple(named), actions.line, actions.column)
    step = Mapping(((Scalar("parallel", actions.line, actions.column), parallel),), actions.line, actions.column)
    return Sequence((step,), actions.line, actions.column)


def _action_type(item: Mapping) -> str:
    node = item.get("type")
    return str(node.value) if isinstance(node, Scalar) else "action"


def _arm_name(number: int, count: int, item: Mapping) -> Scalar:
    """Name an arm so that the order of names is the listed order: actions due together go in it."""
    name = f"arm_{number:0{len(str(count))}d}_{_action_type(item)}"[:_NAME_MAX].rstrip("_")
    return Scalar(name, item.line, item.column, name, None)


def _arm(item: Mapping) -> Sequence:
    steps: list[Node] = []
    delay, kind = item.get("delay"), item.get("type")
    if delay is not None and not (isinstance(delay, Scalar) and delay.value in _NO_DELAY):
        steps.append(Mapping(((item.key("delay") or Scalar("delay"), delay),), delay.line, delay.column))
    parameters = Mapping(tuple(entry for entry in item.items if entry[0].value not in _OWN_KEYS), item.line, item.column)
    action: list[tuple[Scalar, Node]] = [(Scalar("action", item.line, item.column), kind or Scalar("", item.line, item.column))]
    if parameters.items:
        action.append((Scalar("with", item.line, item.column), parameters))
    steps.append(Mapping(tuple(action), item.line, item.column))
    return Sequence(tuple(steps), item.line, item.column)
