"""Data in which only `{{ }}` is an expression: text with holes, records and lists of such.

Nothing is evaluated twice: braces in event data stay text. Compiled templates give JSON-ready values, unless `raw` keeps
the values as rows hold them (for names that later expressions read).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from schemas.errors import MillraceError
from schemas.expression.check import elaborate
from schemas.expression.findings import ExpressionError, Finding, Place
from schemas.expression.fit import is_broken, named, present, shown, type_of
from schemas.expression.functions.conversions import printer
from schemas.expression.literal_fit import literal_misfit, literal_type
from schemas.expression.print import print_tree
from schemas.expression.render import renderer
from schemas.expression.rows import compile_row
from schemas.expression.scope import Scope
from schemas.expression.template_text import joined, text_parts
from schemas.expression.tree import Path, Tree
from schemas.expression.type_text import print_type
from schemas.expression.types import ANY, STRING, Type
from schemas.expression.walk import keys, without_places
from schemas.expression.words import NAME


class Value(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A JSON constant, kept as its JSON text so that the tree stays hashable."""

    json: str


class Whole(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A text that is one `{{ }}`: the value keeps its type, missing becomes null."""

    tree: Tree


class Text(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Text around expressions: each part is printed."""

    parts: tuple[str | Tree, ...]


class Record(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A mapping of templates."""

    items: tuple[tuple[str, Template], ...]


class Items(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A list of templates."""

    items: tuple[Template, ...]


Template = Value | Whole | Text | Record | Items
_JSON: Final = msgspec.json.Encoder(decimal_format="number")
_READ: Final = msgspec.json.Decoder(float_hook=Decimal)
REFERENCE: Final = "$secret"  # {"$secret": name} stands for a secret in the parameters of a command
_NESTING_MAX: Final = 30
_NO_TEXT: Final = frozenset(["list", "record", "float"])
_TEXT_WANTED: Final = frozenset(["any", "string", "one_of"])


class MissingValue(MillraceError):
    """A value that stands inside text was missing although its type said otherwise; the step fails with missing_value."""


def parse_template(json: Any, path: Place = ()) -> Template:
    """Read data with holes; raises ExpressionError, its `path` leading to the text and `at` into it."""
    if len(path) > _NESTING_MAX:
        raise ExpressionError("too-deep", f"data nests more than {_NESTING_MAX} deep; make it flatter", 0, path)
    if isinstance(json, str):
        return _text(json, path)
    if isinstance(json, Mapping):
        return _record(json, path)
    if isinstance(json, Sequence):
        items = tuple(parse_template(item, (*path, place)) for place, item in enumerate(json))
        whole = [value_of(item) for item in items if isinstance(item, Value)]
        return _value(whole, path) if len(whole) == len(items) else Items(items)
    return _value(json, path)


def value_of(template: Value) -> Any:
    """Give a constant; numbers with a point are Decimal."""
    return _READ.decode(template.json)


def _value(json: Any, path: Place) -> Value:
    try:
        return Value(_JSON.encode(json).decode())
    except (TypeError, OverflowError, ValueError) as error:
        raise ExpressionError("bad-number", f"{json!r} has no JSON form that is kept ({error})", 0, path) from error


def _record(json: Mapping[str, Any], path: Place) -> Template:
    for key in json:
        if "{{" in key:
            raise ExpressionError("template-in-key", f"'{key}' is a key, and keys are not computed; write the name", 0, path)
    items = tuple((key, parse_template(item, (*path, key))) for key, item in json.items())
    whole = {key: value_of(item) for key, item in items if isinstance(item, Value)}
    return _value(whole, path) if len(whole) == len(items) else Record(items)


def _text(text: str, path: Place) -> Template:
    parts = [part for part in text_parts(text, path) if part != ""]
    if all(isinstance(part, str) for part in parts):
        return _value("".join(str(part) for part in parts), path)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return Whole(parts[0])
    return Text(joined(parts))


def template_trees(template: Template) -> list[Tree]:
    """Give all expressions of a template, in order."""
    match template:
        case Value():
            return []
        case Whole():
            return [template.tree]
        case Text():
            return [part for part in template.parts if not isinstance(part, str)]
        case Record():
            return [tree for _, item in template.items for tree in template_trees(item)]
        case Items():
            return [tree for item in template.items for tree in template_trees(item)]


def template_keys(template: Template) -> frozenset[str]:
    """Give the environment keys that an elaborated template reads."""
    return frozenset().union(*(keys(tree) for tree in template_trees(template)))


def map_trees(template: Template, change: Callable[[Tree], Tree]) -> Template:
    """Copy a template with every expression changed."""
    match template:
        case Value():
            return template
        case Whole():
            return Whole(change(template.tree))
        case Text():
            return Text(tuple(part if isinstance(part, str) else change(part) for part in template.parts))
        case Record():
            return Record(tuple((key, map_trees(item, change)) for key, item in template.items))
        case Items():
            return Items(tuple(map_trees(item, change) for item in template.items))


def template_without_places(template: Template) -> Template:
    """Copy a template with every offset 0."""
    return map_trees(template, without_places)


def print_template(template: Template) -> Any:
    """Give the data again, as one would write it (expressions in canonical form)."""
    match template:
        case Value():
            return _escaped(value_of(template))
        case Whole():
            return f"{{{{ {print_tree(template.tree)} }}}}"
        case Text():
            return "".join(
                _escaped(part) if isinstance(part, str) else f"{{{{ {print_tree(part)} }}}}" for part in template.parts
            )
        case Record():
            return {key: print_template(item) for key, item in template.items}
        case Items():
            return [print_template(item) for item in template.items]


def _escaped(json: Any) -> Any:
    if isinstance(json, str):
        return json.replace("{{", "{{{{")
    if isinstance(json, dict):
        return {key: _escaped(item) for key, item in json.items()}
    return [_escaped(item) for item in json] if isinstance(json, list) else json


@dataclass(frozen=True, slots=True)
class ElaboratedTemplate:
    """A typed template, the type of its value, and what was found."""

    template: Template
    type: Type
    findings: tuple[Finding, ...]


def elaborate_template(template: Template, scope: Scope, want: Type | None = None, path: Place = ()) -> ElaboratedTemplate:
    """Type a template; `want` is the type that its place asks for (its own `?` decides whether missing may stand there)."""
    match template:
        case Value():
            return _check_value(template, want, path)
        case Whole():
            return _check_whole(template, scope, want, path)
        case Text():
            return _check_text(template, scope, want, path)
        case Record():
            return _check_record(template, scope, want, path)
        case Items():
            return _check_items(template, scope, want, path)


def _check_value(template: Value, want: Type | None, path: Place) -> ElaboratedTemplate:
    value = value_of(template)
    why = literal_misfit(value, want) if want is not None else None
    findings = (Finding(why.name, why.message, 0, "error", (*path, *why.path)),) if why is not None else ()
    return ElaboratedTemplate(template, want if want is not None and why is None else literal_type(value), findings)


def _check_whole(template: Whole, scope: Scope, want: Type | None, path: Place) -> ElaboratedTemplate:
    if isinstance(template.tree, Path) and template.tree.root == "secrets" and scope.secrets:
        return _check_secret(template.tree, want, path)
    found = elaborate(template.tree, scope, want)
    return ElaboratedTemplate(Whole(found.tree), found.type, _placed(found.findings, path))


def _check_secret(tree: Path, want: Type | None, path: Place) -> ElaboratedTemplate:
    """Leave a reference: the value is put in by what carries the command out, and is stored nowhere."""
    name = tree.parts[0] if len(tree.parts) == 1 else ""
    reference = _value({REFERENCE: str(name)}, path)
    findings = []
    if not isinstance(name, str) or not NAME.fullmatch(name):
        findings.append(Finding("bad-path", f"'{print_tree(tree)}' names no secret; write secrets.NAME", tree.at, "error", path))
    if want is not None and want.name not in _TEXT_WANTED:
        message = f"a secret is a string and {named(present(want))} is wanted"
        findings.append(Finding("type-mismatch", message, tree.at, "error", path))
    return ElaboratedTemplate(reference, STRING, tuple(findings))


def _check_text(template: Text, scope: Scope, want: Type | None, path: Place) -> ElaboratedTemplate:
    parts: list[str | Tree] = []
    findings: list[Finding] = []
    for part in template.parts:
        if isinstance(part, str):
            parts.append(part)
        else:
            found = elaborate(part, scope)
            parts.append(found.tree)
            findings += [*found.findings, *_unprintable(found.tree)]
    if want is not None and want.name not in _TEXT_WANTED:
        findings.append(Finding("type-mismatch", f"this is text and {named(present(want))} is wanted; write one {{{{ }}}} alone"))
    return ElaboratedTemplate(Text(tuple(parts)), STRING, _placed(findings, path))


def _unprintable(tree: Tree) -> list[Finding]:
    of = type_of(tree)
    if is_broken(tree):
        return []
    if of.optional or of.name == "any":
        inner = print_tree(tree) if of.name != "any" else f"string({print_tree(tree)})"
        text = f'{shown(tree)} may be missing and stands inside text; write {{{{ coalesce({inner}, "...") }}}}'
        return [Finding("maybe-missing", text, tree.at)]
    if of.name in _NO_TEXT:
        return [Finding("type-mismatch", f"{shown(tree)} is {named(of)} and stands inside text; say string(...)", tree.at)]
    return []


def _check_record(template: Record, scope: Scope, want: Type | None, path: Place) -> ElaboratedTemplate:
    wants = dict(want.fields) if want is not None and want.name == "record" else {}
    items = [(key, elaborate_template(item, scope, wants.get(key), (*path, key))) for key, item in template.items]
    findings = [finding for _, item in items for finding in item.findings]
    if want is not None and want.name not in ("record", "any"):
        findings.append(Finding("type-mismatch", f"this is a record and {named(present(want))} is wanted", 0, "error", path))
    findings += _misnamed(dict(items), wants, path)
    of = Type("record", fields=tuple((key, item.type) for key, item in items))
    return ElaboratedTemplate(Record(tuple((key, item.template) for key, item in items)), of, tuple(findings))


def _misnamed(items: Mapping[str, ElaboratedTemplate], wants: Mapping[str, Type], path: Place) -> list[Finding]:
    """Say which fields the wanted record does not have, and which of its own are not here."""
    found = []
    for name in (name for name in items if wants and name not in wants):
        near = get_close_matches(name, wants, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(wants)}"
        found.append(Finding("unknown-field", f"there is no field '{name}' here; {hint}", 0, "error", (*path, name)))
    absent = {name: of for name, of in wants.items() if name not in items and not of.optional}
    return found + [_absent(name, of, path) for name, of in absent.items()]


def _absent(name: str, of: Type, path: Place) -> Finding:
    return Finding("missing-field", f"'{name}' is not given and {print_type(of)} is wanted; add it", 0, "error", path)


def _check_items(template: Items, scope: Scope, want: Type | None, path: Place) -> ElaboratedTemplate:
    inner = want.item if want is not None and want.name == "list" else None
    items = [elaborate_template(item, scope, inner, (*path, place)) for place, item in enumerate(template.items)]
    findings = [finding for item in items for finding in item.findings]
    if want is not None and want.name not in ("list", "any"):
        findings.append(Finding("type-mismatch", f"this is a list and {named(present(want))} is wanted", 0, "error", path))
    kinds = {item.type for item in items}
    of = Type("list", item=kinds.pop() if len(kinds) == 1 else ANY)
    return ElaboratedTemplate(Items(tuple(item.template for item in items)), of, tuple(findings))


def _placed(findings: Sequence[Finding], path: Place) -> tuple[Finding, ...]:
    return tuple(msgspec.structs.replace(finding, path=path) for finding in findings)


Env = Mapping[str, Any]


def compile_template(template: Template, *, raw: bool = False) -> Callable[[Env], Any]:
    """Make the closure of an elaborated template. Constants are shared: the caller changes no value it is given.

    Raises MissingValue (the closure) where a value inside text is missing.
    """
    match template:
        case Value():
            value = value_of(template)
            return lambda _env: value
        case Whole():
            return _compile_whole(template, raw=raw)
        case Text():
            return _compile_text(template)
        case Record():
            fields = [(key, compile_template(item, raw=raw)) for key, item in template.items]
            return lambda env: {key: item(env) for key, item in fields}
        case Items():
            items = [compile_template(item, raw=raw) for item in template.items]
            return lambda env: [item(env) for item in items]


def _compile_whole(template: Whole, *, raw: bool) -> Callable[[Env], Any]:
    row = compile_row(template.tree)
    render = None if raw else renderer(type_of(template.tree))
    if render is None:
        return row
    shown_as = render

    def run(env: Env) -> Any:
        value = row(env)
        return None if value is None else shown_as(value)

    return run


def _compile_text(template: Text) -> Callable[[Env], str]:
    parts = [(lambda _env, text=part: text) if isinstance(part, str) else _printed(part) for part in template.parts]
    return lambda env: "".join([part(env) for part in parts])


def _printed(tree: Tree) -> Callable[[Env], str]:
    row, text = compile_row(tree), printer(type_of(tree))

    def run(env: Env) -> str:
        value = row(env)
        found = None if value is None else text(value)
        if found is None:
            raise MissingValue(f"{print_tree(tree)} is missing and stands inside text; say what to print with coalesce")
        return found

    return run
