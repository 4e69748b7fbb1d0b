"""What check says of an expression: names, places and words of flow-language section 8."""

from __future__ import annotations

from schemas.expression.check import Scope, elaborate, proved
from schemas.expression.parse import parse
from schemas.expression.tree import Compare, Constant, Field
from schemas.expression.type_text import parse_type
from schemas.expression.types import BOOL, DECIMAL, DURATION, STRING
from schemas.expression.walk import keys

DEAL = parse_type(
    {
        "deal": {"id": "string", "value": "decimal", "stage": 'one_of("Won", "Lost")', "partner": "string?", "pieces": "int"},
        "customer": {"id": "string"},
        "order": {"total": "money(GBP)", "lines": "list(line)", "at": "timestamp", "extra": "any"},
    },
    {"line": {"sku": "string", "quantity": "int", "note": "string?"}},
)
SCOPE = Scope(DEAL, {"invoice": parse_type({"id": "string"}), "commission": DECIMAL}, event="deal.closed")


def said(text: str, scope: Scope = SCOPE) -> list[tuple[str, int]]:
    return [(finding.name, finding.at) for finding in elaborate(parse(text), scope, BOOL).findings]


def message(text: str) -> str:
    return elaborate(parse(text), SCOPE, BOOL).findings[0].message


def test_a_path_is_the_longest_run_of_names_inside_records() -> None:
    assert elaborate(parse("order.lines[*].quantity"), SCOPE).tree == Field(
        "order.lines", ("*", "quantity"), parse_type("list(int)"), 0
    )
    assert elaborate(parse("invoice.id"), SCOPE).tree == Field("invoice", ("id",), STRING)
    assert keys(elaborate(parse("event.time > order.at and event.data.deal.value == commission"), SCOPE).tree) == {
        "event.time",
        "order.at",
        "deal.value",
        "commission",
    }


def test_without_a_contract_every_name_belongs_to_the_key() -> None:
    found = elaborate(parse("order.lines[*].quantity"), Scope()).tree
    assert isinstance(found, Field)
    assert (found.key, found.rest) == ("order.lines", ("*", "quantity"))


def test_a_number_literal_takes_the_type_of_the_other_side() -> None:
    found = elaborate(parse("deal.value >= 10000"), SCOPE, BOOL).tree
    assert isinstance(found, Compare)
    assert found.right == Constant("10000", DECIMAL, 14)


def test_an_unknown_field_is_named_with_a_near_one() -> None:
    assert said("deal.valeu >= 10") == [("unknown-field", 0)]
    assert message("deal.valeu >= 10").endswith("did you mean 'deal.value'?")
    assert message("deal.valeu >= 10").startswith("field 'deal.valeu' is not in deal.closed (deal.id, deal.value, deal.stage,")


def test_types_that_do_not_fit_are_told_apart() -> None:
    assert said("deal.id >= 10000") == [("type-mismatch", 0)]
    assert message("deal.id >= 10000") == "'deal.id' is a string and 10000 an int; '>=' wants two of one type"
    assert said("order.total > 5000") == [("needs-currency", 14)]
    assert message("order.total > 5000") == "'order.total' is money(GBP) and 5000 has no currency; write 5000 GBP"
    assert said("order.total > 5000 EUR") == [("currency-mismatch", 14)]
    assert said("event.time - order.at > 30") == [("bad-duration", 24)]
    assert said("event.time - order.at > 0") == []
    assert said("deal.value") == [("type-mismatch", 0)]
    assert said("deal.id and true") == [("type-mismatch", 0)]
    assert said("order.lines == order.lines") == [("type-mismatch", 0)]
    assert said("deal.value == order.at") == [("type-mismatch", 0)]


def test_all_findings_come_at_once_and_one_mistake_is_one_finding() -> None:
    assert said('deal.foo > 1 + 2 and lowr(deal.id) == "x" or order.total > 5') == [
        ("unknown-field", 0),
        ("unknown-function", 21),
        ("needs-currency", 59),
    ]


def test_a_branch_on_what_may_be_missing_is_warned_of_until_exists_asks() -> None:
    assert said('deal.partner != "x"') == [("maybe-missing-branch", 0)]
    assert said('exists(deal.partner) and deal.partner != "x"') == []
    assert said('coalesce(deal.partner, "") != "x"') == []
    known = proved(elaborate(parse('deal.partner == "x"'), SCOPE, BOOL).tree)
    assert said('deal.partner != "y"', Scope(DEAL, known=known)) == []


def test_what_holds_proves_what_is_there() -> None:
    both = elaborate(parse('exists(deal.partner) and deal.value > 1 or deal.partner == "x"'), SCOPE, BOOL).tree
    assert proved(both) == {"deal.partner"}
    assert proved(elaborate(parse("not exists(deal.partner)"), SCOPE, BOOL).tree) == frozenset()


def test_an_option_that_does_not_exist_is_never_true() -> None:
    assert said('deal.stage == "won"') == [("always-false", 14)]
    assert said('deal.stage in ["Won", "Los"]') == [("always-false", 22)]


def test_what_is_not_built_yet_says_so() -> None:
    for text in ["policies.limit > 1", 'secrets.token == "x"', "inputs.a == 1", "window.count > 3", "schedule.slot > event.time"]:
        assert said(text) == [("not-built", 0)]
    assert said("execution.now > event.time", Scope(DEAL, steps=False)) == [("not-yet-bound", 0)]


def test_two_values_of_no_known_type_refuse() -> None:
    assert said("order.extra == order.extra.b") == [("type-mismatch", 0)]
    assert said('order.extra == "x"') == []


def test_the_place_decides_what_is_wanted() -> None:
    assert [finding.name for finding in elaborate(parse("30"), SCOPE, DURATION).findings] == ["bad-duration"]
    assert elaborate(parse("0"), SCOPE, DURATION).tree == Constant(0, DURATION)
    assert elaborate(parse("deal.pieces / 2"), SCOPE).type == DECIMAL


def test_arithmetic_of_money_and_time_is_a_closed_list() -> None:
    for text in ["order.total * 2 > 1 GBP", "order.total / order.total > 0.5", "order.at + 1d < event.time", "2 * 1d == 2d"]:
        assert said(text) == []
    for text in [
        "order.total / 2 > 1 GBP",
        "order.total * order.total > 1 GBP",
        "order.at + order.at > order.at",
        '"a" + "b" == "ab"',
    ]:
        assert [name for name, _ in said(text)] == ["type-mismatch"]


def test_patterns_and_zones_are_read_at_check() -> None:
    for text in ['deal.id matches "(?=a)"', 'deal.id matches "(a)\\\\1"', 'deal.id matches "(?i)a"', 'deal.id matches "["']:
        assert [name for name, _ in said(text)] == ["bad-pattern"]
    assert said('date(event.time, "Europe/Berlim") == "2026-11-21"') == [("bad-zone", 17)]
    assert said('part(event.time, "minute", "UTC") == 1') == [("type-mismatch", 17)]


def test_arguments_are_counted() -> None:
    assert said("round(deal.value) > 1 and exists() and if(true, 1) == 1") == [
        ("wrong-arguments", 0),
        ("wrong-arguments", 26),
        ("wrong-arguments", 39),
    ]
