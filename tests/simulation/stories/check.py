"""What must hold when a story has come to rest, told from topics and rows alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.simulation.invariants import _time_us
from tests.simulation.outside import Receivers
from tests.simulation.recorder import Recorder
from tests.simulation.stories.account import ENDS, Account, Did, Home, read_story
from tests.simulation.stories.asking import check_decisions
from tests.simulation.stories.counting import check_windows
from tests.simulation.stories.draw_flows import KINDS
from tests.simulation.stories.draw_triggers import span_us
from tests.simulation.stories.gathering import check_gathered
from tests.simulation.stories.script import RATE_US, Happening, Script
from tests.simulation.stories.slots import check_slots
from tests.simulation.stories.undoing import check_undoing
from tests.simulation.stories.watching import check_watches

WORDS: Final = ("issued", "requested", "entered", "called")  # what opens a step


@dataclass(slots=True)
class StoryVerdict:
    """Checks one home; raises AssertionError with what is wrong."""

    script: Script
    home: Home
    receivers: Receivers
    helped: bool
    coverage: Counter[str]
    started: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def check(self) -> None:
        """Check everything."""
        exact = self.script.scenario.exact
        self._check_rows()
        for account in self.home.accounts.values():
            self._check_record_by_record(account)
            self._check_tenant(account)
            self._check_commands(account)
            self._check_outcomes(account)
            check_decisions(account, self.coverage, exact=exact)
            check_undoing(account, self.coverage)
            _check_times(account, exact=exact)
            self._check_met(account)
            self._check_rest(account)
            self._count(account)
        self._check_starts()
        self._check_calls()
        self._check_limits()
        self._check_receivers()

    # --- rows and histories

    def _check_rows(self) -> None:
        """Hold that rows and histories are about the same executions, and that nothing is left of what has ended."""
        rows = {row.id: row for row in self.home.read.executions}
        assert len(rows) == len(self.home.read.executions), "an execution has two rows"
        watching = {identity for identity, row in rows.items() if row.status == "watching"}
        assert not watching, f"watches are left: {watching}"
        discarded = {identity for identity, row in rows.items() if row.status == "discarded"}
        assert not any(rows[identity].live for identity in discarded), "a watch that was discarded has a state"
        begun = set(rows) - discarded
        assert begun == set(self.home.accounts), f"rows and histories differ: {begun ^ set(self.home.accounts)}"
        live = {row.row for row in rows.values() if row.live}
        strange = {row for _, row, _ in self.home.read.timers} - live
        assert not strange, f"timers without an execution: {strange}"

    def _check_record_by_record(self, account: Account) -> None:
        """Hold that a history goes forward in time and that folding it gives the status and what is waited for."""
        times = [one.at for one in account.did]
        assert times == sorted(times), f"{account.name()} goes back in time: {times}"
        kinds = Counter(one.kind for one in account.did)
        assert kinds["started"] <= 1 and kinds["ended"] <= 1 + kinds["retracted"], (
            f"{account.name()} begins or ends twice: {kinds}"
        )
        opened, ended, closing = set[str](), None, False
        for record in account.records:
            for at, kind, step, verb, *rest in record["transitions"]:
                del at
                if kind in WORDS:
                    opened.add(step)
                closing |= kind == "closing"
                ended = rest[0] if kind == "ended" else ended
                if ended is not None:
                    assert kind in ("ended", "retracted", "forgotten") or verb or step, f"{account.name()}: {kind} behind the end"
            status, waiting_on = record["status"], record.get("waiting_on")
            waiting_on = waiting_on and waiting_on.removeprefix("operator ")
            folded = ended or ("closing" if closing else "waiting")
            assert status == folded or account.flow == "absent", f"{account.name()} folds to {folded}, its record says {status}"
            assert waiting_on is None or waiting_on in opened or "_" not in waiting_on, (
                f"{account.name()} waits for {waiting_on}, which it never entered"
            )
        assert account.row is not None
        assert account.row.status == account.status, f"{account.name()}: row {account.row.status}, history {account.status}"
        assert (account.row.tenant, account.row.flow, account.row.version) == (account.tenant, account.flow, account.version)

    def _check_rest(self, account: Account) -> None:
        """Hold that it has ended, or waits for an operator for a reason that its history shows."""
        if account.status in ENDS:
            assert account.row is not None
            assert not account.row.live, f"{account.name()} has ended and still has a state"
            return
        reason = self._reason(account)
        assert reason, f"{account.name()} is {account.status} at rest for no reason: {account.did[-6:]}"
        self.coverage[f"story: at rest {account.status}: {reason}"] += 1

    def _reason(self, account: Account) -> str:
        if account.status == "closing":
            if self._undo_failed(account):
                return "a compensation has failed"
            if self._unknown(account):
                return "an outcome is unknown"
        inner = [child for child in self.home.children[account.id] if child.status not in ENDS]
        if any(self._reason(child) for child in inner):
            return "a called flow waits"
        return ""

    def _undo_failed(self, account: Account) -> bool:
        """Tell whether the last that was said of a compensation is that it failed."""
        said = [one.kind for one in account.did if one.verb == "compensation"]
        return bool(said) and said[-1] == "failed" and not self.helped

    def _unknown(self, account: Account) -> bool:
        answered = Counter(one.step for _, one in account.of("answered") if one.detail["status"] == "unknown")
        answered += Counter(one.step for _, one in account.of("failed") if one.detail["code"] == "invalid_result")
        resumed = Counter(one.step for _, one in account.of("resumed"))
        return bool(answered - resumed) and not self.helped

    # --- tenants

    def _check_tenant(self, account: Account) -> None:
        tenants = {record["tenant"] for record in account.records} | {one["tenant"] for one in account.actions.values()}
        tenants |= {one["tenant"] for one in account.results}
        assert tenants == {account.tenant}, f"{account.name()} has records of {tenants}"
        for action in account.actions.values():
            job = str(action["data"]["job"])
            if account.flow.startswith("clocked"):  # it is about no job
                continue
            assert job.startswith(account.tenant), f"{account.name()} sends the job {job} of another tenant"
        for child in self.home.children[account.id]:
            assert child.tenant == account.tenant, f"{account.name()} called {child.name()}"

    # --- commands and outcomes

    def _check_commands(self, account: Account) -> None:
        """Hold that each issued command is on its topic once, and nothing else is."""
        issued = Counter(one.detail for _, one in account.of("issued"))
        hops = {letter["id"] for letter in self.home.read.letters if letter["kind"] == "hops"}
        assert not issued or max(issued.values()) == 1, f"{account.name()} issued one command twice: {issued.most_common(1)}"
        assert set(issued) - hops == set(account.actions), (
            f"{account.name()}: {set(issued) ^ set(account.actions)} issued or sent alone"
        )
        assert all(one["flow"] == account.flow and one["version"] == account.version for one in account.actions.values())

    def _check_outcomes(self, account: Account) -> None:
        """Hold that outcomes were heard in their order, each once, as they are on their topic."""
        outcomes = [one for one in account.results if one.get("awaited") and not one["step"].startswith("undo:")]
        said = Counter(one.step for _, one in account.of("resumed"))  # an operator's word stands, whatever comes behind it
        for _, heard in account.of("answered", "action"):
            while outcomes and _pair(heard) != (outcomes[0]["step"], outcomes[0]["status"]) and said[outcomes[0]["step"]]:
                said[outcomes.pop(0)["step"]] -= 1
            assert outcomes, f"{account.name()} heard {heard}, there is no such outcome"
            result = outcomes.pop(0)
            assert _pair(heard) == (result["step"], result["status"]), f"{account.name()} heard {heard}, next was {result}"
        left = [one for one in outcomes if not said[one["step"]]]
        assert account.ended is not None or not left, f"{account.name()} lives and has not heard {left}"

    def _check_receivers(self) -> None:
        read = self.home.read
        ids = Counter(action["id"] for action in read.actions)
        assert not ids or max(ids.values()) == 1, f"a command is on the topics twice: {ids.most_common(1)}"
        strange = [action for action in read.actions if action["subject"] not in self.home.accounts]
        assert not strange, f"commands of no execution: {strange}"
        firsts = Counter(result["action"] for result in read.results)
        assert set(firsts) == set(ids), f"commands without outcomes, or outcomes without commands: {set(firsts) ^ set(ids)}"
        assert not firsts or max(firsts.values()) == 1, f"a command has two outcomes: {firsts.most_common(1)}"
        done = Counter(action for _, action in self.receivers.accepted)
        assert not done or max(done.values()) == 1, f"a command was carried out twice: {done.most_common(1)}"
        keys = {action["id"]: action["idempotencykey"] for action in read.actions}
        kept = {keys[action] for action in done}
        for result in read.results:
            if result["status"] == "delivered":
                assert keys[result["action"]] in kept, f"delivered and not carried out: {result}"
            elif result["status"] in ("failed", "dead", "cancelled"):
                assert not done[result["action"]], f"carried out and said to be {result['status']}: {result}"
        self._check_cancels()

    def _check_cancels(self) -> None:
        """Hold that only own commands are withdrawn, and that a command is cancelled only where it was."""
        withdrawn = {one["action"] for one in self.home.cancels}
        for one in self.home.cancels:
            assert one["action"] in self.home.accounts[one["execution"]].actions, f"a strange withdrawal: {one}"
            assert one["tenant"] == self.home.accounts[one["execution"]].tenant
        for result in self.home.read.results:
            assert result["status"] != "cancelled" or result["action"] in withdrawn, f"cancelled by nobody: {result}"

    # --- what came in

    def _check_met(self, account: Account) -> None:
        """Hold that an execution uses an event once, one of its own tenant and job, that fits."""
        events = {event.id: event for event in self.script.events.values()}
        used = Counter((one.detail["source"], one.detail["event"]) for _, one in account.of("met", "wait"))
        assert not used or max(used.values()) == 1, f"{account.name()} used an event twice: {used.most_common(1)}"
        ours = {one["id"]: one for one in self.home.emitted}
        for _, one in account.of("met", "wait"):
            name, step = one.detail["event"], account.steps[one.step]
            assert name != account.event or one.detail["source"] != "/jobs", f"{account.name()} met its own cause"
            found = events.get(name)
            if found is None:
                assert ours[name]["tenant"] == account.tenant and ours[name]["type"] == step["wait"]
                continue
            assert found.tenant == account.tenant, f"{account.name()} met an event of {found.tenant}"
            assert found.type == step["wait"], f"{account.name()} met {found} at {step}"
            least = int(step["conditions"][0].rsplit(" ", 1)[1]) if "conditions" in step else 0
            assert found.job.get("amount", 0) >= least, f"{account.name()} met {found}, which does not fit {step}"
            self.coverage["story: waits met"] += 1
            self.coverage["story: waits met by looking back"] += found.time_us < self._entered_us(account, one.step, one.at)

    def _entered_us(self, account: Account, step: str, at_us: int) -> int:
        return max((one.at for _, one in account.of("entered", "wait") if one.step == step and one.at <= at_us), default=at_us)

    # --- starts

    def _check_starts(self) -> None:
        """Hold that every cause started each flow it must, once."""
        found: Counter[tuple[str, str, str]] = Counter()
        for account in self.home.accounts.values():
            if account.parent is None:
                found[account.tenant, account.flow, account.event] += 1
        twice = [one for one, times in found.items() if times > 1 and one[1] not in ("absent", "chain")]
        assert not twice, f"started twice: {twice}"
        must = self._expected_starts()
        dropped = Counter(letter["tenant"] for letter in self.home.read.letters if letter["kind"] == "limit")
        lost: Counter[str] = Counter(one[0] for one in must if not found[one])
        assert all(lost[tenant] <= dropped[tenant] for tenant in lost), (
            f"lost starts: {[one for one in must if not found[one]][:3]}; limits dropped {dict(dropped)}"
        )
        kinds = ("made_", "told", "hand_", "behind", "asked")
        strange = [one for one in found if one[1].startswith(kinds) and one not in must]
        assert not strange, f"started by nothing: {strange[:3]}"

    def _expected_starts(self) -> set[tuple[str, str, str]]:
        must = set[tuple[str, str, str]]()
        came: dict[str, Happening] = {}
        poison = {_place(letter) for letter in self.home.read.letters if letter["kind"] == "poison"}
        for placed in self.home.read.ingress:
            event = self.script.events.get(placed.data)
            if event is not None and placed[:3] not in poison:  # set aside, for the engine died on it again and again
                came.setdefault(event.id, event)
        for event in came.values():
            for at, kind in enumerate(KINDS):
                flow = self.script.active.get(f"made_{at}")
                if flow is not None and event.type == "job.made" and event.job["kind"] == kind and _is_for(flow, event.tenant):
                    must.add((event.tenant, f"made_{at}", event.id))
        for one in self.home.emitted:
            if one["type"] == "job.told" and "told" in self.script.active:
                must.add((one["tenant"], "told", one["id"]))
            if one["type"] == "approval.requested" and "asked" in self.script.active:
                must.add((one["tenant"], "asked", one["id"]))
            if one["type"] == "flow.ended" and one["data"]["flow"] == "made_0" and "behind" in self.script.active:
                must.add((one["tenant"], "behind", one["id"]))
        for order in self.home.orders:
            inputs = order.get("inputs") or {}
            if order["command"] == "start" and "desk" in order["roles"] and isinstance(inputs.get("id"), str):
                must.add((order["tenant"], "hand_0", inputs["id"]))
        return must

    def _check_calls(self) -> None:
        """Hold that each call started its flow once, and that its end was heard as it was."""
        for account in self.home.accounts.values():
            called = Counter(one.detail["flow"] for _, one in account.of("called"))
            children = self.home.children[account.id]
            began = Counter(child.flow for child in children)
            extra = began - called
            assert not extra, f"{account.name()} called {dict(called)} and has {dict(began)}"
            heard = [one.detail["status"] for _, one in account.of("answered", "call")]
            ends = Counter(child.status for child in children)
            over = Counter(heard) - ends
            refused = sum(letter["kind"] == "limit" for letter in self.home.read.letters)
            assert sum(over.values()) <= refused, f"{account.name()} heard {heard}, its calls ended as {dict(ends)}"
            self.coverage["story: calls started"] += len(children)

    # --- limits

    def _check_limits(self) -> None:
        """Hold that no flow ran more often at once, or began more often, than its limit allows."""
        by_flow: dict[tuple[str, str], list[Account]] = defaultdict(list)
        for account in self.home.accounts.values():
            if account.begun_us is not None:
                by_flow[account.flow, account.tenant].append(account)
        for (flow, tenant), accounts in by_flow.items():
            for kind, limit in accounts[0].document.get("limits", {}).items():
                if any(one.document.get("limits") != accounts[0].document.get("limits") for one in accounts):
                    continue
                if kind == "rate":
                    begun = sorted(one.begun_us for one in accounts if one.begun_us is not None)
                    most = all(late - early >= RATE_US for early, late in zip(begun, begun[limit["max"] :], strict=False))
                    assert most, f"{tenant} {flow} began too often for {limit}: {begun}"
                    if self.script.scenario.exact:
                        _check_no_longer(accounts, limit["max"])
                else:
                    assert _most_at_once(accounts) <= limit["max"], f"{tenant} {flow} ran too often at once for {limit}"
                self.coverage[f"story: limit {kind} {limit['over']}"] += 1

    # --- coverage

    def _count(self, account: Account) -> None:
        for one in account.did:
            self.coverage[f"story did: {one.verb or 'execution'}.{one.kind}"] += 1
        self.coverage[f"story: executions {account.status}"] += 1
        self.coverage[f"story: flow {account.flow.split('_')[0]}"] += 1


def _check_no_longer(accounts: list[Account], most: int) -> None:
    """Hold that who waits for a rate begins when that is free again, at most a twentieth of its time later."""
    begun = sorted((one for one in accounts if one.begun_us is not None), key=lambda one: one.begun_us or 0)
    for before, one in zip(begun, begun[most:], strict=False):
        queued_us = next((did.at for _, did in one.of("entered", "limit")), None)
        free_us = (before.begun_us or 0) + RATE_US + RATE_US // 20
        assert queued_us is None or (one.begun_us or 0) <= max(queued_us, free_us), (
            f"{one.name()} waited from {queued_us} until {one.begun_us}, its rate was free at {free_us} at the latest"
        )


def _pair(heard: Did) -> tuple[str, str]:
    return heard.step, heard.detail["status"]


def _place(letter: Mapping[str, Any]) -> tuple[str, int, int]:
    return letter["topic"], letter["partition"], letter["position"]


def _is_for(flow: dict[str, Any], tenant: str) -> bool:
    return "tenant" not in flow or tenant in flow["tenant"]


def _most_at_once(accounts: list[Account]) -> int:
    ends = [(one.did[-1].at if one.ended is None else next(did.at for _, did in one.of("ended")), one) for one in accounts]
    steps = sorted([(at, -1) for at, one in ends if one.ended is not None] + [(one.begun_us or 0, 1) for one in accounts])
    live = most = 0
    for _, step in steps:
        live += step
        most = max(most, live)
    return most


def _check_times(account: Account, *, exact: bool) -> None:
    """Hold that nothing happens before its time, and under the event clock exactly at it."""
    due: dict[str, list[int]] = defaultdict(list)
    for one in account.did:
        if one.kind == "entered" and one.verb in ("delay", "until", "wait"):
            due[one.step].append(one.detail)
        elif (one.kind == "completed" and one.verb == "delay") or (one.kind == "timed_out" and one.verb == "wait"):
            assert one.step in due, f"{account.name()}: {one} was never entered"
            assert any(time <= one.at for time in due[one.step]), f"{account.name()}: {one} came before {due[one.step]}"
            assert not exact or one.at in due[one.step], f"{account.name()}: {one} is not at its time {due[one.step]}"
        elif one.kind == "timed_out" and one.verb in ("action", "call"):
            begun = [
                before.at for _, before in account.of("issued" if one.verb == "action" else "called") if before.step == one.step
            ]
            if one.verb == "action":
                begun = _issued_us(account, one.step)
            wanted = [at + span_us(account.steps[one.step]["timeout"]) for at in begun]
            assert any(time <= one.at for time in wanted), f"{account.name()}: {one} came before {wanted}"
        elif one.kind == "reminded":
            _check_reminder(account, one, exact=exact)


def _issued_us(account: Account, step: str) -> list[int]:
    return [_time_us(action["time"]) for action in account.actions.values() if action["step"] == step]


def _check_reminder(account: Account, one: Any, *, exact: bool) -> None:
    asked = [before.at for _, before in account.of("requested") if before.step == one.step]
    wanted = [at + span_us(length) for at in asked for length in account.steps[one.step]["remind"]]
    assert any(time <= one.at for time in wanted), f"{account.name()}: {one} came before {wanted}"
    assert not exact or one.at in wanted, f"{account.name()}: {one} is not at its time {wanted}"


def _check_blame(letters: Iterable[Mapping[str, Any]], lives: int) -> None:
    """Hold that no record was set aside as poison but behind three deaths, the next ones behind another each."""
    blamed = sum(letter["kind"] == "poison" for letter in letters)
    assert not blamed or blamed + 3 <= lives, f"{blamed} records were set aside as poison in {lives} lives of the engine"


def check_story(home: Path, script: Script, helped: bool, life: tuple[Receivers, Recorder], coverage: Counter[str]) -> None:
    """Check a home at rest; raises AssertionError."""
    receivers, recorder = life
    read = read_story(home, script.flows)
    StoryVerdict(script, read, receivers, helped, coverage).check()
    _check_blame(read.read.letters, recorder.lives)
    check_windows(script, read, recorder, coverage)
    check_slots(script, read, recorder, coverage)
    check_watches(script, read, recorder, coverage)
    check_gathered(script, read, recorder, coverage)
