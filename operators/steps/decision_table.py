"""Decision tables: the first rule that holds, the only one, or all of them. Pure: a table, inputs, and an answer.

Cost: a table is made ready once a version; then its conditions are asked in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.expression.findings import ExpressionError
from schemas.expression.literal_fit import literal_value
from schemas.expression.read_json import read_json
from schemas.expression.rows import Row, compile_row
from schemas.expression.template import compile_template
from schemas.policy import TablePolicy
from schemas.records import Json

TABLES_READY = 1_024
Env = Mapping[str, Any]


class Misfit(Exception):
    """A table cannot answer: an error code of flow-language section 5, and why."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Answer(NamedTuple):
    """What a table says, and the places of the rules that said it (none: `otherwise`)."""

    value: Any
    rules: tuple[int, ...]


class _Table:
    """A table as a key: one version is one table, so its rules need not be compared."""

    __slots__ = ("key", "table")

    def __init__(self, table: TablePolicy) -> None:
        self.table = table
        self.key = (table.name, table.version)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Table) and self.key == other.key


class _Ready(NamedTuple):
    rules: tuple[tuple[Row, Callable[[Env], Any]], ...]
    otherwise: Callable[[Env], Any] | None


def evaluate(table: TablePolicy, inputs: Mapping[str, Json], policies: Env) -> Answer:
    """Ask a table; `policies` holds `policies.<name>` for those that its rules read. Raises Misfit and MissingValue."""
    try:
        env = {**policies, **_given(table, inputs)}
    except ExpressionError as error:
        raise Misfit("invalid_result", f"table '{table.name}' was given {_way(error)}{error.message}") from error
    ready = _ready(_Table(table))
    holding = _holding(ready, env, only_first=table.hit != "collect")
    if table.hit == "collect":
        return Answer(_collected(table, ready, holding, env), tuple(holding))
    if holding:
        return Answer(_said(table, ready.rules[holding[0]][1], env), tuple(holding))
    if ready.otherwise is None:
        raise Misfit("missing_value", f"no rule of table '{table.name}' holds, and it says no otherwise")
    return Answer(_said(table, ready.otherwise, env), ())


def _given(table: TablePolicy, inputs: Mapping[str, Json]) -> dict[str, Any]:
    """Read the inputs by their types; one that is missing makes conditions false."""
    present = [(name, of, inputs.get(name)) for name, of in table.inputs.fields]
    return {name: None if value is None else read_json(value, of) for name, of, value in present}


def _holding(ready: _Ready, env: Env, *, only_first: bool) -> list[int]:
    found = []
    for place, (holds, _) in enumerate(ready.rules):
        if holds(env) is True:
            found.append(place)
            if only_first:
                break
    return found


def _collected(table: TablePolicy, ready: _Ready, holding: list[int], env: Env) -> list[Any]:
    said = [ready.rules[place][1] for place in holding]
    if not said and ready.otherwise is not None:
        said = [ready.otherwise]
    return [_said(table, then, env) for then in said]


def _said(table: TablePolicy, then: Callable[[Env], Any], env: Env) -> Any:
    try:
        return literal_value(then(env), table.outputs)
    except ExpressionError as error:
        raise Misfit("invalid_result", f"table '{table.name}' says {_way(error)}{error.message}") from error


def _way(error: ExpressionError) -> str:
    return f"{'.'.join(map(str, error.path))}: " if error.path else ""


@lru_cache(maxsize=TABLES_READY)
def _ready(known: _Table) -> _Ready:
    table = known.table
    rules = tuple((compile_row(rule.when), compile_template(rule.then)) for rule in table.rules)
    return _Ready(rules, None if table.otherwise is None else compile_template(table.otherwise))
