"""How far each schedule is accounted for, by the local time of its zone: a new time-zone table moves slots and repeats none.

State: a row a (tenant, flow, trigger, zone). Cost: a few µs a slot that ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from infra.sqlite import Connection, rows
from schemas.ports import SchedulePlace

_TABLE: Final = """create table schedules(
    tenant text not null, flow text not null, trigger text not null, zone text not null,
    local_us integer not null, fold integer not null, primary key (tenant, flow, trigger, zone)) without rowid"""


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    connection.execute(_TABLE)


def write(connection: Connection, places: Iterable[SchedulePlace], gone: Iterable[tuple[str, str, str, str]]) -> None:
    """Store places and forget some, inside the caller's transaction."""
    connection.executemany("delete from schedules where tenant = ? and flow = ? and trigger = ? and zone = ?", gone)
    connection.executemany("insert or replace into schedules values (?, ?, ?, ?, ?, ?)", places)


def read(connection: Connection) -> Sequence[SchedulePlace]:
    """Give all places."""
    query = "select tenant, flow, trigger, zone, local_us, fold from schedules"
    return [SchedulePlace._make(row) for row in rows(connection, query)]
