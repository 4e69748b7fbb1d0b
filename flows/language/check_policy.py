"""From `policy` documents to compiled policies: a value, a value by key, or a decision table; all told at their place."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from flows.language.canonical import sorted_keys, version_of
from flows.language.check_table import check_table
from flows.language.nodes import Mapping, Node, find, inner, plain
from flows.language.parse import Document
from flows.language.report import Report, listed, near
from flows.language.structure import shape
from schemas.errors import Problem
from schemas.expression.findings import ExpressionError
from schemas.expression.literal_fit import literal_misfit, literal_value
from schemas.expression.literals import parse_timestamp_us, print_timestamp
from schemas.expression.render import renderer
from schemas.expression.template import Value
from schemas.expression.type_text import parse_type, print_type
from schemas.expression.types import Type
from schemas.flow.policy import SHAPES
from schemas.flow.policy import Policy as PolicyDocument
from schemas.policy import AT_ONCE, KeyedPolicy, Policy, PolicyType, TablePolicy, ValuePolicy, policy_type
from schemas.records import Json

_SCALARS: Final = frozenset(["string", "one_of", "int", "decimal", "float", "bool", "timestamp", "duration", "money"])
_KEYS: Final = frozenset(["string", "one_of", "int", "bool"])
_AROUND: Final = frozenset(["language", "policy", "owner", "title", "description", "valid_from"])
_CALLED: Final = {"value": "a policy with a value", "keyed": "a policy with a key", "table": "a decision table"}
_OPTIONAL: Final = {"value": frozenset[str](), "keyed": frozenset[str](), "table": frozenset(["otherwise"])}


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy that may be deployed, with its canonical document."""

    policy: Policy
    document: MappingOf[str, Json]
    file: str = ""


def compile_policy(document: Document, terms: MappingOf[str, PolicyType], report: Report) -> CompiledPolicy | None:
    """Compile a policy document; None if it has an error, which is told. `terms` are the policies that rules may read."""
    before = len(report.problems)
    shaped = shape(document.kind, document.node, report)
    if shaped is None or not isinstance(shaped.model, PolicyDocument) or len(report.problems) > before:
        return None
    node = sorted_keys(shaped.node)
    assert isinstance(node, Mapping)
    made = _Policy(PolicyDocument.model_validate(plain(node)), node, report).made(terms)
    if made is None or any(problem.severity == "error" for problem in report.problems[before:]):
        return None
    policy, form = made
    version = version_of(form)
    return CompiledPolicy(msgspec.structs.replace(policy, version=version), form, document.file)


def compile_policies(
    documents: Sequence[Document], in_force: MappingOf[str, PolicyType], problems: list[Problem]
) -> list[CompiledPolicy]:
    """Compile the policies among documents, tables behind the values that they may read; give them in the order of the files."""
    found: dict[int, CompiledPolicy] = {}
    known = dict(in_force)
    policies = [document for document in documents if document.kind == "policy"]
    for document in sorted(policies, key=lambda one: sort_of_policy(one.node) == "table"):
        report = Report(document.file)
        compiled = compile_policy(document, known, report)
        if compiled is not None:
            refuse_other_type(compiled.policy, in_force.get(compiled.policy.name), document, report)
            known[compiled.policy.name] = policy_type(compiled.policy)
            found[id(document)] = compiled
        problems += report.problems
    return [found[id(document)] for document in policies if id(document) in found]


def sort_of_policy(node: Mapping) -> str:
    """Tell by its keys whether a document is a value, a value by key, or a decision table."""
    names = set(node.names())
    if names & (SHAPES["table"] | {"otherwise"}):
        return "table"
    return "keyed" if names & (SHAPES["keyed"] - {"type"}) else "value"


def refuse_other_type(policy: Policy, earlier: PolicyType | None, document: Document, report: Report) -> None:
    """Tell of a policy that is in force with another type: what reads it was checked for that one."""
    new = policy_type(policy)
    if earlier is None or new == earlier:
        return
    place = inner(document.node, "inputs" if isinstance(policy, TablePolicy) else "type")
    message = f"policy '{policy.name}' is in force as {_type_words(earlier)} and is now {_type_words(new)}; choose another name"
    report.add(place, "incompatible", message)


def _type_words(of: PolicyType) -> str:
    if of.value is None:
        return f"a table from {print_type(of.inputs or Type('any'))} to {print_type(of.answer or Type('any'))}"
    return print_type(of.value) + (f" by {print_type(of.key)}" if of.key else "")


@dataclass(frozen=True, slots=True)
class _Policy:
    model: PolicyDocument
    node: Mapping
    report: Report

    def made(self, terms: MappingOf[str, PolicyType]) -> tuple[Policy, dict[str, Json]] | None:
        sort = sort_of_policy(self.node)
        if not self._keys_fit(sort):
            return None
        valid_from_us = self._valid_from()
        form = {"language": 1, "policy": self.model.policy}
        form |= {"owner": self.model.owner} if self.model.owner is not None else {}
        form |= {"valid_from": print_timestamp(valid_from_us)} if valid_from_us != AT_ONCE else {}
        if sort == "table":
            table = check_table(self.model, self.node, self.report, terms)
            found: tuple[Policy, dict[str, Json]] | None = table
        else:
            found = self._value() if sort == "value" else self._keyed()
        if found is None:
            return None
        return msgspec.structs.replace(found[0], valid_from_us=valid_from_us), {**form, **found[1]}

    def _keys_fit(self, sort: str) -> bool:
        wanted, allowed = SHAPES[sort], SHAPES[sort] | _OPTIONAL[sort]
        strange = [key for key, _ in self.node.items if key.value not in allowed | _AROUND]
        for key in strange:
            message = f"{_CALLED[sort]} has no key '{key.value}' ({listed(sorted(allowed))}){near(str(key.value), allowed)}"
            self.report.add(key, "unknown-key", message)
        absent = [key for key in sorted(wanted) if self.node.get(key) is None]
        for name in absent:
            self.report.add(self.node, "missing-key", f"{_CALLED[sort]} has no '{name}' and needs one; add it")
        return not strange and not absent

    def _valid_from(self) -> int:
        if self.model.valid_from is None:
            return AT_ONCE
        try:
            return parse_timestamp_us(self.model.valid_from)
        except ExpressionError as error:
            self.report.add(inner(self.node, "valid_from"), error.name, error.message)
            return AT_ONCE

    def _type(self, key: str, text: str) -> Type | None:
        place = inner(self.node, key)
        try:
            of = parse_type(text)
        except ExpressionError as error:
            self.report.add(place, error.name, error.message, error.at)
            return None
        items = of.item if of.name == "list" and of.item is not None else of
        allowed = _KEYS if key == "key" else _SCALARS
        if items.name not in allowed or of.optional or (key == "key" and of.name == "list"):
            wanted = "a string, one_of, int or bool" if key == "key" else "one value or a list of such, always there"
            self.report.add(place, "bad-type", f"{text} cannot be the {key} of a policy; {wanted} is wanted")
            return None
        return of

    def _literal(self, value: Json, of: Type, place: Node) -> Json:
        """Give a literal in the one spelling of its type; what is wrong with it is told."""
        wrong = literal_misfit(value, of)
        if wrong is not None:
            self.report.add(find(place, wrong.path) or place, wrong.name, wrong.message)
            return None
        written, found = renderer(of), literal_value(value, of)
        return found if written is None else written(found)

    def _value(self) -> tuple[Policy, dict[str, Json]] | None:
        of = self._type("type", self.model.type or "")
        if of is None:
            return None
        value = self._literal(self.model.value, of, inner(self.node, "value"))
        return ValuePolicy(str(self.model.policy), "", of, json_value(value)), {"type": print_type(of), "value": value}

    def _keyed(self) -> tuple[Policy, dict[str, Json]] | None:
        of, key = self._type("type", self.model.type or ""), self._type("key", self.model.key or "")
        if of is None or key is None:
            return None
        values = {}
        places = inner(self.node, "values")
        for name, value in (self.model.values or {}).items():
            place = places.key(name) if isinstance(places, Mapping) else None
            read = self._literal(_key_literal(name, key), key, place or places)
            values[str(plain_key(read))] = (read, self._literal(value, of, inner(places, name)))
        default = self._literal(self.model.default, of, inner(self.node, "default"))
        ordered = sorted(values.items())
        policy = KeyedPolicy(
            str(self.model.policy),
            "",
            key,
            of,
            tuple((json_value(asked), json_value(value)) for _, (asked, value) in ordered),
            json_value(default),
        )
        form = {"type": print_type(of), "key": print_type(key), "values": {name: value for name, (_, value) in ordered}}
        return policy, {**form, "default": default}


def _key_literal(name: str, key: Type) -> Json:
    """Read a key of a mapping, which is a text, as the type that keys have."""
    if key.name == "bool":
        return {"true": True, "false": False}.get(name, name)
    if key.name == "int":
        try:
            number = Decimal(name)
        except InvalidOperation:
            return name
        return int(number) if number == number.to_integral_value() else name
    return name


def plain_key(value: Json) -> str:
    """Write a key as the text that stands in the canonical document."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def json_value(value: Json) -> Value:
    """Keep a literal as JSON text."""
    return Value(msgspec.json.Encoder(decimal_format="number").encode(value).decode())
