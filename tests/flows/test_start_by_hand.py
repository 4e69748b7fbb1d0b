"""A start by hand under one id happens once, whenever it is said again."""

from __future__ import annotations

import json

import pytest

from tests.laws.rolled_out import Told, by_hand, rolled

FLOW = """
flow: hand
inputs: {n: int}
trigger: {manual: {roles: [desk]}}
LIMITS
steps: [{action: charge, with: {v: "{{ inputs.n }}"}}]
"""


def said(number: int, at: int) -> Told:
    tenant, topic, record = by_hand("hand", 7, {"n": number})
    order = json.loads(record)
    return tenant, topic, json.dumps({**order, "at": order["at"] + at * 1_000_000}).encode()


@pytest.mark.parametrize("restarts", [False, True])
def test_the_same_id_said_again_later_starts_nothing(restarts: bool) -> None:
    with rolled() as one:
        one.deploy(FLOW.replace("LIMITS\n", ""))
        for number in range(3):
            one.tell([said(number, at=number)])
            if restarts:
                one.restart()
        assert [action["data"] for action in one.records("actions.file")] == [{"v": 0}]


def test_nor_does_one_that_a_limit_has_turned_away() -> None:
    with rolled() as one:
        one.deploy(FLOW.replace("LIMITS", "limits: {quota: {max: 1, per: 1d, over: drop}}"))
        tenant, topic, record = by_hand("hand", 1, {"n": 5})
        one.tell([(tenant, topic, record)])
        one.tell([said(6, at=60)])
        one.tell([said(6, at=2 * 86_400)])
        assert [action["data"] for action in one.records("actions.file")] == [{"v": 5}]
        assert one.counts.dead_letters == len(one.records("dead_letters")) > 0, "what `up` shows is what the view holds"


def test_a_start_without_any_id_is_set_aside_and_not_taken_for_another_one() -> None:
    """Who says it may have seen a version that makes ids of inputs, and the turn another one."""
    with rolled() as one:
        one.deploy(FLOW.replace("LIMITS\n", ""))
        for number in range(2):
            tenant, topic, record = said(number, at=number)
            one.tell([(tenant, topic, json.dumps({**json.loads(record), "id": ""}).encode())])
        assert one.records("actions.file") == []
        letters = one.records("dead_letters")
        assert [letter["reason"] for letter in letters] == ["bad-inputs"] * 2
        assert "has no id" in letters[0]["detail"]
