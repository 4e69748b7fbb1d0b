"""What names mean: data fields of the trigger event, bindings, and the roots (event, execution, trigger, inputs, ...)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from schemas.expression.findings import ExpressionError
from schemas.expression.fit import named, optional, present
from schemas.expression.keyed import PolicyTerm
from schemas.expression.print import print_tree
from schemas.expression.tree import Constant, Field, Path, Tree
from schemas.expression.types import ANY, INT, STRING, TIMESTAMP, Type
from schemas.expression.words import NAME, ROOTS

_MAYBE_STRING: Final = Type("string", optional=True)
_MAYBE_ANY: Final = Type("any", optional=True)
_SHOWN_MAX: Final = 12
ENVELOPE: Final[Mapping[str, Type]] = {
    "id": STRING,
    "source": STRING,
    "type": STRING,
    "subject": _MAYBE_STRING,
    "time": TIMESTAMP,
    "tenant": STRING,
    "correlationid": STRING,
    "causationid": _MAYBE_STRING,
}
EXECUTION: Final[Mapping[str, Type]] = {
    "id": STRING,
    "flow": STRING,
    "version": STRING,
    "started_at": TIMESTAMP,
    "now": TIMESTAMP,
    "attempt": INT,
}
TRIGGER: Final[Mapping[str, Type]] = {"name": STRING}
ERROR: Final = Type(
    "record",
    fields=(("code", STRING), ("step", STRING), ("message", STRING), ("compensated", Type("list", item=STRING))),
)
SCHEDULE: Final = Type("record", fields=(("slot", TIMESTAMP), ("zone", STRING)))
_ABSENT: Final[Mapping[str, str]] = {
    "window": "'window' is bound by a trigger with a window, and there is none here; add one, or read the event itself",
    "schedule": "'schedule' is bound by a trigger with a schedule, and there is none here; add one, or read event.time",
    "after": "'after' is bound by a trigger after other flows, and there is none here; add one",
    "inputs": "this flow has no inputs; declare them under inputs, each with its type",
    "error": "'error' is bound in on_error steps alone; move this into them",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression can see.

    `data` is the record of the trigger event's data (None: no contract is known, every path is `any`; a record without
    fields: there is no such data). `event` names the event type in messages. `steps` is False for conditions of triggers,
    which run before there is an execution. `known` are paths as text that are known to be there.
    """

    data: Type | None = None
    bindings: Mapping[str, Type] = field(default_factory=dict)
    event: str = ""
    steps: bool = True
    known: frozenset[str] = frozenset()
    roots: Mapping[str, Type] = field(default_factory=dict)  # records of inputs, window, schedule, after, error, as far as bound
    policies: Mapping[str, PolicyTerm] = field(default_factory=dict)
    secrets: bool = False  # whole values may be references to secrets


Part = str | int


def resolve(path: Path, scope: Scope) -> Field:
    """Give the field that a path means, typed; raises ExpressionError unknown-field or what else is wrong with it."""
    parts = [_part(part, path) for part in path.parts]
    if parts.count("*") > 1:
        raise ExpressionError("bad-path", f"'{print_tree(path)}' has two [*]; a path may have one", path.at)
    found = _start(path, parts, scope)
    return _known(found, scope)


def _part(part: str | Tree, path: Path) -> Part:
    if isinstance(part, str):
        return part
    value = part.value if isinstance(part, Constant) else None
    if isinstance(value, int) and not isinstance(value, bool) and part.at >= 0 and abs(value) < 1 << 31:
        return value
    if isinstance(value, str) and value != "*" and isinstance(part, Constant) and part.type.name == "string":
        return value
    raise ExpressionError(
        "bad-path", f"'{print_tree(path)}': an index is a whole number or a field name in quotes, not computed", part.at
    )


def _start(path: Path, parts: list[Part], scope: Scope) -> Field:
    if path.root in scope.bindings:
        return _reach(path, path.root, scope.bindings[path.root], parts)
    if path.root == "event":
        return _event(path, parts, scope)
    if path.root in ("execution", "trigger"):
        return _of_run(path, parts, scope)
    if path.root in scope.roots:
        return _of_root(path, parts, scope.roots[path.root])
    if path.root == "policies":
        return _of_policy(path, parts, scope)
    if path.root == "secrets":
        raise secret_inside(path)
    if path.root in _ABSENT:
        raise ExpressionError("unknown-field", f"'{print_tree(path)}': {_ABSENT[path.root]}", path.at)
    return _of_data(path, [path.root, *parts], scope)


def _of_run(path: Path, parts: list[Part], scope: Scope) -> Field:
    if path.root == "execution" and not scope.steps:
        raise ExpressionError(
            "not-yet-bound", f"'{print_tree(path)}': there is no execution before the trigger; use event", path.at
        )
    return _rooted(path, parts, EXECUTION if path.root == "execution" else TRIGGER)


def _rooted(path: Path, parts: list[Part], fields: Mapping[str, Type]) -> Field:
    name = str(parts[0]) if parts else ""
    if name not in fields:
        raise _unknown(path, f"{path.root}.{name}", [f"{path.root}.{known}" for known in fields], path.root)
    return _reach(path, f"{path.root}.{name}", fields[name], parts[1:])


def _of_root(path: Path, parts: list[Part], of: Type) -> Field:
    """Take the key from under a root: one name, under `after` the flow and one of what is known of its end."""
    names, maybe = [path.root], of.optional
    while of.name == "record" and len(names) < (3 if path.root == "after" else 2):
        fields, name = dict(of.fields), str(parts[0]) if parts else ""
        if not name:
            some = ", ".join(f"{'.'.join(names)}.{known}" for known in fields)
            raise ExpressionError("unknown-field", f"'{print_tree(path)}' is not one value; write one of {some}", path.at)
        if name not in fields:
            text = ".".join([*names, name])
            raise _unknown(path, text, [f"{'.'.join(names)}.{known}" for known in fields], ".".join(names))
        of, parts = fields[name], parts[1:]
        names.append(name)
        maybe = maybe or of.optional
    return _reach(path, ".".join(names), optional(of, when=maybe), parts)


def policy_term(path: Path, scope: Scope) -> PolicyTerm:
    """Give what is known of a policy that a path names; raises ExpressionError."""
    name = path.parts[0] if path.parts and isinstance(path.parts[0], str) else ""
    found = scope.policies.get(name)
    if found is not None:
        return found
    near = get_close_matches(name, scope.policies, 1)
    hint = f"did you mean 'policies.{near[0]}'?" if near else f"write a document policy: {name}, or deploy it first"
    some = f" ({', '.join(list(scope.policies)[:_SHOWN_MAX])})" if scope.policies else ""
    shown = f"'{name}' is no policy with a value" if name else "'policies' alone is no value"
    raise ExpressionError("unknown-policy", f"{shown}{some}; {hint if name else 'write policies.NAME'}", path.at)


def _of_policy(path: Path, parts: list[Part], scope: Scope) -> Field:
    term = policy_term(path, scope)
    key = f"policies.{parts[0]}"
    if term.key is not None:
        raise ExpressionError("bad-path", f"'{key}' has a value for each key; write {key}[...]", path.at)
    return _reach(path, key, term.value, parts[1:])


def secret_inside(path: Path) -> ExpressionError:
    """Say that a secret has no value that could be read."""
    text = (
        f"'{print_tree(path)}' is passed by reference and never read; write it as the whole of one value in 'with' of an action"
    )
    return ExpressionError("secret-in-expression", text, path.at)


def _event(path: Path, parts: list[Part], scope: Scope) -> Field:
    if parts[:1] != ["data"]:
        return _rooted(path, parts, {**ENVELOPE, "data": _MAYBE_ANY})
    inner = parts[1:]
    if inner and isinstance(inner[0], str) and NAME.fullmatch(inner[0]) and inner[0] not in ROOTS:
        return _of_data(path, inner, scope)  # event.data.deal.value and deal.value are one key
    return _reach(path, "event.data", scope.data or _MAYBE_ANY, inner)


def _of_data(path: Path, parts: Sequence[Part], scope: Scope) -> Field:
    """Take the longest run of plain names as the key while the type is a record (or no contract is known)."""
    of, names, maybe = scope.data, list[str](), False
    for part in parts:
        if not isinstance(part, str) or not NAME.fullmatch(part) or (of is not None and of.name != "record"):
            break
        names.append(part)
        if of is not None:
            of = _member(path, of, part, ".".join(names), scope)
            maybe = maybe or of.optional
    have = _MAYBE_ANY if of is None else optional(of, when=maybe)
    return _reach(path, ".".join(names), have, list(parts[len(names) :]))


def _member(path: Path, of: Type, name: str, text: str, scope: Scope) -> Type:
    found = dict(of.fields).get(name)
    if found is None:
        raise _unknown(path, text, leaves(scope), scope.event or "what is known here")
    return found


def _reach(path: Path, key: str, of: Type, parts: Sequence[Part]) -> Field:
    """Follow what comes after the key through the type."""
    maybe, star, here = of.optional, False, of
    listed_maybe = False
    shown = key
    for part in parts:
        here = _step(path, here, part, shown)
        shown += _part_text(part)
        if part == "*":
            star, listed_maybe, maybe = True, maybe, False
        maybe = maybe or here.optional or isinstance(part, int)
    whole = optional(here, when=maybe)
    if star:
        whole = Type("list", item=whole, optional=listed_maybe)
    return Field(key, tuple(parts), whole, at=path.at)


def _step(path: Path, of: Type, part: Part, key: str) -> Type:
    if of.name == "any":
        return _MAYBE_ANY
    if of.name == "list" and (part == "*" or isinstance(part, int)):
        return of.item or ANY
    if of.name == "record" and isinstance(part, str) and part != "*":
        found = dict(of.fields).get(part)
        if found is not None:
            return found
        raise _unknown(path, print_tree(path), [f"{key}.{name}" for name, _ in of.fields], f"'{key}'")
    hint = "write [*] or [0] first" if of.name == "list" else f"it is {named(present(of))}"
    raise ExpressionError("type-mismatch", f"'{print_tree(path)}': no {_part_text(part)} here; {hint}", path.at)


def _part_text(part: Part) -> str:
    return "[*]" if part == "*" else f"[{part}]" if isinstance(part, int) else f".{part}"


def leaves(scope: Scope) -> list[str]:
    """Give every path of the event's data as text, and the names of bindings."""
    data = _leaves(scope.data, ()) if scope.data is not None else []
    return [*data, *scope.bindings]


def _leaves(of: Type, names: tuple[str, ...]) -> list[str]:
    if of.name != "record":
        return [".".join(names)]
    return [leaf for name, part in of.fields for leaf in _leaves(part, (*names, name))]


def _unknown(path: Path, text: str, known: Sequence[str], owner: str) -> ExpressionError:
    near = get_close_matches(text, known, 1)
    some = ", ".join(known[:_SHOWN_MAX]) + (", ..." if len(known) > _SHOWN_MAX else "")
    listed = f" ({some})" if known else ""
    hint = f"; did you mean '{near[0]}'?" if near else "; write one of these" if known else "; bind it first"
    if not near and text in ("True", "False"):
        hint = f"; write {text.lower()}"
    return ExpressionError("unknown-field", f"field '{text}' is not in {owner}{listed}{hint}", path.at)


def _known(found: Field, scope: Scope) -> Field:
    if not found.type.optional or not scope.known:
        return found
    text = print_tree(found)
    there = text in scope.known or any(known.startswith((f"{text}.", f"{text}[")) for known in scope.known)
    return Field(found.key, found.rest, present(found.type), found.at) if there and found.type.name != "any" else found
