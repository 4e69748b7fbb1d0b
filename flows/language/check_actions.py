"""Checks the parameters of an action against its contract, and looks for secrets that are written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flows.language.clear_secrets import refuse_named
from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, find
from flows.language.report import Report, listed, near
from schemas.expression.fit import type_of
from schemas.expression.print import print_tree
from schemas.expression.template import Record, Template, Whole
from schemas.expression.tree import Convert
from schemas.expression.type_text import print_type
from schemas.expression.types import Type
from schemas.flow.action_types import ActionType

_UNKNOWN: Final = Type("any", optional=True)


def wanted_parameters(action: str, node: Node, known: Mapping[str, ActionType], report: Report) -> Type | None:
    """Tell of unknown and missing parameters and of secrets; give the type that the given ones must have.

    None: no contract is known for the action.
    """
    held = node if isinstance(node, MappingNode) else MappingNode(())
    given = given_data(held)
    refuse_named(given, report)
    contract = known.get(action)
    if contract is None and not known:
        return None
    if contract is None:
        message = f"no contract is known for action '{action}': its parameters cannot be checked{near(action, known)}"
        report.warn(held.get("action") or node, "no-contract", message)
        return None
    if contract.params.name != "record":  # it stands in for a document that has an error
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
