"""A large value does not go into history, its size does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from operators.execution.noted import NOTED_MAX, noted


@pytest.mark.parametrize("value", [None, True, 7, Decimal("1.50"), "short", "x" * NOTED_MAX, [], {"a": [1, {"b": "c"}]}, (1, 2)])
def test_a_small_value_is_noted_as_it_is(value: Any) -> None:
    assert noted(value) is value


@pytest.mark.parametrize(
    "value",
    [
        "x" * (NOTED_MAX + 1),
        ["x" * 500, "y" * 600],
        list(range(100_000)),
        {str(number): None for number in range(5_000)},
        {"deep": {"er": [{"text": "é" * 2_000}]}},
    ],
)
def test_a_large_value_is_noted_by_its_size(value: Any) -> None:
    assert noted(value) == {"size": len(msgspec.json.encode(value))}
