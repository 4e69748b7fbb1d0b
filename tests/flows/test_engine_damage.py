"""A broken place in the log: what stands there is a dead letter once, what stands around it goes on."""

from __future__ import annotations

from pathlib import Path

from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine
from infra import log_tables
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from infra.sqlite import open_writer
from schemas.ports import Append
from schemas.records import DeadLetter, decode
from schemas.topics import DEAD_LETTERS, INGRESS_FILE

DAY_US = 1_728_000_000_000_000  # 2024-10-04


def _letters(home: Path) -> list[tuple[str, int]]:
    """Give reason and position of each letter; every one is dated by the clock, not by 1970."""
    reader = FileReader(home / "engine-0.db", DEAD_LETTERS.__eq__, {})
    found = [decode(DeadLetter, record) for chunk in reader.poll(100) for record in chunk.records]
    reader.close()
    assert all(one.at > DAY_US for one in found)
    return [(one.reason, one.position) for one in found]


def test_damage_at_the_end_is_told_once_and_not_again_after_a_restart(tmp_path: Path) -> None:
    log = IngressLog(tmp_path / INGRESS_FILE)
    log.append([Append("crm.events", 0, [b"{no", b"{json"])], DAY_US)
    log.append([Append("crm.events", 0, [b"lost"])], DAY_US)
    log.close()
    connection = open_writer(tmp_path / INGRESS_FILE)
    connection.execute(f"update {log_tables.day_table(20241004)} set pack = x'00' where seq = 2")
    connection.close()
    for _ in range(2):
        engine = build_engine(tmp_path, EngineSettings())
        for _ in range(3):
            engine.step()
        assert engine.idle()
        engine.close()
    assert sorted(_letters(tmp_path), key=lambda one: one[1]) == [("malformed-json", 0), ("malformed-json", 1), ("damaged", 2)]
