"""What a deploy would mean for executions in flight: each stays on its version; could the new one go on with it, or why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flows.language.compile import CompiledFlow
from flows.versions.change import Change
from flows.versions.flow_changes import flow_changes
from flows.versions.in_home import FlowKey, Versions
from flows.versions.pointing import FOR_ALL, pointed, runs
from infra.executions import ExecutionRow, Filter, list_executions
from operators.advance.migrate import Migration, Outcome
from operators.execution.execution import unpack
from operators.turn.live import TWIN
from schemas.program import Program
from schemas.topics import engine_file

PAGE: Final = 1_000
ALL: Final = "*"
IN_FLIGHT: Final = ("waiting", "closing", "watching", "queued", "running")


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


def plan(flows: Iterable[CompiledFlow], home: Path, versions: Versions, tenant: str | None = None) -> Iterator[FlowPlan]:
    """Plan each flow for each of its tenants; with `tenant` for that one alone, as `deploy --tenant` would."""
    for flow in flows:
        for owner in (tenant,) if tenant is not None else flow.tenants or (ALL,):
            key = versions.of_tenant(owner, flow.name)
            pointed_at = pointed(flow, None if key is None else versions.active[key].told, versions.program)
            pointer = versions.active.get((owner, flow.name))
            old = versions.program(pointer.version) if pointer is not None else None
            changes = flow_changes(old, flow.program) if old is not None else ()
            fates = tuple(fates_of((owner, flow.name), flow.program, home, versions))
            yield FlowPlan(owner, flow.name, old.version if old else "", flow.version, changes, fates, runs(pointed_at))


def fates_of(key: FlowKey, new: Program, home: Path, versions: Versions) -> Iterator[Fate]:
    """Say of every execution in flight of a flow that another version runs whether the new one could go on with it."""
    migrations: dict[str, Migration | None] = {}
    for row in in_flight(key, home, versions):
        if row.version == new.version:
            continue
        if row.version not in migrations:
            old = versions.program(row.version)
            migrations[row.version] = None if old is None else Migration(old, new)
        yield _fate(row, migrations[row.version])


def in_flight(key: FlowKey, home: Path, versions: Versions) -> Iterator[ExecutionRow]:
    """List the executions in flight that a flow's deploy concerns, newest first: a tenant with a flow of its own keeps that."""
    owner, flow = key
    own = {tenant for tenant, name in versions.active if name == flow and tenant != ALL}
    for status in IN_FLIGHT:
        before: int | None = None
        while page := list_executions(home / engine_file(0), Filter(None if owner == ALL else owner, flow, status, before, PAGE)):
            before = page[-1].row
            concerned = (row for row in page if owner != ALL or row.tenant not in own)
            yield from (row for row in concerned if row.state is not None and TWIN not in unpack(row.state).env)


def _fate(row: ExecutionRow, migration: Migration | None) -> Fate:
    assert row.state is not None
    if migration is None:
        why = ("its version was taken away; it goes on, and cannot be compared",)
        return Fate(row.tenant, row.id.hex(), row.version, "pinned", (), why)
    found = migration.verdict(unpack(row.state))
    return Fate(row.tenant, row.id.hex(), row.version, found.outcome, found.at, found.why)
