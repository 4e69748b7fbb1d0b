"""What a deploy would cut off: a changed event contract takes a field from a version that stays in force beside what is deployed.

The versions of the files themselves are not asked: they were checked with the contracts of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final

from flows.language.compile import CompiledFlow
from flows.versions.in_home import FlowKey, Versions
from flows.versions.pointing import SHORT, pointed
from flows.versions.readers import no_longer_read
from schemas.contracts import EventContract
from schemas.errors import InvalidInput
from schemas.pointer import Pointer
from schemas.program import Program

ALL: Final = "*"
Change = tuple[EventContract, EventContract]  # as it is, as it would be
CutOff = tuple[str, str]  # the event, what is said of it


def cut_off(changed: Sequence[Change], flows: Sequence[CompiledFlow], versions: Versions, tenant: str | None) -> Iterator[CutOff]:
    """Say what flows in force after a deploy would no longer be given; `tenant` is whom alone it is for."""
    fresh, names = {flow.version for flow in flows}, {flow.name for flow in flows}
    programs: dict[str, Program | None] = {}
    for key, version in _stays(flows, versions, tenant, fresh):
        if version not in programs:
            programs[version] = versions.program(version)
        beside = key[1] in names
        for event, what in _lost(programs[version], changed):
            yield event, f"{_who(key, version, beside=beside)} reads {what}; {_advice(beside=beside)}"


def _lost(program: Program | None, changed: Sequence[Change]) -> list[tuple[str, str]]:
    if program is None:
        return []
    return [(new.event, what) for old, new in changed for what in sorted(set(no_longer_read(program, old, new)))]


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
