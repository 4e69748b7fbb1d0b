"""Decision tables: conditions over the inputs, answers of the outputs' types, and a proof that rules cover and exclude."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from typing import Final

from flows.language.canonical_words import canonical_data, one_condition
from flows.language.check_actions import refuse_missing
from flows.language.conditions import read_condition
from flows.language.declared_types import tell_types
from flows.language.elaborate import Elaborator, Elsewhere
from flows.language.names import Bound, Names
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.report import Report
from flows.language.rule_cover import Gaps, gaps
from schemas.expression.findings import ExpressionError
from schemas.expression.keyed import PolicyTerm
from schemas.expression.template import Record, Template, template_keys, template_without_places
from schemas.expression.tree import Constant, Tree
from schemas.expression.type_text import parse_type, type_spec
from schemas.expression.types import BOOL, Type
from schemas.expression.walk import keys, without_places
from schemas.expression.words import ROOTS
from schemas.flow.policy import Policy as PolicyDocument
from schemas.policy import PolicyType, Rule, TablePolicy
from schemas.records import Json

_POLICIES: Final = "policies."


def policy_terms(policies: MappingOf[str, PolicyType]) -> dict[str, PolicyTerm]:
    """Give what expressions see of policies: those that have a value."""
    return {name: PolicyTerm(one.value, one.key) for name, one in policies.items() if one.value is not None}


def check_table(
    model: PolicyDocument, node: Mapping, report: Report, policies: MappingOf[str, PolicyType]
) -> tuple[TablePolicy, dict[str, Json]] | None:
    """Check a decision table whose keys are right; None if it has an error, which is told."""
    before = len(report.problems)
    inputs, outputs = _record(model, node, "inputs", report), _record(model, node, "outputs", report)
    if inputs is None or outputs is None:
        return None
    bindings = {name: Bound(of, node.line) for name, of in inputs.fields}
    names = Names(Type("record"), f"the inputs of {model.policy}", bindings, steps=False)
    elaborator = Elaborator(report, Elsewhere({}), policies=policy_terms(policies))
    rules: list[tuple[Tree | None, Template]] = []
    places = inner(node, "rules")
    for place in places.items if isinstance(places, Sequence) else ():
        tree = elaborator.condition(inner(place, "when"), "when", names)
        rules.append((tree, _answer(inner(place, "then"), names, outputs, elaborator)))
    otherwise = _answer(inner(node, "otherwise"), names, outputs, elaborator) if model.otherwise is not None else None
    _refuse_roots(rules, otherwise, places, report)
    if any(problem.severity == "error" for problem in report.problems[before:]):
        return None
    trees = tuple(without_places(tree) if tree is not None else Constant(value=True, type=BOOL) for tree, _ in rules)
    _refuse_gaps(gaps(trees), model, node, report)
    read = {key for tree in trees for key in keys(tree)}
    read |= {key for _, then in rules for key in template_keys(then)} | (template_keys(otherwise) if otherwise else frozenset())
    table = TablePolicy(
        str(model.policy),
        "",
        inputs,
        outputs,
        model.hit or "first",
        tuple(Rule(tree, template_without_places(then)) for tree, (_, then) in zip(trees, rules, strict=True)),
        None if otherwise is None else template_without_places(otherwise),
        tuple(sorted(key.removeprefix(_POLICIES) for key in read if key.startswith(_POLICIES))),
    )
    return table, _form(model, node, inputs, outputs)


def _record(model: PolicyDocument, node: Mapping, key: str, report: Report) -> Type | None:
    place = inner(node, key)
    try:
        of = parse_type(getattr(model, key))
    except ExpressionError as error:
        tell_types(error, [place], report)
        return None
    for name, _ in of.fields:
        if name in ROOTS:
            where = (place.key(name) if isinstance(place, Mapping) else None) or place
            report.add(where, "bad-name", f"'{name}' is a root of expressions and cannot be one of {key}; choose another name")
    return of


def _answer(place: Node, names: Names, outputs: Type, elaborator: Elaborator) -> Template:
    found = elaborator.template(place, names, outputs)
    if found is None:
        return Record(())
    refuse_missing(found.template, outputs, place, elaborator.report)
    return found.template


def _refuse_roots(rules: list[tuple[Tree | None, Template]], otherwise: Template | None, place: Node, report: Report) -> None:
    """A table answers from its inputs and policies alone, so that the same question has the same answer."""
    read = {key for tree, _ in rules if tree is not None for key in keys(tree)}
    read |= {key for _, then in rules for key in template_keys(then)} | (template_keys(otherwise) if otherwise else frozenset())
    for key in sorted(key for key in read if key.partition(".")[0] in ROOTS - {"policies"}):
        report.add(
            place, "unknown-field", f"'{key}' is no input of this table; declare an input, and fill it in 'with' of decide"
        )


def _refuse_gaps(found: Gaps, model: PolicyDocument, node: Mapping, report: Report) -> None:
    places = inner(node, "rules")
    at = places.items if isinstance(places, Sequence) else ()
    if model.hit == "unique":
        for one, two, inputs in found.overlaps:
            message = f"rules {one + 1} and {two + 1} may both hold ({inputs}) and hit is unique; "
            message += "make them exclude each other, or write hit: first"
            report.add(at[two], "overlapping-rules", message)
        if not found.proved:
            report.add(
                places, "overlapping-rules", "that no two rules hold at once cannot be shown, they ask too much; write hit: first"
            )
    if model.hit == "first":
        for idle in found.idle:
            report.warn(
                at[idle], "always-false", f"rule {idle + 1} is never reached, those before it hold first; move or remove it"
            )
    if model.otherwise is None and model.hit != "collect" and (found.uncovered or not found.proved):
        left = (
            f"hold for every input (not for {found.uncovered})"
            if found.proved
            else "hold for every input, as far as can be shown"
        )
        report.add(node, "missing-otherwise", f"the rules do not {left}; add otherwise")


def _form(model: PolicyDocument, node: Mapping, inputs: Type, outputs: Type) -> dict[str, Json]:
    places = inner(node, "rules")
    pairs = zip(model.rules or (), places.items if isinstance(places, Sequence) else (), strict=True)
    form: dict[str, Json] = {
        "inputs": {name: type_spec(of, name, {}) for name, of in inputs.fields},
        "outputs": {name: type_spec(of, name, {}) for name, of in outputs.fields},
        "hit": model.hit,
        "rules": [
            {"when": one_condition(read_condition(inner(at, "when"))), "then": canonical_data(rule.then)} for rule, at in pairs
        ],
    }
    return form if model.otherwise is None else {**form, "otherwise": canonical_data(model.otherwise)}
