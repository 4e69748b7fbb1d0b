"""JSON by the same rules as YAML, with places."""

from __future__ import annotations

import pytest

from flows.language.nodes import plain
from flows.language.parse import parse


def test_json_gives_the_same_document_as_yaml() -> None:
    one = parse('{"flow": "f", "x": [1, 0.10, true, null, "\\ud83d\\ude00 \\u00e9"]}', "a.json")
    two = parse('flow: f\nx: [1, 0.10, true, null, "😀 é"]', "a.yaml")
    assert plain(one.documents[0].node) == plain(two.documents[0].node)
    assert one.problems == ()


def test_an_array_holds_several_documents() -> None:
    parsed = parse('[{"flow": "a"},\n {"flow": "b"}]', "a.json")
    assert [(one.name, one.node.line, one.node.column) for one in parsed.documents] == [("a", 1, 2), ("b", 2, 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"flow": "f", "flow": "g"}', "a.json:1:15: error[duplicate-key]: 'flow' stands at line 1 already; keep one"),
        (
            '{"flow": "f",\n "x": NaN}',
            "a.json:2:7: error[bad-json]: 'NaN' is no JSON value; write \"NaN\", a number, true, false or null",
        ),
        ('{"flow": "f",}', "a.json:1:14: error[bad-json]: '}' stands where a key in double quotes was wanted"),
        ('{"flow": "f"', "a.json:1:13: error[bad-json]: the end of the text stands where ',' was wanted"),
        ('{"flow": "f"} {}', "a.json:1:15: error[bad-json]: one value was wanted and more follows; put documents into an array"),
        (
            '{"flow": "a\tb"}',
            "a.json:1:10: error[bad-json]: this text does not end, or holds a control character or an unknown escape; "
            "write \\n, \\t or \\u0000",
        ),
        (
            '{"flow": "f", "x": 1e3}',
            "a.json:1:20: error[bad-scalar]: '1e3' is read as different numbers by different readers; "
            'write plain digits, or quote it: "1e3"',
        ),
    ],
)
def test_each_refusal_has_its_place(text: str, message: str) -> None:
    assert [str(problem) for problem in parse(text, "a.json").problems] == [message]
