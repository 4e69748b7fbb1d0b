"""What triggers leave to the steps: the data and names of each, put together where there are several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flows.language.names import Bound, Names, merged_types, optional
from schemas.expression.types import Type
from schemas.program import Trigger

NOTHING = Type("record")  # no data: a field of it is told as unknown


@dataclass(frozen=True, slots=True)
class Started:
    """One trigger: its records in the program, and what steps see when it has started the flow."""

    triggers: tuple[Trigger, ...]
    data: Type | None = NOTHING  # None: no contract says
    event: str = ""  # its type, for messages
    known: frozenset[str] = frozenset()  # paths that its conditions have asked for
    roots: Mapping[str, Type] = field(default_factory=dict)
    bindings: Mapping[str, Bound] = field(default_factory=dict)
    events: Mapping[str, Type] = field(default_factory=dict)  # types of events that it looks at, by what they are bound to
    fills: bool = False  # inputs are there


@dataclass(frozen=True, slots=True)
class Beginning:
    """All triggers of a flow: their records, the names at the first step, and the paths that have two types."""

    triggers: tuple[Trigger, ...]
    names: Names
    conflicts: frozenset[str]
    events: Mapping[str, Type]  # of events that triggers look at, by what they are bound to


def together(found: Sequence[Started], inputs: Type | None) -> Beginning:
    """Put triggers together: what one of them lacks may be missing."""
    data, conflicts = merged_types([one.data for one in found])
    events = " or ".join(dict.fromkeys(one.event for one in found if one.event))
    known = frozenset.intersection(*(one.known for one in found)) if found else frozenset()
    roots = {root: _merged_root(root, found) for root in dict.fromkeys(root for one in found for root in one.roots)}
    if inputs is not None:
        roots["inputs"] = inputs if all(one.fills for one in found) else optional(inputs)
    names = Names(data, events, _merged_bindings(found), known, roots=roots)
    looked_at = {name: of for one in found for name, of in one.events.items()}
    return Beginning(tuple(trigger for one in found for trigger in one.triggers), names, conflicts, looked_at)


def _merged_root(root: str, found: Sequence[Started]) -> Type:
    kinds = [one.roots[root] for one in found if root in one.roots]
    merged, _ = merged_types([*kinds, *([NOTHING] if len(kinds) < len(found) else [])])
    return merged or NOTHING


def _merged_bindings(found: Sequence[Started]) -> dict[str, Bound]:
    merged: dict[str, Bound] = {}
    for name in dict.fromkeys(name for one in found for name in one.bindings):
        ways = [one.bindings[name] for one in found if name in one.bindings]
        of, _ = merged_types([way.type for way in ways])
        kind = of if of is not None else ways[0].type
        merged[name] = Bound(kind if len(ways) == len(found) else optional(kind), ways[0].line, ways[0].column)
    return merged
