"""What a deploy would mean for executions in flight: each stays on its version; could the new one go on with it, or why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flows.language.compile import CompiledFlow
from flows.versions.change import Change
from flows.versions.flow_changes import flow_changes
from flows.versions.in_home import FlowKey, Versions
from flows.versions.pointing import FOR_ALL, pointed, runs
from infra.executions import ExecutionRow, list_live
from operators.advance.migrate import Migration, Outcome, Verdict
from operators.execution.execution import unpack
from operators.turn.live import TWIN
from schemas.program import Program
from schemas.topics import engine_file

PAGE: Final = 10_000
ALL: Final = "*"
_CANNOT_COMPARE: Final = Verdict("pinned", (), ("its version was taken away; it goes on, and cannot be compared",))


@dataclass(frozen=True, slots=True)
class Fate:
    """One execution in flight: where it waits, and what a move to the new version would be."""

    tenant: str
    execution: str
    version: str
    outcome: Outcome
    at: tuple[str, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """One flow of one tenant (`*`: all) before its deploy. `old` is empty for a new one."""

    tenant: str
    flow: str
    old: str
    new: str
    changes: tuple[Change, ...]
    fates: tuple[Fate, ...]
    runs: str = FOR_ALL  # for whom the deploy puts it in force

    @property
    def counts(self) -> dict[str, int]:
        """Count the executions by what would become of them."""
        found = Counter(fate.outcome for fate in self.fates)
        return {outcome: found[outcome] for outcome in ("pinned", "migrates", "strands")}


def plan(flows: Sequence[CompiledFlow], home: Path, versions: Versions, tenant: str | None = None) -> Iterator[FlowPlan]:
    """Plan each flow for each of its tenants; with `tenant` for that one alone, as `deploy --tenant` would."""
    owned = [(flow, owner) for flow in flows for owner in ((tenant,) if tenant is not None else flow.tenants or (ALL,))]
    fates = fates_of({(owner, flow.name): flow.program for flow, owner in owned}, home, versions)
    for flow, owner in owned:
        key = versions.of_tenant(owner, flow.name)
        pointed_at = pointed(flow, None if key is None else versions.active[key].told, versions.program)
        pointer = versions.active.get((owner, flow.name))
        old = versions.program(pointer.version) if pointer is not None else None
        changes = flow_changes(old, flow.program) if old is not None else ()
        told = tuple(fates[owner, flow.name])
        yield FlowPlan(owner, flow.name, old.version if old else "", flow.version, changes, told, runs(pointed_at))


def fates_of(wanted: Mapping[FlowKey, Program], home: Path, versions: Versions) -> dict[FlowKey, list[Fate]]:
    """Say of every execution in flight that another version runs whether the new one of its flow could go on with it."""
    found: dict[FlowKey, list[Fate]] = {key: [] for key in wanted}
    judges: dict[tuple[FlowKey, str], _Judge] = {}
    for row in _in_flight({flow for _, flow in wanted}, home):
        key = _concerned(row, wanted, versions)
        if key is None or row.version == wanted[key].version:
            continue
        judge = judges.get((key, row.version))
        if judge is None:
            judge = judges[key, row.version] = _Judge(versions.program(row.version), wanted[key])
        fate = judge.fate(row)
        if fate is not None:
            found[key].append(fate)
    return found


def _in_flight(flows: Collection[str], home: Path) -> Iterator[ExecutionRow]:
    """Give the executions in flight of some flows, newest first, in one pass over the store."""
    before: int | None = None
    while page := list_live(home / engine_file(0), flows, before, PAGE):
        before = page[-1].row
        yield from page


def count_in_flight(home: Path, flow: str, version: str) -> int:
    """Count the executions in flight of a version; shadows are none."""
    found = (row for row in _in_flight([flow], home) if row.version == version and row.state is not None)
    return sum(1 for row in found if row.state is not None and TWIN not in unpack(row.state).env)


def _concerned(row: ExecutionRow, wanted: Mapping[FlowKey, Program], versions: Versions) -> FlowKey | None:
    """Give the flow whose deploy concerns an execution: a tenant with a flow of its own keeps that."""
    own = (row.tenant, row.flow)
    if own in wanted:
        return own
    shared = (ALL, row.flow)
    return shared if shared in wanted and own not in versions.active else None


class _Judge:
    """Says what would become of executions of one version. What is said of many is kept once."""

    def __init__(self, old: Program | None, new: Program) -> None:
        self._migration = None if old is None else Migration(old, new)

    def fate(self, row: ExecutionRow) -> Fate | None:
        """Judge one; None for a shadow, which is nobody's execution."""
        assert row.state is not None
        state = unpack(row.state)
        if TWIN in state.env:
            return None
        found = _CANNOT_COMPARE if self._migration is None else self._migration.verdict(state)
        return Fate(row.tenant, row.id.hex(), row.version, found.outcome, found.at, found.why)
