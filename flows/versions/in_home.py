"""The versions of flows that a home holds, as its control topic says: every program that was deployed, and which are active."""

from __future__ import annotations

from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from flows.language.report import near
from flows.versions.control_topic import control_topic
from schemas.errors import InvalidInput
from schemas.pointer import Pointer
from schemas.program import Program, unpack

FlowKey = tuple[str, str]  # tenant or *, flow


@dataclass(slots=True)
class Active:
    """Which version of a flow is active, and which was before it (its tail: the one before that).

    `told` is the pointer as it was written: it may name a version for the rest, or one in shadow.
    """

    version: str
    told: Pointer
    before: tuple[str, ...] = ()  # the latest first, each once


@dataclass(slots=True)
class Versions:
    """What the control topic says about versions, up to its end."""

    active: dict[FlowKey, Active] = field(default_factory=dict)
    packed: dict[str, str] = field(default_factory=dict)  # version -> its program, base64
    owners: dict[str, set[FlowKey]] = field(default_factory=dict)  # version -> flows that it was deployed for

    def program(self, version: str) -> Program | None:
        """Give the program of a version, None where it was never deployed or was taken away."""
        return unpack(b64decode(self.packed[version])) if version in self.packed else None

    def of_tenant(self, tenant: str, flow: str) -> FlowKey | None:
        """Give whose flow of a name a tenant runs: its own before the one for all."""
        return next((key for key in ((tenant, flow), ("*", flow)) if key in self.active), None)


def not_in_force(flow: str, tenant: str | None, versions: Versions) -> InvalidInput:
    """Say that no flow of a name is in force, or none of a tenant's own, and what to do."""
    if tenant is not None and ("*", flow) in versions.active:
        return InvalidInput(
            f"tenant {tenant} runs the flow '{flow}' that is for all, and has none of its own; leave --tenant out"
        )
    names = [name for owner, name in versions.active if tenant is None or owner in (tenant, "*")]
    whose = f" of tenant {tenant}" if tenant else ""
    meant = near(flow, names)
    return InvalidInput(f"no flow '{flow}'{whose} is in force{meant}; `millrace flows list` shows those that are")


class _Version(msgspec.Struct):
    program: str


class _Record(msgspec.Struct):
    key: str
    value: msgspec.Raw = msgspec.Raw(b"null")


_records = msgspec.json.Decoder(_Record)
_versions = msgspec.json.Decoder(_Version | None)
_pointers = msgspec.json.Decoder(Pointer | None)


def versions_in(home: Path) -> Versions:
    """Read the control topic of a home; empty where there is none."""
    found = Versions()
    for record in control_topic(home):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the engine sets them aside
            _take(found, _records.decode(record))
    return found


def _take(found: Versions, record: _Record) -> None:
    match record.key.split("/"):
        case ["version", tenant, flow, version]:
            value = _versions.decode(record.value)
            if value is None:
                found.packed.pop(version, None)
            else:
                found.packed[version] = value.program
                found.owners.setdefault(version, set()).add((tenant, flow))
        case ["active", tenant, flow]:
            _point(found, (tenant, flow), _pointers.decode(record.value))
        case _:
            pass


def _point(found: Versions, key: FlowKey, active: Pointer | None) -> None:
    """Follow a pointer; one to what was not deployed changes nothing, as in the engine."""
    if active is not None and not all(version in found.packed for version in active.versions()):
        return
    was = found.active.pop(key, None)
    if active is None:
        return
    earlier = _went_before(was) if was else ()
    if active.instead_of is not None and active.version in earlier:
        earlier = earlier[earlier.index(active.version) :]  # one that was rolled back is not gone back to
    found.active[key] = Active(active.version, active, tuple(one for one in earlier if one != active.version))


def _went_before(was: Active) -> tuple[str, ...]:
    """List what may be gone back to, the latest first: one that only ran for a part is none of it."""
    if was.told.rest is None:
        return (was.version, *was.before)
    return tuple(dict.fromkeys((was.told.rest, *was.before)))
