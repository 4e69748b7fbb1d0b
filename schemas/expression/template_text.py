"""Text with holes: where each `{{ }}` begins and ends, and the text between."""

from __future__ import annotations

from schemas.expression.findings import ExpressionError, Place
from schemas.expression.parse import parse
from schemas.expression.tree import Tree


def joined(parts: list[str | Tree]) -> tuple[str | Tree, ...]:
    """Put neighbouring texts together."""
    out: list[str | Tree] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        else:
            out.append(part)
    return tuple(out)


def text_parts(text: str, path: Place) -> list[str | Tree]:
    """Give the texts and the expressions between them, in order; `{{{{` writes two braces."""
    parts: list[str | Tree] = []
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        parts.append(text[at:begin])
        if text.startswith("{{{{", begin):
            parts.append("{{")
            at = begin + 4
        else:
            end = _hole_end(text, begin, path)
            parts.append(_hole(text[:end], begin + 2, path))
            at = end + 2
    return [*parts, text[at:]]


def _hole_end(text: str, begin: int, path: Place) -> int:
    """Find the `}}` that is not inside a quoted text."""
    quote, at = "", begin + 2
    while at < len(text):
        char = text[at]
        if quote:
            at += char == "\\"
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif text.startswith("}}", at):
            return at
        at += 1
    raise ExpressionError("unclosed-template", "'{{' is never closed; write }} after it, or {{{{ for two braces", begin, path)


def _hole(text: str, begin: int, path: Place) -> Tree:
    try:
        return parse(" " * begin + text[begin:])  # keeps offsets those of the whole text
    except ExpressionError as error:
        raise ExpressionError(error.name, error.message, error.at, path) from error
