"""Checks the parameters of an action against its contract, and looks for secrets that are written out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, Scalar, Sequence, find
from flows.language.report import Report, listed, near
from schemas.expression.fit import type_of
from schemas.expression.print import print_tree
from schemas.expression.template import Record, Template, Whole
from schemas.expression.tree import Convert
from schemas.expression.type_text import print_type
from schemas.expression.types import Type
from schemas.flow.action_types import ActionType

_UNKNOWN: Final = Type("any", optional=True)
_SECRET: Final = re.compile(
    r"(^|_)(token|secret|password|passwd|api_?key|access_?key|private_?key|credentials?|authorization)$", re.IGNORECASE
)


def wanted_parameters(action: str, node: Node, known: Mapping[str, ActionType], report: Report) -> Type | None:
    """Tell of unknown and missing parameters and of secrets; give the type that the given ones must have.

    None: no contract is known for the action.
    """
    held = node if isinstance(node, MappingNode) else MappingNode(())
    given = given_data(held)
    _find_secrets(given, report)
    contract = known.get(action)
    if contract is None and not known:
        return None
    if contract is None:
        message = f"no contract is known for action '{action}': its parameters cannot be checked{near(action, known)}"
        report.warn(held.get("action") or node, "no-contract", message)
        return None
    return wanted_fields(f"action '{action}'", contract.params, given, report)


def wanted_fields(owner: str, of: Type, given: MappingNode, report: Report) -> Type:
    """Tell of unknown and missing fields of data that is given for a record; give the type that the given ones must have."""
    fields = dict(of.fields)
    for key, _ in given.items:
        if key.value not in fields:
            message = f"{owner} takes no '{key.value}' ({listed(fields) or 'it takes nothing'}){near(str(key.value), fields)}"
            report.add(key, "unknown-field", message)
    for name, kind in fields.items():
        if given.get(name) is None and not kind.optional and kind.name != "any":
            report.add(given, "missing-key", f"{owner} needs '{name}' ({print_type(kind)}); add it to with")
    return Type("record", fields=tuple((name, fields.get(name, _UNKNOWN)) for name in given.names()))


def given_data(node: Node, key: str = "with") -> MappingNode:
    """Give the data at a key, or nothing at the place of the step."""
    held = node.get(key) if isinstance(node, MappingNode) else None
    return held if isinstance(held, MappingNode) else MappingNode((), node.line, node.column)


def refuse_missing(params: Template, want: Type | None, place: Node, report: Report) -> None:
    """Tell of values that may be missing where the contract needs one."""
    wanted = dict(want.fields) if want is not None else {}
    for name, template in params.items if isinstance(params, Record) else ():
        kind = wanted.get(name, _UNKNOWN)
        here = find(place, (str(name),)) or place
        if isinstance(template, Record):
            refuse_missing(template, kind, here, report)
        elif isinstance(template, Whole) and not kind.optional and kind.name != "any" and _may_miss(template):
            text = print_tree(template.tree)
            message = f"'{text}' may be missing and '{name}' must be there; write {{{{ coalesce({text}, ...) }}}}"
            report.add(here, "maybe-missing", message)


def _may_miss(template: Whole) -> bool:
    tree = template.tree.item if isinstance(template.tree, Convert) else template.tree
    kind = type_of(tree)
    return kind.optional and kind.name != "any"  # of any nobody knows: no contract says


def _find_secrets(node: Node, report: Report) -> None:
    for value in node.items if isinstance(node, Sequence) else ():
        _find_secrets(value, report)
    for key, value in node.items if isinstance(node, MappingNode) else ():
        if isinstance(value, Scalar):
            _check_secret(str(key.value), value, report)
        else:
            _find_secrets(value, report)


def _check_secret(key: str, value: Scalar, report: Report) -> None:
    text = value.value if isinstance(value.value, str) else ""
    if text and "{{" not in text and _SECRET.search(key):
        message = f"'{key}' looks like a secret written out; store it and write {{{{ secrets.{key} }}}}"
        report.add(value, "secret-in-clear", message)
