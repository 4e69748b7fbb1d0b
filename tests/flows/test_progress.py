"""Up to which time every input has been read: an input that is not at its end is read as far as what was taken of it."""

from __future__ import annotations

from pathlib import Path

from flows.engine.progress import Progress
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from schemas.ports import Append

DAY_US = 1_790_000_000_000_000


def reader(path: Path, times: list[int]) -> FileReader:
    log = IngressLog(path)
    for at in times:
        log.append([Append("shop.events", 0, [b"x"])], DAY_US + at)
    log.close()
    return FileReader(path, "shop.events".__eq__, {})


def test_an_input_that_has_more_holds_deadlines_back_and_one_at_its_end_does_not(tmp_path: Path) -> None:
    inputs = [reader(tmp_path / "one.db", [100, 900]), reader(tmp_path / "two.db", [200])]
    progress, now_us = Progress(inputs), DAY_US + 5_000
    assert progress.past_us(now_us) == 0, "nothing was read yet"
    progress.taken(inputs[1].poll(1))
    progress.taken(inputs[0].poll(1))
    assert progress.past_us(now_us) == DAY_US + 100, "the second of the first input is unread"
    progress.taken(inputs[0].poll(1))
    assert progress.past_us(now_us) == now_us
    for one in inputs:
        one.close()
