"""What one execution did, folded from its histories, its commands and their results: plain data, read from topics alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from schemas.topics import APPROVAL_EVENTS, CANCELS, COMMANDS, DECISIONS, FLOW_EVENTS, LATE, is_events
from tests.simulation.files import ExecutionRow, Read, _json, read_home, records_of
from tests.simulation.machine import ENGINE_FILE
from tests.simulation.stories.draw_flows import Document
from tests.simulation.stories.draw_steps import Step, all_steps

ENDS = ("completed", "failed", "cancelled")


class Did(NamedTuple):
    """One transition."""

    at: int
    kind: str
    step: str
    verb: str
    detail: Any = None


@dataclass(slots=True)
class Account:
    """One execution, as its histories tell it."""

    id: str
    tenant: str
    flow: str
    version: str
    event: str
    parent: str | None
    records: list[dict[str, Any]]
    document: Document
    did: list[Did] = field(default_factory=list)
    row: ExecutionRow | None = None
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)  # id → command
    results: list[dict[str, Any]] = field(default_factory=list)  # first outcomes, in the order of their topic
    decisions: list[dict[str, Any]] = field(default_factory=list)  # of its tenant, in the order of their topic
    steps: dict[str, Step] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Give the status of the last record."""
        return str(self.records[-1]["status"])

    @property
    def begun_us(self) -> int | None:
        """Give when it began to run; None if it never did."""
        return next((one.at for one in self.did if one.kind == "started"), None)

    @property
    def ended(self) -> str | None:
        """Give how its history says that it has ended."""
        return next((one.detail for one in self.did if one.kind == "ended"), None)

    def of(self, kind: str, verb: str | None = None) -> Iterator[tuple[int, Did]]:
        """Give the transitions of a kind, with their places."""
        return ((at, one) for at, one in enumerate(self.did) if one.kind == kind and verb in (None, one.verb))

    def name(self) -> str:
        """Name it in messages."""
        return f"{self.tenant} {self.flow} {self.event} ({self.id})"


@dataclass(slots=True)
class Home:
    """All that lies in a home."""

    read: Read
    accounts: dict[str, Account]
    cancels: list[dict[str, Any]]
    emitted: list[dict[str, Any]]  # events of ours, also internal ones
    orders: list[dict[str, Any]]
    children: dict[str, list[Account]]
    late: list[dict[str, Any]]  # events that came too late for a window


def read_story(home: Path, flows: dict[tuple[str, str], Document]) -> Home:
    """Read a home into accounts."""
    read = read_home(home)
    engine = records_of(home / ENGINE_FILE)
    accounts = _accounts(read, flows)
    for placed in read.ingress:
        if placed.topic == DECISIONS:
            one = _json(placed)
            account = accounts.get(one["execution"])
            if account is not None and account.tenant == one["tenant"]:
                account.decisions.append(one)
    said = [_json(one) for one in engine if one.topic in (APPROVAL_EVENTS, FLOW_EVENTS) or is_events(one.topic)]
    children: dict[str, list[Account]] = defaultdict(list)
    for account in accounts.values():
        if account.parent:
            children[account.parent].append(account)
    late = [_json(one) for one in engine if one.topic == LATE]
    orders = [_json(one) for one in read.ingress if one.topic == COMMANDS]
    return Home(read, accounts, [_json(one) for one in engine if one.topic == CANCELS], said, orders, children, late)


def _accounts(read: Read, flows: dict[tuple[str, str], Document]) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    for record in read.histories:
        identity, flow, version = record["execution"], record["flow"], record["version"]
        account = accounts.get(identity)
        if account is None:
            document = flows[flow, version]
            account = accounts[identity] = Account(
                identity, record["tenant"], flow, version, record["event"], record.get("parent"), [], document
            )
            listed = [*document["steps"], *document.get("on_error", ()), *document.get("on_retract", ())]
            account.steps = {step["as"]: step for step in all_steps(listed) if "as" in step}
        account.records.append(record)
        account.did += [Did(*one) for one in record["transitions"]]
        account.event = record["event"]  # of a watch: what has come to its verdict
    for action in read.actions:
        if action["subject"] in accounts:
            accounts[action["subject"]].actions[action["id"]] = action
    for result in read.results:
        if result["execution"] in accounts and result["first"]:
            accounts[result["execution"]].results.append(result)
    for row in read.executions:
        if row.id in accounts:
            accounts[row.id].row = row
    return accounts
