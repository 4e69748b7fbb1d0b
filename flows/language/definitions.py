"""Files of definitions, checked together, and the control records that deploy them: what the CLI and the demo load."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from flows.language.canonical import canonical_bytes
from flows.language.compile import CompiledFlow, compile_document
from flows.language.event_contracts import event_contract, read_action_type
from flows.language.known import Known
from flows.language.nodes import Scalar, plain
from flows.language.parse import Document, parse
from flows.language.report import Report
from flows.language.structure import shape
from schemas.contracts import EventContract, incompatibilities
from schemas.errors import Problem
from schemas.flow.action_types import ActionType
from schemas.flow.documents import ActionContract, Event
from schemas.program import pack
from schemas.records import Control, Json

ALL_TENANTS = "*"
_TEXT_FAULTS = frozenset(["unquoted-template", "bad-scalar", "empty-value", "anchor", "alias", "tag"])


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

    @property
    def ok(self) -> bool:
        """Tell whether there is no error; warnings do not count."""
        return not self.errors

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Give the problems that forbid a deploy."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def load_definitions(
    paths: Iterable[Path | Traversable], known_contracts: Iterable[EventContract] = (), known_actions: Iterable[ActionType] = ()
) -> Definitions:
    """Read and check files together; contracts of the files come before those known. Raises nothing, problems are inside."""
    problems: list[Problem] = []
    sources = [source for path in paths if (source := _read(path, problems)) is not None]
    found = check_sources(sources, known_contracts, known_actions)
    return Definitions(
        found.flows, found.contracts, found.actions, found.action_documents, tuple(sorted([*problems, *found.problems]))
    )


def check_sources(
    sources: Iterable[Source], known_contracts: Iterable[EventContract] = (), known_actions: Iterable[ActionType] = ()
) -> Definitions:
    """Check texts together, as load_definitions does with files."""
    problems: list[Problem] = []
    documents: list[Document] = []
    for source in sources:
        parsed = parse(source.text, source.name)
        problems += parsed.problems
        documents += parsed.documents
    _refuse_twins(documents, problems)
    earlier = {contract.event: contract for contract in known_contracts}
    contracts = _contracts(documents, earlier, problems)
    actions, action_documents = _actions(documents, problems)
    known = Known({**earlier, **{one.event: one for one in contracts}}, {**{one.action: one for one in known_actions}, **actions})
    flows = _flows(documents, known, problems)
    told = tuple(sorted(_without_echoes(problems)))
    return Definitions(tuple(flows), tuple(contracts), tuple(actions.values()), action_documents, told)


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
    for flow in definitions.flows:
        records += flow_records(flow, tenant)
    return records


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
) -> list[EventContract]:
    found = []
    for document in documents:
        if document.kind == "event":
            report = Report(document.file)
            shaped = shape(document.kind, document.node, report)
            if shaped is not None and isinstance(shaped.model, Event):
                contract = event_contract(shaped.model, shaped.node, report)
                if contract is not None:
                    _refuse_incompatible(contract, earlier.get(contract.event), document, report)
                    found.append(_with_known_id(contract, earlier.get(contract.event)))
            problems += report.problems
    return found


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


def _flows(documents: Sequence[Document], known: Known, problems: list[Problem]) -> list[CompiledFlow]:
    found = []
    for document in documents:
        if document.kind in ("flow", "workflow"):
            report = Report(document.file)
            compiled = compile_document(document, known, report)
            problems += report.problems
            found += [compiled] if compiled is not None else []
    return found
