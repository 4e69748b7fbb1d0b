"""Expressions, conditions and templates of a flow: read, checked against the names in force, and told with their place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Final

from flows.language.bound_names import Named
from flows.language.conditions import (
    Condition,
    Group,
    Leaf,
    Short,
    expression_text,
    joined,
    parse_expression,
    read_condition,
    short_tree,
    text_template,
)
from flows.language.names import Names
from flows.language.nodes import Mapping, Node, Scalar, Sequence, find, plain
from flows.language.report import Report
from flows.language.rule_cover import never
from schemas.expression.check import Scope, elaborate
from schemas.expression.findings import ExpressionError, Finding
from schemas.expression.fit import type_of
from schemas.expression.keyed import PolicyTerm
from schemas.expression.literals import parse_duration_us, print_duration
from schemas.expression.template import (
    ElaboratedTemplate,
    Items,
    Record,
    Template,
    elaborate_template,
    parse_template,
    template_trees,
)
from schemas.expression.tree import Constant, Path, Tree
from schemas.expression.types import ANY, BOOL, Type
from schemas.expression.walk import keys, nodes
from schemas.expression.words import ROOTS

_ISO: Final = re.compile(r"P(?=[0-9T])[0-9A-Z.,]+")
NEVER_TRUE: Final = "this is never true; take it away, or what hangs on it"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Names that are in the flow, but not to be read here."""

    named: MappingOf[str, Named]  # every name that steps give
    lost: frozenset[str] = frozenset()  # bound by a step that has a problem already


@dataclass(slots=True)
class Elaborator:
    """Reads the expressions of one flow; remembers which names were read."""

    report: Report
    elsewhere: Elsewhere
    conflicts: frozenset[str] = frozenset()
    policies: MappingOf[str, PolicyTerm] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)  # roots of paths, and roots with their first part: `approval.outcome`

    def expression(self, node: Node, key: str, names: Names, want: Type) -> Tree | None:
        """Read the expression at a key; None if it has an error, which is told."""
        text = self.text(node, key)
        if text is not None and want.name == "duration" and self._told_as_iso(text, node, names):
            return None
        tree = self.parsed(text, node) if text is not None else None
        if tree is None or self._unreadable(tree, node, names):
            return None
        tree = self._elaborated(tree, node, names, want)
        if tree is not None and type_of(tree).optional and type_of(tree).name != "any":
            self.report.add(node, "maybe-missing", f"'{text}' may be missing and '{key}' needs it; write coalesce({text}, ...)")
            return None
        return tree

    def _told_as_iso(self, text: str, node: Node, names: Names) -> bool:
        """Tell of a duration as ISO 8601 writes it: in an expression it would be the name of a field."""
        fields = {name for name, _ in names.data.fields} if names.data is not None else set()
        if not _ISO.fullmatch(text) or text in fields:
            return False
        try:
            plainly = print_duration(parse_duration_us(text))
        except ExpressionError as error:
            self.report.add(node, error.name, error.message)
        else:
            self.report.add(node, "bad-duration", f"'{text}' is for data and this is an expression; write {plainly}")
        return True

    def tree(self, tree: Tree, node: Node, names: Names, want: Type) -> Tree | None:
        """Check an expression that has been read already."""
        return None if self._unreadable(tree, node, names) else self._elaborated(tree, node, names, want)

    def condition(self, node: Node, key: str, names: Names) -> Tree | None:
        """Read a condition in any spelling; None if one of its parts has an error."""
        tree = self._condition(read_condition(node), key, names)
        if tree is not None and never(tree):
            self.report.warn(node, "always-false", NEVER_TRUE)
        return tree

    def met(self, node: Node, key: str, names: Names) -> Tree | None:
        """Read a condition that something waits for: it must be able to hold."""
        tree = self._condition(read_condition(node), key, names)
        if tree is not None and never(tree):
            self.report.add(
                node, "cannot-be-met", "this holds for no event, its parts exclude each other; it could only time out"
            )
            return None
        return tree

    def template(self, node: Node, names: Names, want: Type | None = None, *, secrets: bool = False) -> ElaboratedTemplate | None:
        """Read data with `{{ }}` in it, by the type that a contract gives it; None if it has an error."""
        before = len(self.report.problems)
        template = self._read_data(node)
        for place, tree in _holes(node, template):
            self._unreadable(tree, place, names)
        if len(self.report.problems) > before:
            return None
        elaborated = elaborate_template(template, self._scope(names, secrets=secrets), want)
        if self._told(elaborated.findings, node):
            return None
        for place, tree in _holes(node, elaborated.template):
            self._refuse_conflicts(tree, place)
        return elaborated

    def _read_data(self, node: Node) -> Template:
        """Read data piece by piece, so that each text is parsed once for all flows and told of at its own place."""
        try:
            if isinstance(node, Scalar) and isinstance(node.value, str):
                return text_template(node.value)
            if isinstance(node, Mapping) and _has_holes(node):
                self._refuse_holes_in_keys(node)
                return Record(tuple((str(key.value), self._read_data(value)) for key, value in node.items))
            if isinstance(node, Sequence) and _has_holes(node):
                return Items(tuple(self._read_data(item) for item in node.items))
            return parse_template(plain(node))
        except ExpressionError as error:
            self._tell(error.finding, node)
            return Record(())

    def _refuse_holes_in_keys(self, node: Mapping) -> None:
        for key, _ in node.items:
            if "{{" in key.text:
                self.report.add(key, "template-in-key", f"'{key.text}' is a key, and keys are not computed; write the name")

    def _condition(self, condition: Condition, key: str, names: Names) -> Tree | None:
        match condition:
            case Leaf():
                text = self.text(condition.node, key)
                tree = self.parsed(text, condition.node) if text is not None else None
                if tree is None or self._unreadable(tree, condition.node, names):
                    return None
                if isinstance(tree, Constant) and tree.value is False:
                    self.report.warn(condition.node, "always-false", NEVER_TRUE)
                return self._elaborated(tree, condition.node, names, BOOL)
            case Short():
                return self._short(condition, names)
            case Group():
                trees = [self._condition(item, key, names) for item in condition.items]
                known = tuple(tree for tree in trees if tree is not None)
                return joined(condition.word, known) if len(known) == len(trees) else None

    def _short(self, short: Short, names: Names) -> Tree | None:
        place = short.node.get("field") or short.node
        if "{{" in short.field:
            self.report.add(
                place,
                "template-in-expression",
                f"'field' is an expression already; write {_bare(short.field)}, without {{{{ }}}}",
            )
            return None
        left = self.parsed(short.field, place)
        if left is None or self._unreadable(left, place, names):
            return None
        typed = self._elaborated(left, place, names, ANY)
        if typed is None:
            return None
        try:
            tree = short_tree(short, left, type_of(typed))
        except ExpressionError as error:
            self.report.add(short.node.get("value") or short.node, error.name, error.message)
            return None
        return None if self._unreadable(tree, short.node, names) else self._elaborated(tree, short.node, names, BOOL)

    def text(self, node: Node, key: str) -> str | None:
        """Give the text of an expression; None if it holds `{{ }}`, which is told."""
        text = expression_text(plain(node))
        if "{{" in text:
            message = f"'{key}' is an expression already; write {_bare(text)}, without {{{{ }}}}"
            self.report.add(node, "template-in-expression", message)
            return None
        return text

    def parsed(self, text: str, node: Node) -> Tree | None:
        """Parse an expression; None if it is none, which is told."""
        try:
            return parse_expression(text)
        except ExpressionError as error:
            self._tell(error.finding, node)
            return None

    def _elaborated(self, tree: Tree, node: Node, names: Names, want: Type) -> Tree | None:
        found = elaborate(tree, self._scope(names), None if want.name == "any" else want)
        if self._told(found.findings, node):
            return None
        self._refuse_conflicts(found.tree, node)
        return found.tree

    def _scope(self, names: Names, *, secrets: bool = False) -> Scope:
        bindings = {name: bound.type for name, bound in names.bindings.items()}
        bindings |= {name: ANY for name in self.elsewhere.lost if name not in bindings}
        return Scope(names.data, bindings, names.event, names.steps, names.known, names.roots, self.policies, secrets)

    def _told(self, findings: tuple[Finding, ...] | list[Finding], node: Node) -> bool:
        for finding in findings:
            self._tell(finding, node)
        return any(finding.severity == "error" for finding in findings)

    def _tell(self, finding: Finding, node: Node) -> None:
        place = find(node, finding.path) if finding.path else node
        tell = self.report.add if finding.severity == "error" else self.report.warn
        tell(place or node, finding.name, finding.message, finding.at)

    def _refuse_conflicts(self, tree: Tree, node: Node) -> None:
        for key in sorted(keys(tree) & self.conflicts) if self.conflicts else ():
            message = f"'{key}' has another type in each trigger; a flow with several triggers reads one type: divide the flow"
            self.report.add(node, "type-mismatch", message)

    def _unreadable(self, tree: Tree, node: Node, names: Names) -> bool:
        """Note what is read, and tell of paths that begin with a name which is not to be read here."""
        bad = False
        for path in nodes(tree):
            if not isinstance(path, Path):
                continue
            first = path.parts[0] if path.parts and isinstance(path.parts[0], str) else "*"
            self.read.update((path.root, f"{path.root}.{first}"))
            problem = self._refusal(path, names, node.line)
            if problem:
                self.report.add(node, *problem, path.at if isinstance(node, Scalar) else 0)
                bad = True
        return bad

    def _refusal(self, path: Path, names: Names, line: int) -> tuple[str, str] | None:
        root = path.root
        found = self.elsewhere.named.get(root)
        if found is None or root in names.bindings or root in ROOTS or root in self.elsewhere.lost or names.takes(root):
            return None
        return _why_not(found, path, line)


def _why_not(found: Named, path: Path, line: int) -> tuple[str, str]:
    root = path.root
    if found.sort == "command":
        shown = ".".join([root, *(part for part in path.parts[:1] if isinstance(part, str))])
        what, hint = ("an action", "add await: true to") if found.verb == "action" else ("a call", "take await: false from")
        return (
            "not-awaited",
            f"'{shown}' is the result of {what} that is not awaited; {hint} step '{root}' (line {found.place.line})",
        )
    if found.loop:
        return "not-yet-bound", f"'{root}' lives inside for_each (line {found.loop}); hand it out in result"
    if found.sort == "step":
        return "unknown-field", f"'{root}' names a step that binds nothing (line {found.place.line}); read something else"
    if found.place.line > line:
        return "not-yet-bound", f"'{root}' is bound later (line {found.place.line}); move this step behind it"
    return "not-yet-bound", f"'{root}' is bound elsewhere (line {found.place.line}) and not yet here; move this step behind it"


def _has_holes(node: Node) -> bool:
    if isinstance(node, Mapping):
        return any("{{" in key.text or _has_holes(value) for key, value in node.items)
    if isinstance(node, Sequence):
        return any(_has_holes(item) for item in node.items)
    return "{{" in node.text


def _holes(node: Node, template: Template) -> Iterator[tuple[Node, Tree]]:
    """Give each expression of a template with the text that it stands in."""
    if isinstance(template, Record):
        for key, item in template.items:
            yield from _holes(find(node, (key,)) or node, item)
    elif isinstance(template, Items):
        for at, item in enumerate(template.items):
            yield from _holes(find(node, (at,)) or node, item)
    else:
        for tree in template_trees(template):
            yield node, tree


def _bare(text: str) -> str:
    return " ".join(text.replace("{{", " ").replace("}}", " ").split())
