"""A keyed policy as expressions hold it: a value by key, and one for every other key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Keyed(msgspec.Struct, frozen=True):
    """Values as rows hold them (decimal and money as Decimal, times as microseconds), by keys of the same kind."""

    values: Mapping[Any, Any]
    default: Any

    def at(self, key: Any) -> Any:
        """Give the value of a key that is there; the default covers the stranger."""
        return self.values.get(key, self.default)
