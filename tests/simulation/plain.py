"""Flows as the simulation thinks of them: small trees that can be written in the flow language, and asked in plain Python.

This is the oracle's half that knows what conditions and values mean. It shares no code with the product: not its parser, not
its evaluators, not its steps.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tests.simulation.business import Event, stamp

Read = Callable[[str], Any]  # path → value, None where it is missing
TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


# --- conditions


@dataclass(frozen=True, slots=True)
class Compare:
    """A field against a literal of its type. `kind` is the field's type without its question mark."""

    path: str
    op: str
    value: Any
    kind: str

    def holds(self, read: Read) -> bool:
        """Evaluate; a comparison with something missing is false."""
        found = read(self.path)
        return found is not None and TESTS[self.op](_comparable(found, self.kind), _comparable(self.value, self.kind))

    def text(self) -> str:
        """Write it infix."""
        return f"{self.path} {self.op} {literal(self.value, self.kind)}"

    def short(self) -> Any:
        """Write it in the short form."""
        value = (
            f"{self.value} GBP" if self.kind == "money(GBP)" else stamp(self.value) if self.kind == "timestamp" else self.value
        )
        return {"field": self.path, "operator": self.op, "value": value}


@dataclass(frozen=True, slots=True)
class Among:
    """A text that is one of several."""

    path: str
    values: tuple[str, ...]

    def holds(self, read: Read) -> bool:
        """Evaluate."""
        return read(self.path) in self.values

    def text(self) -> str:
        """Write it infix."""
        return f"{self.path} in [{', '.join(literal(value, 'string') for value in self.values)}]"

    def short(self) -> Any:
        """Write it in the short form."""
        return {"field": self.path, "operator": "in", "value": list(self.values)}


@dataclass(frozen=True, slots=True)
class Contains:
    """A text that has a part, or a list that has an item."""

    path: str
    part: str

    def holds(self, read: Read) -> bool:
        """Evaluate."""
        found = read(self.path)
        return found is not None and self.part in found

    def text(self) -> str:
        """Write it infix."""
        return f"{self.path} contains {literal(self.part, 'string')}"

    def short(self) -> Any:
        """Write it in the short form."""
        return {"field": self.path, "operator": "contains", "value": self.part}


@dataclass(frozen=True, slots=True)
class Exists:
    """A field that is there."""

    path: str

    def holds(self, read: Read) -> bool:
        """Evaluate."""
        return read(self.path) is not None

    def text(self) -> str:
        """Write it infix."""
        return f"exists({self.path})"

    def short(self) -> Any:
        """Write it in the short form."""
        return {"field": self.path, "operator": "exists", "value": True}


@dataclass(frozen=True, slots=True)
class Both:
    """All of several, or any of them."""

    word: str  # and | or
    parts: tuple[Condition, ...]

    def holds(self, read: Read) -> bool:
        """Evaluate."""
        return (all if self.word == "and" else any)(part.holds(read) for part in self.parts)

    def text(self) -> str:
        """Write it infix."""
        return f" {self.word} ".join(f"({part.text()})" for part in self.parts)

    def short(self) -> Any:
        """Write it in the short form."""
        return {"all" if self.word == "and" else "any": [part.short() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Condition

    def holds(self, read: Read) -> bool:
        """Evaluate: two-valued."""
        return not self.part.holds(read)

    def text(self) -> str:
        """Write it infix."""
        return f"not ({self.part.text()})"

    def short(self) -> Any:
        """Write it in the short form."""
        return {"not": self.part.short()}


Condition = Compare | Among | Contains | Exists | Both | Not


# --- values of parameters and bindings


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written out."""

    value: Any

    def give(self, read: Read) -> Any:
        """Give what the command must carry."""
        return self.value

    def data(self) -> Any:
        """Write it in a document."""
        return self.value


@dataclass(frozen=True, slots=True)
class Whole:
    """A field, or a bound name, with its type kept."""

    path: str
    kind: str

    def give(self, read: Read) -> Any:
        """Give what the command must carry."""
        return shown(read(self.path), self.kind)

    def data(self) -> Any:
        """Write it in a document."""
        return f"{{{{ {self.path} }}}}"


@dataclass(frozen=True, slots=True)
class Text:
    """A field inside text; a missing one prints `nobody`."""

    before: str
    path: str
    kind: str
    behind: str = ""

    def give(self, read: Read) -> Any:
        """Give what the command must carry."""
        found = read(self.path)
        return f"{self.before}{'nobody' if found is None else printed(found, self.kind)}{self.behind}"

    def data(self) -> Any:
        """Write it in a document."""
        inner = f'coalesce({self.path}, "nobody")' if self.kind == "string" else self.path
        return f"{self.before}{{{{ {inner} }}}}{self.behind}"


@dataclass(frozen=True, slots=True)
class Nested:
    """A record of values."""

    parts: tuple[tuple[str, Value], ...]

    def give(self, read: Read) -> Any:
        """Give what the command must carry."""
        return {name: part.give(read) for name, part in self.parts}

    def data(self) -> Any:
        """Write it in a document."""
        return {name: part.data() for name, part in self.parts}


Value = Constant | Whole | Text | Nested


# --- steps


@dataclass(frozen=True, slots=True)
class Act:
    """Issue a command."""

    name: str
    action: str
    params: tuple[tuple[str, Value], ...]
    idempotency: str | None = None
    order_key: str | None = None
    priority: str = "normal"
    retry: Mapping[str, Any] | None = None
    not_after: str | None = None

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        options: dict[str, Any] = {"with": {name: value.data() for name, value in self.params}} if self.params else {}
        more = {"idempotency": self.idempotency, "order_key": self.order_key, "retry": self.retry, "not_after": self.not_after}
        options |= {key: value for key, value in more.items() if value is not None}
        return {"action": self.action, "as": self.name, "priority": self.priority, **options}


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a duration."""

    name: str
    wait_us: int
    written: str

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        return {"delay": self.written, "as": self.name}


@dataclass(frozen=True, slots=True)
class Until:
    """Wait up to a time of the event, moved by an offset; where it may be missing, the event's own time stands in for it."""

    name: str
    path: str
    optional: bool
    offset_us: int
    written: str
    tolerant: bool

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        time = f"coalesce({self.path}, event.time)" if self.optional else self.path
        return {"until": f"{time} + {self.written}", "as": self.name, **({"on_error": "continue"} if self.tolerant else {})}


@dataclass(frozen=True, slots=True)
class Bind:
    """Bind a name."""

    name: str
    value: Value
    kind: str

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        return {"set": {self.name: self.value.data()}}


@dataclass(frozen=True, slots=True)
class Fork:
    """The first arm that holds, or else."""

    name: str
    arms: tuple[tuple[Condition, tuple[Step, ...]], ...]
    otherwise: tuple[Step, ...]

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        arms = [{"when": when.text(), "then": documents(then) or "continue"} for when, then in self.arms]
        return {"branch": arms, "else": documents(self.otherwise) or "continue", "as": self.name}


@dataclass(frozen=True, slots=True)
class Arms:
    """Several at once; go on when all have ended."""

    name: str
    arms: tuple[tuple[str, tuple[Step, ...]], ...]

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        return {"parallel": {name: documents(steps) for name, steps in self.arms}, "as": self.name}


@dataclass(frozen=True, slots=True)
class Stop:
    """End well."""

    reason: str

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        return {"stop": self.reason}


Step = Act | Wait | Until | Bind | Fork | Arms | Stop


def documents(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """Write steps in the flow language."""
    return [step.document() for step in steps]


# --- flows


@dataclass(frozen=True, slots=True)
class Start:
    """One trigger. `name` is its `as`; `short`: its conditions are written in the short form."""

    event: str
    condition: Condition | None
    name: str = ""
    short: bool = False

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        found: dict[str, Any] = {"event": self.event}
        if self.name:
            found["as"] = self.name
        if self.condition is not None:
            found["conditions"] = [self.condition.short() if self.short else self.condition.text()]
        return found


@dataclass(frozen=True, slots=True)
class Flow:
    """One version of a flow. Without `tenants` it serves all. `short` flows are written as `workflow` with `actions`."""

    name: str
    tenants: tuple[str, ...]
    starts: tuple[Start, ...]
    steps: tuple[Step, ...]
    timeout: tuple[int, str] | None = None
    short: bool = False

    def document(self) -> dict[str, Any]:
        """Write it in the flow language."""
        around: dict[str, Any] = {"tenant": list(self.tenants)} if self.tenants else {}
        if self.timeout is not None:
            around["timeout"] = self.timeout[1]
        triggers = [one.document() for one in self.starts]
        around["trigger"] = triggers[0] if len(triggers) == 1 else triggers
        if self.short:
            return {"workflow": self.name, **around, "actions": [_short_action(arm) for arm in _arms(self.steps)]}
        return {"flow": self.name, **around, "steps": documents(self.steps)}

    def fitting(self, event: Event) -> Start | None:
        """Give the first trigger that fits an event."""
        return next(
            (
                one
                for one in self.starts
                if one.event == event.type and (one.condition is None or one.condition.holds(event.value))
            ),
            None,
        )


def _arms(steps: tuple[Step, ...]) -> list[tuple[Step, ...]]:
    first = steps[0]
    return [arm for _, arm in first.arms] if isinstance(first, Arms) else [steps]


def _short_action(arm: tuple[Step, ...]) -> dict[str, Any]:
    *waits, act = arm
    assert isinstance(act, Act)
    delay = {"delay": waits[0].written} if waits and isinstance(waits[0], Wait) else {"delay": "0"}
    return {"type": act.action, **{name: value.data() for name, value in act.params}, **delay}


# --- how values are written


def literal(value: Any, kind: str) -> str:
    """Write a literal of the expression language."""
    match kind:
        case "string":
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        case "bool":
            return "true" if value else "false"
        case "money(GBP)":
            return f"{value} GBP"
        case "timestamp":
            return f'timestamp("{stamp(value)}")'
        case "decimal" | "float":
            text = f"{Decimal(str(value)):f}"
            return text if "." in text else f"{text}.0"
        case _:
            return str(value)


def shown(value: Any, kind: str) -> Any:
    """Give a value as a command carries it: money as text, times as RFC 3339, decimals as numbers."""
    if value is None:
        return None
    match kind:
        case "money(GBP)":
            return printed(value, kind)
        case "timestamp":
            return stamp(value)
        case "float":
            return float(value)
        case _:
            return list(value) if isinstance(value, tuple) else value


def printed(value: Any, kind: str) -> str:
    """Print a value inside text."""
    match kind:
        case "money(GBP)":
            whole, _, cents = f"{value:f}".partition(".")
            return f"{whole}.{cents.rstrip('0').ljust(2, '0')} GBP"
        case "timestamp":
            return stamp(value)
        case "decimal":
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case "bool":
            return "true" if value else "false"
        case _:
            return str(value)


def _comparable(value: Any, kind: str) -> Any:
    return float(value) if kind == "float" else value
