"""What is deployed in a home, and how definitions and contracts are put in force: through control records alone.

Promise: all records of a deploy go into one transaction, contracts before the flows that need them; what is in force already is
not written again. Two deploys on one home never choose the same schema id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Final

import msgspec

from flows.deployed_flows import DeployedFlows
from flows.language.check_policy import CompiledPolicy
from flows.language.compile import CompiledFlow
from flows.language.definitions import ALL_TENANTS, Definitions, flow_records, load_definitions, policy_control
from flows.versions.control_topic import control_topic
from flows.versions.cut_off import cut_off
from flows.versions.in_home import versions_in
from flows.versions.pointing import pointed, runs
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.lock import FileLock
from infra.log_ends import log_ends
from infra.positions import read_file
from schemas.connector_rules import ConnectorRules
from schemas.contracts import EventContract
from schemas.errors import BadRecord, InvalidFlow, InvalidInput, MillraceError, Problem, StorageFailed
from schemas.flow.action_types import ActionType, action_type
from schemas.flow.documents import ActionContract
from schemas.pointer import read_pointer, write_pointer
from schemas.policy import POLICY_PREFIX, PolicyType, policy_type, read_policy
from schemas.ports import Clock, Slot
from schemas.program import Program
from schemas.records import Control, Json, encode
from schemas.registry import Registry, registered
from schemas.topics import CONTROL, INGRESS_FILE, engine_file
from sinks.ingress.client import Ingress, connect
from sinks.ingress.protocol import Item

ACTION: Final = "action/"
VERSION: Final = "version/"
ACTIVE: Final = "active/"
LOCK: Final = "deploy"
APPLIED_US: Final = 30_000_000
PAUSE_US: Final = 20_000


@dataclass(frozen=True, slots=True)
class InForce:
    """The control topic as it stands: the last value of each key (of a version: True), and the registry that it makes."""

    values: dict[str, Json]
    registry: Registry

    def actions(self) -> list[ActionType]:
        """Give the action types that are registered."""
        documents = [value for key, value in self.values.items() if key.startswith(ACTION)]
        return [action_type(ActionContract.model_validate(document)) for document in documents]

    def policies(self) -> list[PolicyType]:
        """Give the types of the policies that are deployed, for all tenants or for some."""
        found = {key: value for key, value in self.values.items() if key.startswith(POLICY_PREFIX)}
        return [policy_type(read_policy(found[key])) for key in sorted(found, reverse=True)]  # the one for all comes last


@dataclass(frozen=True, slots=True)
class FlowInForce:
    """One flow of one tenant (`*`: all) after a deploy."""

    tenant: str
    flow: str
    version: str
    change: str  # new | changed | unchanged | disabled
    runs: str = ""  # for whom


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy did. `end` is the position behind the last control record that it rests on."""

    flows: tuple[FlowInForce, ...]
    contracts: tuple[EventContract, ...]
    actions: tuple[str, ...]
    end: int = 0
    written: int = 0
    policies: tuple[str, ...] = ()


@contextmanager
def open_ingress(home: Path) -> Iterator[Ingress]:
    """Open the way into a home, made if it is missing. Raises HomeLocked where another process writes it and does not answer."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"{home}: cannot make the home ({error.strerror}); name a writable folder with --home") from error
    ingress = connect(home, partial(IngressLog, home / INGRESS_FILE), SystemClock())
    try:
        yield ingress
    finally:
        ingress.close()


def in_force(home: Path) -> InForce:
    """Read the control topic of a home; empty where there is none."""
    fold = _Fold()
    for record in control_topic(home):
        fold.take(record)
    return fold.known


def append_controls(ingress: Ingress, values: Mapping[str, Json]) -> int:
    """Append control records in one transaction; give the position behind the last one."""
    at_us = SystemClock().now_us()
    records = [encode(Control(key=key, value=value, at=at_us)) for key, value in values.items()]
    (place,) = ingress.append([Item(CONTROL, records, partition=0)])
    return place.base + len(records)


def control_end(home: Path) -> int:
    """Give the position behind the last control record of a home."""
    return max((end.next for end in log_ends(home / INGRESS_FILE) if end.topic == CONTROL), default=0)


def read_files(paths: Sequence[Path], home: Path) -> Definitions:
    """Check what files say, with what they need of a home; what a deploy of them would do to others there is not asked."""
    return _read(paths, home, in_force(home))


def check_files(paths: Sequence[Path], home: Path, tenant: str | None = None) -> Definitions:
    """Check files together, as a deploy in a home would; `tenant` is whom alone they would be deployed for."""
    known = in_force(home)
    found = _read(paths, home, known)
    return replace(found, problems=tuple(sorted([*found.problems, *_cut_off(found, known.registry.contracts(), home, tenant)])))


def _read(paths: Sequence[Path], home: Path, known: InForce) -> Definitions:
    flows = DeployedFlows(home, known.values)
    return load_definitions(paths, known.registry.contracts().values(), known.actions(), flows, known.policies())


def _cut_off(found: Definitions, known: Mapping[str, EventContract], home: Path, tenant: str | None) -> Iterator[Problem]:
    """Refuse contracts that no longer give versions that stay in force what they read."""
    changed = [(known[one.event], one) for one in found.contracts if one.event in known and known[one.event] != one]
    if changed:
        for event, message in cut_off(changed, found.flows, (home, versions_in(home)), tenant):
            yield Problem(*found.places[event], "cuts-off-flow", message)


def deploy(ingress: Ingress, home: Path, definitions: Definitions, tenant: str | None = None) -> Deployment:
    """Put definitions in force. Raises InvalidFlow where they have an error; then nothing is written."""
    if not definitions.ok:
        raise InvalidFlow(definitions.problems)
    with deploying(home):
        known = in_force(home)
        placed, values = _contract_values(known.registry, definitions.contracts)
        values |= {ACTION + name: document for name, document in definitions.action_documents.items()}
        values |= _policy_values(definitions.policies, tenant, known.values)
        versions, told = cache(versions_in), []  # read once, and only for a flow that is rolled out
        for flow in definitions.flows:
            records = {record.key: record.value for record in flow_records(flow, tenant)}
            pointers = [key for key in records if key.startswith(ACTIVE) and flow.enabled]
            records |= {key: _pointer(flow, key, known, lambda version: versions(home).program(version)) for key in pointers}
            told += [_told(key, value, flow.version, known.values) for key, value in records.items() if key.startswith(ACTIVE)]
            values |= {key: value for key, value in records.items() if not (key.startswith(VERSION) and key in known.values)}
        fresh = {key: value for key, value in values.items() if known.values.get(key) != value}
        end = append_controls(ingress, fresh) if fresh else control_end(home)
    policies = tuple(sorted(one.policy.name for one in definitions.policies))
    return Deployment(tuple(told), tuple(placed), tuple(sorted(definitions.action_documents)), end, len(fresh), policies)


def _pointer(flow: CompiledFlow, key: str, known: InForce, program: Callable[[str], Program | None]) -> Json:
    """Give the pointer that puts a flow in force as it asks; a tenant without one of its own runs the one for all."""
    found = known.values.get(key, known.values.get(f"{ACTIVE}{ALL_TENANTS}/{flow.name}"))
    current = None if found is None else read_pointer(found)
    return write_pointer(pointed(flow, current, program))


def _policy_values(policies: Iterable[CompiledPolicy], tenant: str | None, known: Mapping[str, Json]) -> dict[str, Json]:
    """Give the control records of policies whose version is not the last one written."""
    records = [policy_control(one, tenant) for one in policies]
    return {one.key: one.value for one in records if (known.get(one.key) or {}).get("version") != one.value["version"]}


def register_contracts(ingress: Ingress, home: Path, contracts: Iterable[EventContract]) -> list[EventContract]:
    """Register contracts and give them with their schema ids. Raises InvalidInput for one that would break its readers."""
    with deploying(home):
        placed, values = _contract_values(in_force(home).registry, contracts)
        if values:
            append_controls(ingress, values)
    return placed


@contextmanager
def deploying(home: Path) -> Iterator[None]:
    """Keep other deploys out while this one reads what is there and writes. Raises HomeLocked."""
    lock = FileLock(home / LOCK)
    try:
        yield
    finally:
        lock.release()


def await_applied(home: Path, end: int, clock: Clock) -> None:
    """Wait until the engine has committed the control topic up to `end`. Raises MillraceError after half a minute."""
    give_up_us = clock.now_us() + APPLIED_US
    slot = Slot(INGRESS_FILE, CONTROL, 0)
    while read_file(home / engine_file(0)).get(slot, 0) < end:
        if clock.now_us() >= give_up_us:
            raise MillraceError(
                "it is deployed, but the engine has not taken it within 30 s; is `millrace up` running and keeping up?"
            )
        clock.sleep_us(PAUSE_US)


def _contract_values(registry: Registry, contracts: Iterable[EventContract]) -> tuple[list[EventContract], dict[str, Json]]:
    placed: list[EventContract] = []
    values: dict[str, Json] = {}
    for contract in contracts:
        with_id, changes = registered(registry, contract)
        for key, value in changes:
            registry.apply(key, value)
            values[key] = value
        placed.append(with_id)
    return placed, values


def _told(key: str, value: Json, version: str, known: Mapping[str, Json]) -> FlowInForce:
    _, tenant, flow = key.split("/", 2)
    before = known.get(key)
    change = "disabled" if value is None else "new" if before is None else "unchanged" if before == value else "changed"
    return FlowInForce(tenant, flow, version, change, "" if value is None else runs(read_pointer(value)))


class _Record(msgspec.Struct):
    """A control record whose value is read only as far as it must be: programs are most of the topic."""

    key: str
    value: msgspec.Raw = msgspec.Raw(b"null")


class _Version(msgspec.Struct):
    program: str


class _Fold:
    """Takes control records in as the engine does; what the engine sets aside changes nothing here either."""

    def __init__(self) -> None:
        self.known = InForce({}, Registry())
        self._rules = ConnectorRules()
        self._versions: set[str] = set()

    def take(self, record: bytes) -> None:
        """Take one record in."""
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadRecord, InvalidInput, ValueError):
            one = _records.decode(record)
            value = self._value(one.key, one.value)
            if value is None:
                self.known.values.pop(one.key, None)
            else:
                self.known.values[one.key] = value

    def _value(self, key: str, raw: msgspec.Raw) -> Json:
        """Give the value to keep; of a version only that it is there. Raises what the suppression above names."""
        if key.startswith(VERSION):
            return self._version(key.rpartition("/")[2], raw)
        value = msgspec.json.decode(raw)
        if key.startswith(ACTIVE) and value is not None and not self._versions.issuperset(read_pointer(value).versions()):
            raise BadRecord("unknown-version", key)
        self.known.registry.apply(key, value)
        self._rules.apply(key, value)
        return value

    def _version(self, version: str, raw: msgspec.Raw) -> Json:
        if bytes(raw) == b"null":
            self._versions.discard(version)
            return None
        _versions.decode(raw)
        self._versions.add(version)
        return True


_records = msgspec.json.Decoder(_Record)
_versions = msgspec.json.Decoder(_Version)
