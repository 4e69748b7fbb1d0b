"""The functions of the language with a worked example each; a test evaluates them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.expression.functions.table import FUNCTIONS

WORKED: Final[dict[str, tuple[str, str]]] = {  # an expression, and its value as the language writes it
    "exists": ("exists(int('x'))", "false"),
    "coalesce": ("coalesce(int('x'), 7)", "7"),
    "if": ("if(3 > 2, 'more', 'less')", '"more"'),
    "string": ("string(12.50 GBP)", '"12.50 GBP"'),
    "int": ("int('42')", "42"),
    "decimal": ("decimal('0.10')", "0.1"),
    "float": ("float('1.5')", "1.5"),
    "timestamp": ("timestamp('2026-11-21T10:00:00Z')", '"2026-11-21T10:00:00Z"'),
    "duration": ("duration('PT1H30M')", '"1h30m"'),
    "lower": ("lower('ABC')", '"abc"'),
    "upper": ("upper('abc')", '"ABC"'),
    "trim": ("trim('  a ')", '"a"'),
    "length": ("length('Straße')", "6"),
    "substring": ("substring('invoice', 2, 4)", '"voic"'),
    "replace": ("replace('a-b-c', '-', '.')", '"a.b.c"'),
    "join": ("join(['a', 'b'], ', ')", '"a, b"'),
    "starts_with": ("starts_with('invoice', 'in')", "true"),
    "ends_with": ("ends_with('invoice', 'in')", "false"),
    "abs": ("abs(-3)", "3"),
    "round": ("round(2.675, 2)", "2.68"),
    "floor": ("floor(2.9)", "2"),
    "ceil": ("ceil(2.1)", "3"),
    "least": ("least(3, 1, 2)", "1"),
    "greatest": ("greatest(1h, 90m)", '"1h30m"'),
    "money": ("money(12.5, 'EUR')", '"12.50 EUR"'),
    "amount": ("amount(12.50 EUR)", "12.5"),
    "seconds": ("seconds(1h30m)", "5400"),
    "date": ("date(timestamp('2026-11-21T23:30:00Z'), 'Europe/Berlin')", '"2026-11-22"'),
    "part": ("part(timestamp('2026-11-21T10:00:00Z'), 'weekday', 'UTC')", "6"),
    "start_of": ("start_of(timestamp('2026-11-21T10:00:00Z'), 'month', 'UTC')", '"2026-11-01T00:00:00Z"'),
    "plus_days": ("plus_days(timestamp('2026-03-28T09:00:00Z'), 1, 'Europe/Berlin')", '"2026-03-29T08:00:00Z"'),
    "plus_months": ("plus_months(timestamp('2026-01-31T09:00:00Z'), 1, 'UTC')", '"2026-02-28T09:00:00Z"'),
    "count": ("count(['a', 'b'])", "2"),
    "sum": ("sum([1, 2, 3])", "6"),
    "mean": ("mean([1, 2])", "1.5"),
    "min": ("min([3, 1])", "1"),
    "max": ("max([3, 1])", "3"),
    "distinct": ("distinct(['a', 'b', 'a'])", "2"),
    "any": ("any([false, true])", "true"),
    "all": ("all([false, true])", "false"),
    "hash": ("hash('a')", '"da43e22543e0edeec7a7a64dd9b2ec499495fee6561f4ad10e6d589b03949116"'),
    "bucket": ("bucket('C7', 100)", "53"),
}


def function_lines() -> Iterator[str]:
    """Write each function with its example."""
    for name, function in FUNCTIONS.items():
        text, value = WORKED[name]
        yield f"- `{function.usage}`: `{text}` is `{value}`"
