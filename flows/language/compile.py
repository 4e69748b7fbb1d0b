"""From documents to programs: shape, desugaring, meaning, layout. Deterministic: no clock, no environment, no order of keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flows.language.called import objects_of
from flows.language.canonical import canonical, sorted_keys, tenants_of, version_of
from flows.language.check_flow import check_flow
from flows.language.desugar import desugar
from flows.language.known import Known
from flows.language.layout import lay_out
from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import plain
from flows.language.parse import Document, planted_document
from flows.language.report import Report
from flows.language.structure import shape
from flows.language.typed import TypedFlow
from schemas.contracts import EventContract
from schemas.errors import InvalidFlow
from schemas.expression.print import print_tree
from schemas.expression.walk import without_places
from schemas.flow.action_types import ActionType
from schemas.flow.documents import Flow
from schemas.pointer import EVERYTHING, Share, share_of
from schemas.program import Program
from schemas.records import Json


@dataclass(frozen=True, slots=True)
class CompiledFlow:
    """A flow that may be deployed: its canonical document, its program, and what stands around them."""

    name: str
    version: str
    tenants: tuple[str, ...]  # empty: all
    document: Mapping[str, Json] = field(hash=False)
    program: Program
    title: str | None = None
    description: str | None = None
    file: str = ""
    enabled: bool = True
    rollout: Share = EVERYTHING
    shadow: bool = False


def compile_flow(
    document: Mapping[str, Json] | Document, contracts: Iterable[EventContract] = (), actions: Iterable[ActionType] = ()
) -> Program:
    """Compile one flow or workflow document; raises InvalidFlow with every error. Cost: about a millisecond."""
    known = Known({one.event: one for one in contracts}, {one.action: one for one in actions})
    parsed = None if isinstance(document, Document) else planted_document(dict(document))
    problems = list(parsed.problems) if parsed else []
    documents = parsed.documents if parsed else (document,)
    for one in documents:
        assert isinstance(one, Document)
        report = Report(one.file)
        compiled = compile_document(one, known, report)
        problems += report.problems
        if compiled is not None:
            return compiled.program
    raise InvalidFlow([problem for problem in problems if problem.severity == "error"])


def compile_document(document: Document, known: Known, report: Report) -> CompiledFlow | None:
    """Compile one document; None if it has an error, which is told."""
    before = len(report.problems)
    shaped = shape(document.kind, document.node, report)
    if shaped is None:
        return None
    node = sorted_keys(desugar(shaped.node))
    assert isinstance(node, MappingNode)
    flow = Flow.model_validate(plain(node))
    typed = check_flow(flow, node, report, known, shaped.lost)
    if typed is None or any(problem.severity == "error" for problem in report.problems[before:]):
        return None
    form = canonical(flow, node)
    locked = {name: known.flows[name].version for one in objects_of(node, "call") if (name := str(one.value)) in known.flows}
    version = version_of(form, locked)
    return CompiledFlow(
        name=typed.name,
        version=version,
        tenants=tenants_of(flow),
        document=form,
        program=lay_out(typed, version),
        title=flow.title,
        description=flow.description,
        file=document.file,
        enabled=flow.enabled,
        rollout=_share(typed),
        shadow=typed.rollout.shadow,
    )


def _share(typed: TypedFlow) -> Share:
    by = None if typed.rollout.by is None else without_places(typed.rollout.by)
    return share_of(typed.rollout.percent, "" if by is None else print_tree(by), by)
