"""A home for one benchmark: contracts and flows deployed as `millrace deploy` does it, events encoded once and appended as bytes.

While no server runs, this process is the writer of ingress.db, as `send` and `deploy` are; beside a server it goes through its
socket.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import ascii_uppercase, digits
from types import TracebackType
from typing import Any, Final, Self

from benchmarks import workload
from benchmarks.workload import Events, Flow, Size
from flows.deployment import check_files, deploy
from infra.clock import SystemClock
from infra.embedded_log import IngressLog, last_seq
from schemas.avro.schema import avro_schema
from schemas.avro.slow import record_writer
from schemas.ports import Append
from schemas.topics import INGRESS_FILE, partition_of
from sinks.ingress.client import FileIngress, Ingress, connect
from sinks.ingress.protocol import Item

Frames = Sequence[tuple[int, bytes]]  # (partition, Avro record in Confluent framing), in order
ID_AT: Final = 6  # 5 bytes of framing, 1 byte of length: here the id's letter stands
LETTERS: Final = "fghijklmnopqrstuvwxyzabcd" + ascii_uppercase + digits
PACK_EVENTS: Final = 20_000


class Home:
    """One folder with its ingress.db. Use as a context."""

    def __init__(self, path: Path, size: Size, contracts: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make the log and register the contracts of the workload's event types, or those given."""
        self.path = path
        self.size = size
        self._clock = SystemClock()
        self._log: IngressLog | None = IngressLog(path / INGRESS_FILE)
        self.partitions = self._log.partitions
        self._writers: dict[str, Callable[[Mapping[str, Any]], bytes]] = {}
        self.deploy_documents(contracts or workload.contracts(workload.event_types(size.types)))

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let go of the log."""
        self.let_go()

    def deploy(self, flows: Sequence[Flow]) -> None:
        """Deploy flows of the workload."""
        self.deploy_documents([flow.document() for flow in flows])

    def deploy_documents(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Deploy definitions while no server runs."""
        assert self._log is not None
        self.deploy_through(FileIngress(self._log, self._clock), documents)

    def deploy_through(self, ingress: Ingress, documents: Sequence[Mapping[str, Any]]) -> None:
        """Check a file of definitions and put them in force, as `millrace deploy FILE` does."""
        file = self.path / "definitions.json"
        file.write_text(json.dumps(documents))
        deployment = deploy(ingress, self.path, check_files([file], self.path))
        for one in deployment.contracts:
            self._writers[one.event] = record_writer(avro_schema(one), one.schema_id)

    def encode(self, events: Events) -> Frames:
        """Encode events of the workload; their time is now."""
        return self.encode_rows(events.rows(self.size, time.time_ns() // 1000 - len(events) * 1_000))

    def encode_rows(self, rows: Iterable[Mapping[str, Any]]) -> Frames:
        """Encode records of the form that `Events.rows` gives."""
        absent = {"correlationid": None, "causationid": None, "hops": 0}
        partitions: dict[str, int] = {}
        frames = []
        for row in rows:
            tenant = row["tenant"]
            partition = partitions.setdefault(tenant, partition_of(tenant, self.partitions))
            frames.append((partition, self._writers[row["type"]]({**absent, **row})))
        return frames

    def renamed(self, frames: Frames, run: int) -> Frames:
        """Give the same events other ids, so that they are not dropped as duplicates: the ids' letter changes with the run."""
        letter = LETTERS[run % len(LETTERS)].encode()
        if any(frame[ID_AT : ID_AT + 1] != b"e" for _, frame in frames[:1]):
            raise AssertionError("the id is not where it was thought to be in an Avro frame")
        return [(partition, frame[:ID_AT] + letter + frame[ID_AT + 1 :]) for partition, frame in frames]

    def append(self, frames: Frames) -> float:
        """Append all in one transaction, in packs; give the monotonic time in seconds when it was durable."""
        assert self._log is not None
        appends = [
            Append(workload.TOPIC, partition, records)
            for start in range(0, len(frames), PACK_EVENTS)
            for partition, records in _by_partition(frames[start : start + PACK_EVENTS])
        ]
        self._log.append(appends, self._clock.now_us())
        return time.monotonic()

    def append_records(self, appends: Sequence[Append]) -> None:
        """Append records of other topics, such as decisions, in one transaction."""
        assert self._log is not None
        self._log.append(appends, self._clock.now_us())

    def send(self, ingress: Ingress, frames: Frames) -> None:
        """Append through a connection, in one transaction."""
        ingress.append([Item(workload.TOPIC, records, None, partition) for partition, records in _by_partition(frames)])

    @contextmanager
    def connected(self) -> Iterator[Ingress]:
        """Connect to the home's server."""
        ingress = connect(self.path, lambda: IngressLog(self.path / INGRESS_FILE), self._clock)
        try:
            yield ingress
        finally:
            ingress.close()

    def seq(self) -> int:
        """Give the last pack sequence of the log."""
        return last_seq(self.path / INGRESS_FILE)

    def let_go(self) -> None:
        """Leave the log to a server."""
        if self._log is not None:
            self._log.close()
            self._log = None


def _by_partition(frames: Frames) -> list[tuple[int, list[bytes]]]:
    """Group frames; the group of the last frame comes last, so that the last event is last in the log's order."""
    groups: dict[int, list[bytes]] = {}
    for partition, frame in frames:
        groups.setdefault(partition, []).append(frame)
    last = frames[-1][0]
    return sorted(groups.items(), key=lambda item: item[0] == last)
