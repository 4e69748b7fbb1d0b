"""Runs one test document: each line of its timeline at its time, up to the first difference from what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from flows.language.conditions import duration_us
from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, Path, nearest
from flows.local.execution import LocalExecution
from flows.scenarios.compare import Difference, differences
from flows.scenarios.outside import Outside
from flows.scenarios.stage import Stage
from flows.scenarios.world import Endless, World
from operators.advance.advance import Runnable
from operators.execution.execution import Ballot
from operators.schedules.schedule import next_slot
from operators.schedules.schedule_book import last_slot
from schemas.errors import InvalidInput
from schemas.events import to_json
from schemas.expression.findings import ExpressionError
from schemas.expression.literal_fit import literal_value
from schemas.expression.literals import parse_timestamp_us
from schemas.expression.template import compile_template
from schemas.flow.scenario import Moments, Test
from schemas.program import Act, Manual, Schedule
from schemas.records import Decision, Json, OperatorCommand
from schemas.start_inputs import BadInputs

SOURCE: Final = "/test"
SOMEBODY: Final = "somebody"
NOT_OPEN: Final = "not_open"
NOT_ALLOWED: Final = "not_allowed"
NOT_POSSIBLE: Final = "not_possible"
_WHAT: Final = {"decide": "the decision", "fire": "the start", "command": "the command"}
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Failure:
    """The first difference: where in the file, at which time of the story, and what."""

    line: int
    column: int
    at: str
    message: str


class Story:
    """One test on its stage."""

    def __init__(self, test: Test, node: MappingNode, stage: Stage) -> None:
        self._test = test
        self._node = node
        self._stage = stage
        self._clock_us = parse_timestamp_us(test.clock)
        self.tenant = stage.tenant(test)
        self.world = World(stage.registry, stage.policies(test), Outside(test.answers), self._clock_us)
        self.world.play(stage.started, stage.programs)
        self._sent = 0

    def run(self) -> Failure | None:
        """Tell the story; None if all was as expected."""
        for number, line in enumerate(self._test.timeline):
            place: Path = ("timeline", number)
            try:
                at_us = moment_us(line.at, self._clock_us)
                self.world.let_pass(at_us, deadlines=line.expect is not None)
                found = self._tell(line)
            except (BadInputs, ExpressionError, Endless, InvalidInput) as error:
                found = Difference((), str(error))
            found = found or self._unanswered()
            if found is not None:
                return self._failure(place, line.at, found)
        return None

    def _tell(self, line: Moments) -> Difference | None:
        if line.expect is not None:
            return differences(line.expect, self.world, self._test.flow, lambda text: moment_us(text, self._clock_us))
        if line.send is not None:
            return self._send(line, line.send)
        if line.fire is not None:
            return self._fire(line, line.fire)
        if line.decide is not None:
            return self._decide(line, line.decide)
        if line.command is not None:
            return self._command(line)
        self._stage.change_policies(self.world.policies, self.tenant, line.policies or {})
        self.world.policies_changed()
        return None

    def _shown(self) -> LocalExecution | None:
        """Give the execution that expectations speak of: the flow's last one."""
        return next(reversed(self.world.begun(self._test.flow)), None)

    def _unanswered(self) -> Difference | None:
        """Tell of a result that a step binds and that the test leaves out."""
        for action in self.world.outside.unanswered:
            steps = self._stage.programs[action.version].program.steps
            wanted = next((step.result for step in steps if isinstance(step, Act) and step.name == action.step), None)
            if wanted is not None and any(not kind.optional for _, kind in wanted.fields):
                message = f"step '{action.step}' waits for {action.type} and the test answers it nowhere"
                return Difference((), f"{message}; add answers: {{{action.type}: ...}}")
        return None

    # --- what comes in

    def _send(self, line: Moments, event: str) -> Difference | None:
        contract = self._stage.registry.contract(event)
        if contract is None:
            return Difference(("send",), f"there is no contract of {event}; give the file that defines it, or deploy it")
        self._sent += 1
        try:
            data = literal_value(line.with_ or {}, contract.data)
        except ExpressionError as error:
            return Difference(("with", *error.path), error.message)
        said = {
            "id": line.id or f"test-{self._sent}",
            "source": line.source or SOURCE,
            "tenant": self.tenant,
            "time": moment_us(line.time, self._clock_us) if line.time else self.world.now_us,
            "data": data,
        }
        self.world.take_event(contract.topic, to_json(contract, said))
        if self.world.bad:
            _, reason, detail = self.world.bad[-1]
            return Difference(("send",), f"the event is set aside: {reason}: {detail}")
        return None

    def _fire(self, line: Moments, what: str) -> Difference | None:
        kind = Manual if what == "manual" else Schedule
        found = self._stage.first(self._test.flow, kind)
        if found is None:
            how = "by hand" if what == "manual" else "by a schedule"
            return Difference(("fire",), f"flow '{self._test.flow}' has no trigger that starts it {how}")
        runnable, trigger = found
        return self._by_hand(line, runnable, trigger) if what == "manual" else self._slot(line, runnable, trigger)

    def _by_hand(self, line: Moments, runnable: Runnable, trigger: Manual) -> Difference | None:
        self._sent += 1
        order = OperatorCommand(
            command="start",
            tenant=self.tenant,
            flow=runnable.program.flow,
            inputs=dict(line.with_ or {}),
            id=line.id or f"test-{self._sent}",
            by=line.by or SOMEBODY,
            roles=list(line.roles) or list(trigger.roles),
            at=self.world.now_us,
        )
        why = self.world.take_order(order).replace("-", "_", 1)  # a dead letter's reason
        if why == NOT_ALLOWED and line.refused is None:
            return Difference(("roles",), f"none of {', '.join(line.roles)} may start it; {', '.join(trigger.roles)} may")
        return _refusal("fire", line.refused, why)

    def _slot(self, line: Moments, runnable: Runnable, trigger: Schedule) -> Difference | None:
        """Let the last slot that has come run; `with` gives other inputs than the schedule does."""
        zone = line.zone or trigger.zones[0]
        if zone not in trigger.zones:
            return Difference(("zone",), f"{zone} is none of the schedule's zones {', '.join(trigger.zones)}")
        now_us = self.world.now_us
        slot = last_slot(trigger.cron, zone, 0, now_us)
        if slot is None:
            return Difference(("fire",), f"'{trigger.cron}' in {zone} has had no slot up to then")
        given = compile_template(trigger.inputs)({}) if trigger.inputs is not None else {}
        if not self.world.start_slot((runnable, trigger), self.tenant, (zone, slot), {**given, **(line.with_ or {})}):
            following = next_slot(trigger.cron, zone, now_us)
            then = "there is no other" if following is None else f"the next is {following.local}"
            return Difference(("fire",), f"the slot {slot.local} in {zone} has run already, and each runs once; {then}")
        return None

    def _decide(self, line: Moments, step: str) -> Difference | None:
        one, ballot = self._asked(step)
        if one is None:
            return Difference(("decide",), f"nothing has asked for a decision of '{step}'; {self._where()}")
        decision = Decision(
            tenant=self.tenant,
            execution=one.id.hex(),
            step=step,
            occurrence=ballot.occurrence if ballot is not None else 0,
            outcome="rejected" if line.outcome == "rejected" else "approved",
            by=line.by or SOMEBODY,
            roles=list(line.roles) or (ballot.roles if ballot is not None else []),  # unless it says otherwise, one who may
            form=line.form,
            at=self.world.now_us,
            via="test",
        )
        before = len(one.transitions)
        if one.state is not None:
            self.world.take_decision(decision)
        refused = [change for change in one.transitions[before:] if change.kind == "refused"]
        why = _why(refused[0].detail) if refused else NOT_OPEN if ballot is None else ""
        return _refusal("decide", line.refused, why)

    def _asked(self, step: str) -> tuple[LocalExecution | None, Ballot | None]:
        """Find the execution that asks for a decision, or the last that did."""
        for one in reversed(list(self.world.executions.values())):
            steps = one.runnable.program.steps
            ballots = one.state.rest.ballots if one.state is not None and one.state.rest is not None else {}
            for parked in one.state.parked if one.state is not None else ():
                if parked.token in ballots and steps[parked.step].name == step:
                    return one, ballots[parked.token]
        told = reversed(list(self.world.executions.values()))
        asked = (one for one in told if any(change.step == step for change in one.transitions))
        return next(asked, None), None

    def _command(self, line: Moments) -> Difference | None:
        one = self._shown()
        if one is None:
            return Difference(("command",), "no execution has started that it could be for")
        order = OperatorCommand(
            command=line.command,  # type: ignore[arg-type]
            tenant=self.tenant,
            execution=one.id.hex(),
            step=line.step or "",
            outcome=line.outcome or "",  # type: ignore[arg-type]
            by=line.by or "operator",
            roles=list(line.roles),
            at=self.world.now_us,
        )
        before = len(one.transitions)
        taken = one.state is not None
        self.world.take_order(order)
        refused = [change for change in one.transitions[before:] if change.kind == "refused"]
        why = f"{NOT_POSSIBLE}: {_why(refused[0].detail)}" if refused else "" if taken else f"{NOT_POSSIBLE}: it has ended"
        return _refusal("command", line.refused, why)

    def _where(self) -> str:
        one = self._shown()
        if one is None:
            return "no execution has started"
        steps = sorted(
            {
                one.runnable.program.steps[parked.step].name
                for parked in (one.state.parked if one.state is not None else ())
                if parked.step >= 0
            }
        )
        return f"the execution is {one.status}" + (f" at {', '.join(steps)}" if steps else "")

    def _failure(self, place: Path, at: str, found: Difference) -> Failure:
        node: Node = nearest(self._node, (*place, *found.path))
        return Failure(node.line, node.column, at, found.message)


def moment_us(text: str, clock_us: int) -> int:
    """Read an offset from the clock, or a timestamp. Raises ExpressionError."""
    try:
        return clock_us + duration_us(text)
    except ExpressionError:
        return parse_timestamp_us(text)


def _refusal(verb: str, wanted: str | None, why: str) -> Difference | None:
    """Compare why something is refused, if it is, with what was expected."""
    what = _WHAT[verb]
    if wanted is None:
        return Difference((verb,), f"{what} is refused: {why}") if why else None
    if why.partition(":")[0] == wanted:
        return None
    told = f"it is refused: {why}" if why else "it is taken"
    return Difference(("refused",), f"expected {what} to be refused as {wanted}; {told}")


def _why(detail: Json) -> str:
    return str(detail.get("why") or detail.get("reason") or detail) if isinstance(detail, Mapping) else str(detail)
