"""All functions by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.expression.functions import amounts, conversions, hashes, lists, presence, texts, times
from schemas.expression.functions.function import Function

FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        function.name: function
        for group in (presence, conversions, texts, amounts, times, lists, hashes)
        for function in group.FUNCTIONS
    }
)
