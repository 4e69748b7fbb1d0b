"""Policies as expressions see them: their types, and a keyed one's values by key, with one for every other key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.expression.types import Type


class Keyed(msgspec.Struct, frozen=True):
    """Values as rows hold them (decimal and money as Decimal, times as microseconds), by keys of the same kind."""

    values: Mapping[Any, Any]
    default: Any

    def at(self, key: Any) -> Any:
        """Give the value of a key that is there; the default covers the stranger."""
        return self.values.get(key, self.default)


class PolicyTerm(msgspec.Struct, frozen=True):
    """The type of `policies.<name>`, or of `policies.<name>[key]` where it has a key."""

    value: Type
    key: Type | None = None
