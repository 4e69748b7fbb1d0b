"""Whether rules leave something out, whether two of them can hold at once, and whether a condition can hold at all.

Each input that rules compare with constants is cut into cells between those constants, one sample a cell; what else they ask
(functions, policies, one input against another) may come out either way. So a proof is sound, and where all is compared with
constants it is exact. Cost: the product of the cells, at most CELLS_MAX.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise, product
from math import floor, prod
from typing import Any, Final

import msgspec

from schemas.expression.fit import type_of
from schemas.expression.print import print_constant, print_tree
from schemas.expression.rows import compile_row, constant_value
from schemas.expression.tree import And, Call, Compare, Constant, Convert, Field, ListOf, Not, Or, Tree
from schemas.expression.types import BOOL, INT, Type
from schemas.expression.walk import nodes

CELLS_MAX: Final = 20_000
_STEP: Final = Decimal("0.000000001")
_COMPARED: Final = ("==", "!=", "<", "<=", ">", ">=")
_WHOLE: Final = frozenset(["int", "timestamp", "duration"])


@dataclass(frozen=True, slots=True)
class Gaps:
    """What was found: sentences about inputs. `proved` is False where there are too many cells to look at."""

    uncovered: str = ""  # the inputs for which no rule holds
    overlaps: tuple[tuple[int, int, str], ...] = ()  # two rules, and the inputs for which both hold
    idle: tuple[int, ...] = ()  # rules before which another one always holds
    proved: bool = True


def gaps(rules: Sequence[Tree]) -> Gaps:
    """Look at every cell of the inputs that the rules read."""
    cells = _Cells()
    tests = [compile_row(cells.abstract(rule)) for rule in rules]
    samples = cells.samples()
    if prod(len(values) for values in samples.values()) > CELLS_MAX:
        return Gaps(proved=False)
    uncovered, overlaps, reached = "", dict[tuple[int, int], str](), set[int]()
    for values in product(*samples.values()):
        env = dict(zip(samples, values, strict=True))
        holding = [at for at, test in enumerate(tests) if test(env) is True]
        reached.update(holding[:1])
        if not holding:
            uncovered = uncovered or cells.told(env)
        for pair in pairwise(holding):
            overlaps.setdefault(pair, cells.told(env))
    idle = tuple(at for at in range(len(rules)) if at not in reached)
    return Gaps(uncovered, tuple((*pair, text) for pair, text in sorted(overlaps.items())), idle)


def never(tree: Tree) -> bool:
    """Tell whether a condition holds for no input at all; False where that cannot be proved."""
    if not isinstance(tree, And) or not _asked_again(tree):
        return False
    cells = _Cells()
    test = compile_row(cells.abstract(tree))
    samples = cells.samples()
    if prod(len(values) for values in samples.values()) > CELLS_MAX:
        return False
    return not any(test(dict(zip(samples, values, strict=True))) is True for values in product(*samples.values()))


def _asked_again(tree: Tree) -> bool:
    """Tell whether some input is asked more than once: what asks each once can be true."""
    asked = [print_tree(one) for one in nodes(tree) if isinstance(one, Field)]
    return len(set(asked)) < len(asked)


@dataclass(slots=True)
class _Cells:
    """The questions that rules ask: of an input against constants, and those whose answer is open."""

    asked: dict[str, tuple[Type, list[Constant]]] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)  # key -> the text of a question
    sides: dict[str, bool] = field(default_factory=dict)  # "one against two" -> one of them may be missing

    def abstract(self, tree: Tree) -> Tree:
        """Rewrite a condition over plain keys: one an input, one an open question."""
        match tree:
            case And() | Or():
                return msgspec.structs.replace(tree, items=tuple(self.abstract(item) for item in tree.items))
            case Not():
                return msgspec.structs.replace(tree, item=self.abstract(tree.item))
            case Constant():
                return tree
            case Field() if tree.type.name == "bool":
                return self._input(tree, [])
            case Call(name="exists") if isinstance(tree.args[0], Field):
                return msgspec.structs.replace(tree, args=(self._input(tree.args[0], []),))
            case Compare():
                return self._comparison(tree)
            case _:
                return self._open(tree)

    def _comparison(self, tree: Compare) -> Tree:
        left, right = _bare(tree.left), _bare(tree.right)
        if tree.operator == "in" and isinstance(left, Field) and isinstance(right, ListOf):
            items = [item for item in right.items if isinstance(item, Constant)]
            if len(items) == len(right.items):
                return msgspec.structs.replace(tree, left=self._input(left, items))
        if tree.operator not in _COMPARED:
            return self._open(tree)
        if isinstance(left, Field) and isinstance(right, Constant):
            return msgspec.structs.replace(tree, left=self._input(left, [right]), right=right)
        if isinstance(left, Constant) and isinstance(right, Field):
            return msgspec.structs.replace(tree, left=left, right=self._input(right, [left]))
        key = f"{print_tree(left)} against {print_tree(right)}"
        self.sides[key] = type_of(left).optional or type_of(right).optional
        return msgspec.structs.replace(tree, left=Field(key, type=INT), right=Constant(0, INT))

    def _input(self, tree: Field, constants: list[Constant]) -> Field:
        key = print_tree(tree)
        self.asked.setdefault(key, (tree.type, []))[1].extend(constants)
        return Field(key, type=tree.type)

    def _open(self, tree: Tree) -> Field:
        key = f"? {print_tree(tree)}"
        self.open[key] = print_tree(tree)
        return Field(key, type=BOOL)

    def samples(self) -> Mapping[str, Sequence[Any]]:
        """Give the samples of each key, one a cell."""
        found: dict[str, Sequence[Any]] = {key: list(_samples(*asked)) for key, asked in self.asked.items()}
        sides = {key: (-1, 0, 1, None) if maybe else (-1, 0, 1) for key, maybe in self.sides.items()}
        return found | dict.fromkeys(self.open, (True, False)) | sides

    def told(self, env: Mapping[str, Any]) -> str:
        """Write a cell as a person would: `band = "low" and total = 250 GBP`."""
        parts = [f"{key} = {_shown(env[key], of)}" for key, (of, _) in self.asked.items()]
        parts += [text if env[key] else f"not {text}" for key, text in self.open.items()]
        signs = {-1: "<", 0: "==", 1: ">", None: "missing in"}
        parts += [key.replace(" against ", f" {signs[env[key]]} ", 1) for key in self.sides]
        return " and ".join(parts) or "any input"


def _bare(tree: Tree) -> Tree:
    """Take off the conversion of an input: int read as decimal compares alike."""
    return tree.item if isinstance(tree, Convert) and type_of(tree.item).name == "int" else tree


def _samples(of: Type, constants: Sequence[Constant]) -> Iterator[Any]:
    if of.optional:
        yield None
    if of.name == "bool":
        yield from (True, False)
    elif of.name == "one_of":
        yield from of.options
    elif of.name == "string":
        yield from _texts({str(constant.value) for constant in constants})
    elif constants:
        yield from _numbers(of, sorted({Decimal(str(constant_value(constant))) for constant in constants}))
    else:
        yield 0


def _texts(known: set[str]) -> Iterator[str]:
    """Give each text, and one between each two in their order."""
    ordered = sorted(known)
    yield from ([""] if "" not in known else [])
    for text in ordered:
        yield text
        if f"{text}\x00" not in known:
            yield f"{text}\x00"


def _numbers(of: Type, cuts: Sequence[Decimal]) -> Iterator[Any]:
    """Give each cut, and one number between each two and beyond the outer ones."""
    if of.name in _WHOLE:
        yield from sorted({floor(cut) + near for cut in cuts for near in (-1, 0, 1, 2)})
        return
    found = [cuts[0] - 1, *cuts, cuts[-1] + 1]
    found += [cut + _STEP for cut, after in pairwise(cuts) if cut + _STEP < after]
    yield from (float(number) if of.name == "float" else number for number in sorted(found))


def _shown(value: Any, of: Type) -> str:
    if value is None:
        return "missing"
    text = value.rstrip("\x00") if isinstance(value, str) else value
    if text != value:
        return f"a text other than {print_constant(Constant(text, of))}"
    plain = f"{value.normalize():f}" if isinstance(value, Decimal) else value
    return print_constant(Constant(plain, of))
