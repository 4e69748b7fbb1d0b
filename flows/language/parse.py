"""From text to documents: nodes with places, each with its kind and name. Nothing is checked for meaning here.

YAML 1.2 core and JSON by the same rules (flow-language.md section 2); a file holds one document or several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flows.language.json_text import read_json
from flows.language.nodes import Mapping, Node, Scalar, planted
from flows.language.report import Report, near
from flows.language.yaml_text import read_yaml
from schemas.errors import Problem
from schemas.flow.documents import KINDS
from schemas.records import Json

BYTES_MAX: Final = 256 * 1024  # of a file with one document; of each document in the mean
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
_BY_RANK: Final = ("test", "policy", "flow", "workflow", "event", "action")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    kind: str  # flow | workflow | event | action | policy | test
    name: str
    file: str
    node: Mapping


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file holds, and what is wrong with its text."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def parse(text: str, file: str = "<text>") -> Parsed:
    """Read a file's text; a name that ends in .json makes it JSON, else it is YAML. Raises nothing."""
    report = Report(file)
    size = len(text.encode("utf-8", "replace"))
    if size > FILE_BYTES_MAX:
        report.add(Scalar(None), "too-large", f"{size} bytes, the limit of a file is {FILE_BYTES_MAX}; divide the file")
        return Parsed((), tuple(report.problems))
    nodes = read_json(text, report) if file.endswith(".json") else read_yaml(text, report)
    if size > BYTES_MAX * max(1, len(nodes)):
        report.add(Scalar(None), "too-large", f"{size} bytes, the limit max_bytes is {BYTES_MAX}; divide the file or the flow")
        return Parsed((), tuple(report.problems))
    if not nodes and not report.problems:
        report.add(Scalar(None), "no-document", "no document stands in this file; write one, as in flow: my_flow")
    found = [_document(node, report) for node in nodes]
    return Parsed(tuple(document for document in found if document is not None), tuple(report.problems))


def planted_document(value: Json, file: str = "<document>") -> Parsed:
    """Take a document that is bare data already (a control record, a test); every place is 1:1."""
    report = Report(file)
    document = _document(planted(value), report)
    return Parsed((document,) if document else (), tuple(report.problems))


def _document(node: Node, report: Report) -> Document | None:
    if not isinstance(node, Mapping):
        empty = isinstance(node, Scalar) and node.value is None
        if not (empty and report.problems):
            report.add(node, "want-mapping", "a document is a mapping; write its kind first, as in flow: my_flow")
        return None
    kind = next((kind for kind in _BY_RANK if node.get(kind) is not None), None)
    if kind is None:
        guess = next((near(key, KINDS) for key in node.names() if near(key, KINDS)), "")
        report.add(node, "no-kind", f"this document has none of {', '.join(_BY_RANK)}; write its kind and name first{guess}")
        return None
    name = node.get(kind)
    return Document(kind, str(name.value) if isinstance(name, Scalar) else "", report.file, node)
