"""The table of a dispatcher's commands: one row a command without an outcome, and one a batch.

Stages: a command waits for its lane and its time, is on its way, is carried by a batch, gathers for one, queues for a place
among those of its key, or was withdrawn and only needs to be told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from schemas.dispatch import QueuedAction, StoredAction
from schemas.ports import Slot


class Stage(IntEnum):
    """Where a command is; the numbers are stored."""

    WAITS = 0
    STARTED = 1
    CARRIED = 2
    GATHERS = 3
    QUEUES = 4
    WITHDRAWN = 5


READY: Final = f"blocked = 0 and stage = {Stage.WAITS.value}"
TABLES: Final = (
    # blocked: in how many of its lanes an earlier command is still without an outcome
    # batch: the row of the batch that carries it; carries: of a batch, how many commands
    "create table actions(row integer primary key, id text not null, tenant text not null, connector text not null, "
    "lane text not null, order_lane text, rank integer not null, blocked integer not null, stage integer not null, "
    "cancelled integer not null default 0, doubt integer not null default 0, attempts integer not null default 0, "
    "due_us integer not null, expires_us integer not null, first integer not null, source text not null, topic text not null, "
    "partition integer not null, position integer not null, raw blob not null, gather_lane text, gather_most integer, "
    "gather_wait_us integer, places_lane text, places_most integer, batch integer, carries integer not null default 0)",
    "create index actions_lane on actions(lane, row)",
    "create index actions_order_lane on actions(order_lane, row) where order_lane is not null",
    f"create index actions_ready on actions(tenant, rank, due_us, row) where {READY}",
    f"create index actions_due on actions(due_us) where {READY}",
    f"create index actions_started on actions(row) where stage = {Stage.STARTED.value}",
    f"create index actions_withdrawn on actions(row) where stage = {Stage.WITHDRAWN.value}",
    f"create index actions_gathering on actions(gather_lane, row) where stage = {Stage.GATHERS.value}",
    "create index actions_batch on actions(batch, row) where batch is not null",
    "create index actions_places on actions(places_lane, stage, rank, due_us, row) where places_lane is not null",
)
COLUMNS: Final = (
    "row, id, tenant, connector, attempts, doubt, expires_us, first, source, topic, partition, position, raw, cancelled"
)
INSERT: Final = (
    "insert into actions(id, tenant, connector, lane, order_lane, rank, blocked, due_us, expires_us, first, source, topic, "
    "partition, position, raw, stage, gather_lane, gather_most, gather_wait_us, places_lane, places_most) values "
    "(?1, ?2, ?3, ?4, ?5, ?6, "
    "exists(select 1 from actions where lane = ?4) + exists(select 1 from actions where order_lane = ?5), "
    "?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
)


def values_of(action: QueuedAction) -> tuple[str | int | bytes | None, ...]:
    """Give the values that INSERT wants."""
    return (
        *(action.id, action.tenant, action.connector, action.lane, action.order_lane, action.rank),
        *(action.due_us, action.expires_us, action.first, *action.slot, action.position, action.raw),
        _first_stage(action).value,
        *(action.gathering or (None, None, None)),
        *(action.places or (None, None)),
    )


def _first_stage(action: QueuedAction) -> Stage:
    if action.gathering is not None:
        return Stage.GATHERS
    return Stage.WAITS if action.places is None else Stage.QUEUES


def stored(row: Sequence[Any], attempt: int = 0, members: tuple[StoredAction, ...] = ()) -> StoredAction:
    """Make the record of a row; `attempt` is 1 for the attempt that starts now."""
    (at, name, tenant, connector, attempts, doubt, expires_us, first, *place, position, raw, cancelled) = row
    return StoredAction(
        row=at,
        id=name,
        tenant=tenant,
        connector=connector,
        attempts=attempts + attempt,
        doubt=bool(doubt),
        expires_us=expires_us,
        first=bool(first),
        slot=Slot(*place),
        position=position,
        raw=raw,
        cancelled=bool(cancelled),
        members=members,
    )
