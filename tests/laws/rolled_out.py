"""A home with an engine in which versions are deployed one after the other, for the laws of rollouts and shadows."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from flows.deployment import append_controls, check_files, deploy
from flows.engine.settings import EngineSettings
from flows.engine.work import Counts
from flows.roles.engine import build_engine
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from schemas.ports import Append
from schemas.records import Decision, OperatorCommand, Result, encode
from schemas.topics import COMMANDS, DECISIONS, RESULTS, partition_of
from sinks.ingress.client import FileIngress
from tests.simulation.run import MEMORY

START_US: Final = 1_774_720_000_000_000  # 2026-03-28 17:46:40 UTC
MINUTE_US: Final = 60_000_000
TOPIC: Final = "orders.events"
Told = tuple[str, str, bytes]  # tenant, topic, record


class Rolled:
    """Deploys, appends and takes turns."""

    def __init__(self, home: Path, turn_rows: int = 8192) -> None:
        self.home = home
        self._settings = EngineSettings("events", turn_rows)
        self._log = IngressLog(home / "ingress.db")
        self._engine = build_engine(home, self._settings)
        self._results = IngressLog(home / "dispatcher-0.db")
        self._answered: set[str] = set()

    def answer(self, outcome: Callable[[Any], Mapping[str, Any] | str]) -> int:
        """Give each awaited command its outcome: a record, or the code of an error. Gives how many there were."""
        fresh = [one for one in self.records("actions.file") if one.get("awaited") and one["id"] not in self._answered]
        for one in fresh:
            self._answered.add(one["id"])
            said = outcome(one)
            status: Any = "failed" if isinstance(said, str) else "delivered"
            result = Result(
                action=one["id"], execution=one["subject"], tenant=one["tenant"], flow=one["flow"], step=one["step"],
                type=one["type"], connector="file", status=status, attempts=1, at=START_US, wall=START_US, awaited=True,
                code=said if isinstance(said, str) else None, data=None if isinstance(said, str) else dict(said),
            )  # fmt: skip
            partition = partition_of(one["tenant"], self._log.partitions)
            self._results.append([Append(RESULTS, partition, [encode(result)])], START_US)
        if fresh:
            self.turns()
        return len(fresh)

    def deploy(self, text: str) -> list[str]:
        """Put definitions in force; give the versions of the flows."""
        (self.home / "flows.yaml").write_text(text)
        done = deploy(FileIngress(self._log, SystemClock()), self.home, check_files([self.home / "flows.yaml"], self.home))
        self.turns()
        return [one.version for one in done.flows]

    def hold(self, *, held: bool) -> None:
        """Keep the event clock from running on by itself, or no more."""
        append_controls(FileIngress(self._log, SystemClock()), {"clock/hold/law": True if held else None})

    def tell(self, told: Sequence[Told]) -> None:
        """Append records and take turns until nothing is left."""
        self._log.append(
            [Append(topic, partition_of(tenant, self._log.partitions), [data]) for tenant, topic, data in told], START_US
        )
        self.turns()

    def turns(self) -> None:
        """Take turns until there is nothing to do."""
        turns = 0
        while self._engine.step() is not None:
            turns += 1
            assert turns < 5_000

    def restart(self) -> None:
        """Leave, and begin again from what is stored."""
        self._engine.close()
        self._engine = build_engine(self.home, self._settings)

    def close(self) -> None:
        """Leave."""
        self._engine.close()
        self._log.close()
        self._results.close()

    @property
    def counts(self) -> Counts:
        """Give what the engine says it has done since it began."""
        return self._engine.counts

    def records(self, topic: str) -> list[Any]:
        """Give what the engine has written to a topic."""
        reader = FileReader(self.home / "engine-0.db", topic.__eq__, {})
        found = []
        while chunks := reader.poll(10_000):
            found += [json.loads(record) for chunk in chunks for record in chunk.records]
        reader.close()
        return found


@contextmanager
def rolled(turn_rows: int = 8192) -> Iterator[Rolled]:
    """Give an empty home."""
    home = Path(tempfile.mkdtemp(prefix="law-", dir=MEMORY if MEMORY.is_dir() else None))
    one = Rolled(home, turn_rows)
    try:
        yield one
    finally:
        one.close()
        shutil.rmtree(home)


def order(number: int, minute: int, data: dict[str, Any], tenant: str = "acme", kind: str = "order.placed") -> Told:
    """Give the record of an order."""
    event = {"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": kind, "tenant": tenant}
    time = (START_US + minute * MINUTE_US) // 1_000_000
    return tenant, TOPIC, json.dumps({**event, "time": _text(time), "data": {"order": {"id": f"o{number}", **data}}}).encode()


def by_hand(flow: str, number: int, inputs: dict[str, Any], tenant: str = "acme") -> Told:
    """Give the record of a start by hand."""
    wish = OperatorCommand(
        command="start", tenant=tenant, flow=flow, inputs=inputs, id=f"h{number}", roles=["desk"], at=START_US + number
    )
    return tenant, COMMANDS, encode(wish)


def decided(tenant: str, execution: str, step: str, outcome: Any, at: int = START_US) -> Told:
    """Give the record of a decision."""
    return (
        tenant,
        DECISIONS,
        encode(Decision(tenant=tenant, execution=execution, step=step, outcome=outcome, by="ann", roles=["lead"], at=at)),
    )


def bucket(tenant: str, flow: str, entity: str | None) -> int:
    """Say the bucket of an entity by its definition (schemas/DECISIONS.md)."""
    if entity is None:
        return 9_999
    said = f"{len(tenant)}:{tenant}{flow}\0{entity}".encode()
    return int.from_bytes(blake2b(said, digest_size=8, person=b"rollout").digest(), "big") % 10_000


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
