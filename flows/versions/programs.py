"""The programs that are in force in a home."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from flows.versions.in_home import FlowKey, Versions, versions_in
from schemas.program import Program


class Deployed(NamedTuple):
    """One flow in force; the tenant `*` means all. Of two versions in force `program` is the newer, `rest` the other."""

    tenant: str
    flow: str
    program: Program
    rest: Program | None = None

    @property
    def programs(self) -> tuple[Program, ...]:
        """Give all that is in force."""
        return (self.program,) if self.rest is None else (self.program, self.rest)


def deployed_programs(home: Path) -> list[Deployed]:
    """Give the flows in force, by flow and tenant."""
    found = versions_in(home)
    return [one for key in sorted(found.active, key=lambda key: key[::-1]) if (one := _deployed(found, key)) is not None]


def _deployed(found: Versions, key: FlowKey) -> Deployed | None:
    told = found.active[key].told
    program = found.program(told.version)
    rest = None if told.rest is None else found.program(told.rest)
    return None if program is None else Deployed(*key, program, rest)
