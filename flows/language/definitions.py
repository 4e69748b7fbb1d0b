"""Files of definitions, checked together, and the control records that deploy them: what the CLI and the demo load."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from flows.language.called import flow_type, in_order, rests_on
from flows.language.canonical import canonical_bytes
from flows.language.check_policy import CompiledPolicy, compile_policies
from flows.language.check_test import check_test
from flows.language.circles import circles
from flows.language.compile import CompiledFlow, compile_document
from flows.language.event_contracts import event_contract, read_action_type
from flows.language.known import FlowType, Known
from flows.language.nodes import Scalar, plain
from flows.language.parse import Document, parse
from flows.language.report import Report
from flows.language.stand_ins import stand_in_action, stand_in_event, stand_in_flow, stand_in_policy
from flows.language.structure import shape
from flows.language.twins import twin_actions
from flows.language.webhooks import twin_doors, unsigned_ways
from schemas.contracts import EventContract, incompatibilities
from schemas.errors import Problem
from schemas.expression.types import ANY
from schemas.flow.action_types import ActionType
from schemas.flow.documents import ActionContract, Event
from schemas.internal import APPROVALS, INTERNAL
from schemas.policy import POLICY_PREFIX, PolicyType, policy_record, policy_type
from schemas.program import pack
from schemas.records import Control, Json

ALL_TENANTS = "*"
FlowTypes = Callable[[str], FlowType | None]
_TEXT_FAULTS = frozenset(["unquoted-template", "bad-scalar", "empty-value", "anchor", "alias", "tag"])


def no_flows(name: str) -> FlowType | None:
    """Know of no flow besides those of the files."""
    del name
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one file."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Definitions:
    """What some files define. `problems` are sorted by place; with an error among them nothing may be deployed."""

    flows: tuple[CompiledFlow, ...]
    contracts: tuple[EventContract, ...]  # those of the files; schema_id as given or 0
    actions: tuple[ActionType, ...]
    action_documents: Mapping[str, Json]
    problems: tuple[Problem, ...]
    policies: tuple[CompiledPolicy, ...] = ()
    tests: tuple[Document, ...] = ()  # whose shape is right
    places: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)  # file, line, column of each contract's fields

    @property
    def ok(self) -> bool:
        """Tell whether there is no error; warnings do not count."""
        return not self.errors

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Give the problems that forbid a deploy."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def load_definitions(
    paths: Iterable[Path | Traversable],
    known_contracts: Iterable[EventContract] = (),
    known_actions: Iterable[ActionType] = (),
    known_flows: FlowTypes = no_flows,
    known_policies: Iterable[PolicyType] = (),
) -> Definitions:
    """Read and check files together; contracts of the files come before those known. Raises nothing, problems are inside."""
    problems: list[Problem] = []
    sources = [source for path in paths if (source := _read(path, problems)) is not None]
    found = check_sources(sources, known_contracts, known_actions, known_flows, known_policies)
    return replace(found, problems=tuple(sorted([*problems, *found.problems])))


def check_sources(
    sources: Iterable[Source],
    known_contracts: Iterable[EventContract] = (),
    known_actions: Iterable[ActionType] = (),
    known_flows: FlowTypes = no_flows,
    known_policies: Iterable[PolicyType] = (),
) -> Definitions:
    """Check texts together, as load_definitions does with files. `known_flows` looks up a flow that no text defines."""
    problems: list[Problem] = []
    documents: list[Document] = []
    for source in sources:
        parsed = parse(source.text, source.name)
        problems += parsed.problems
        documents += parsed.documents
    _refuse_twins(documents, problems)
    earlier = {contract.event: contract for contract in known_contracts}
    contracts, in_place = _contracts(documents, earlier, problems)
    actions, action_documents = _actions(documents, problems)
    in_force = {one.name: one for one in known_policies}
    policies = compile_policies(documents, in_force, problems)
    standing = {kind: [one for one in documents if one.kind == kind] for kind in ("event", "action", "policy")}
    events = {**{event: INTERNAL[event] for event in APPROVALS}, **earlier, **in_place, **{one.event: one for one in contracts}}
    known = Known(
        events,
        {
            **{one.action: one for one in known_actions},
            **{one.name: stand_in_action(one) for one in standing["action"]},
            **actions,
        },
        {
            **in_force,
            **{one.name: stand_in_policy(one) for one in standing["policy"]},
            **{one.policy.name: policy_type(one.policy) for one in policies},
        },
        unread=frozenset(one.name for one in standing["event"] if one.name not in events),
    )
    flows = _flows(documents, known, known_flows, problems)
    tests = _tests(documents, problems)
    told = tuple(sorted(_without_echoes(problems)))
    return Definitions(
        tuple(flows),
        tuple(contracts),
        tuple(actions.values()),
        action_documents,
        told,
        tuple(policies),
        tuple(tests),
        {document.name: _fields_place(document) for document in documents if document.kind == "event"},
    )


def _fields_place(document: Document) -> tuple[str, int, int]:
    place = document.node.get("fields") or document.node
    return document.file, place.line, place.column


def _without_echoes(problems: Sequence[Problem]) -> list[Problem]:
    """Keep what was found first at a place: a text that could not be read has no right type either."""
    unread: dict[tuple[str, int, int], str] = {}
    for problem in problems:
        if problem.name in _TEXT_FAULTS:
            unread.setdefault((problem.file, problem.line, problem.column), problem.name)
    return [one for one in problems if unread.get((one.file, one.line, one.column), one.name) == one.name]


def control_records(
    definitions: Definitions,
    schema_id_of: Callable[[EventContract], int],
    schema_of: Callable[[EventContract], Json],
    tenant: str | None = None,
) -> list[Control]:
    """Give the records that put definitions in force, in an order in which each can be applied: contracts first.

    `schema_id_of` registers a contract's schema and gives its id, `schema_of` its Avro schema. `tenant` deploys the flows for
    that tenant alone, whatever they say themselves.
    """
    records: list[Control] = []
    for contract in definitions.contracts:
        number = schema_id_of(contract)
        registered = msgspec.structs.replace(contract, schema_id=number)
        value = {"subject": contract.subject, "schema": schema_of(registered), "event": contract.event}
        records.append(Control(key=f"schema/{number}", value=value))
        records.append(Control(key=f"contract/{contract.event}", value=msgspec.to_builtins(registered)))
    records += [Control(key=f"action/{name}", value=value) for name, value in definitions.action_documents.items()]
    records += [policy_control(policy, tenant) for policy in definitions.policies]
    for flow in definitions.flows:
        records += flow_records(flow, tenant)
    return records


def policy_control(compiled: CompiledPolicy, tenant: str | None = None) -> Control:
    """Give the record that puts a policy in force, for all tenants or for one."""
    record = policy_record(compiled.policy, msgspec.Raw(canonical_bytes(dict(compiled.document))))
    value = {"version": record.version, "document": record.document, "compiled": record.compiled}
    return Control(key=f"{POLICY_PREFIX}{tenant or ALL_TENANTS}/{compiled.policy.name}", value=value)


def flow_records(flow: CompiledFlow, tenant: str | None = None) -> list[Control]:
    """Give the records of one flow: for each of its tenants its version, then the pointer to it (none while not enabled)."""
    value = {"flow": msgspec.Raw(canonical_bytes(dict(flow.document))), "program": b64encode(pack(flow.program)).decode()}
    records: list[Control] = []
    for owner in (tenant,) if tenant is not None else flow.tenants or (ALL_TENANTS,):
        records.append(Control(key=f"version/{owner}/{flow.name}/{flow.version}", value=value))
        pointer = {"version": flow.version} if flow.enabled else None
        records.append(Control(key=f"active/{owner}/{flow.name}", value=pointer))
    return records


def _read(path: Path | Traversable, problems: list[Problem]) -> Source | None:
    name = str(path)
    try:
        return Source(name, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        problems.append(Problem(name, 1, 1, "not-utf-8", f"byte {error.start} is not UTF-8; save the file as UTF-8"))
    except OSError as error:
        problems.append(
            Problem(name, 1, 1, "unreadable", f"the file cannot be read: {error.strerror or error}; name one that can")
        )
    return None


def _refuse_twins(documents: Sequence[Document], problems: list[Problem]) -> None:
    """A name is unique per kind and tenant."""
    first: dict[tuple[str, str, str], tuple[Document, int]] = {}
    for document in documents:
        kind = "flow" if document.kind == "workflow" else document.kind
        line = (document.node.key(document.kind) or document.node).line
        for tenant in _tenants(document):
            twin = first.setdefault((kind, document.name, tenant), (document, line))
            if twin[0] is not document:
                place = document.node.get(document.kind) or document.node
                message = f"{kind} '{document.name}' is defined at {twin[0].file}:{twin[1]} already; choose another name"
                problems.append(Problem(document.file, place.line, place.column, "defined-twice", message))
                break


def _tenants(document: Document) -> list[str]:
    node = document.node.get("tenant")
    value = plain(node) if node is not None else ALL_TENANTS
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _contracts(
    documents: Sequence[Document], earlier: Mapping[str, EventContract], problems: list[Problem]
) -> tuple[list[EventContract], dict[str, EventContract]]:
    """Give the contracts, and what stands in for those that have an error."""
    found, in_place = [], {}
    for document in documents:
        if document.kind == "event":
            report = Report(document.file)
            shaped = shape(document.kind, document.node, report)
            if shaped is not None and isinstance(shaped.model, Event):
                contract = event_contract(shaped.model, shaped.node, report)
                if contract is not None:
                    _refuse_incompatible(contract, earlier.get(contract.event), document, report)
                    found.append(_with_known_id(contract, earlier.get(contract.event)))
            if report.failed() and (guess := stand_in_event(document.name, shaped.node if shaped else document.node)) is not None:
                in_place[document.name] = guess
            problems += report.problems
    return found, in_place


def _with_known_id(contract: EventContract, earlier: EventContract | None) -> EventContract:
    """Keep the schema id of a contract that has not changed."""
    if earlier is not None and msgspec.structs.replace(contract, schema_id=earlier.schema_id) == earlier:
        return earlier
    return contract


def _refuse_incompatible(contract: EventContract, earlier: EventContract | None, document: Document, report: Report) -> None:
    if earlier is None or contract.compatibility == "none":
        return
    place = document.node.get("fields") or Scalar(None)
    for reason in incompatibilities(earlier, contract):
        report.add(place, "incompatible", f"{contract.event} no longer reads what is in the log: {reason}")


def _actions(documents: Sequence[Document], problems: list[Problem]) -> tuple[dict[str, ActionType], dict[str, Json]]:
    types: dict[str, ActionType] = {}
    written: dict[str, Json] = {}
    for document in documents:
        if document.kind == "action":
            report = Report(document.file)
            shaped = shape(document.kind, document.node, report)
            if shaped is not None and isinstance(shaped.model, ActionContract):
                found = read_action_type(shaped.model, shaped.node, report)
                if found is not None:
                    types[found.action] = found
                    written[found.action] = plain(shaped.node)
            problems += report.problems
    return types, written


def _tests(documents: Sequence[Document], problems: list[Problem]) -> list[Document]:
    found = []
    for document in documents:
        if document.kind == "test":
            report = Report(document.file)
            found += [document] if check_test(document, report) else []
            problems += report.problems
    return found


def _flows(documents: Sequence[Document], known: Known, known_flows: FlowTypes, problems: list[Problem]) -> list[CompiledFlow]:
    """Compile flows behind those that they rest on; give them in the order of the files."""
    flows = [document for document in documents if document.kind in ("flow", "workflow")]
    circular = circles(flows)
    problems += circular.values()
    types = {name: FlowType(name, "", ANY, ANY) for name in circular}
    compiled: dict[int, CompiledFlow] = {}
    for document in in_order(flows):
        report = Report(document.file)
        for below in (name for name in rests_on(document.node) if name not in types):
            types |= {below: deployed} if (deployed := known_flows(below)) is not None else {}
        one = compile_document(document, replace(known, flows=types), report)
        problems += report.problems
        if one is not None:
            compiled[id(document)] = one
        types[document.name] = stand_in_flow(document) if one is None else flow_type(one.program)
    twins = [(document, compiled[id(document)]) for document in flows if id(document) in compiled]
    problems += [*twin_actions(twins), *twin_doors(twins), *unsigned_ways(twins)]
    return [one for _, one in twins]
