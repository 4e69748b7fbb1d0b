"""Types of values, in contracts and in expressions."""

from __future__ import annotations

from typing import Literal

import msgspec

Name = Literal["string", "int", "decimal", "float", "bool", "timestamp", "duration", "money", "one_of", "list", "record", "any"]


class Type(msgspec.Struct, frozen=True, omit_defaults=True):
    """A type: its name, and what belongs to that name. `optional` is the `?`: a value may be missing."""

    name: Name
    optional: bool = False
    currency: str = ""  # money
    options: tuple[str, ...] = ()  # one_of
    item: Type | None = None  # list
    fields: tuple[tuple[str, Type], ...] = ()  # record, in the order of the contract


STRING, INT, DECIMAL, FLOAT, BOOL = Type("string"), Type("int"), Type("decimal"), Type("float"), Type("bool")
TIMESTAMP, DURATION, ANY = Type("timestamp"), Type("duration"), Type("any")
