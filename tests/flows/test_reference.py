"""The reference is whole, its examples are right, and its functions give what it says."""

from __future__ import annotations

from importlib.resources import files

import msgspec
import pytest

from flows.cli.reference import reference
from flows.cli.terminal import Terminal
from flows.language.definitions import Source, check_sources
from flows.reference.constructs import CONSTRUCTS, Construct, example_of
from flows.reference.functions import WORKED
from flows.reference.meanings import COMMON, OF
from flows.reference.page import functions_page, page, whole
from schemas.errors import InvalidInput
from schemas.expression.check import Scope
from schemas.expression.functions.table import FUNCTIONS
from schemas.expression.parse import parse
from schemas.expression.template import Whole, compile_template, elaborate_template
from schemas.flow.documents import KINDS
from schemas.flow.json_schema import json_schema
from schemas.flow.step import VERBS
from schemas.flow.trigger import SORTS

RESERVED = {  # checked; refused until it is built, or without effect until then
    "generate": "not-built",
    "objectives": "not-yet",
    "retention": "not-yet",
    "view": "not-yet",
}


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda one: one.name)
def test_an_example_is_right_and_shows_its_construct(construct: Construct) -> None:
    text = example_of(construct)
    found = check_sources([Source(f"{construct.name}.yaml", text)])
    expected = [RESERVED[construct.name]] if construct.name in RESERVED else []
    assert [problem.name for problem in found.problems] == expected, found.problems
    word = {"event contract": "event", "action contract": "action", "view": "views"}.get(construct.name, construct.name)
    assert f"{word}:" in text


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda one: one.name)
def test_a_page_has_every_key_with_its_meaning(construct: Construct) -> None:
    text = page(construct)
    for model in (construct.model, *construct.parts.values()):
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in text
    assert example_of(construct).rstrip() in text


def test_every_document_trigger_and_step_has_a_page() -> None:
    described = {part.__name__ for one in CONSTRUCTS for part in (one.model, *one.parts.values())}
    assert {model.__name__ for model in (*KINDS.values(), *SORTS.values(), *VERBS.values())} <= described


def test_no_sentence_is_of_a_key_that_is_gone() -> None:
    keys = {name: set(part.get("properties", ())) for name, part in json_schema()["$defs"].items()}
    assert {(model, key) for model, said in OF.items() for key in said if key not in keys[model]} == set()
    assert set(COMMON) <= set().union(*keys.values())


def test_every_example_belongs_to_a_page() -> None:
    there = {item.name for item in (files("flows.reference") / "examples").iterdir()}
    assert there == {f"{one.name.replace(' ', '_')}.yaml" for one in CONSTRUCTS}


def test_each_function_gives_what_its_page_says() -> None:
    assert set(WORKED) == set(FUNCTIONS)
    for name, (text, value) in WORKED.items():
        found = elaborate_template(Whole(parse(text)), Scope())
        assert not [one for one in found.findings if one.severity == "error"], name
        got = msgspec.json.Encoder(decimal_format="number").encode(compile_template(found.template)({})).decode()
        assert (name, got) == (name, value)


def test_the_command_prints_a_page_all_pages_or_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference(Terminal(json=False), words=["wait"], everything=False) == 0
    assert capsys.readouterr().out.startswith("## wait\n")
    reference(Terminal(json=False), words=["event", "contract"], everything=False)
    assert "| `topic` |" in capsys.readouterr().out
    reference(Terminal(json=False), words=["functions"], everything=False)
    assert capsys.readouterr().out == functions_page()
    reference(Terminal(json=False), words=[], everything=True)
    assert capsys.readouterr().out == whole()
    reference(Terminal(json=False), words=[], everything=False)
    assert "triggers: event, window, sequence, absence, schedule, webhook, manual, after" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match=r"'wat' is no construct of the language; did you mean 'wait'\?"):
        reference(Terminal(json=False), words=["wat"], everything=False)
