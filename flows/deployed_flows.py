"""Flows that are deployed in a home, as those who call them must know them: read from the control topic when one is asked for."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from flows.language.called import flow_type
from flows.language.known import FlowType
from infra.file_reader import FileReader
from schemas.program import unpack
from schemas.records import Json
from schemas.topics import CONTROL, INGRESS_FILE

_ALL: Final = "*"
_BLOCK: Final = 10_000


class _Program(msgspec.Struct):
    program: str


class _Version(msgspec.Struct):
    key: str
    value: msgspec.Raw = msgspec.Raw(b"null")


class DeployedFlows:
    """Looks a flow up by its name; the one for all tenants before that of one. A flow that nothing asks for costs nothing."""

    def __init__(self, home: Path, values: Mapping[str, Json]) -> None:
        """`values` is the control topic as it stands."""
        self._home = home
        self._values = values
        self._found: dict[str, FlowType | None] = {}

    def __call__(self, name: str) -> FlowType | None:
        """Give what a caller must know of a flow; None if none of that name is in force."""
        if name not in self._found:
            key = self._version_key(name)
            packed = None if key is None else self._packed(key)
            self._found[name] = None if packed is None else _type_of(packed)
        return self._found[name]

    def _version_key(self, name: str) -> str | None:
        suffix = f"/{name}"
        pointers = sorted(key for key in self._values if key.startswith("active/") and key.endswith(suffix))
        every = f"active/{_ALL}{suffix}"
        chosen = every if every in pointers else next(iter(pointers), None)
        if chosen is None:
            return None
        tenant = chosen.removeprefix("active/").removesuffix(suffix)
        return f"version/{tenant}/{name}/{self._values[chosen]['version']}"

    def _packed(self, wanted: str) -> str | None:
        """Give the last program that was written under a key."""
        mark, last = wanted.encode(), None
        for record in self._records():
            if mark in record:
                last = _program(record, wanted) or last
        return last

    def _records(self) -> Iterator[bytes]:
        reader = FileReader(self._home / INGRESS_FILE, CONTROL.__eq__, {})
        try:
            while chunks := reader.poll(_BLOCK):
                for chunk in chunks:
                    yield from (record for record in chunk.records)
        finally:
            reader.close()


def _program(record: bytes, wanted: str) -> str | None:
    try:
        one = _versions.decode(record)
        return _programs.decode(one.value).program if one.key == wanted else None
    except msgspec.DecodeError:  # what is set aside by those who read the topic is nothing here
        return None


def _type_of(packed: str) -> FlowType | None:
    try:
        return flow_type(unpack(b64decode(packed)))
    except (ValueError, msgspec.DecodeError):  # written by a version of another format
        return None


_versions = msgspec.json.Decoder(_Version)
_programs = msgspec.json.Decoder(_Program)
