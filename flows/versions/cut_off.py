"""What a deploy would cut off: a changed event contract takes a field from a version that stays in force beside what is deployed.

The versions of the files themselves are not asked: they were checked with the contracts of the files. Executions in flight on
other versions are asked for what they may still wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Final

from flows.language.compile import CompiledFlow
from flows.versions.contract_changes import field_changes
from flows.versions.in_home import FlowKey, Versions
from flows.versions.plan import count_in_flight
from flows.versions.pointing import SHORT, pointed
from flows.versions.readers import no_longer_read
from infra.executions import live_versions
from schemas.contracts import EventContract
from schemas.errors import InvalidInput
from schemas.pointer import Pointer
from schemas.program import Program
from schemas.topics import engine_file

ALL: Final = "*"
_UNTIL: Final = "keep it until they have ended, or move them to a version that does not read it first (millrace migrate)"
Change = tuple[EventContract, EventContract]  # as it is, as it would be
CutOff = tuple[str, str]  # the event, what is said of it


def cut_off(
    changed: Sequence[Change], flows: Sequence[CompiledFlow], known: tuple[Path, Versions], tenant: str | None
) -> Iterator[CutOff]:
    """Say what flows in force after a deploy, and executions in flight, would no longer be given; `tenant`: for whom alone."""
    home, versions = known
    told = dict.fromkeys(_of_flows(changed, flows, versions, tenant))
    stay = {*(flow.version for flow in flows), *(version for _, version in _stays(flows, versions, tenant, set()))}
    yield from [*told, *_of_executions(changed, home, versions, stay)]


def _of_executions(changed: Sequence[Change], home: Path, versions: Versions, stay: Set[str]) -> Iterator[CutOff]:
    """Look at versions that nothing starts on any more, and of which something is in flight. Shadows are nobody's executions."""
    if not any(_is_broken(change) for change in changed):
        return
    for flow, version in sorted(live_versions(home / engine_file(0))):
        program = None if version in stay else versions.program(version)
        lost = _lost(program, changed, begun=True)
        count = count_in_flight(home, flow, version) if lost else 0
        for event, what in lost if count else []:
            these = f"{count} executions in flight" if count > 1 else "an execution in flight"
            yield event, f"{these} of flow '{flow}' (version {version[:SHORT]}) may wait for {what}; {_UNTIL}"


def _is_broken(change: Change) -> bool:
    old, new = change
    return any(one.weight == "breaks" for one in field_changes(old.data, new.data, "data"))


def _of_flows(
    changed: Sequence[Change], flows: Sequence[CompiledFlow], versions: Versions, tenant: str | None
) -> Iterator[CutOff]:
    fresh, names = {flow.version for flow in flows}, {flow.name for flow in flows}
    programs: dict[str, Program | None] = {}
    for key, version in _stays(flows, versions, tenant, fresh):
        if version not in programs:
            programs[version] = versions.program(version)
        beside = key[1] in names
        for event, what in _lost(programs[version], changed):
            yield event, f"{_who(key, version, beside=beside)} reads {what}; {_advice(beside=beside)}"


def _lost(program: Program | None, changed: Sequence[Change], *, begun: bool = False) -> list[tuple[str, str]]:
    if program is None:
        return []
    return [(new.event, what) for old, new in changed for what in sorted(set(no_longer_read(program, old, new, begun=begun)))]


def _stays(
    flows: Iterable[CompiledFlow], versions: Versions, tenant: str | None, fresh: Set[str]
) -> Iterator[tuple[FlowKey, str]]:
    """Give whose versions would be in force after the deploy that are none of its own."""
    for key, pointer in _after(flows, versions, tenant):
        yield from ((key, version) for version in pointer.versions() if version not in fresh)


def _after(flows: Iterable[CompiledFlow], versions: Versions, tenant: str | None) -> list[tuple[FlowKey, Pointer]]:
    """Give the pointers as the deploy would leave them, by flow and tenant."""
    active = {key: one.told for key, one in versions.active.items()}
    for flow in flows:
        for owner in (tenant,) if tenant is not None else flow.tenants or (ALL,):
            key = (owner, flow.name)
            if not flow.enabled:
                active.pop(key, None)
                continue
            current = versions.of_tenant(owner, flow.name)
            try:
                active[key] = pointed(flow, None if current is None else versions.active[current].told, versions.program)
            except InvalidInput:  # the deploy says so itself; until then what is there stays
                continue
    return sorted(active.items(), key=lambda item: item[0][::-1])


def _who(key: FlowKey, version: str, *, beside: bool) -> str:
    tenant, flow = key
    whose = "" if tenant == ALL else f" (tenant {tenant})"
    if not beside:
        return f"flow '{flow}'{whose} is in force and"
    return f"version {version[:SHORT]} of flow '{flow}'{whose} stays in force and"


def _advice(*, beside: bool) -> str:
    return "keep it until that version is replaced for all" if beside else "keep it, or deploy the flow changed as well"
