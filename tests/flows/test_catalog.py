"""The catalogue: each flow checks clean, is laid out by fmt, explains to its golden text, and its tests enter every arm."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from flows.catalog import catalog_file, catalog_files, catalog_tests
from flows.explain.flow_text import explain
from flows.explain.mermaid import mermaid
from flows.fmt.definition_text import definition_text
from flows.language.compile import CompiledFlow
from flows.language.definitions import Definitions, Source, check_sources, load_definitions
from flows.scenarios.coverage import Coverage
from flows.scenarios.run_tests import Told, run_tests
from schemas.registry import Registry

GOLDEN = Path(__file__).parent / "golden"
HAND_LAID = ("contracts.yaml", "onboarding.json")  # tables, and the text of the design
FLOWS = (
    "awaiting_user",
    "collection",
    "customer_onboarding",
    "deal_closed",
    "dunning",
    "late_delivery",
    "month_end",
    "month_report",
    "new_customer_onboarding",
    "order_over_limit",
    "order_processing",
    "returns",
    "sla_watch",
    "ticket_escalation",
    "velocity",
)


@cache
def catalog() -> Definitions:
    return load_definitions([*catalog_files(), *catalog_tests()])


@cache
def told() -> tuple[tuple[Told, ...], Coverage]:
    coverage = Coverage()
    return tuple(run_tests(catalog(), Registry, coverage)), coverage


def flow(name: str) -> CompiledFlow:
    return next(one for one in catalog().flows if one.name == name)


def test_the_whole_catalogue_checks_clean() -> None:
    assert {problem.name for problem in catalog().problems} == {"not-yet"}  # keys around the steps that nothing acts on
    assert tuple(sorted(one.name for one in catalog().flows)) == FLOWS


@pytest.mark.parametrize("file", [*catalog_files(), *catalog_tests()], ids=lambda file: file.name)
def test_every_file_is_laid_out_by_fmt(file: Path) -> None:
    if file.name not in HAND_LAID:
        text = file.read_text()
        assert definition_text(text, file.name) == text


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_explains_to_its_golden_text(name: str) -> None:
    topics = {contract.event: contract.topic for contract in catalog().contracts}
    one = flow(name)
    assert explain(one.document, topics, title=one.title) == (GOLDEN / "catalog" / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_passes_its_tests_and_they_enter_every_step_and_arm(name: str) -> None:
    ended, coverage = told()
    mine = [one for one in ended if one.flow == name]
    assert mine
    assert [str(one) for one in mine if one.failure] == []
    assert coverage.left_out(name) == []


def test_onboarding_is_the_text_of_the_design() -> None:
    assert catalog_file("onboarding.json").read_text().startswith('{"workflow": "new_customer_onboarding",\n "trigger"')


def test_every_construct_is_explained_and_drawn() -> None:
    golden = GOLDEN / "explain"
    found = check_sources([Source("every_construct.yaml", (golden / "every_construct.yaml").read_text())])
    assert found.errors == ()
    topics = {contract.event: contract.topic for contract in found.contracts}
    texts = [explain(one.document, topics, title=one.title) for one in found.flows]
    assert "\n".join(texts) == (golden / "every_construct.txt").read_text()
    assert "\n".join(mermaid(one.program) for one in found.flows) == (golden / "every_construct.mmd").read_text()
