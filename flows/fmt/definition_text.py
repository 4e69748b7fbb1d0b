"""Lays a definition file out anew: block-style YAML, kind first, keys in the language's order, comments kept; JSON stays JSON.

Laws: the strict loader reads back the same canonical form; a second time changes nothing; no comment is lost.
"""

from __future__ import annotations

from flows.fmt.comments import find_comments
from flows.fmt.json_lines import json_text
from flows.fmt.order import in_order_document
from flows.fmt.yaml_lines import yaml_lines
from flows.language.parse import parse
from schemas.errors import InvalidFlow


def definition_text(text: str, file: str) -> str:
    """Give the text in its one layout; a name that ends in .json makes it JSON. Raises InvalidFlow for what cannot be read."""
    parsed = parse(text, file)
    if parsed.problems:
        raise InvalidFlow(parsed.problems)
    documents = [in_order_document(document.node, document.kind) for document in parsed.documents]
    if file.endswith(".json"):
        return json_text(documents, listed=text.lstrip("\ufeff \t\r\n").startswith("["))
    comments = find_comments(text)
    parts = [yaml_lines(node, comments, number) for number, node in enumerate(documents)]
    return "\n---\n".join("\n".join(lines) for lines in parts) + "\n"
