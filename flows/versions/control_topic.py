"""The control topic of a home, read from its beginning: everything that was ever deployed or set, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from infra.file_reader import FileReader
from schemas.records import Control
from schemas.topics import CONTROL, INGRESS_FILE

BLOCK: Final = 10_000
_controls: Final = msgspec.json.Decoder(Control)


def control_topic(home: Path) -> Iterator[bytes]:
    """Give the control records of a home as they were written; none where there is no home."""
    reader = FileReader(home / INGRESS_FILE, CONTROL.__eq__, {})
    try:
        while chunks := reader.poll(BLOCK):
            for chunk in chunks:
                yield from chunk.records
    finally:
        reader.close()


def readable_controls(home: Path) -> Iterator[Control]:
    """Give the control records of a home that can be read; the others the engine sets aside."""
    for record in control_topic(home):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield _controls.decode(record)
