"""Templates: what keeps its type, what is printed, and what is refused (flow-language section 4)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.expression.check import Scope
from schemas.expression.findings import ExpressionError
from schemas.expression.secret_places import secret_places
from schemas.expression.template import (
    MissingValue,
    Template,
    Value,
    compile_template,
    elaborate_template,
    parse_template,
    print_template,
    template_keys,
)
from schemas.expression.type_text import parse_type
from schemas.expression.types import Type

SCOPE = Scope(
    parse_type(
        {
            "order": {
                "id": "string", "total": "money(GBP)", "value": "decimal", "email": "string?", "at": "timestamp", "paid": "bool",
                "lines": "list(line)", "score": "float", "pieces": "int",
            }
        },
        {"line": {"sku": "string", "price": "decimal"}},
    )
)  # fmt: skip
ROW = {
    "order.id": "A {{ 1 }}", "order.total": Decimal("12.5"), "order.value": Decimal("10.500000000"),
    "order.at": 1_795_255_200_000_000,
    "order.paid": True, "order.lines": [{"sku": "a", "price": Decimal("1.000000000")}], "order.pieces": 3,
}  # fmt: skip


def filled(json: Any, *, raw: bool = False) -> Any:
    found = elaborate_template(parse_template(json), SCOPE)
    assert not [finding for finding in found.findings if finding.severity == "error"], found.findings
    return compile_template(found.template, raw=raw)(ROW)


def said(json: Any, want: Type | None = None) -> list[tuple[str, int, tuple[str | int, ...]]]:
    return [(found.name, found.at, found.path) for found in elaborate_template(parse_template(json), SCOPE, want).findings]


def test_one_hole_alone_keeps_its_type() -> None:
    given = {"n": "{{ order.pieces }}", "b": "{{ order.paid }}", "l": "{{ order.lines }}", "none": "{{ order.email }}"}
    assert filled(given) == {"n": 3, "b": True, "l": [{"sku": "a", "price": Decimal(1)}], "none": None}


def test_values_are_written_as_json_holds_them() -> None:
    given = {"v": "{{ order.value }}", "m": "{{ order.total }}", "t": "{{ order.at }}", "u": "{{ event.time - order.at }}"}
    found = compile_template(elaborate_template(parse_template(given), SCOPE).template)(
        {**ROW, "event.time": 1_795_260_600_000_000}
    )
    assert msgspec.json.Encoder(decimal_format="number").encode(found) == (
        b'{"v":10.5,"m":"12.50 GBP","t":"2026-11-21T10:00:00Z","u":"1h30m"}'
    )


def test_names_keep_values_as_rows_hold_them() -> None:
    assert filled({"m": "{{ order.total * 2 }}", "t": "{{ order.at }}"}, raw=True) == {
        "m": Decimal(25),
        "t": 1_795_255_200_000_000,
    }


def test_inside_text_values_are_printed() -> None:
    text = "{{ order.value }}, {{ order.total }}, {{ order.at }}, {{ order.paid }}, {{ coalesce(order.email, 'nobody') }}"
    assert filled(text) == "10.5, 12.50 GBP, 2026-11-21T10:00:00Z, true, nobody"


def test_nothing_is_evaluated_twice() -> None:
    assert filled("<{{ order.id }}>") == "<A {{ 1 }}>"


def test_four_braces_write_two_and_quotes_hide_braces() -> None:
    assert filled("{{{{ {{ order.pieces }} }}") == "{{ 3 }}"
    assert filled("{{ 'a}}b' }}") == "a}}b"
    assert parse_template("{{{{x") == Value('"{{x"')


def test_data_without_holes_is_one_constant() -> None:
    assert parse_template({"a": [1, "x", None, True, Decimal("1.10")]}) == Value('{"a":[1,"x",null,true,1.10]}')


def test_what_may_be_missing_and_what_has_no_text_is_refused_inside_text() -> None:
    assert said({"a": ["Dear {{ order.email }}"]}) == [("maybe-missing", 8, ("a", 0))]
    assert said("{{ order.lines }}!") == [("type-mismatch", 3, ())]
    assert said("{{ order.score }}!") == [("type-mismatch", 3, ())]


def test_a_missing_value_inside_text_stops_the_step() -> None:
    run = compile_template(elaborate_template(parse_template("no {{ order.id }}"), SCOPE).template)
    with pytest.raises(MissingValue):
        run({})


@pytest.mark.parametrize(
    ("json", "name", "at", "path"),
    [
        ({"a": "{{ order.id"}, "unclosed-template", 0, ("a",)),
        ({"a": {"b": "x {{ 1 + }}"}}, "bad-expression", 9, ("a", "b")),
        ({"{{ a }}": 1}, "template-in-key", 0, ()),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(json: Any, name: str, at: int, path: tuple[str | int, ...]) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_template(json)
    assert (caught.value.name, caught.value.at, caught.value.path) == (name, at, path)


def test_parameters_are_checked_against_their_contract() -> None:
    want = parse_type({"amount": "money(GBP)", "after": "duration?", "to": "string"})
    assert said({"amount": "6000 GBP", "after": "4h", "to": "x"}, want) == []
    assert said({"amount": "{{ order.total }}", "to": "{{ order.id }}"}, want) == []
    assert said({"amount": "{{ order.value }}", "after": 30, "too": "{{ order.id }}"}, want) == [
        ("needs-currency", 3, ("amount",)),
        ("bad-duration", 0, ("after",)),
        ("unknown-field", 0, ("too",)),
        ("missing-field", 0, ()),
    ]


def test_a_template_prints_as_it_was_written() -> None:
    given = {"a": "{{ order.total * 2 }}", "b": ["x {{ order.id }} {{{{", 1], "c": {"d": None}}
    template: Template = parse_template(given)
    assert print_template(template) == given
    assert template_keys(elaborate_template(template, SCOPE).template) == {"order.total", "order.id"}


def test_a_secret_travels_as_a_reference_and_only_whole() -> None:
    scope = replace(SCOPE, secrets=True)
    json = {"token": "{{ secrets.pay }}", "list": ["{{ secrets.pay }}", "{{ order.id }}"]}
    found = elaborate_template(parse_template(json), scope, parse_type({"token": "string", "list": "list(string)"}))
    assert not found.findings
    assert compile_template(found.template)(ROW)["token"] == {"$secret": "pay"}
    assert secret_places(found.template) == {("token",): "pay", ("list", 0): "pay"}
    assert print_template(parse_template(json)) == json
    refused = elaborate_template(parse_template({"a": "Bearer {{ secrets.pay }}", "b": "{{ secrets }}"}), scope).findings
    assert [finding.name for finding in refused] == ["secret-in-expression", "bad-path"]
    assert said("{{ secrets.pay }}") == [("secret-in-expression", 3, ())]
    assert elaborate_template(parse_template("{{ secrets.pay }}"), scope, parse_type("int")).findings[0].name == "type-mismatch"


def test_data_that_looks_like_a_reference_is_no_place_of_one() -> None:
    found = elaborate_template(parse_template({"lines": "{{ order.lines }}"}), replace(SCOPE, secrets=True))
    assert secret_places(found.template) == {}
