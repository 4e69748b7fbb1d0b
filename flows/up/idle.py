"""Whether a home has nothing left to do: every role idle, and every file read to its end by all who read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flows.roles.process import RoleStatus
from schemas.topics import INGRESS_FILE, dispatcher_file, engine_file

READERS: Final[Mapping[str, tuple[str, ...]]] = {
    "server": (),
    "engine": (INGRESS_FILE, dispatcher_file(0)),
    "dispatcher": (engine_file(0),),
    "projector": (INGRESS_FILE, engine_file(0), dispatcher_file(0)),
}


def all_idle(statuses: Mapping[str, RoleStatus | None]) -> bool:
    """Tell whether every role says that it has nothing to do."""
    return all(status is not None and status.idle for status in statuses.values())


def all_read(statuses: Mapping[str, RoleStatus | None], ends: Mapping[str, int]) -> bool:
    """Tell whether every role has read the files it reads up to their last pack; `ends` has 0 for an empty file."""
    return all(status is not None and _has_read(status, ends) for status in statuses.values())


def backlog(statuses: Mapping[str, RoleStatus | None], ends: Mapping[str, int]) -> int:
    """Count the packs of the ingress file that the engine has not committed yet."""
    engine = statuses.get("engine")
    return ends.get(INGRESS_FILE, 0) - (engine.read.get(INGRESS_FILE, 0) if engine else 0)


def _has_read(status: RoleStatus, ends: Mapping[str, int]) -> bool:
    files = {*READERS.get(status.role, ()), *status.read}
    return all(status.read.get(file, 0) >= ends.get(file, 0) for file in files)
