"""Compiled policies: what an expression is given, and which document of one name holds when."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from schemas.errors import InvalidInput
from schemas.expression.keyed import Keyed
from schemas.expression.template import Value
from schemas.expression.types import DURATION, STRING, Type
from schemas.policy import (
    AT_ONCE,
    KeyedPolicy,
    Policy,
    ValuePolicy,
    following,
    in_force,
    policy_record,
    policy_type,
    policy_value,
    read_policy,
)

HOUR_US = 3_600_000_000


def limit(amount: str, valid_from_us: int = AT_ONCE) -> ValuePolicy:
    return ValuePolicy("approval_limit", amount, Type("money", currency="GBP"), Value(f'"{amount} GBP"'), valid_from_us)


def test_a_money_policy_is_worth_a_decimal() -> None:
    assert policy_value(limit("5000.50")) == Decimal("5000.50")


def test_a_keyed_policy_covers_the_stranger_with_its_default() -> None:
    values = ((Value('"1 - Critical"'), Value('"4h"')), (Value('"2 - High"'), Value('"8h"')))
    keyed = policy_value(KeyedPolicy("sla", "v", STRING, DURATION, values, Value('"10d"')))
    assert keyed == Keyed({"1 - Critical": 4 * HOUR_US, "2 - High": 8 * HOUR_US}, 240 * HOUR_US)
    assert keyed.at("2 - High") == 8 * HOUR_US
    assert keyed.at("nobody knows") == 240 * HOUR_US


def test_a_policy_comes_back_from_its_control_record() -> None:
    record = msgspec.to_builtins(policy_record(limit("5000"), {"policy": "approval_limit"}))
    assert read_policy(record) == limit("5000")
    assert policy_type(read_policy(record)).value == Type("money", currency="GBP")


def test_a_damaged_control_record_is_refused() -> None:
    with pytest.raises(InvalidInput, match="deploy it again"):
        read_policy({"version": "v", "document": {}, "compiled": "bm90IGEgcG9saWN5"})


def test_an_announced_document_holds_from_its_time_on() -> None:
    known: tuple[Policy, ...] = following((limit("100"),), limit("200", 50))
    assert [in_force(known, at) for at in (0, 49, 50, 60)] == [limit("100")] * 2 + [limit("200", 50)] * 2


def test_a_new_document_ends_what_was_announced_for_later() -> None:
    announced = following((limit("100"), limit("200", 50)), limit("300", 40))
    assert announced == (limit("100"), limit("300", 40))
    assert following(announced, limit("400")) == (limit("400"),)


def test_before_the_first_document_holds_there_is_no_policy() -> None:
    assert in_force(following((), limit("200", 50)), 49) is None
