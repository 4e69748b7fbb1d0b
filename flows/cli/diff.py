"""`millrace diff`: what differs between two versions of flows and event contracts, and what that breaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from flows.cli.deploy import SHORT
from flows.cli.terminal import Terminal
from flows.deployment import in_force, read_files
from flows.settings import load_settings
from flows.versions.change import Change, breaks, changes
from flows.versions.contract_changes import contract_changes
from flows.versions.flow_changes import flow_changes
from flows.versions.in_home import versions_in
from schemas.contracts import EventContract
from schemas.errors import InvalidFlow, InvalidInput
from schemas.program import Program

FINE: Final = 0
BREAKS: Final = 3
DEPLOYED: Final = "deployed"
ENDINGS: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side defines, by name; a flow of one tenant alone is `tenant/name`."""

    flows: Mapping[str, Program]
    events: Mapping[str, EventContract]


@dataclass(frozen=True, slots=True)
class Difference:
    """One flow or event that differs."""

    what: str  # flow NAME | event NAME
    old: str  # its version, empty for an event or where there is none
    new: str
    changes: tuple[Change, ...]


def diff(terminal: Terminal, *, old: str, new: str, tenant: str | None, home: Path | None) -> int:
    """Tell what differs; 3 if it breaks executions in flight, callers or readers. Raises InvalidFlow with every problem."""
    settings = load_settings(home=home, tenant=tenant)
    sides = [_side(place, settings.home, settings.tenant) for place in (old, new)]
    found = [*_flows(*sides, whole=old != DEPLOYED), *_events(*sides, whole=old != DEPLOYED)]
    broken = sum(change.weight == "breaks" for one in found for change in one.changes)
    if terminal.json:
        terminal.value([asdict(one) for one in found])
    else:
        for one in found:
            versions = f": {one.old[:SHORT] or 'none'} -> {one.new[:SHORT] or 'none'}" if one.old or one.new else ""
            terminal.print(f"{one.what}{versions}")
            for change in one.changes:
                terminal.print(f"  {change}")
        terminal.say(f"{len(found)} differ; {broken} changes break something" if found else "nothing differs")
    return BREAKS if broken else FINE


def _flows(old: Side, new: Side, *, whole: bool) -> Iterator[Difference]:
    for name in sorted({*old.flows, *new.flows}):
        before, after = old.flows.get(name), new.flows.get(name)
        if after is None:
            if whole and before is not None:
                gone = breaks("flow", "is gone; executions in flight end on the version they have")
                yield Difference(f"flow {name}", before.version, "", (gone,))
        elif before is None:
            yield Difference(f"flow {name}", "", after.version, (changes("flow", "is new"),))
        elif before.version != after.version:
            yield Difference(f"flow {name}", before.version, after.version, flow_changes(before, after))


def _events(old: Side, new: Side, *, whole: bool) -> Iterator[Difference]:
    for name in sorted({*old.events, *new.events}):
        before, after = old.events.get(name), new.events.get(name)
        if after is None:
            if whole:
                yield Difference(f"event {name}", "", "", (breaks("event", "is gone; its records can no longer be read"),))
        elif before is None:
            yield Difference(f"event {name}", "", "", (changes("event", "is new"),))
        elif found := contract_changes(before, after):
            yield Difference(f"event {name}", "", "", found)


def _side(place: str, home: Path, tenant: str | None) -> Side:
    if place == DEPLOYED:
        versions = versions_in(home)
        programs = {key: versions.program(pointer.version) for key, pointer in versions.active.items()}
        held = {_name(*key): program for key, program in programs.items() if program and tenant in (None, key[0])}
        return Side(held, in_force(home).registry.contracts())
    definitions = read_files(_files(Path(place)), home)
    wrong = [problem for problem in definitions.errors if problem.name != "incompatible"]  # that is what diff tells
    if wrong:
        raise InvalidFlow(wrong)
    flows = {_name(owner, flow.name): flow.program for flow in definitions.flows for owner in flow.tenants or ("*",)}
    return Side(flows, {contract.event: contract for contract in definitions.contracts})


def _name(tenant: str, flow: str) -> str:
    return flow if tenant == "*" else f"{tenant}/{flow}"


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.iterdir() if path.name.endswith(ENDINGS) and ".test." not in path.name)
    if not found:
        raise InvalidInput(f"{place} holds no flow files (.yaml, .yml, .json); name a file, a folder or `deployed`")
    return found
