"""What pydantic finds wrong in a document, told at its place in the words of the language, and taken out of the nodes.

What is faulty goes, so that the rest of the document can still be checked for meaning; a misspelt key is read as what it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from flows.language.nodes import Mapping, Node, Path, Scalar, Sequence, find, nearest, plain, renamed, without
from flows.language.report import Report, listed, near, nearest_name, slip
from schemas.flow.around import ConcurrencyLimit, Limits, Objectives, RateLimit, Retention, Rollout, View
from schemas.flow.documents import Defaults
from schemas.flow.parts import Batch, Budget, Compensate, Concurrency, Escalation, People, RetryRule
from schemas.flow.policy import TableRule
from schemas.flow.scenario import Expect, ExpectedAction, ExpectedEvent, ExpectedWait, Moments
from schemas.flow.step import VERBS, BranchArm
from schemas.flow.trigger import (
    SORTS,
    AbsenceRule,
    ManualRule,
    SequenceEvent,
    SequenceRule,
    Signature,
    WindowRule,
    sort_of_trigger,
)
from schemas.flow.words import Words, sort_of

_ROUNDS: Final = 8
LANGUAGE: Final = 1  # what is read here
_CONDITION_KEYS: Final = ["field", "operator", "value", "all", "any", "not"]
_PARTS: Final[dict[str, type[Words]]] = {
    "retry": RetryRule,
    "defaults": Defaults,
    "batch": Batch,
    "concurrency": Concurrency,
    "compensate": Compensate,
    "by": People,
    "to": People,
    "escalate": Escalation,
    "budget": Budget,
    "window": WindowRule,
    "absence": AbsenceRule,
    "sequence": SequenceRule,
    "signature": Signature,
    "manual": ManualRule,
    "limits": Limits,
    "rate": RateLimit,
    "quota": RateLimit,
    "objectives": Objectives,
    "retention": Retention,
    "rollout": Rollout,
    "expect": Expect,
    "waiting": ExpectedWait,
}
_UNSIGNED: Final = ", or say signature: none"
_ITEMS: Final[dict[str, tuple[str, type[Words]]]] = {  # lists whose items are of one kind
    "rules": ("a rule", TableRule),
    "timeline": ("a line of 'timeline'", Moments),
    "views": ("a view", View),
    "actions_include": ("an expected action", ExpectedAction),
    "actions_exclude": ("an expected action", ExpectedAction),
}


def validated(model: type[Words], kind: str, node: Mapping, report: Report) -> tuple[Words, Mapping] | None:
    """Validate; report what the first round finds, then take faults out until the rest is valid.

    What stands under a misspelt key is only looked at when the key has its name, and told then.
    """
    spelt: list[Path] = []
    for round_ in range(_ROUNDS):
        try:
            return model.model_validate(plain(node)), node
        except ValidationError as error:
            faults = [_Fault.of(found, node) for found in error.errors(include_url=False, include_input=False)]
            faults = [fault for fault in faults if not fault.echo]
            meant = {(id(fault.holder), fault.meant(kind, model)) for fault in faults}
            for fault in faults:
                absent = fault.sort == "missing" and (id(fault.holder), fault.key) not in meant  # else by another name
                if (fault.sort != "missing" or absent) and (round_ == 0 or fault.within(spelt)):
                    fault.tell(kind, model, report)
            named = _spelt(node, faults, kind, model, spelt)
            there = [fault for fault in faults if fault.sort != "missing" or find(named, (*fault.path, fault.key)) is None]
            pruned = _repaired(named, there)
            if pruned == node:
                return None
            node = pruned
    return None


def _spelt(node: Mapping, faults: list[_Fault], kind: str, model: type[Words], spelt: list[Path]) -> Mapping:
    """Give misspelt keys the names that they are meant to be, where no such key stands beside them."""
    for fault in faults:
        name = fault.surely(kind, model)
        place = (*fault.path[:-1], name)
        if name and find(node, place) is None:
            node = renamed(node, fault.path, name)
            spelt.append(place)
    return node


def _repaired(node: Mapping, faults: list[_Fault]) -> Mapping:
    """Take out the key at fault, or the list item around it, last ones first so that indices stay right."""
    ways = sorted({fault.cut() for fault in faults}, key=repr, reverse=True)
    pruned: Node = node
    for way in sorted(
        ways, key=lambda way: [(isinstance(part, int), part if isinstance(part, int) else 0) for part in way], reverse=True
    ):
        pruned = without(pruned, way)
    return pruned if isinstance(pruned, Mapping) else node


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of pydantic, seen from the nodes."""

    sort: str  # as pydantic names it
    message: str
    context: dict[str, Any]
    path: Path  # as far as it leads in the nodes
    key: str  # the key itself where it is unknown, misnamed or missing
    place: Node
    holder: Node  # the mapping that the key stands in, or is missing from
    echo: bool  # only the consequence of another fault

    @staticmethod
    def of(found: Any, node: Mapping) -> _Fault:
        loc = [part for part in found["loc"] if not (isinstance(part, str) and ":" in part)]
        bad_key = bool(loc) and loc[-1] == "[key]"
        loc = loc[:-1] if bad_key else loc
        path: Path = ()
        for part in loc:
            if find(node, (*path, part)) is not None:
                path = (*path, part)
        key = str(loc[-1]) if loc else ""
        place: Node = nearest(node, path)
        holder = find(node, path[:-1]) if path else None
        if (found["type"] == "extra_forbidden" or bad_key) and isinstance(holder, Mapping):
            place = holder.key(key) or place
        here = find(node, path)
        count = len(here.items) if isinstance(here, Mapping | Sequence) else 0
        owner = here if found["type"] == "missing" else holder
        echo = found["type"] == "too_short" and count >= dict(found.get("ctx") or {}).get("min_length", 1)
        return _Fault(found["type"], found["msg"], dict(found.get("ctx") or {}), path, key, place, owner or node, echo)

    def cut(self) -> Path:
        if self.sort == "extra_forbidden":
            return self.path
        indices = [at for at, part in enumerate(self.path) if isinstance(part, int)]
        return self.path[: indices[-1] + 1] if indices else self.path

    def meant(self, kind: str, model: type[Words]) -> str:
        """Give the key that an unknown one stands for, as it is told; empty if that is not known."""
        if self.sort != "extra_forbidden":
            return ""
        owner, keys = _owner(self.path[:-1], self.holder, kind, model)
        return (_ARM_KEYS.get(self.key) if owner == _ARM else None) or nearest_name(self.key, keys)

    def surely(self, kind: str, model: type[Words]) -> str:
        """Give the key that an unknown one is but for a slip; empty where that is not sure."""
        name = self.meant(kind, model)
        return name if name and (slip(self.key, (name,)) or _ARM_KEYS.get(self.key) == name) else ""

    def within(self, places: list[Path]) -> bool:
        """Tell whether it lies at or under one of some places."""
        return any(self.path[: len(place)] == place for place in places)

    def tell(self, kind: str, model: type[Words], report: Report) -> None:
        name, message = self._told(kind, model)
        report.add(self.place, name, message)

    def _told(self, kind: str, model: type[Words]) -> tuple[str, str]:
        shown = self.place.text if isinstance(self.place, Scalar) else ""
        sort = sort_of(plain(self.place))
        match self.sort:
            case "extra_forbidden":
                owner, keys = _owner(self.path[:-1], self.holder, kind, model)
                hint = _ARM_HINTS.get(_ARM_KEYS.get(self.key, self.key), "") if owner == _ARM else ""
                return "unknown-key", f"{owner} has no key '{self.key}' ({listed(keys, 30)}){hint or near(self.key, keys)}"
            case "missing":
                owner, _ = _owner(self.path, self.holder, kind, model)
                return (
                    "missing-key",
                    f"{owner} has no '{self.key}' and needs one; add it{_UNSIGNED if self.key == 'signature' else ''}",
                )
            case "string_type" | "string_sub_type" if not isinstance(self.place, Scalar):
                return "want-string", f"{sort} stands at '{self.key}' where a string was wanted; write one text"
            case "string_type" | "string_sub_type":
                return "want-string", f"{shown or sort} is {sort} and '{self.key}' wants a string; quote it: \"{shown}\""
            case "bool_type":
                return "want-bool", f"'{shown}' is {sort} in YAML 1.2 and '{self.key}' wants a bool; write true or false"
            case "literal_error" if self.key == "language":
                return _other_language(shown)
            case "literal_error":
                words = str(self.context.get("expected", ""))
                return (
                    "bad-word",
                    f"'{shown}' is no word for '{self.key}'; write {words}{near(shown, words.replace(chr(39), ' ').split())}",
                )
            case _:
                return self._rest(sort, shown)

    def _rest(self, sort: str, shown: str) -> tuple[str, str]:
        wants = {
            "tuple_type": ("want-list", "a list"),
            "dict_type": ("want-mapping", "a mapping"),
            "model_type": ("want-mapping", "a mapping"),
            "model_attributes_type": ("want-mapping", "a mapping"),
            "int_type": ("want-number", "a whole number"),
            "decimal_type": ("want-number", "a number"),
            "is_instance_of": ("want-number", "a number"),
        }
        if self.sort in wants:
            name, wanted = wants[self.sort]
            return name, f"{sort} stands at '{self.key}' where {wanted} was wanted; write {wanted}"
        least = int(self.context.get("min_length", 1))
        if self.sort == "too_short" and least > 1:
            return "too-few", f"'{self.key}' has {self.context.get('actual_length', 0)} and needs {least} at least; add another"
        if self.sort == "too_short":
            return "empty-list", f"'{self.key}' is empty; write at least one, or take the key away"
        if self.sort == "string_pattern_mismatch" and self.key in _PATTERNS:
            return "bad-value", f"'{shown}' is no {_PATTERNS[self.key]}"
        if "-" in self.sort:  # named by the models of the language
            return self.sort, self.message
        return "bad-value", f"'{shown}' cannot stand at '{self.key}': {self.message[:1].lower()}{self.message[1:]}"


def _other_language(shown: str) -> tuple[str, str]:
    if shown.isdigit() and int(shown) > LANGUAGE:
        said = f"this document says it is written in language {shown}, and this Millrace reads language {LANGUAGE}"
        return "newer-language", f"{said}; upgrade Millrace, or write language: {LANGUAGE} if nothing newer is used"
    return "bad-word", f"'{shown}' is no number of a language; write language: {LANGUAGE}, or take the key away"


_PATTERNS: Final = {  # what a text must look like, in words
    "topic": "topic of events; write small letters, digits, _ and . that end in .events, like shop.events",
    "generate": "name of a prompt; write small letters, digits and _, with @VERSION behind where one is meant, like summary@2",
}
_ARM: Final = "an arm of 'branch'"
_ARM_KEYS: Final = {"if": "when", "condition": "when", "conditions": "when", "steps": "then", "do": "then"}
_ARM_HINTS: Final = {
    "else": "; 'else' stands beside 'branch', behind its list",
    "when": "; its condition stands at 'when'",
    "then": "; its steps stand at 'then'",
}


def _owner(path: Path, holder: Node, kind: str, model: type[Words]) -> tuple[str, list[str]]:
    """Name the mapping that a key stands in, and the keys it may have."""
    last = next((part for part in reversed(path) if isinstance(part, str)), "")
    if not path:
        return kind, _keys(model)
    found = _trigger_part(path, last, holder) or _item(path, last)
    if found is not None:
        return found[0], _keys(found[1])
    if last in _PARTS:
        return f"'{last}'", _keys(_PARTS[last])
    return _step_part(path, last, holder)


def _trigger_part(path: Path, last: str, holder: Node) -> tuple[str, type[Words]] | None:
    if last == "trigger":
        sort = sort_of_trigger(plain(holder))
        return f"trigger '{sort}'", SORTS[sort]
    return ("an event of 'sequence'", SequenceEvent) if last == "events" and "sequence" in path else None


def _item(path: Path, last: str) -> tuple[str, type[Words]] | None:
    """Name an item of a list whose items are of one kind, or what limits are made of."""
    if "expect" in path and last in ("actions", "events"):
        return f"an expected {last[:-1]}", ExpectedAction if last == "actions" else ExpectedEvent
    if last == "concurrency" and "limits" in path:
        return "'concurrency'", ConcurrencyLimit
    return _ITEMS.get(last)


def _step_part(path: Path, last: str, holder: Node) -> tuple[str, list[str]]:
    verb = next((key for key in holder.names() if key in VERBS), "") if isinstance(holder, Mapping) else ""
    if last == "actions":
        return "an item of 'actions'", ["type", "delay"]
    if last == "branch" and not verb:
        return _ARM, _keys(BranchArm)
    if verb and isinstance(path[-1], int):
        return f"step '{verb}'", _keys(VERBS[verb])
    return f"'{last}'", _CONDITION_KEYS if "conditions" in path or "when" in path else []


def _keys(model: type[Words]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items() if name != "note"]
