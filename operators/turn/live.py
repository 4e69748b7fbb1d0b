"""Executions that a turn has touched: how they come out of the store, and what of them goes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from operators.advance.advance import Runnable
from operators.execution.execution import Cause, State, pack, unpack
from schemas.commands import Command
from schemas.exact_json import PLAIN, exact
from schemas.ids import shard_of, twin_id
from schemas.ports import ChangedExecution, NewExecution, StoredExecution
from schemas.records import Said, Status, Transition

TENANTS_REMEMBERED = 100_000
TWIN: Final = "#twin"  # in the environment of a shadow: what came for the other one and not yet for it; no name of a flow
_NOTHING: Final = object()
shard_of_tenant = lru_cache(maxsize=TENANTS_REMEMBERED)(shard_of)


class Live(msgspec.Struct):
    """An execution that this turn has touched. `parent` is the one that called it and waits for its end."""

    row: int
    shard: int
    id: bytes
    tenant: str
    runnable: Runnable
    started_us: int
    cause: Cause
    state: State | None
    status: Status
    is_new: bool
    parent: int | None = None
    parent_token: int | None = None
    touched: bool = False  # something came of what came in
    called_by: str | None = None  # the parent's public id, in the turn of the start
    moved: bool = False  # to another version, in this turn
    shadow: bool = False  # it runs beside another, and all that it says is muted
    muted: list[Command] = []  # what it would have sent in this turn, and what else it would have said
    said: list[Said] = []
    known: Mapping[str, Any] = {}  # what it had bound before this turn
    env: dict[str, Any] = {}  # what it has bound now
    transitions: list[Transition] = []  # msgspec gives each its own


def core_id(live: Live) -> bytes:
    """Give the id that an execution knows itself by: a shadow has that of the execution it runs beside."""
    return twin_id(live.id) if live.shadow else live.id


def loaded(stored: StoredExecution, runnable: Callable[[str], Runnable]) -> Live:
    """Bring an execution back from the store."""
    state = unpack(stored.state)
    shadow, ready = TWIN in state.env, runnable(stored.version)
    return Live(
        stored.row,
        stored.shard,
        stored.id,
        stored.tenant,
        ready._replace(limited=False) if shadow else ready,
        state.started_us,
        state.cause,
        state,
        "waiting",
        False,
        stored.parent,
        stored.parent_token,
        known=state.env,
        shadow=shadow,
    )


def bound_since(known: Mapping[str, Any], env: dict[str, Any]) -> dict[str, Any]:
    """Give what was bound since, as a history holds it."""
    if known:
        return {name: exact(value) for name, value in env.items() if known.get(name, _NOTHING) is not value}
    if PLAIN.issuperset(map(type, env.values())):
        return env
    return {name: value if type(value) in PLAIN else exact(value) for name, value in env.items()}


def new_row(live: Live) -> NewExecution:
    """Give the row of an execution that began in this turn."""
    program = live.runnable.program
    return NewExecution(
        live.row,
        live.shard,
        live.id,
        live.tenant,
        program.flow,
        program.version,
        live.status,
        live.started_us,
        packed(live),
        live.parent,
        live.parent_token,
    )


def changed_row(live: Live) -> ChangedExecution:
    """Give the change of an execution that began in an earlier turn."""
    version = live.runnable.program.version if live.moved else None
    return ChangedExecution(live.row, live.status, packed(live), version)


def packed(live: Live) -> bytes | None:
    """Give the state as it is stored; None if nothing can happen to the execution any more."""
    return None if live.state is None else pack(live.state)
