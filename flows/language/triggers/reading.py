"""What the checks of all sorts of triggers share: the names in an event, its contract, literals with bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flows.language.elaborate import Elaborator
from flows.language.known import Known
from flows.language.literals import DAY_US, positive
from flows.language.names import Names
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.report import Report, near
from schemas.expression.check import proved
from schemas.expression.fit import type_of
from schemas.expression.tree import Call, Constant, Tree
from schemas.expression.types import ANY, Type
from schemas.expression.walk import keys
from schemas.internal import FLOW_ENDED

KEPT_MAX_US: Final = 1100 * DAY_US  # as long as an execution may live
WINDOW_MAX_US: Final = 400 * DAY_US
_NO_KEY: Final = Constant("", Type("string"))  # where a key has an error, which is told
_KEYS: Final = frozenset(["string", "one_of", "int", "decimal", "bool", "timestamp", "duration", "money", "any"])


def tell_policies(tree: Tree, place: Node, what: str, report: Report) -> None:
    """Tell of policies in what says where an event belongs and what it counts: that is kept, and a policy changes."""
    for key in sorted(key for key in keys(tree) if key.startswith("policies.")):
        message = f"'{key}' stands in {what}, and what was gathered would change with it; ask for it in 'conditions' or 'when'"
        report.add(place, "changing-key", message)


@dataclass(frozen=True, slots=True)
class Reading:
    """What every check of a trigger is given."""

    known: Known
    elaborator: Elaborator
    inputs: Type | None

    @property
    def report(self) -> Report:
        """Give what problems are told to."""
        return self.elaborator.report

    def data(self, event: str, place: Node) -> Type | None:
        """Give the data of an event type; warn where no contract says what it is."""
        contract = self.known.events.get(event)
        if event == FLOW_ENDED:
            message = "the end of a flow is told to those alone that start after it; write after: FLOW in place of event"
            self.report.add(place, "cannot-be-met", message)
        elif contract is None and event not in self.known.unread:
            hint = near(event, self.known.events)
            message = (
                f"no contract is known for {event}: its fields cannot be checked; write an event document or use --infer{hint}"
            )
            self.report.warn(place, "no-contract", message)
        return contract.data if contract is not None else None

    def condition(self, node: Mapping, names: Names, key: str = "conditions") -> tuple[Tree | None, frozenset[str]]:
        """Read the conditions at a key, and what they prove to be there."""
        place = node.get(key)
        if place is None or (isinstance(place, Sequence) and not place.items):
            return None, frozenset()
        tree = self.elaborator.condition(place, key, names)
        return tree, proved(tree) if tree is not None else frozenset()

    def group(self, node: Node, names: Names) -> tuple[Tree, frozenset[str]]:
        """Read a key under which events are gathered, and what it proves to be there: an event without it is not taken in."""
        place = inner(node, "key")
        text = self.elaborator.text(place, "key")
        read = None if text is None else self.elaborator.parsed(text, place)
        tree = None if read is None else self.elaborator.tree(read, place, names, ANY)
        if tree is None:
            return _NO_KEY, frozenset()
        tell_policies(tree, place, "a key", self.report)
        return self._one_value(tree, place, "key"), proved(Call("exists", (tree,)))

    def key(self, node: Node, names: Names, key: str) -> Tree:
        """Read a key that must be there; a constant stands for what has an error, which is told."""
        place = inner(node, key)
        tree = self.elaborator.expression(place, key, names, ANY)
        return _NO_KEY if tree is None else self._one_value(tree, place, key)

    def _one_value(self, tree: Tree, place: Node, key: str) -> Tree:
        if type_of(tree).name not in _KEYS:
            message = f"a {type_of(tree).name} stands at '{key}', which tells one from another; write one value of it"
            self.report.add(place, "type-mismatch", message)
        return tree

    def bounded(self, text: str | None, node: Node, key: str, most_us: int = KEPT_MAX_US, *, least_us: int = 0) -> int:
        """Read a duration within its bounds; 0 if it is not there."""
        if text is None:
            return 0
        place = inner(node, key)
        before = len(self.report.problems)
        us = positive(text, place, key, self.report)
        if us > most_us:
            self.report.add(place, "too-long", f"{key} '{text}' is over {most_us // DAY_US}d, the longest; write less")
        elif us < least_us and len(self.report.problems) == before:
            self.report.add(place, "bad-duration", f"'{text}' is no time at all and '{key}' wants some; write one like 30s")
        return us
