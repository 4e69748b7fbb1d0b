"""What names mean at a place of a flow: fields of the trigger's data, bindings made before, and those that are not there yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from schemas.contracts import EventContract
from schemas.expression.types import ANY, Type


@dataclass(frozen=True, slots=True)
class Bound:
    """A name that a step has bound, and where."""

    type: Type
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class Names:
    """The names in force. `data` is the trigger's data (None: no contract says), `bindings` what steps have set so far."""

    data: Type | None
    event: str  # its type, for messages; several are joined by "or"
    bindings: Mapping[str, Bound] = field(default_factory=dict)
    known: frozenset[str] = frozenset()  # paths that are there for certain, because a condition has asked
    steps: bool = True  # False in the conditions of triggers
    roots: Mapping[str, Type] = field(default_factory=dict)  # records of inputs, window, schedule, after, error, as far as bound

    def with_bindings(self, bindings: Mapping[str, Bound]) -> Names:
        """Give the names with other bindings."""
        return replace(self, bindings=bindings)

    def knowing(self, paths: frozenset[str]) -> Names:
        """Give the names with more paths that are there for certain."""
        return replace(self, known=self.known | paths)

    def with_root(self, root: str, of: Type) -> Names:
        """Give the names with one more root of expressions."""
        return replace(self, roots={**self.roots, root: of})

    def takes(self, name: str) -> bool:
        """Tell whether data takes a name: one of its fields, or by custom the first word of the event type."""
        if self.data is not None and any(field == name for field, _ in self.data.fields):
            return True
        return any(part.partition(".")[0] == name for part in self.event.split(" or "))


def optional(kind: Type) -> Type:
    """Say that a value may be missing."""
    return msgspec.structs.replace(kind, optional=True)


def maybe(bindings: Mapping[str, Bound]) -> dict[str, Bound]:
    """Give names that may not have been bound when they are read."""
    return {name: replace(bound, type=optional(bound.type)) for name, bound in bindings.items()}


def merged_data(contracts: Iterable[EventContract | None]) -> tuple[Type | None, frozenset[str]]:
    """Give the data that all triggers share, and the paths that have two types.

    A field that one trigger lacks may be missing. None: no contract says.
    """
    return merged_types([None if contract is None else contract.data for contract in contracts])


def merged_types(found: Sequence[Type | None]) -> tuple[Type | None, frozenset[str]]:
    """Give the record that all ways share, as merged_data does."""
    known = [data for data in found if data is not None]
    if len(known) < len(found) or not known:
        return None, frozenset()
    conflicts: set[str] = set()
    data = known[0]
    for other in known[1:]:
        data = _merged(data, other, "", conflicts)
    return data, frozenset(conflicts)


def _merged(one: Type, two: Type, path: str, conflicts: set[str]) -> Type:
    if one.name == two.name == "record":
        return _merged_records(one, two, path, conflicts)
    either = one.optional or two.optional
    if msgspec.structs.replace(one, optional=either) == msgspec.structs.replace(two, optional=either):
        return msgspec.structs.replace(one, optional=either)
    conflicts.add(path)
    return optional(ANY)


def _merged_records(one: Type, two: Type, path: str, conflicts: set[str]) -> Type:
    left, right = dict(one.fields), dict(two.fields)
    fields = []
    for name in [*left, *(name for name in right if name not in left)]:
        inner = f"{path}.{name}" if path else name
        if name in left and name in right:
            fields.append((name, _merged(left[name], right[name], inner, conflicts)))
        else:
            fields.append((name, optional(left.get(name) or right[name])))
    return Type("record", optional=one.optional or two.optional, fields=tuple(fields))


def after_arms(before: Mapping[str, Bound], arms: Iterable[Mapping[str, Bound]]) -> dict[str, Bound]:
    """Give the bindings after a branch: certain if every arm that goes on binds the name with one type, else maybe missing."""
    ways = list(arms)
    names = dict.fromkeys(name for way in ways for name in way if name not in before)
    merged = dict(before)
    for name in names:
        kinds = [way[name].type for way in ways if name in way]
        first = next(way[name] for way in ways if name in way)
        kind = kinds[0] if all(kind == kinds[0] for kind in kinds) else _common(kinds)
        merged[name] = Bound(kind if len(kinds) == len(ways) else optional(kind), first.line, first.column)
    return merged


def _common(kinds: list[Type]) -> Type:
    either = any(kind.optional for kind in kinds)
    same = {msgspec.structs.replace(kind, optional=either) for kind in kinds}
    return same.pop() if len(same) == 1 else Type("any", optional=either)
