"""Checks what a flow means: names, types, durations, reach; gives its typed steps if there is no error.

Reads: a shape-checked flow and the contracts. Emits: problems with places, a TypedFlow. State: none beyond one call.
Cost: one pass over the steps, each expression elaborated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flows.language.bound_names import bindings, mappings, named_steps
from flows.language.canonical import NOT_AFTER, retry_of, tenants_of, triggers_of
from flows.language.check_actions import refuse_missing, wanted_parameters
from flows.language.conditions import duration_us
from flows.language.cover import uncovered
from flows.language.elaborate import Elaborator, Elsewhere
from flows.language.names import Bound, Names, after_arms, merged_data
from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, Scalar, Sequence
from flows.language.report import Report, near
from flows.language.structure import LEFT_OUT
from flows.language.typed import TypedBranch, TypedFlow, TypedParallel, TypedStep
from schemas.contracts import EventContract
from schemas.expression.check import proved
from schemas.expression.findings import ExpressionError
from schemas.expression.template import Record, Template
from schemas.expression.tree import Constant, Tree
from schemas.expression.types import ANY, BOOL, DURATION, STRING, TIMESTAMP, Type
from schemas.flow.action_types import ActionType
from schemas.flow.documents import Flow
from schemas.flow.step import (
    ActionStep,
    BranchStep,
    DelayStep,
    ParallelStep,
    RetryRule,
    SetStep,
    Step,
    StopStep,
    UntilStep,
)
from schemas.program import END, Act, Delay, EventTrigger, Set, Stop
from schemas.records import Retry

DAY_US: Final = 86_400_000_000
_KEY: Final = Type("record", fields=(("idempotency", STRING),))
TIMEOUT_MAX_US: Final = 1100 * DAY_US


@dataclass(frozen=True, slots=True)
class Known:
    """The contracts in force: of event types and of action types."""

    events: Mapping[str, EventContract]
    actions: Mapping[str, ActionType]


@dataclass(frozen=True, slots=True)
class _Ran:
    """What steps came to: typed steps, the names after them, and the line of the stop that ends them (0: they go on)."""

    steps: tuple[TypedStep, ...]
    names: Names
    ended: int = 0


@dataclass(slots=True)
class _Names:
    """Gives each step its name: its `as`, or verb, object and ordinal."""

    taken: set[str]
    counts: dict[str, int] = field(default_factory=dict)

    def of(self, step: Step, stem: str) -> str:
        if step.as_:
            return str(step.as_)
        while True:
            self.counts[stem] = self.counts.get(stem, 0) + 1
            name = f"{stem}_{self.counts[stem]}"
            if name not in self.taken:
                return name


def check_flow(
    flow: Flow, node: MappingNode, report: Report, known: Known, lost: frozenset[str] = frozenset()
) -> TypedFlow | None:
    """Check a flow (its mappings in the order of their keys); None if it has an error. `lost`: names of steps left out."""
    before = len(report.problems)
    walk = _Walk(flow, node, report, known, lost)
    typed = walk.flow()
    wrong = any(problem.severity == "error" for problem in report.problems[before:])
    return None if wrong else typed


class _Walk:
    """One pass over one flow."""

    def __init__(self, flow: Flow, node: MappingNode, report: Report, known: Known, lost: frozenset[str]) -> None:
        self._flow = flow
        self._node = node
        self._report = report
        self._known = known
        found = list(mappings(node))
        self._bound = bindings(found)
        commands = {name.text: name.line for name in named_steps(found, "action")}
        elsewhere = Elsewhere({name: key.line for name, key in self._bound.items()}, commands, lost)
        contracts = [known.events.get(one.event) for one, _ in triggers_of(flow, node)]
        self._data, conflicts = merged_data(contracts)
        self._elaborator = Elaborator(report, elsewhere, conflicts)
        self._step_names = _Names({name.text for name in named_steps(found, "")})
        self._as_lines: dict[str, int] = {}

    def flow(self) -> TypedFlow:
        triggers, names = self._triggers()
        timeout_us = self._positive(self._flow.timeout, self._at("timeout"), "timeout")
        if timeout_us > TIMEOUT_MAX_US:
            self._report.add(
                self._at("timeout"), "too-long", f"timeout '{self._flow.timeout}' is over 1100d, the longest; write less"
            )
        self._retry(self._flow.defaults.retry, self._inner(self._at("defaults"), "retry"))
        if self._flow.defaults.timeout is not None:
            self._positive(self._flow.defaults.timeout, self._inner(self._at("defaults"), "timeout"), "timeout")
        ran = self._list(self._flow.steps, self._at("steps"), names)
        output = self._template(self._at("output"), ran.names) if self._flow.output else None
        self._warn_unused()
        return TypedFlow(str(self._flow.flow), tenants_of(self._flow), triggers, ran.steps, output, timeout_us)

    # what stands where

    def _at(self, key: str) -> Node:
        return self._inner(self._node, key)

    @staticmethod
    def _inner(node: Node, key: str) -> Node:
        found = node.get(key) if isinstance(node, MappingNode) else None
        return found if found is not None else node

    def _warn_unused(self) -> None:
        for name, key in self._bound.items():
            if name not in self._elaborator.read:
                self._report.warn(key, "unused-binding", f"'{name}' is bound and never read; read it or take it away")

    # triggers

    def _triggers(self) -> tuple[tuple[EventTrigger, ...], Names]:
        found: list[EventTrigger] = []
        proofs: list[frozenset[str]] = []
        pairs = triggers_of(self._flow, self._node)
        for trigger, place in pairs:
            self._check_trigger(trigger.as_, str(trigger.event), place, alone=len(pairs) == 1, taken={one.name for one in found})
            contract = self._known.events.get(trigger.event)
            names = Names(contract.data if contract else None, str(trigger.event), steps=False)
            tree = (
                self._elaborator.condition(self._inner(place, "conditions"), "conditions", names)
                if trigger.conditions not in (None, ())
                else None
            )
            found.append(EventTrigger(str(trigger.event), tree, trigger.as_ or ""))
            proofs.append(proved(tree) if tree is not None else frozenset())
        events = " or ".join(dict.fromkeys(one.event for one in found))
        known = frozenset.intersection(*proofs) if proofs else frozenset()
        return tuple(found), Names(self._data, events, known=known)

    def _check_trigger(self, name: str | None, event: str, place: MappingNode, *, alone: bool, taken: set[str]) -> None:
        if event not in self._known.events and event != LEFT_OUT:
            hint = near(event, self._known.events)
            message = (
                f"no contract is known for {event}: its fields cannot be checked; write an event document or use --infer{hint}"
            )
            self._report.warn(self._inner(place, "event"), "no-contract", message)
        if not alone and not name:
            self._report.add(
                place,
                "missing-key",
                "one of several triggers has no 'as' and needs one; add it, trigger.name will say which started",
            )
        elif name and name in taken:
            self._report.add(self._inner(place, "as"), "bound-twice", f"'{name}' names a trigger already; choose another name")

    # steps

    def _list(self, steps: tuple[Step, ...], place: Node, names: Names) -> _Ran:
        typed: list[TypedStep] = []
        ended = 0
        places = place.items if isinstance(place, Sequence) else ()
        for step, at in zip(steps, places, strict=True):
            if ended:
                self._report.add(at, "unreachable", f"nothing comes after stop (line {ended}); remove the step or move it")
                break
            ran = self._step(step, at, names)
            typed += ran.steps
            names, ended = ran.names, ran.ended
        return _Ran(tuple(typed), names, ended)

    def _step(self, step: Step, node: Node, names: Names) -> _Ran:
        self._check_as(step, node, names)
        rule: Callable[[Any, Any, Node, Names], _Ran] = _RULES[type(step)]
        return rule(self, step, node, names)

    def _check_as(self, step: Step, node: Node, names: Names) -> None:
        if not step.as_:
            return
        place = self._inner(node, "as")
        earlier = self._as_lines.get(step.as_) or (self._bound[step.as_].line if step.as_ in self._bound else 0)
        if earlier:
            self._report.add(place, "bound-twice", f"'{step.as_}' is bound at line {earlier} already; choose another name")
        self._refuse_shadow(step.as_, place, names)
        self._as_lines[step.as_] = place.line

    def _refuse_shadow(self, name: str, place: Node, names: Names) -> None:
        if name in names.fields():
            self._report.add(place, "shadows-field", f"'{name}' is a field of {names.event}; a binding needs another name")

    def _action(self, step: ActionStep, node: Node, names: Names) -> _Ran:
        want = wanted_parameters(str(step.action), node, self._known.actions, self._report)
        params = self._template(self._inner(node, "with"), names, want) if step.with_ else Record(())
        refuse_missing(params, want, self._inner(node, "with"), self._report)
        key = self._template(self._inner(node, "idempotency"), names, STRING) if step.idempotency is not None else None
        if key is not None:
            refuse_missing(Record((("idempotency", key),)), _KEY, node, self._report)
        order = (
            self._elaborator.expression(self._inner(node, "order_key"), "order_key", names, ANY)
            if step.order_key is not None
            else None
        )
        not_after = self._inner(node, "not_after")
        self._retry(step.retry, self._inner(node, "retry"))
        act = Act(
            name=self._step_names.of(step, f"action_{step.action}"),
            action=str(step.action),
            params=params,
            next=END,
            priority=step.priority or self._flow.defaults.priority or self._flow.priority,
            not_after_us=self._positive(step.not_after or NOT_AFTER, not_after, "not_after"),
            retry=_retry_record(retry_of(step, self._flow.defaults)),
            idempotency=key,
            order_key=order,
            on_error=step.on_error,
        )
        return _Ran((act,), names)

    def _template(self, node: Node, names: Names, want: Type | None = None) -> Template:
        found = self._elaborator.template(node, names, want)
        return found.template if found is not None else Record(())

    def _delay(self, step: DelayStep | UntilStep, node: Node, names: Names) -> _Ran:
        until = isinstance(step, UntilStep)
        key, want = ("until", TIMESTAMP) if until else ("delay", DURATION)
        tree = self._elaborator.expression(self._inner(node, key), key, names, want)
        name = self._step_names.of(step, key)
        delay = Delay(name=name, time=tree or Constant(0, want), next=END, until=until, on_error=step.on_error)
        return _Ran((delay,), names)

    def _set(self, step: SetStep, node: Node, names: Names) -> _Ran:
        values: list[tuple[str, Template]] = []
        bindings = dict(names.bindings)
        assigned = self._inner(node, "set")
        for name in step.set_:
            place = self._inner(assigned, name)
            key = assigned.key(name) if isinstance(assigned, MappingNode) else None
            found = self._elaborator.template(place, names)
            if name in names.bindings:
                line = names.bindings[name].line
                self._report.add(key or place, "bound-twice", f"'{name}' is bound at line {line} already; choose another name")
            self._refuse_shadow(name, key or place, names)
            bindings[name] = Bound(found.type if found is not None else ANY, (key or place).line, (key or place).column)
            values.append((name, found.template if found is not None else Record(())))
        bound = Set(
            name=self._step_names.of(step, f"set_{next(iter(step.set_))}"), values=tuple(values), next=END, on_error=step.on_error
        )
        return _Ran((bound,), names.with_bindings(bindings))

    def _branch(self, step: BranchStep, node: Node, names: Names) -> _Ran:
        name = self._step_names.of(step, "branch")
        arms: list[tuple[Tree, tuple[TypedStep, ...]]] = []
        ways: list[_Ran] = []
        places = self._inner(node, "branch")
        for arm, place in zip(step.branch, places.items if isinstance(places, Sequence) else (), strict=True):
            tree = self._elaborator.condition(self._inner(place, "when"), "when", names)
            inside = names.knowing(proved(tree)) if tree is not None else names
            ran = self._way(arm.then, self._inner(place, "then"), inside)
            ways.append(ran)
            arms.append((tree if tree is not None else Constant(value=True, type=BOOL), ran.steps))
        otherwise = self._way(step.else_ if step.else_ is not None else "continue", self._inner(node, "else"), names)
        if step.else_ is None and not self._elaborator.elsewhere.lost:
            left_out = uncovered([tree for tree, _ in arms])
            if left_out:
                self._report.add(node, "missing-else", f"the arms do not cover {left_out}; add an arm or else")
        ways.append(otherwise)
        going = [way.names.bindings for way in ways if not way.ended]
        after = names.with_bindings(after_arms(names.bindings, going)) if going else names
        typed = TypedBranch(name, tuple(arms), otherwise.steps, step.on_error)
        return _Ran((typed,), after, 0 if going else max(way.ended for way in ways))

    def _way(self, way: Any, place: Node, names: Names) -> _Ran:
        return self._list(way, place, names) if isinstance(way, tuple) else _Ran((), names)

    def _parallel(self, step: ParallelStep, node: Node, names: Names) -> _Ran:
        name = self._step_names.of(step, "parallel")
        arms: list[tuple[str, tuple[TypedStep, ...]]] = []
        bindings = dict(names.bindings)
        places = self._inner(node, "parallel")
        ended = 0
        for arm, steps in step.parallel.items():
            ran = self._list(steps, self._inner(places, arm), names)
            arms.append((arm, ran.steps))
            ended = max(ended, ran.ended)
            for bound, what in ran.names.bindings.items():
                if bound in bindings and bound not in names.bindings:
                    place = Scalar(None, what.line, what.column)
                    message = f"'{bound}' is bound at line {bindings[bound].line} already, in another arm; choose another name"
                    self._report.add(place, "bound-twice", message)
                bindings[bound] = what
        return _Ran((TypedParallel(name, tuple(arms)),), names.with_bindings(bindings), ended)

    def _stop(self, step: StopStep, node: Node, names: Names) -> _Ran:
        return _Ran((Stop(name=self._step_names.of(step, f"stop_{step.stop}"), reason=str(step.stop)),), names, node.line)

    # literals

    def _retry(self, rule: RetryRule | None, node: Node) -> None:
        for key in ("wait", "most", "attempt_timeout"):
            if rule is not None:
                self._positive(getattr(rule, key), self._inner(node, key), key)

    def _positive(self, text: str, node: Node, key: str) -> int:
        us = self._duration(text, node)
        if us < 0:
            self._report.add(
                node, "bad-duration", f"'{text}' is less than nothing and '{key}' wants a time ahead; write one like 30s"
            )
        return us

    def _duration(self, text: str, node: Node) -> int:
        try:
            return duration_us(text)
        except ExpressionError as error:
            self._report.add(node, error.name, error.message)
            return 0


_RULES: Final[dict[type, Callable[..., _Ran]]] = {
    ActionStep: _Walk._action,
    DelayStep: _Walk._delay,
    UntilStep: _Walk._delay,
    SetStep: _Walk._set,
    BranchStep: _Walk._branch,
    ParallelStep: _Walk._parallel,
    StopStep: _Walk._stop,
}


def _retry_record(rule: RetryRule) -> Retry:
    try:
        return Retry(
            attempts=rule.attempts,
            wait_us=duration_us(rule.wait),
            factor=float(rule.factor),
            most_us=duration_us(rule.most),
            attempt_timeout_us=duration_us(rule.attempt_timeout),
        )
    except ExpressionError:  # told where the rule stands
        return Retry()
