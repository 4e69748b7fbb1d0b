"""What must hold in the end, seen from outside: nothing lost, twice, stuck or early, nobody in another's data.

Reads the files of a home and what the receivers accepted; asks the oracle and, under the event clock, the reference runner.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from schemas.records import encode
from schemas.topics import COMMANDS, CONTROL
from sinks.settlement import EXPIRED
from tests.simulation.business import SECOND_US, stamp
from tests.simulation.files import Placed, Read, read_home
from tests.simulation.oracle import Command, Oracle, Place, run_through
from tests.simulation.outside import Receivers
from tests.simulation.plain import Act, Arms, Bind, Fork, Step, Stop, Until, Wait
from tests.simulation.reference import run_reference
from tests.simulation.scenario import Scenario, meaning_of_control

HOPS_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Outside:
    """What the receivers accepted, and which commands a person sent again."""

    receivers: Receivers
    redriven: set[str]


@dataclass(slots=True)
class Verdict:
    """Checks one home; raises AssertionError with what is wrong."""

    scenario: Scenario
    outside: Outside
    read: Read
    coverage: Counter[str]
    oracle: Oracle = field(default_factory=Oracle)
    letters: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)  # execution id → who it is
    started_us: dict[Place, int] = field(default_factory=dict)
    pinned: set[Place] = field(default_factory=set)

    def check(self) -> None:
        """Check everything."""
        if any(letter["kind"] == "poison" and letter["topic"] == CONTROL for letter in self.read.letters):
            self.coverage["scenarios without a verdict: a deploy was set aside after four deaths on it"] += 1
            return
        self._check_letters()
        self._ask_oracle()
        self._check_histories()
        self._check_executions()
        self._check_commands()
        self._check_results()
        self._check_accepted()
        if self.scenario.held:
            self._compare_with_reference()

    # --- dead letters of records

    def _check_letters(self) -> None:
        """Hold that exactly the spoilt records were set aside, each once, with its bytes."""
        spoilt = {}
        for placed in self.read.ingress:
            if placed.data in self.scenario.spoilt:
                spoilt[placed[:3]] = placed
        for letter in self.read.letters:
            if letter["kind"] == "hops" or letter["reason"] == "not-alive":
                continue
            at = (letter["topic"], letter["partition"], letter["position"])
            assert at not in self.letters, f"two dead letters for {at}: {letter} and {self.letters[at]}"
            self.letters[at] = letter
            if letter["kind"] == "poison":
                self.coverage["poisonous records set aside"] += 1
                continue
            assert at in spoilt, f"a good record was set aside: {letter}"
            assert letter["payload"] == spoilt[at].data, f"the dead letter of {at} holds other bytes than the record"
        lost = [at for at in spoilt if at not in self.letters]
        assert not lost, f"spoilt records without a dead letter: {[(at, self.scenario.spoilt[spoilt[at].data]) for at in lost]}"

    # --- what must come out

    def _ask_oracle(self) -> None:
        names: Counter[tuple[str, str, str]] = Counter()
        for placed in self.read.ingress:
            if placed[:3] in self.letters:
                continue
            if placed.topic == COMMANDS:
                continue
            if placed.topic == CONTROL:
                self._put_in_force(placed)
                continue
            event = self.scenario.events[placed.data]
            self._count_pinned(event.time_us)
            names[event.tenant, event.source, event.id] += 1
            self.coverage["duplicates in the log"] += names[event.tenant, event.source, event.id] > 1
            for place in self.oracle.take(event):
                self._count_owner(place)
        for place, one in self.oracle.expected.executions.items():
            _count_steps(one.flow.steps, self.coverage)
            self.coverage["construct: short form"] += one.flow.short
            self.coverage["construct: several triggers"] += len(one.flow.starts) > 1
            self.coverage["construct: execution timeout"] += one.flow.timeout is not None
            self.coverage[f"executions {one.status}"] += 1
            del place

    def _count_pinned(self, now_us: int) -> None:
        """Count executions that still run on a version which is not in force any more."""
        for place, one in self.oracle.expected.executions.items():
            if place not in self.pinned and one.ended_us > now_us:
                in_force = self.oracle.active.get((place.tenant, place.flow)) or self.oracle.active.get(("*", place.flow))
                if in_force is not one.flow:
                    self.pinned.add(place)
                    self.coverage["executions pinned to an older version"] += 1

    def _put_in_force(self, placed: Placed) -> None:
        found = meaning_of_control(placed.data)
        if found is not None:
            tenant, name, value = found
            self.oracle.activate(tenant, name, None if value is None else self.scenario.flows[name, value["version"]])

    def _count_owner(self, place: Place) -> None:
        flow = self.oracle.expected.executions[place].flow
        owners = {0: "all tenants", 1: "one tenant"}.get(len(flow.tenants), "several tenants")
        self.coverage[f"flows for {owners}"] += 1
        if flow.tenants and ("*", flow.name) in self.oracle.active:
            self.coverage["flows of a tenant before those for all"] += 1

    # --- histories and executions

    def _check_histories(self) -> None:
        """Hold that histories fold to one story an execution, and that its times never go back."""
        stories: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for record in self.read.histories:
            stories[record["execution"]].append(record)
        for execution, records in stories.items():
            first = records[0]
            place = Place(first["tenant"], first["flow"], first["event"])
            assert place not in self.started_us, f"{place} was started twice: as {execution} and as another"
            self.places[execution], self.started_us[place] = place, first["started"]
            kinds = [transition[1] for record in records for transition in record["transitions"]]
            times = [transition[0] for record in records for transition in record["transitions"]]
            assert times == sorted(times), f"the history of {place} goes back in time: {times}"
            assert kinds[0] == "started" and kinds.count("started") == 1, f"{place} does not begin once: {kinds}"
            assert kinds[-1] == "ended" and kinds.count("ended") == 1, f"{place} does not end once: {kinds}"
            assert records[-1]["transitions"][-1][4] == records[-1]["status"], f"{place} ends otherwise than its status"
            assert {(r["tenant"], r["flow"], r["event"], r["started"]) for r in records} == {(*_key(place), first["started"])}
            assert all(r["status"] == "waiting" and r["waiting_on"] for r in records[:-1]), (
                f"{place} waits for nothing: {records}"
            )

    def _check_executions(self) -> None:
        """Hold that the executions are those expected, each once, ended as expected, and that nothing waits any more."""
        expected = self.oracle.expected.executions
        found = {self.places.get(row.id): row for row in self.read.executions}
        assert None not in found, f"an execution has no history: {found.get(None)}"
        assert len(found) == len(self.read.executions) == len(self.places), "an execution is there twice"
        _same("executions", set(expected), set(found))
        assert not self.read.timers, f"timers are left: {self.read.timers}"
        for place, row in found.items():
            assert place is not None
            assert not row.live, f"{place} still lives"
            if self.scenario.held:
                assert self.started_us[place] == expected[place].started_us, f"{place} started at another time than it must"
            expected[place].started_us = self.started_us[place]
            run_through(expected[place])
            assert row.status == expected[place].status, f"{place} is {row.status}, must be {expected[place].status}"
            last = [record for record in self.read.histories if record["execution"] == row.id][-1]
            assert last["status"] == row.status, f"the history of {place} folds to {last['status']}, the store says {row.status}"

    # --- commands

    def _check_commands(self) -> None:
        """Hold that exactly the expected commands are on the action topics: each once, whole, in order, and not early."""
        expected = {(one.place, one.step): one for one in self.oracle.expected.commands() if not self._too_far(one.place)}
        dropped = sum(self._too_far(one.place) for one in self.oracle.expected.commands())
        hops = [letter for letter in self.read.letters if letter["kind"] == "hops"]
        assert len(hops) == len({letter["id"] for letter in hops}) == dropped, (
            f"{len(hops)} commands too many hops, must be {dropped}"
        )
        self.coverage["commands too many hops from their event"] += dropped
        found: dict[tuple[Place, str], dict[str, Any]] = {}
        for action in self.read.actions:
            place = self.places[action["subject"]]
            assert (place, action["step"]) not in found, f"{place} issued {action['step']} twice"
            assert action["tenant"] == place.tenant and action["flow"] == place.flow and action["causationid"] == place.event
            found[place, action["step"]] = action
        ids = Counter(action["id"] for action in self.read.actions)
        assert not ids or max(ids.values()) == 1, f"an action id is there twice: {ids.most_common(1)}"
        _same("commands", set(expected), set(found))
        for key, command in expected.items():
            self._check_command(command, found[key])
        self._check_order()

    def _too_far(self, place: Place) -> bool:
        return (self.oracle.expected.executions[place].event.hops or 0) >= HOPS_MOST

    def _check_command(self, command: Command, action: Mapping[str, Any]) -> None:
        what = f"{command.place} {command.step}"
        assert action["type"] == command.type, f"{what} is {action['type']}, must be {command.type}"
        assert _plain(action["data"]) == _plain(command.params), f"{what} carries {action['data']}, must carry {command.params}"
        if self.scenario.exact:
            assert action["time"] == stamp(command.at_us), f"{what} is of {action['time']}, must be of {stamp(command.at_us)}"
        else:
            assert _time_us(action["time"]) >= command.at_us, f"{what} came early: {action['time']} before {stamp(command.at_us)}"

    def _check_order(self) -> None:
        """Hold, under the event clock, that executions issue in listed order, and what is due before a row comes first."""
        if not self.scenario.exact:
            return
        issued: dict[Place, list[str]] = defaultdict(list)
        for record in self.read.histories:
            issued[self.places[record["execution"]]] += [t[2] for t in record["transitions"] if t[1] == "issued"]
        for place, one in self.oracle.expected.executions.items():
            steps = [command.step for command in one.commands]
            assert issued[place] == steps, f"{place} issued {issued[place]}, must issue {steps} (listed order)"
        last: dict[tuple[str, int], int] = defaultdict(int)
        for action in self.read.actions:
            slot, at_us = (action["_topic"], action["_partition"]), _time_us(action["time"])
            assert at_us >= last[slot], f"the command {action['id']} comes behind one of a later time in {slot}"
            last[slot] = at_us

    # --- results

    def _check_results(self) -> None:
        """Hold that each command has one result, that it is true, and that what was not delivered is a dead letter."""
        actions = {action["id"]: action for action in self.read.actions}
        results: dict[str, dict[str, Any]] = {}
        wishes: dict[str, list[int]] = defaultdict(list)
        for placed in self.read.ingress:
            if placed.topic == COMMANDS:
                wishes[json.loads(placed.data).get("redrive", "")].append(placed.appended_us)
        for result in self.read.results:
            before = results.get(result["action"])
            assert result["first"] == (before is None), f"two first results: {result} and {before}"
            if before is not None:
                assert result["action"] in self.outside.redriven, f"a second result of a command that nobody redrove: {result}"
                wished = wishes[result["action"]]  # a clock that was set back may have stamped the wish
                late = result["wall"] >= min(wished) + actions[result["action"]]["notafter"]
                expired = late and result["error"] == EXPIRED.error
                assert before["first"] and (result["status"] == "delivered" or expired), f"a redriven command ended as {result}"
            results[result["action"]] = result
            self.coverage[f"outcome: {result['status']}"] += 1
            action = actions[result["action"]]
            wanted = [action[name] for name in ("tenant", "flow", "step", "subject")]
            assert [result[name] for name in ("tenant", "flow", "step", "execution")] == wanted, f"{result} is not of {action}"
            if self.scenario.exact:
                assert stamp(result["at"]) == action["time"], f"the result's time is not the action's own: {result}"
        _same("results", set(actions), set(results))
        letters = Counter(letter["id"] for letter in self.read.action_letters)
        assert all(not results[action]["first"] for action in self.outside.redriven), (
            "a redriven command has no result of its own"
        )
        set_aside = {action for action, result in results.items() if result["status"] != "delivered"} | self.outside.redriven
        _same("dead letters of commands", set_aside, set(letters))
        again = {action for action in self.outside.redriven if results[action]["status"] != "delivered"}
        wrong = [action for action, count in letters.items() if count != 1 + (action in again)]
        assert not wrong, f"commands without one dead letter for each end: {wrong}"
        assert all(letter["reason"] and letter["detail"] for letter in self.read.action_letters), "a dead letter gives no reason"

    def _check_accepted(self) -> None:
        """Hold that what was delivered was carried out once, that nothing was carried out twice, and in the order promised."""
        results = {result["action"]: result for result in self.read.results}
        times = Counter(action for _, action in self.outside.receivers.accepted)
        assert not times or max(times.values()) == 1, f"a command was carried out twice: {times.most_common(1)}"
        for action, result in results.items():
            if result["status"] == "delivered":
                assert times[action] == 1, f"delivered and not carried out: {result}"
            elif result["status"] in ("failed", "dead"):
                assert times[action] == 0, f"carried out and said to be {result['status']}: {result}"
            else:
                assert result["status"] == "unknown", result
        unknown = set(times) - set(results)
        assert not unknown, f"carried out without a command: {unknown}"
        self._check_lanes()

    def _check_lanes(self) -> None:
        """Hold that commands of one execution, and of one order key of a tenant, were carried out in the log's order."""
        place = {action["id"]: at for at, action in enumerate(self.read.actions)}
        last: dict[Any, int] = defaultdict(lambda: -1)
        by_id = {action["id"]: action for action in self.read.actions}
        for _, action_id in self.outside.receivers.accepted:
            if action_id in self.outside.redriven:
                continue
            action = by_id[action_id]
            lanes: list[Any] = [action["subject"]]
            if action.get("orderkey") is not None:
                lanes.append((action["tenant"], action["orderkey"]))
                self.coverage["commands with an order key"] += 1
            for lane in lanes:
                assert place[action_id] > last[lane], f"{action['step']} of {action['subject']} was carried out before its turn"
                last[lane] = place[action_id]

    # --- the reference

    def _compare_with_reference(self) -> None:
        """Hold that every history has the transitions of the reference runner, with their times."""
        local = run_reference(self.read.ingress, lambda placed: placed[:3] in self.letters)
        wanted = {
            one.id.hex(): json.loads(encode(one.history()), parse_float=Decimal)["transitions"]
            for one in local.executions.values()
        }
        found: dict[str, list[Any]] = defaultdict(list)
        for record in self.read.histories:
            found[record["execution"]] += record["transitions"]
        _same("histories", set(wanted), set(found))
        for execution, transitions in wanted.items():
            got = [_plain(one) for one in found[execution]]
            assert got == [_plain(one) for one in transitions], f"{self.places[execution]}: history {got}, must be {transitions}"
        self.coverage["histories equal to the reference runner's"] += len(wanted)


def check_home(home: Path, scenario: Scenario, outside: Outside, coverage: Counter[str]) -> Read:
    """Check a home at rest; raises AssertionError."""
    read = read_home(home)
    Verdict(scenario, outside, read, coverage).check()
    return read


def _time_us(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * SECOND_US + at.microsecond


def _key(place: Place) -> tuple[str, str, str]:
    return place.tenant, place.flow, place.event


def _same(what: str, expected: set[Any], found: set[Any]) -> None:
    lost, strange = expected - found, found - expected
    assert not lost, f"{len(lost)} {what} lost, such as {next(iter(lost))}"
    assert not strange, f"{len(strange)} {what} that nobody expected, such as {next(iter(strange))}"


def _plain(value: Any) -> Any:
    """Make numbers comparable: a float and a decimal of one value are one value."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def _count_steps(steps: Sequence[Step], coverage: Counter[str]) -> None:
    for step in steps:
        coverage[f"construct: {_WORDS[type(step)]}"] += 1
        if isinstance(step, Fork):
            for _, then in step.arms:
                _count_steps(then, coverage)
            _count_steps(step.otherwise, coverage)
        elif isinstance(step, Arms):
            for _, arm in step.arms:
                _count_steps(arm, coverage)


_WORDS: Final[dict[type[Any], str]] = {
    Act: "action",
    Wait: "delay",
    Until: "until",
    Bind: "set",
    Fork: "branch",
    Arms: "parallel",
    Stop: "stop",
}
