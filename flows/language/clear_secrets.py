"""Finds secrets that are written out: by the name of a parameter, and by the shape that well-known tokens have.

Reads: nodes of a flow. Emits: errors at their place; what is found is never repeated in a message. Cost: one expression a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from flows.language.nodes import Mapping, Node, Scalar, Sequence
from flows.language.report import Report

_NAME: Final = re.compile(
    r"(^|_)(token|secret|password|passwd|api_?key|access_?key|private_?key|credentials?|authorization)$", re.IGNORECASE
)
# Shapes that their issuers fixed so that they can be found: a name a group.
_SHAPES: Final = re.compile(
    r"(?P<an_AWS_access_key>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)"
    r"|(?P<a_Stripe_key>\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,})"
    r"|(?P<a_GitHub_token>\b(?:gh[pousr]_[0-9A-Za-z]{30,}|github_pat_[0-9A-Za-z_]{30,}))"
    r"|(?P<a_GitLab_token>\bglpat-[\w-]{20,})"
    r"|(?P<a_Slack_token>\bxox[abeprs]-[0-9A-Za-z-]{10,})"
    r"|(?P<a_Google_API_key>\bAIza[\w-]{35})"
    r"|(?P<a_SendGrid_key>\bSG\.[\w-]{20,}\.[\w-]{30,})"
    r"|(?P<a_private_key>-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----)"
    r"|(?P<a_signed_token>\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+)"
    r"|(?P<a_bearer_token>\b[Bb]earer +[\w.~+/-]{20,})"
    r"|(?P<an_address_with_a_password>\b[a-z][a-z0-9+.-]*://[^/\s:@{}]+:[^/\s:@{}]+@)"
)


def refuse_named(given: Node, report: Report) -> None:
    """Tell of parameters that are named like secrets and hold a text."""
    for key, text in _texts(given, ""):
        if _named(key, text):
            message = f"'{key}' looks like a secret written out; store it and write {{{{ secrets.{key} }}}}"
            report.add(text, "secret-in-clear", message)


def refuse_shaped(flow: Node, report: Report) -> None:
    """Tell of texts anywhere in a flow that hold something of the shape of a well-known secret."""
    for key, text in _texts(flow, ""):
        found = _SHAPES.search(text.value) if isinstance(text.value, str) else None
        if found is not None and not _named(key, text):
            shape = str(found.lastgroup).replace("_", " ")
            message = f"this looks like {shape} written out; store it and write {{{{ secrets.NAME }}}}"
            report.add(text, "secret-in-clear", message)


def _named(key: str, text: Scalar) -> bool:
    return isinstance(text.value, str) and bool(text.value) and "{{" not in text.value and _NAME.search(key) is not None


def _texts(node: Node, key: str) -> Iterator[tuple[str, Scalar]]:
    """Give every scalar below a node with the key that it stands at; items of a list stand at the key of the list."""
    match node:
        case Scalar():
            yield key, node
        case Sequence():
            for item in node.items:
                yield from _texts(item, key)
        case Mapping():
            for name, value in node.items:
                yield from _texts(value, str(name.value))
