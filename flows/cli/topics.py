"""`millrace topics`: what lies in the log files of a home."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Final

from flows.cli.home import must_exist
from flows.cli.terminal import Terminal
from flows.settings import load_settings
from infra.log_ends import LogEnd, log_ends
from schemas.topics import CONTROL, INGRESS_FILE, PARTITIONS, dispatcher_file, engine_file, partition_of

FILES: Final = (INGRESS_FILE, engine_file(0), dispatcher_file(0))


def topics(terminal: Terminal, *, tenant: str | None, home: Path | None) -> int:
    """Count the records of each topic; with a tenant, those of the partition that its records go to."""
    settings = load_settings(home=home, tenant=tenant)
    must_exist(settings.home)
    rows = []
    for file in FILES:
        ends = [end for end in log_ends(settings.home / file) if _concerns(end, settings.tenant)]
        for topic, partitions in groupby(ends, key=lambda end: end.topic):
            found = list(partitions)
            kept, ever = sum(end.next - end.first for end in found), sum(end.next for end in found)
            rows.append({"file": file, "topic": topic, "partitions": len(found), "records": kept, "ever": ever})
    terminal.rows(rows, ("file", "topic", "partitions", "records", "ever"))
    return 0


def _concerns(end: LogEnd, tenant: str | None) -> bool:
    return tenant is None or end.topic == CONTROL or end.partition == partition_of(tenant, PARTITIONS)
