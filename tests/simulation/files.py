"""What lies on the disk in the end, read from outside: topics, executions and timers, without any role running."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from infra.file_reader import FileReader
from infra.sqlite import open_reader, rows
from schemas.topics import ACTIONS_PREFIX, DEAD_LETTERS, HISTORY, INGRESS_FILE, RESULTS, dispatcher_file, engine_file


class Placed(NamedTuple):
    """One record and where it lies."""

    topic: str
    partition: int
    position: int
    data: bytes
    appended_us: int = 0


class ExecutionRow(NamedTuple):
    """An execution as the store has it."""

    id: str
    tenant: str
    flow: str
    version: str
    status: str
    row: int
    live: bool


@dataclass(slots=True)
class Read:
    """Everything that was read."""

    ingress: list[Placed]
    actions: list[dict[str, Any]]
    histories: list[dict[str, Any]]
    letters: list[dict[str, Any]]  # the engine's
    results: list[dict[str, Any]]
    action_letters: list[dict[str, Any]]  # the dispatcher's
    executions: list[ExecutionRow] = field(default_factory=list)
    timers: list[tuple[int, int, int]] = field(default_factory=list)  # due_us, execution, token


def read_home(home: Path) -> Read:
    """Read all files of a home."""
    ingress = records_of(home / INGRESS_FILE)
    engine = records_of(home / engine_file(0))
    dispatcher = records_of(home / dispatcher_file(0))
    executions, timers = executions_and_timers(home)
    return Read(
        ingress,
        [_json(one) for one in engine if one.topic.startswith(ACTIONS_PREFIX)],
        [_json(one) for one in engine if one.topic == HISTORY],
        [_letter(one) for one in engine if one.topic == DEAD_LETTERS],
        [_json(one) for one in dispatcher if one.topic == RESULTS],
        [_letter(one) for one in dispatcher if one.topic == DEAD_LETTERS],
        executions,
        timers,
    )


def records_of(file: Path) -> list[Placed]:
    """Read every record of a file in its total order; fails where positions are not dense or records are damaged."""
    _check_dense(file)
    reader = FileReader(file, lambda topic: True, {})
    found = []
    while chunks := reader.poll(1 << 20):
        for chunk in chunks:
            records = enumerate(chunk.records, chunk.base)
            found += [Placed(chunk.topic, chunk.partition, at, data, chunk.appended_us) for at, data in records]
    damaged = reader.take_damaged()
    reader.close()
    assert not damaged, f"{file.name} has damaged records: {damaged}"
    return found


def executions_and_timers(home: Path) -> tuple[list[ExecutionRow], list[tuple[int, int, int]]]:
    """Read the store's rows, as of one commit."""
    connection = open_reader(home / engine_file(0))
    try:
        connection.execute("begin")
        query = "select row, lower(hex(id)), tenant, flow, version, status, state is not null from executions order by row"
        executions = [ExecutionRow._make((*row[1:6], row[0], bool(row[6]))) for row in rows(connection, query)]
        timers = [
            (int(due), int(row), int(token))
            for table in ("timers", "deadlines")
            for due, row, token in rows(connection, f"select due_us, execution, token from {table}")
        ]
    finally:
        connection.close()
    return executions, timers


def check_waiting(home: Path) -> None:
    """Hold that, as of one commit, every live execution has a timer and every timer a live execution: none is ever stuck."""
    executions, timers = executions_and_timers(home)
    live = {one.row for one in executions if one.live}
    waiting = {row for _, row, _ in timers}
    assert live == waiting, (
        f"live without a timer: {sorted(live - waiting)}; timers without an execution: {sorted(waiting - live)}"
    )


def _check_dense(file: Path) -> None:
    """Hold that each pack of a partition begins where the one before it ended, and that pack numbers only rise."""
    ends: dict[tuple[int, int], int] = defaultdict(int)
    last = 0
    for seq, topic, partition, base, count in _packs(file):
        assert seq > last, f"{file.name}: pack {seq} comes behind {last}"
        assert base == ends[topic, partition], f"{file.name}: pack {seq} begins at {base}, {ends[topic, partition]} was next"
        last, ends[topic, partition] = seq, base + count


def _packs(file: Path) -> Iterator[tuple[int, int, int, int, int]]:
    connection = open_reader(file)
    try:
        tables = [
            row[0] for row in rows(connection, "select name from sqlite_schema where type = 'table' and name glob 'log_[0-9f]*'")
        ]
        found = [row for table in tables for row in rows(connection, f"select seq, topic, partition, base, count from {table}")]
    finally:
        connection.close()
    yield from sorted(found)


def _json(one: Placed) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one.data, parse_float=Decimal)
    return {**found, "_topic": one.topic, "_partition": one.partition, "_position": one.position}


def _letter(one: Placed) -> dict[str, Any]:
    found = _json(one)
    return {**found, "payload": base64.b64decode(found["payload"])}
