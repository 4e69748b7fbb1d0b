"""What a role waits for before it opens its own file: the server has made the home's log."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flows.roles.process import RoleProcess
from infra.home import partitions_of
from schemas.errors import Fatal
from schemas.ports import Clock
from schemas.topics import INGRESS_FILE

HOME_WAIT_US: Final = 30_000_000
LOOK_US: Final = 10_000


def await_partitions(home: Path, process: RoleProcess, clock: Clock) -> int | None:
    """Give the partitions a topic has; None when told to stop before they are known. Raises Fatal after 30 s."""
    until_us = clock.now_us() + HOME_WAIT_US
    while (partitions := partitions_of(home / INGRESS_FILE)) is None:
        if process.stopping:
            return None
        if clock.now_us() > until_us:
            seconds = HOME_WAIT_US // 1_000_000
            raise Fatal(f"{home / INGRESS_FILE} does not exist after {seconds} s; start the server role, or 'millrace up'")
        clock.sleep_us(LOOK_US)
    return partitions
