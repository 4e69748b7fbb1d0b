"""The strict YAML loader, by hand: what a scalar means, and what is refused."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

from decimal import Decimal

import pytest
import yaml

from flows.language.nodes import plain
from flows.language.parse import parse


def read(text: str) -> object:
    parsed = parse(f"flow: f\nx:\n  - {text}\n", "a.yaml")
    assert parsed.problems == ()
    value = plain(parsed.documents[0].node)
    return value["x"][0]


def problems(text: str, file: str = "a.yaml") -> list[str]:
    return [str(problem) for problem in parse(text, file).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("2026-11-21", "2026-11-21"),
        ("true", True),
        ("null", None),
        ("0.10", Decimal("0.10")),
        ("-7", -7),
        ("9223372036854775807", 9223372036854775807),
        ('"012"', "012"),
        ("1 - Critical", "1 - Critical"),
        ("5000 GBP", "5000 GBP"),
        ("{email: string?, n: 1}", {"email": "string?", "n": 1}),
        ('"\\ud83d\\ude00"', "😀"),
        ("|\n    two\n    lines\n", "two\nlines\n"),
    ],
)
def test_only_true_false_null_are_words_and_numbers_keep_their_digits(text: str, value: object) -> None:
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["012", "0x1F", "1_000", "1e3", ".inf", ".nan", "~", "True", "FALSE", "Null", "+5", ".5", "5.", "0o17"]
)
def test_what_readers_disagree_about_is_refused(text: str) -> None:
    found = problems(f"flow: f\nx: {text}\n")
    assert len(found) == 1
    assert found[0].startswith("a.yaml:2:4: error[bad-scalar]: ")
    assert f'quote it: "{text}"' in found[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flow: f\nx:\n", "a.yaml:2:3: error[empty-value]: nothing stands here; write null or a value, or take the key away"),
        ("flow: f\nx: 1\nx: 2\n", "a.yaml:3:1: error[duplicate-key]: 'x' stands at line 2 already; keep one"),
        (
            "flow: f\nx: !!str 1\n",
            "a.yaml:2:4: error[tag]: the tag tag:yaml.org,2002:str stands here; a definition has none, take it away",
        ),
        ("flow: f\nx: &here 1\n", "a.yaml:2:4: error[anchor]: the anchor &here stands here; a definition has none, take it away"),
        ("flow: f\n<<: {a: 1}\n", "a.yaml:2:1: error[merge-key]: '<<' merges a mapping in other readers; write the keys out"),
        ("flow: f\nx:\n\t- 1\n", "a.yaml:3:1: error[tab]: a tab stands where YAML counts spaces; indent with spaces"),
        (
            "flow: f\nx: {{ deal.id }}\n",
            'a.yaml:2:4: error[unquoted-template]: a value that starts with {{ is a YAML mapping; quote it: "{{ deal.id }}"',
        ),
        (
            "flow: f\nx: {{ deal.id }} and more\n",
            'a.yaml:2:4: error[unquoted-template]: a value that starts with {{ is a YAML mapping; quote it: "{{ deal.id }} and more"',
        ),
        ("flow: f\n1: x\n", 'a.yaml:2:1: error[want-string]: 1 is a number and a key is a string; quote it: "1"'),
        (
            'flow: f\nx: "\\ud83d"\n',
            "a.yaml:2:4: error[bad-scalar]: half of a surrogate pair stands here; write the character itself or both halves",
        ),
        (
            "flow: f\nx: a\x01b\n",
            "a.yaml:2:5: error[bad-character]: the character U+0001 may not stand in a definition; take it out",
        ),
    ],
)
def test_each_refusal_has_its_place_and_says_what_to_do(text: str, message: str) -> None:
    assert problems(text) == [message]


def test_an_alias_is_refused_where_it_stands() -> None:
    assert "a.yaml:3:4: error[alias]: the alias *a stands here; write the value out" in problems("flow: f\nx: &a 1\ny: *a\n")


def test_a_file_holds_several_documents_each_with_its_place() -> None:
    parsed = parse("flow: one\n---\nevent: a.b\nfields: {a: string}\n", "a.yaml")
    assert [(one.kind, one.name, one.node.line) for one in parsed.documents] == [("flow", "one", 1), ("event", "a.b", 3)]


def test_what_is_too_large_or_too_deep_is_refused_by_name() -> None:
    assert "error[too-large]" in problems("flow: f\ntitle: " + "x" * 300_000)[0]
    assert "error[too-deep]" in problems("flow: f\nx: " + "[" * 400 + "]" * 400)[0]


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml, so there is one route only")
def test_both_scanners_give_the_same_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "flow: f\nsteps:\n  - {set: {a: string?, 'b': \"é {{ x }}\"}}\n  - delay: 1h # note\n  - note: |\n      two\n       lines\n"
    fast = parse(text)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert parse(text) == fast
