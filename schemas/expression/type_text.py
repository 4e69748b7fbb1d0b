"""Types as people write them: `list(string)?`, `money(GBP)`, `one_of("low", "high")`, a nested mapping for a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import msgspec

from schemas.expression.findings import ExpressionError
from schemas.expression.lexer import Token, tokens
from schemas.expression.print import print_string
from schemas.expression.types import Type

Spec = str | Mapping[str, "Spec"]
_PLAIN: Final = ("string", "int", "decimal", "float", "bool", "timestamp", "duration", "any")
_NESTING_MAX: Final = 20
_CURRENCY = re.compile(r"[A-Z]{3}")


def parse_type(spec: Spec, types: Mapping[str, Spec] | None = None) -> Type:
    """Read a type; `types` are the named ones of the same contract. Raises ExpressionError bad-type."""
    return _type_of(spec, types or {}, ())


def _type_of(spec: Spec, types: Mapping[str, Spec], inside: tuple[str, ...]) -> Type:
    if len(inside) > _NESTING_MAX:
        raise ExpressionError("too-deep", f"types nest more than {_NESTING_MAX} deep; make the contract flatter")
    if isinstance(spec, Mapping):
        return Type("record", fields=tuple((str(name), _type_of(part, types, (*inside, ""))) for name, part in spec.items()))
    if not isinstance(spec, str):
        raise ExpressionError("bad-type", f"{spec!r} is no type; write one like string, money(GBP) or list(int)")
    return _Reader(spec, types, inside).whole()


class _Reader:
    def __init__(self, text: str, types: Mapping[str, Spec], inside: tuple[str, ...]) -> None:
        self._text, self._types, self._inside = text, types, inside
        body = text.rstrip()
        self._optional = body.endswith("?")
        self._tokens = tokens(body.removesuffix("?")) if "?" not in body[:-1] else _split(body)
        self._place = 0

    def whole(self) -> Type:
        found = self._type()
        self._need("end", "")
        return msgspec.structs.replace(found, optional=True) if self._optional else found

    def _take(self) -> Token:
        token = self._tokens[self._place]
        self._place = min(self._place + 1, len(self._tokens) - 1)
        return token

    def _need(self, kind: str, text: str) -> Token:
        token = self._take()
        if token.kind != kind or (text and token.text != text):
            raise ExpressionError(
                "bad-type", f"'{self._text}' is no type; write one like string, money(GBP) or list(int)", token.at
            )
        return token

    def _type(self) -> Type:
        name = self._need("name", "").text
        if name in _PLAIN:
            return Type(name)  # type: ignore[arg-type]
        if name in _INNER:
            self._need("sign", "(")
            found = _INNER[name](self)
            self._need("sign", ")")
            return found
        return self._named(name)

    def _money(self) -> Type:
        token = self._need("name", "")
        if not _CURRENCY.fullmatch(token.text):
            raise ExpressionError("bad-type", f"'{token.text}' is no currency; write its three letters: money(GBP)", token.at)
        return Type("money", currency=token.text)

    def _list(self) -> Type:
        item = self._type()
        if self._tokens[self._place].text == "?":
            self._take()
            item = msgspec.structs.replace(item, optional=True)
        return Type("list", item=item)

    def _one_of(self) -> Type:
        options = [self._need("string", "").text]
        while self._tokens[self._place].text == ",":
            self._take()
            options.append(self._need("string", "").text)
        return Type("one_of", options=tuple(options))

    def _named(self, name: str) -> Type:
        if name in self._inside:
            raise ExpressionError("bad-type", f"type '{name}' contains itself; data has an end, name the levels")
        if name not in self._types:
            near = get_close_matches(name, [*_PLAIN, *_INNER, *self._types], 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join([*_PLAIN, *_INNER, *self._types])}"
            raise ExpressionError("bad-type", f"'{name}' is no type{hint}")
        return _type_of(self._types[name], self._types, (*self._inside, name))


_INNER = {"money": _Reader._money, "list": _Reader._list, "one_of": _Reader._one_of}


def _split(body: str) -> list[Token]:
    """Split a type with a `?` inside, as in list(string?)?; the mark becomes a token of its own."""
    found: list[Token] = []
    offset = 0
    for piece in re.split(r"(\?)", body.removesuffix("?")):
        found += [Token("sign", "?", offset)] if piece == "?" else tokens(piece)[:-1]
        offset += len(piece)
    return [*found, Token("end", "", len(body))]


def print_type(of: Type) -> str:
    """Write a type as text; a record shows its fields in braces."""
    return _body(of) + ("?" if of.optional else "")


def _body(of: Type) -> str:
    if of.name == "money":
        return f"money({of.currency})"
    if of.name == "list":
        return f"list({print_type(of.item) if of.item else 'any'})"
    if of.name == "one_of":
        return f"one_of({', '.join(print_string(option) for option in of.options)})"
    if of.name == "record":
        return "{" + ", ".join(f"{name}: {print_type(part)}" for name, part in of.fields) + "}"
    return of.name


def type_spec(of: Type, name: str, types: dict[str, Spec]) -> Spec:
    """Write a type as a contract would; records that need a name (optional ones, items of lists) go into `types`.

    `name` is what such a record is called after, the field's own name; a taken name gets a number.
    """
    if of.name == "record":
        fields: Spec = {part: type_spec(inner, part, types) for part, inner in of.fields}
        return f"{_register(fields, name, types)}?" if of.optional else fields
    if of.name == "list" and of.item is not None:
        inner = type_spec(of.item, name, types)
        text = inner if isinstance(inner, str) else _register(inner, name, types)
        return f"list({text})" + ("?" if of.optional else "")
    return print_type(of)


def _register(fields: Spec, name: str, types: dict[str, Spec]) -> str:
    stem = f"{name}_item" if name in (*_PLAIN, *_INNER) or not name else name
    number = 1
    while types.get(stem if number == 1 else f"{stem}_{number}", fields) != fields:
        number += 1
    chosen = stem if number == 1 else f"{stem}_{number}"
    types[chosen] = fields
    return chosen
