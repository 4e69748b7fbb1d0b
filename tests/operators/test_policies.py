"""Policies in force: whose, since when, what tables bring along, and which conditions triggers get from them."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import polars as pl
import pytest

from flows.language.definitions import Source, check_sources, policy_control
from operators.triggers.match import make_table, match_columns, match_events
from operators.triggers.match_rows import ALL, Trigger
from operators.triggers.policies import NEVER_US, Policies
from operators.triggers.trigger_policies import bind_policies
from schemas.errors import BadRecord
from schemas.expression.keyed import Keyed
from schemas.expression.print import print_tree
from schemas.policy import TablePolicy
from schemas.program import EventTrigger
from schemas.records import Control, decode, encode

CONTRACT = "event: order.placed\nfields: {order: {total: money(GBP), country: string}}\n---\n"
BY_COUNTRY = "policy: by_country\nkey: string\ntype: money(GBP)\nvalues: {UK: 5 GBP}\ndefault: 9 GBP\n"
LATER_US = 1_796_083_200_000_000  # 2026-12-01


def told(policies: Policies, text: str, tenant: str | None = None) -> None:
    found = check_sources([Source("p.yaml", text)])
    assert not found.errors, found.problems
    for compiled in found.policies:
        record = decode(Control, encode(policy_control(compiled, tenant)))
        _, owner, name = record.key.split("/")
        policies.apply(owner, name, record.value)


def limit(amount: int, valid_from: str = "") -> str:
    return f"policy: limit\ntype: money(GBP)\nvalue: {amount} GBP\n" + (f'valid_from: "{valid_from}"\n' if valid_from else "")


def test_a_tenants_own_policy_wins_over_the_one_for_all() -> None:
    policies = Policies()
    told(policies, limit(100))
    told(policies, limit(7), "acme")
    assert policies.values("acme", ["limit"], 0) == {"policies.limit": Decimal(7)}
    assert policies.values("zeta", ["limit", "other"], 0) == {"policies.limit": Decimal(100)}
    assert policies.tenants(["limit"]) == {"acme"}
    policies.apply("acme", "limit", None)
    assert policies.values("acme", ["limit"], 0) == {"policies.limit": Decimal(100)}


def test_an_announced_policy_holds_from_its_time_on() -> None:
    policies = Policies()
    told(policies, limit(100))
    told(policies, limit(200, "2026-12-01T00:00:00Z"))
    assert [policies.values(ALL, ["limit"], at)["policies.limit"] for at in (LATER_US - 1, LATER_US)] == [100, 200]
    assert policies.next_change_us(["limit"], 0) == LATER_US
    assert policies.next_change_us(["limit"], LATER_US) == NEVER_US


def test_a_table_brings_the_policies_that_its_rules_read() -> None:
    policies = Policies()
    table = "policy: route\ninputs: {total: money(GBP)}\noutputs: {to: string}\nhit: first\n"
    table += "rules: [{when: total > policies.limit, then: {to: desk}}]\notherwise: {to: auto}\n"
    told(policies, f"{limit(100)}---\n{table}")
    env = policies.environment("acme", ["route"], 0)
    assert isinstance(env["policies.route"], TablePolicy)
    assert env["policies.limit"] == Decimal(100)
    assert set(env["policies"]) == {"route", "limit"}


def test_a_program_names_the_tables_that_it_asks() -> None:
    table = "---\npolicy: route\ninputs: {total: money(GBP)}\noutputs: {to: string}\nhit: first\n"
    table += "rules: [{when: total > 3 GBP, then: {to: desk}}]\notherwise: {to: auto}\n"
    flow = "flow: f\ntrigger: {event: order.placed}\nsteps: [{decide: route, as: r, with: {total: '{{ order.total }}'}}]\n"
    found = check_sources([Source("a.yaml", CONTRACT + flow + table)])
    assert not found.errors, found.problems
    assert found.flows[0].program.policies == ("route",)


def test_conditions_of_triggers_get_the_values_and_a_tenant_with_its_own_gets_its_own() -> None:
    policies = Policies()
    told(policies, limit(100))
    told(policies, limit(7), "acme")
    told(policies, BY_COUNTRY)
    assert policies.values(ALL, ["by_country"], 0) == {"policies.by_country": Keyed({"UK": Decimal(5)}, Decimal(9))}
    by_country = "order.total > policies.by_country[order.country]"
    flow = f"flow: f\ntrigger: {{event: order.placed, conditions: [order.total > policies.limit, '{by_country}']}}\n"
    flow += "steps: [{delay: 1h}]\n"
    (trigger,) = check_sources([Source("a.yaml", f"{CONTRACT}{flow}---\n{limit(1)}---\n{BY_COUNTRY}")]).flows[0].program.triggers
    assert isinstance(trigger, EventTrigger)
    bound, until_us = bind_policies([Trigger(0, ALL, "f", 0, trigger.condition)], policies, 0)
    shown = {one.tenant: print_tree(one.condition) for one in bound if one.condition is not None}
    assert shown == {ALL: f"order.total > 100.00 GBP and {by_country}", "acme": f"order.total > 7.00 GBP and {by_country}"}
    assert until_us == NEVER_US
    rows = [("acme", "UK", 6), ("acme", "UK", 8), ("acme", "FR", 8), ("zeta", "UK", 50), ("zeta", "UK", 101)]
    events = pl.DataFrame(
        {
            "row": pl.Series(range(len(rows)), dtype=pl.UInt32),
            "tenant": [tenant for tenant, _, _ in rows],
            "order.country": [country for _, country, _ in rows],
            "order.total": pl.Series([Decimal(total) for _, _, total in rows], dtype=pl.Decimal(38, 9)),
        }
    )
    table = make_table(bound)
    for match in (match_columns, match_events):
        (found,) = match([(events, table)], lambda frame, names: frame.select(names))
        assert found["row"].to_list() == [1, 4]


def test_a_record_that_is_no_policy_is_set_aside() -> None:
    with pytest.raises(BadRecord, match="deploy it again"):
        Policies().apply(ALL, "limit", msgspec.to_builtins({"version": "v", "document": {}, "compiled": "bm90"}))
