"""Verdicts of absences and sequences by the key of what did not come: what comes after all is late, and counted.

State: a row a verdict, of some 80 bytes: of an absence for three years; of a sequence for thirty days, as most may end in vain.
Cost: nothing while events come in order of time; else a look-up a key that something may be missed by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from infra.sqlite import Connection, rows, value
from schemas.ports import MissedVerdict

ASK: Final = 400  # keys a query
KEPT_US: Final = {"absence": 1_100 * 86_400_000_000, "sequence": 30 * 86_400_000_000}  # the one as long as an execution may live
FORGET: Final = 200  # rows a turn, and two more for each verdict that it brings

_TABLES: Final = (
    "create table verdicts(key integer not null, time_us integer not null, execution blob not null, tenant text not null, "
    "flow text not null, since_us integer not null, first text not null, sort text not null, "
    "primary key (key, time_us, execution)) without rowid",
    "create index verdicts_by_time on verdicts(sort, time_us)",
)
_FORGET: Final = (
    "delete from verdicts where (key, time_us, execution) in "
    "(select key, time_us, execution from verdicts where sort = ? and time_us < ? order by time_us limit ?)"
)


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)


def last_us(connection: Connection) -> int | None:
    """Give the latest time of all; None if there is none."""
    found = (value(connection, "select max(time_us) from verdicts where sort = ?", (sort,)) for sort in KEPT_US)
    return max((one for one in found if one is not None), default=None)


def write(connection: Connection, given: Sequence[MissedVerdict], now_us: int) -> None:
    """Add verdicts and forget very old ones, inside the caller's transaction."""
    for sort, kept_us in KEPT_US.items():
        connection.execute(_FORGET, (sort, now_us - kept_us, FORGET + 2 * len(given)))
    added = ((*one, "sequence" if one.first else "absence") for one in sorted(given))
    connection.executemany("insert or replace into verdicts values (?, ?, ?, ?, ?, ?, ?, ?)", added)


def find(connection: Connection, since: Mapping[int, int]) -> list[MissedVerdict]:
    """Give those under each of the keys whose latest time is not before the key's, sorted."""
    asked = iter(sorted(since.items()))
    found: list[MissedVerdict] = []
    while some := list(islice(asked, ASK)):
        query = (
            f"with asked(key, since_us) as (values {', '.join(['(?, ?)'] * len(some))}) "
            "select v.key, v.time_us, execution, tenant, flow, v.since_us, first from asked cross join verdicts v "
            "on v.key = asked.key and v.time_us >= asked.since_us"
        )
        found.extend(MissedVerdict._make(row) for row in rows(connection, query, [part for pair in some for part in pair]))
    return sorted(found)
