"""Waits by their key: which executions an event may meet.

State: rows of four integers, some 20 bytes each; none in memory, so a million waits open as fast as none.
Cost: one look-up a key asked; keys are hashes, so rows go in and out sorted by key, that neighbours share a page.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from infra.sqlite import Connection, rows
from schemas.ports import MetPlace, Wait

ASK: Final = 500  # keys a query

_TABLE: Final = """create table waits(
    key integer not null, execution integer not null, token integer not null, retract integer not null,
    primary key (key, execution, token)) without rowid"""


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    connection.execute(_TABLE)


def write(connection: Connection, gone: Sequence[Wait], opened: Sequence[Wait]) -> None:
    """Take waits away, then add waits, inside the caller's transaction."""
    if gone:
        connection.executemany(
            "delete from waits where key = ? and execution = ? and token = ?", sorted(wait[:3] for wait in gone)
        )
    if opened:
        connection.executemany("insert into waits values (?, ?, ?, ?)", sorted(opened))


def find(connection: Connection, keys: Collection[int], most: int | None = None) -> list[Wait]:
    """Give the waits of any of the keys, sorted; no more are read than `most`."""
    asked = sorted(keys)
    found: list[Wait] = []
    for at in range(0, len(asked), ASK):
        some = asked[at : at + ASK]
        marks = ", ".join("?" * len(some))
        query = f"select key, execution, token, retract from waits where key in ({marks}) order by key, execution, token limit ?"
        left = -1 if most is None else most - len(found)
        if left == 0:
            break
        found.extend(Wait(key, row, token, bool(retract)) for key, row, token, retract in rows(connection, query, (*some, left)))
    return found


def find_behind(connection: Connection, keys: Collection[int], place: MetPlace, most: int) -> list[Wait]:
    """Give the first `most` waits of the keys of one event behind a place, in the order in which they are met."""
    marks = ", ".join("?" * len(keys))
    query = (
        f"select key, execution, token, retract from waits where key in ({marks}) "
        "and (not retract, execution, token) > (?, ?, ?) order by not retract, execution, token limit ?"
    )
    return [Wait(key, row, token, bool(gone)) for key, row, token, gone in rows(connection, query, (*keys, *place, most))]
