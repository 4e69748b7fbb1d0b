"""Runs the test documents of some files: each on its own stage, and what their flows were taken through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flows.language.definitions import Definitions
from flows.language.nodes import Mapping
from flows.language.parse import Document
from flows.language.report import Report
from flows.language.structure import shape
from flows.scenarios.coverage import Coverage
from flows.scenarios.stage import Stage
from flows.scenarios.story import Failure, Story
from schemas.errors import InvalidInput
from schemas.flow.scenario import Test
from schemas.registry import Registry


@dataclass(frozen=True, slots=True)
class Told:
    """One test and how it ended: None is as expected."""

    name: str
    flow: str
    file: str
    failure: Failure | None

    def __str__(self) -> str:
        if self.failure is None:
            return f"{self.file}: {self.flow}: {self.name}: fine"
        one = self.failure
        return f"{self.file}:{one.line}:{one.column}: {self.flow}: {self.name}: at {one.at}: {one.message}"


def run_tests(definitions: Definitions, registry: Callable[[], Registry], coverage: Coverage) -> Iterator[Told]:
    """Run every test of the files, in their order. `registry` gives a registry of what is deployed, a new one each time."""
    stages: dict[str, Stage] = {}
    for document in definitions.tests:
        test, node = _read(document)
        try:
            stage = stages.get(test.flow)
            if stage is None:
                stage = stages[test.flow] = Stage(test.flow, definitions, registry(), coverage)
            failure = Story(test, node, stage).run()
        except InvalidInput as error:
            key = node.key("flow") or node
            failure = Failure(key.line, key.column, "the start", str(error))
        yield Told(test.test, test.flow, document.file, failure)


def _read(document: Document) -> tuple[Test, Mapping]:
    shaped = shape(document.kind, document.node, Report(document.file))
    assert shaped is not None
    assert isinstance(shaped.model, Test)
    return shaped.model, shaped.node
