"""What the recorder has received so far, read from its file as it grows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from flows.demo.oracle import Business, business_of
from flows.demo.recorder import FILE, Received


class Receipts:
    """Counts lines as they come; the commands themselves are read at the end."""

    def __init__(self, folder: Path) -> None:
        """Read the recorder's file in `folder`."""
        self._path = folder / FILE
        self._read = 0
        self.counts: Counter[str] = Counter()

    def look(self) -> None:
        """Count what was written since the last look."""
        for line in self._new_lines():
            self.counts[_lines.decode(line).what] += 1

    def business(self) -> Counter[Business]:
        """Give every business action that was accepted, as often as it was accepted under different keys."""
        with self._path.open("rb") as file:
            received = [_lines.decode(line) for line in file]
        return Counter(_business(one.body) for one in received if one.what == "accepted")

    def _new_lines(self) -> Iterator[bytes]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield line


def _business(body: msgspec.Raw) -> Business:
    command = json.loads(bytes(body), parse_float=Decimal)
    return business_of(command["tenant"], command["causationid"], command["type"], command["data"])


_lines = msgspec.json.Decoder(Received)
