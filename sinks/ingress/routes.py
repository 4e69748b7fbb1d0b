"""What is deployed that the door must know: webhooks and manual triggers of the flows in force, and the contracts of events.

Reads: control records in order. Emits: answers about a tenant's flows and paths. State: what the records say, rebuilt at every
start; of a program only its triggers from outside, and what its inputs are. A tenant's own flow goes before the one for all.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from schemas.contracts import EventContract
from schemas.errors import BadRecord, InvalidInput
from schemas.pointer import read_pointer
from schemas.program import Manual, Program, Webhook, unpack
from schemas.records import Control, Json
from schemas.registry import Registry
from schemas.start_inputs import manual_of

ALL: Final = "*"
_controls: Final = msgspec.json.Decoder(Control)


@dataclass(slots=True)
class Routes:
    """The ways in. Only `learn` changes them."""

    _programs: dict[str, Program] = field(default_factory=dict)  # version -> what the door must know of it
    _active: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)  # flow -> tenant (or *) -> versions in force
    _registry: Registry = field(default_factory=Registry)

    def learn(self, record: bytes) -> None:
        """Take a control record in; one that cannot be read is the engine's to set aside."""
        try:
            control = _controls.decode(record)
            self._apply(control.key, control.value)
        except (msgspec.DecodeError, RecursionError, BadRecord, InvalidInput, ValueError, KeyError, TypeError):
            return

    def webhooks(self, tenant: str, path: str) -> list[Webhook]:
        """Give the webhooks that listen on a path of a tenant."""
        return [one for one in self._webhooks(tenant) if one.path == path]

    def by_hand(self, tenant: str, flow: str) -> list[Program] | None:
        """Give the versions of a flow that start by hand, the newer first; None where the tenant has no such flow in force."""
        versions = self._versions(tenant, flow)
        if not versions:
            return None
        return [one for version in versions if manual_of(one := self._programs[version]) is not None]

    def all_by_hand(self, tenant: str) -> list[str]:
        """Give the flows of a tenant that start by hand, by name."""
        return sorted(flow for flow in self._active if self.by_hand(tenant, flow))

    def contract(self, event: str) -> EventContract | None:
        """Give the contract of an event type."""
        return self._registry.contract(event)

    def _webhooks(self, tenant: str) -> Iterator[Webhook]:
        for flow in sorted(self._active):
            for version in self._versions(tenant, flow):
                yield from (one for one in self._programs[version].triggers if isinstance(one, Webhook))

    def _versions(self, tenant: str, flow: str) -> tuple[str, ...]:
        """Give the versions in force; each may have ways in of its own."""
        by_tenant = self._active.get(flow, {})
        return by_tenant.get(tenant, by_tenant.get(ALL, ()))

    def _apply(self, key: str, value: Json) -> None:
        kind, *rest = key.split("/")
        if kind == "version" and len(rest) == 3:
            self._put_version(rest[2], value)
        elif kind == "active" and len(rest) == 2:
            self._activate(rest[0], rest[1], value)
        else:
            self._registry.apply(key, value)

    def _put_version(self, version: str, value: Json) -> None:
        if value is None:
            if not any(version in versions for by_tenant in self._active.values() for versions in by_tenant.values()):
                self._programs.pop(version, None)  # one in force stays, as in the engine
            return
        program = unpack(b64decode(value["program"], validate=True))
        outside = tuple(one for one in program.triggers if isinstance(one, Webhook | Manual))
        self._programs[version] = msgspec.structs.replace(program, triggers=outside, steps=(), limits=(), output=None)

    def _activate(self, tenant: str, flow: str, value: Json) -> None:
        """Follow a pointer; one to what was not deployed changes nothing, as in the engine."""
        pointer = None if value is None else read_pointer(value)
        if pointer is None:
            self._active.get(flow, {}).pop(tenant, None)
        elif self._programs.keys() >= set(pointer.versions()):
            versions = (pointer.version, pointer.rest)
            self._active.setdefault(flow, {})[tenant] = tuple(one for one in versions if one is not None)
