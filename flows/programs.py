"""The programs that are in force in a home, read from its control topic as the engine reads it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from infra.file_reader import FileReader
from schemas.errors import BadRecord
from schemas.pointer import Pointer, read_pointer
from schemas.program import Program, unpack
from schemas.records import Control
from schemas.topics import CONTROL, INGRESS_FILE

BLOCK: Final = 10_000
_controls: Final = msgspec.json.Decoder(Control)


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
    packed: dict[str, str] = {}
    active: dict[tuple[str, str], Pointer] = {}
    for control in control_records(home):
        kind, *rest = control.key.split("/")
        with suppress(KeyError, TypeError, BadRecord):
            if kind == "version":
                packed[rest[-1]] = control.value["program"]
            elif kind == "active" and len(rest) == 2:
                _point(active, (rest[1], rest[0]), None if control.value is None else read_pointer(control.value), packed)
    return [
        Deployed(tenant, flow, *(unpack(b64decode(packed[one])) for one in (pointer.version, pointer.rest) if one is not None))
        for (flow, tenant), pointer in sorted(active.items(), key=itemgetter(0))
    ]


def control_records(home: Path) -> Iterator[Control]:
    """Give the control records of a home that can be read, in order."""
    reader = FileReader(home / INGRESS_FILE, CONTROL.__eq__, {})
    try:
        while chunks := reader.poll(BLOCK):
            for record in (record for chunk in chunks for record in chunk.records):
                with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    yield _controls.decode(record)
    finally:
        reader.close()


def _point(active: dict[tuple[str, str], Pointer], key: tuple[str, str], pointer: Pointer | None, packed: dict[str, str]) -> None:
    """Follow a pointer; one to what was not deployed changes nothing, as in the engine."""
    if pointer is None:
        active.pop(key, None)
    elif packed.keys() >= set(pointer.versions()):
        active[key] = pointer
