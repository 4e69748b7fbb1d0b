"""Laws of `fmt`: the same canonical form, a fixed point, and no comment lost, whatever the layout it finds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.catalog import catalog_files
from flows.fmt.definition_text import definition_text
from flows.fmt.scalar_text import block_lines, quoted, scalar_text
from flows.language.definitions import Source, check_sources
from flows.language.nodes import Mapping, Node, Scalar, plain
from flows.language.parse import parse
from flows.language.report import Report
from flows.language.yaml_text import read_yaml
from schemas.errors import InvalidFlow
from tests.examples import examples

HEAD = "flow: f\ntrigger: {event: deal.closed}\n"


def as_read(text: str, file: str = "f.yaml") -> list[Any]:
    parsed = parse(text, file)
    assert parsed.problems == ()
    return [plain(document.node) for document in parsed.documents]


WORDS = ["true", "null", "~", "012", "1e3", "yes", "5", "0.10", "---", "...", "- a", "a: b", "a #b", "{{ x }}", "=", "<<"]
scalars = st.one_of(
    st.text(max_size=12),
    st.text(st.sampled_from("a:#-?,[]{}&*!|>'\"%@` \n\\~.{0\t\x85\u2028é\U0001f600"), max_size=10),
    st.sampled_from(WORDS),
    st.integers(-(10**12), 10**12),
    st.booleans(),
    st.none(),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000),
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda key: key != "<<"), inner, max_size=4),
    ),
    max_leaves=12,
)


def written(value: Any, draw: Any) -> str:
    """Write data in some layout of its own: flow style and double quotes, with comments where lines may end."""
    if isinstance(value, dict):
        entries = [f"{json.dumps(key)}: {written(item, draw)}" for key, item in value.items()]
        return "{" + f",{draw(BREAKS)}".join(entries) + "}"
    if isinstance(value, list):
        return f"[{draw(BREAKS)}" + f",{draw(BREAKS)}".join(written(item, draw) for item in value) + "]"
    return scalar_text(Scalar(value), inside=True)


BREAKS = st.sampled_from([" ", "\n      ", "  # one\n      ", "\n      # two\n\n      ", "   # three\n  # four\n   "])


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_data_in_any_layout_is_read_back_the_same_with_every_comment(data: st.DataObject) -> None:
    with_ = data.draw(st.dictionaries(st.sampled_from("abcdef"), trees, max_size=4))
    text = f"{HEAD}steps:\n  # first\n  - action: x  # second\n    with: {written(with_, data.draw)}  # last\n# below\n"
    (before,) = as_read(text)
    done = definition_text(text, "f.yaml")
    assert as_read(done) == [before]
    assert definition_text(done, "f.yaml") == done
    assert comments(done) == comments(text)


def comments(text: str) -> list[str]:
    """Collect comments by PyYAML's own scanner: what stands between its tokens."""
    gaps, end = [], 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.ScalarToken | yaml.DocumentStartToken):
            block = isinstance(token, yaml.ScalarToken) and token.style in ("|", ">")  # its header may carry one
            start = text.index("\n", token.start_mark.index) if block else token.start_mark.index
            gaps.append(text[end:start])
            end = token.end_mark.index
    gaps.append(text[end:])
    return sorted(found for gap in gaps for found in re.findall(r"(?<!\S)#[^\n]*", gap))


@settings(max_examples=examples(300), deadline=None)
@given(scalars, st.booleans())
def test_a_scalar_is_read_back_as_it_is(value: Any, inside: bool) -> None:
    text = scalar_text(Scalar(value), inside=inside)
    assert read(f"a: [{text}]\n" if inside else f"a: {text}\n") == {"a": [value] if inside else value}
    if isinstance(value, str):
        assert read(f"{quoted(value)}: {quoted(value)}\n") == {value: value}


@settings(max_examples=examples(200), deadline=None)
@given(st.text(st.sampled_from("ab \n#:-é\t"), max_size=20))
def test_a_literal_block_is_read_back_as_it_is(text: str) -> None:
    lines = block_lines(text)
    if lines is not None:
        block = "\n".join(f"  {line}" if line else "" for line in lines[1:])
        assert read(f"a: {lines[0]}\n{block}\nb: 1\n") == {"a": text, "b": 1}


def read(text: str) -> Any:
    report = Report("f.yaml")
    found: list[Node] = read_yaml(text, report)
    assert report.problems == []
    (node,) = found
    assert isinstance(node, Mapping)
    return plain(node)


@pytest.mark.parametrize("file", catalog_files(), ids=lambda file: file.name)
def test_the_catalogue_means_the_same_afterwards(file: Any) -> None:
    text = file.read_text()
    done = definition_text(text, file.name)
    others = [Source(other.name, other.read_text()) for other in catalog_files() if other.name != file.name]
    before = check_sources([Source(file.name, text), *others])
    after = check_sources([Source(file.name, done), *others])
    assert [(flow.name, flow.version) for flow in after.flows] == [(flow.name, flow.version) for flow in before.flows]
    assert after.contracts == before.contracts
    assert definition_text(done, file.name) == done


def test_the_layout_is_the_golden_one() -> None:
    golden = Path(__file__).parents[1] / "flows" / "golden" / "fmt"
    assert definition_text((golden / "before.yaml").read_text(), "before.yaml") == (golden / "after.yaml").read_text()


def test_json_stays_json_and_keeps_its_digits() -> None:
    trigger = '{"conditions": [{"value": 1.10, "operator": ">", "field": "deal.value"}], "event": "deal.closed"}'
    text = f'{{"trigger": {trigger}, "workflow": "w", "actions": [{{"x": "é", "type": "t"}}]}}'
    done = definition_text(text, "w.json")
    assert done.splitlines()[1] == '  "workflow": "w",'
    assert '"value": 1.10' in done
    assert '{"type": "t", "x": "é"}' in done
    assert as_read(done, "w.json") == as_read(text, "w.json")


def test_what_cannot_be_read_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidFlow, match=r"f\.yaml:3:8: error\[duplicate-key\]|f\.yaml:3:"):
        definition_text("flow: f\nsteps:\n  - {a: 1, a: 2}\n", "f.yaml")
