"""Text to tree, by the grammar of flow-language section 4. Types of constants are set, all others are left `any`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, cast

from schemas.expression.findings import ExpressionError
from schemas.expression.lexer import Token, tokens
from schemas.expression.literals import INT_MAX, INT_MIN, parse_duration_us
from schemas.expression.print import print_tree
from schemas.expression.tree import (
    And,
    Arith,
    Arithmetic,
    Call,
    Compare,
    Comparison,
    Constant,
    ListOf,
    Matches,
    Negate,
    Not,
    Or,
    Path,
    Tree,
)
from schemas.expression.types import BOOL, DECIMAL, DURATION, INT, STRING, Type
from schemas.expression.walk import depth_of, size_of
from schemas.expression.words import DEPTH_MAX, NAME, NODES_MAX, RESERVED

_COMPARISONS: Final = frozenset(["==", "!=", "<", "<=", ">", ">=", "in", "contains"])
_NESTING_MAX: Final = 40  # parentheses make no node, but each costs stack


def parse(text: str) -> Tree:
    """Read one expression; raises ExpressionError with the offset of what does not fit."""
    if len(text) > 1 << 16:
        raise ExpressionError("too-large", f"an expression of {len(text)} characters; at most 65,536 are read")
    reader = _Reader(tokens(text))
    tree = reader.expression()
    reader.finish()
    if size_of(tree) > NODES_MAX:
        raise ExpressionError("too-large", f"{size_of(tree)} nodes, limit max_nodes is {NODES_MAX}; divide the expression")
    if depth_of(tree) > DEPTH_MAX:
        raise ExpressionError("too-deep", f"nested {depth_of(tree)} deep, limit max_depth is {DEPTH_MAX}; divide the expression")
    return tree


class _Reader:
    """A place in the tokens; each method reads one rule of the grammar."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._place = 0
        self._nesting = 0

    @property
    def _now(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._now
        self._place += token.kind != "end"
        return token

    def _is(self, text: str) -> bool:
        return self._now.text == text and self._now.kind in ("sign", "word")

    def _need(self, text: str, why: str) -> None:
        if not self._is(text):
            raise self._unexpected(f"'{text}' {why}")
        self._take()

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._now
        what = "the text ends here" if token.kind == "end" else f"'{token.text}' stands here"
        return ExpressionError("bad-expression", f"{what}; {wanted} was wanted", token.at)

    def finish(self) -> None:
        """Insist that nothing is left."""
        if self._now.kind != "end":
            raise self._unexpected("an operator or the end")

    def expression(self) -> Tree:
        """Read a disjunction."""
        self._nesting += 1
        if self._nesting > _NESTING_MAX:
            raise ExpressionError("too-deep", f"more than {_NESTING_MAX} brackets are open; divide the expression", self._now.at)
        tree = self._chain("or", Or, self._conjunction)
        self._nesting -= 1
        return tree

    def _conjunction(self) -> Tree:
        return self._chain("and", And, self._negation)

    def _chain(self, word: str, kind: type[And] | type[Or], part: Callable[[], Tree]) -> Tree:
        at, items = self._now.at, [part()]
        while self._is(word):
            self._take()
            items.append(part())
        return items[0] if len(items) == 1 else kind(tuple(items), at=at)

    def _negation(self) -> Tree:
        places = []
        while self._is("not"):
            places.append(self._take().at)
            if len(places) > DEPTH_MAX:
                raise ExpressionError("too-deep", "one not undoes another; write one or none", places[0])
        tree = self._comparison()
        for at in reversed(places):
            tree = Not(tree, at=at)
        return tree

    def _comparison(self) -> Tree:
        left = self._sum()
        if self._is("matches"):
            self._take()
            tree: Tree = Matches(left, self._pattern(), at=left.at)
        elif self._now.text in _COMPARISONS and self._now.kind in ("sign", "word"):
            operator = self._take().text
            self._refuse_null(left, operator)
            tree = Compare(cast("Comparison", operator), left, self._sum(), at=left.at)
        else:
            return left
        if (self._now.text in _COMPARISONS or self._is("matches")) and self._now.kind in ("sign", "word"):
            raise ExpressionError("chained-comparison", "comparisons do not chain; write a < b and b < c", self._now.at)
        return tree

    def _pattern(self) -> str:
        if self._now.kind != "string":
            raise self._unexpected("a pattern in quotes")
        return self._take().text

    def _refuse_null(self, left: Tree, operator: str) -> None:
        if self._is("null"):
            ask = "exists" if operator == "!=" else "not exists"
            raise ExpressionError("null-comparison", f"nothing equals null; write {ask}({print_tree(left)})", left.at)

    def _sum(self) -> Tree:
        return self._arithmetic(("+", "-"), self._product)

    def _product(self) -> Tree:
        return self._arithmetic(("*", "/"), self._unary)

    def _arithmetic(self, operators: tuple[str, str], part: Callable[[], Tree]) -> Tree:
        tree = part()
        while self._is(operators[0]) or self._is(operators[1]):
            operator = cast("Arithmetic", self._take().text)
            tree = Arith(operator, tree, part(), at=tree.at)
        return tree

    def _unary(self) -> Tree:
        places = []
        while self._is("-"):
            places.append(self._take().at)
            if len(places) > DEPTH_MAX:
                raise ExpressionError("too-deep", "one minus undoes another; write one or none", places[0])
        if places and self._now.kind in ("int", "decimal", "money", "duration"):
            tree: Tree = constant(self._take(), negative=True, at=places.pop())
        else:
            tree = self._primary()
        for at in reversed(places):
            tree = Negate(tree, at=at)
        return tree

    def _primary(self) -> Tree:
        token = self._now
        if token.kind in ("int", "decimal", "money", "duration", "string"):
            return constant(self._take(), negative=False, at=token.at)
        if token.kind == "name":
            return self._named()
        if token.kind == "word":
            return self._word()
        if self._is("["):
            return self._list()
        if self._is("("):
            return self._parenthesis()
        raise self._unexpected("a value, a path, a function or (")

    def _word(self) -> Tree:
        token = self._now
        if token.text in ("true", "false"):
            return Constant(self._take().text == "true", BOOL, token.at)
        if token.text == "null":
            raise ExpressionError("null-comparison", "nothing equals null; write not exists(...)", token.at)
        raise self._unexpected("a value, a path, a function or (")

    def _parenthesis(self) -> Tree:
        self._take()
        tree = self.expression()
        self._need(")", "to close the bracket")
        return tree

    def _list(self) -> Tree:
        at = self._take().at
        items = self._several("]")
        return ListOf(items, at=at)

    def _several(self, end: str) -> tuple[Tree, ...]:
        items = []
        while not self._is(end):
            items.append(self.expression())
            if not self._is(end):
                self._need(",", f"or '{end}'")
                if self._is(end):
                    raise self._unexpected("another value after the comma")
        self._take()
        return tuple(items)

    def _named(self) -> Tree:
        name = self._take()
        if self._is("("):
            self._take()
            return Call(name.text, self._several(")"), at=name.at)
        parts: list[str | Tree] = []
        while self._is(".") or self._is("["):
            parts.append(self._part())
        if self._is("("):
            raise ExpressionError(
                "bad-expression", f"values have no calls; write {parts[-1]}(...) around the value", self._now.at
            )
        return Path(name.text, tuple(parts), at=name.at)

    def _part(self) -> str | Tree:
        if self._take().text == ".":
            return self._name_after_dot()
        if self._is("*"):
            self._take()
            self._need("]", "after [*")
            return "*"
        part = self.expression()
        self._need("]", "to close the index")
        named = isinstance(part, Constant) and isinstance(part.value, str) and part.type.name == "string"
        # order["total"] is order.total: one spelling in the tree
        return str(part.value) if named and _is_plain(part) else part  # type: ignore[union-attr]

    def _name_after_dot(self) -> str:
        if self._now.kind == "word":
            raise ExpressionError(
                "bad-expression", f"'{self._now.text}' is a reserved word; write [\"{self._now.text}\"]", self._now.at
            )
        if self._now.kind != "name":
            raise self._unexpected("a field name")
        return self._take().text


def _is_plain(part: Tree) -> bool:
    value = part.value if isinstance(part, Constant) else None
    return isinstance(value, str) and NAME.fullmatch(value) is not None and value not in RESERVED


def constant(token: Token, *, negative: bool, at: int) -> Constant:
    """Make the constant of a literal token."""
    sign = "-" if negative else ""
    if token.kind == "int":
        return _int(int(sign + token.text), at)
    if token.kind == "duration":
        return Constant(parse_duration_us(sign + token.text), DURATION, at)
    if token.kind == "decimal":
        return Constant(plain_digits(sign + token.text), DECIMAL, at)
    if token.kind == "money":
        amount, _, currency = token.text.partition(" ")
        return Constant(plain_digits(sign + amount), Type("money", currency=currency), at)
    return Constant(token.text, STRING, at)


def _int(value: int, at: int) -> Constant:
    if not INT_MIN <= value <= INT_MAX:
        raise ExpressionError("bad-number", f"{value} does not fit an int; write {value}.0 for a decimal", at)
    return Constant(value, INT, at)


def plain_digits(text: str) -> str:
    """Write one number in one way: no needless zeros, at least one digit behind a point that was there."""
    whole, point, digits = f"{Decimal(text):f}".partition(".")
    whole = "0" if whole == "-0" and not digits.strip("0") else whole
    return f"{whole}.{digits.rstrip('0') or '0'}" if point else whole
