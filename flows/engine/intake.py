"""What a turn takes from its inputs, and up to when they have been read.

Promise: a change of what is deployed stands at the head of its turn, so a turn runs under one catalogue; what comes behind such a
change waits for the next turn, and so does what has waited for its share.
Reads: the inputs. Emits: chunks in total order. State: chunks polled and not yet taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.engine.fair import FairShare
from flows.engine.progress import Progress
from schemas.ports import Chunk, Damage, LogReader, Slot
from schemas.topics import CONTROL


class Intake:
    """The inputs of one engine."""

    def __init__(self, readers: Sequence[LogReader], share: FairShare, passed_us: int = 0) -> None:
        self._readers = readers
        self._share = share
        self.held = 0  # chunks at the head of the last take that had waited for their share: they were read before
        self.passed_us = passed_us  # up to when all had been read behind the last turn; under the event clock the time then
        self._progress = Progress(readers)
        self._kept: list[Chunk] = []

    def few(self, most: int) -> list[Chunk]:
        """Take at most so many records, from the first input that has some; what has waited for its share comes first."""
        held = self._share.take(most)
        self.held = len(held)
        if held:
            return held
        if not self._kept:
            self._kept = next((chunks for reader in self._readers if (chunks := reader.poll(most))), [])
        return self._take(most)

    def many(self, most: int) -> list[Chunk]:
        """Take at most so many records; an input that has much does not keep the others waiting."""
        full = self._share.full
        if not full and not self._kept:
            self._kept = self._poll(most)
        if not full and self._share.waiting and self._kept and self._kept[0].topic == CONTROL:
            self.held = 0
            return self._take(most, alone=True)
        held = self._share.take(None if self._kept else self._share.spare_rows)
        self.held = len(held)
        return held if full else [*held, *self._take(most)]

    def at_end(self) -> bool:
        """Tell whether everything committed to the inputs so far has been taken."""
        return not self._kept and not self._share.waiting and all(reader.at_end() for reader in self._readers)

    def past_us(self, now_us: int) -> int:
        """Give the time of append up to which every input has been taken."""
        waiting_us = self._share.oldest_us()
        known = [self._progress.past_us(now_us), *(chunk.appended_us - 1 for chunk in self._kept)]
        return min(known if waiting_us is None else [*known, waiting_us - 1])

    def passed(self, past_us: int | None) -> None:
        """Hear up to when everything had been read, or what time it was, as far as a turn is committed; that does not go back."""
        self.passed_us = max(self.passed_us, past_us or 0)

    def take_damaged(self) -> list[Damage]:
        """Give what could not be read since the last call."""
        return [one for reader in self._readers for one in reader.take_damaged()]

    def places(self) -> dict[str, int] | None:
        """Give, by file, the pack sequence up to which everything was taken; None while something polled waits."""
        return None if self._kept or self._share.waiting else {reader.source: reader.place() for reader in self._readers}

    def incarnations(self) -> dict[str, str]:
        """Give which life of each file is read."""
        return {one.source: one.incarnation for one in self._readers if one.incarnation is not None}

    def close(self) -> None:
        """Let go of the inputs."""
        for reader in self._readers:
            reader.close()

    def _poll(self, most: int) -> list[Chunk]:
        share = max(1, most // len(self._readers))
        polled = [(reader, reader.poll(share)) for reader in self._readers]
        chunks = [chunk for _, found in polled for chunk in found]
        left = most - _count(chunks)
        for reader, found in polled:  # what some inputs do not need, those may take that have more
            more = reader.poll(left) if left > 0 and _count(found) == share else []
            left -= _count(more)
            chunks.extend(more)
        return chunks

    def _take(self, most: int, *, alone: bool = False) -> list[Chunk]:
        """Take what was polled up to the next change of what is deployed, or that `alone`, and at most so many records."""
        taken: list[Chunk] = []
        while self._kept and most > 0:
            chunk = self._kept[0]
            if taken and chunk.topic != taken[-1].topic and (chunk.topic == CONTROL or alone):
                break
            if len(chunk.records) > most:
                at = (chunk.source, chunk.topic, chunk.partition)
                self._kept[0] = Chunk(*at, chunk.base + most, chunk.appended_us, chunk.records[most:])
                chunk = Chunk(*at, chunk.base, chunk.appended_us, chunk.records[:most])
            else:
                self._kept.pop(0)
            most -= len(chunk.records)
            taken.append(chunk)
        self._progress.taken(taken)
        return taken


def positions_behind(chunks: Iterable[Chunk], damaged: Iterable[Damage]) -> dict[Slot, int]:
    """Give, by slot, the position behind what was taken, and behind what could not be read."""
    positions = {one.slot: one.base + one.count for one in damaged}
    for chunk in chunks:
        positions[chunk.slot] = max(chunk.end, positions.get(chunk.slot, 0))
    return positions


def _count(chunks: Sequence[Chunk]) -> int:
    return sum(len(chunk.records) for chunk in chunks)
