"""After: the end of other flows, alone, several joined, or counted in a window."""

from __future__ import annotations

from dataclasses import replace

from flows.language.names import Names, optional
from flows.language.nodes import Mapping, Scalar, Sequence, inner
from flows.language.report import near
from flows.language.triggers.check_window import check_window
from flows.language.triggers.reading import WINDOW_MAX_US, Reading
from flows.language.triggers.started import NOTHING, Started
from schemas.expression.scope import ERROR
from schemas.expression.types import ANY, STRING, Type
from schemas.flow.trigger import AfterTrigger
from schemas.program import After, Window

_STATUS = Type("one_of", options=("completed", "failed", "cancelled"))


def check_after(reading: Reading, trigger: AfterTrigger, node: Mapping) -> Started:
    """Give the trigger; `after.<flow>` is what is known of the end of each."""
    flows = (trigger.after,) if isinstance(trigger.after, str) else tuple(dict.fromkeys(trigger.after))
    join = trigger.join or ("all" if len(flows) > 1 else "any")
    _check_join(reading, trigger, node, flows)
    ends = {flow: _end_of(reading, flow, trigger, node) for flow in flows}
    certain = len(flows) == 1 or join == "all"
    after = Type("record", fields=tuple((name, of if certain else optional(of)) for name, of in ends.items()))
    names = Names(NOTHING, "", roots={"after": after}, steps=False)
    tree, known = reading.condition(node, names)
    inside = names.knowing(known)
    window: Window | None = None
    roots = {"after": after}
    if trigger.window is not None:
        window, roots["window"], there = check_window(reading, trigger.window, inner(node, "window"), inside)
        known |= there
    record = After(
        flows=tuple(str(flow) for flow in flows),
        status=trigger.status,
        join=join,
        key=reading.group(node, replace(names, roots={"after": _any_end(ends)}))[0] if trigger.key is not None else None,
        within_us=reading.bounded(trigger.within, node, "within", WINDOW_MAX_US, least_us=1),
        window=window,
        condition=tree,
        name=str(trigger.as_ or ""),
        outputs=tuple(dict(of.fields)["output"] for of in ends.values()),
    )
    return Started((record,), NOTHING, known=known, roots=roots)


def _check_join(reading: Reading, trigger: AfterTrigger, node: Mapping, flows: tuple[str, ...]) -> None:
    place = inner(node, "after")
    if not isinstance(trigger.after, str) and len(trigger.after) > len(flows):
        reading.report.add(place, "bound-twice", "a flow stands twice behind after; name each once")
    if len(flows) == 1:
        for key in ("join", "key", "within"):
            if node.get(key) is not None:
                message = f"'{key}' says how several flows belong together, and there is one; take it away"
                reading.report.add(node.key(key) or node, "needs-several", message)
    elif trigger.join != "any" and trigger.within is None:
        message = "the ends of several flows would be kept for ever; say for how long, as in within: 1d"
        reading.report.add(node, "unbounded", message)
    if trigger.window is not None and len(flows) > 1 and trigger.join != "any":
        message = "a window counts each end, and join: all waits for one of each; write join: any, or take the window away"
        reading.report.add(inner(node, "window"), "two-sorts", message)


def _end_of(reading: Reading, flow: str, trigger: AfterTrigger, node: Mapping) -> Type:
    """Give what is known of the end of a flow: its error is there where only bad ends start this one."""
    known = reading.known.flows.get(flow)
    if known is None:
        places = inner(node, "after")
        listed = places.items if isinstance(places, Sequence) else ()
        place = next((item for item in listed if isinstance(item, Scalar) and item.value == flow), places)
        hint = near(flow, reading.known.flows)
        message = f"no flow '{flow}' is known: what it gives cannot be checked; give its file as well{hint}"
        reading.report.warn(place, "unknown-flow", message)
    output = known.output if known is not None else optional(ANY)
    error = ERROR if trigger.status in ("failed", "cancelled") else optional(ERROR)
    fields = (("status", _STATUS), ("execution", STRING), ("version", STRING), ("output", output), ("error", error))
    return Type("record", fields=fields)


def _any_end(ends: dict[str, Type]) -> Type:
    return Type("record", fields=tuple((name, optional(of)) for name, of in ends.items()))
