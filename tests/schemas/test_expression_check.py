"""What check says of an expression: names, places and words of flow-language section 8."""

from __future__ import annotations

from schemas.expression.check import Scope, elaborate, proved
from schemas.expression.keyed import PolicyTerm
from schemas.expression.parse import parse
from schemas.expression.print import print_tree
from schemas.expression.scope import ERROR, SCHEDULE
from schemas.expression.tree import Compare, Constant, Field, Lookup
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


ROOTED = Scope(
    DEAL,
    roots={
        "window": parse_type({"orders": "int", "spend": "money(GBP)?"}),
        "inputs": parse_type({"invoice_id": "string", "lines": "list(string)"}),
        "schedule": SCHEDULE,
        "after": parse_type({"month_end": {"status": "string", "output": {"month": "string"}}}),
        "error": ERROR,
    },
    policies={
        "limit": PolicyTerm(parse_type("money(GBP)")),
        "sla": PolicyTerm(DURATION, STRING),
        "countries": PolicyTerm(parse_type("list(string)")),
    },
)


def test_a_root_stands_only_where_something_binds_it() -> None:
    for text in [
        "inputs.a == 1",
        "window.count > 3",
        "schedule.slot > event.time",
        'after.x.status == "failed"',
        'error.code == "x"',
    ]:
        assert said(text) == [("unknown-field", 0)]
    assert message("window.orders > 3") == (
        "'window.orders': 'window' is bound by a trigger with a window, and there is none here; add one, or read the event itself"
    )
    assert said("execution.now > event.time", Scope(DEAL, steps=False)) == [("not-yet-bound", 0)]


def test_the_roots_have_a_key_each_and_a_type() -> None:
    text = 'window.orders > 3 and inputs.lines[0] == "a" and schedule.slot > event.time'
    text += " and after.month_end.output.month == error.code"
    found = elaborate(parse(text), ROOTED, BOOL)
    assert found.ok
    assert keys(found.tree) == {
        "window.orders",
        "inputs.lines",
        "schedule.slot",
        "event.time",
        "after.month_end.output",
        "error.code",
    }


def test_what_a_root_does_not_have_is_told_with_what_it_has() -> None:
    found = elaborate(parse("window.order > 3"), ROOTED, BOOL).findings[0]
    assert found.message == ("field 'window.order' is not in window (window.orders, window.spend); did you mean 'window.orders'?")
    found = elaborate(parse("exists(after.month_end)"), ROOTED, BOOL).findings[0]
    assert found.message == "'after.month_end' is not one value; write one of after.month_end.status, after.month_end.output"


def test_a_policy_is_a_value_and_a_keyed_one_is_asked_by_key() -> None:
    assert elaborate(parse("policies.limit"), ROOTED).tree == Field("policies.limit", (), parse_type("money(GBP)"), 0)
    found = elaborate(parse("policies.sla[deal.partner]"), ROOTED)
    assert isinstance(found.tree, Lookup)
    assert found.type == parse_type("duration?")
    assert keys(found.tree) == {"policies.sla", "deal.partner"}
    assert (
        print_tree(elaborate(parse('policies.sla["1 - Critical"] > 4h'), ROOTED, BOOL).tree)
        == 'policies.sla["1 - Critical"] > 4h'
    )
    assert not elaborate(parse("policies.sla.high > 4h"), ROOTED, BOOL).findings


def test_wrong_uses_of_policies_say_what_to_write() -> None:
    assert [
        elaborate(parse(text), ROOTED).findings[0].message
        for text in ["policies.limits", "policies.sla", "policies.sla[deal.value]"]
    ] == [
        "'limits' is no policy with a value (limit, sla, countries); did you mean 'policies.limit'?",
        "'policies.sla' has a value for each key; write policies.sla[...]",
        "'deal.value' is a decimal; policies.sla wants a string as key",
    ]
    assert message("policies.limit > 1") == (
        "'limit' is no policy with a value; write a document policy: limit, or deploy it first"
    )


def test_a_secret_is_never_read() -> None:
    assert said('secrets.token == "x"') == [("secret-in-expression", 0)]


def test_an_index_is_computed_on_policies_alone() -> None:
    assert said("deal[deal.stage] == 1", ROOTED) == [("bad-path", 5)]
    assert said("exists(policies.countries[deal.pieces])", ROOTED) == [("bad-path", 26)]


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
