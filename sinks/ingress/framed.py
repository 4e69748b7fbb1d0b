"""What local clients say over `ingress.sock`: append, hold, release, ping, as msgpack in frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from schemas.errors import BadRecord
from schemas.ports import Append
from sinks.frames import FrameBuffer, frame
from sinks.ingress.protocol import (
    Answer,
    AppendItems,
    Hold,
    Ping,
    Place,
    Placed,
    Refused,
    Release,
    Request,
    ServerStatus,
    checked_name,
    encoder,
    hold_record,
    placed_item,
    requests,
)
from sinks.ingress.rounds import Line, Round


@dataclass(slots=True)
class Holds:
    """Who holds the event clock: how often each name is held, over all connections."""

    now_us: Callable[[], int]
    held: Counter[str] = field(default_factory=Counter)

    def change(self, name: str, by: int) -> list[Append]:
        """Count who holds a name; give the control record where the first takes it or the last lets go."""
        before = self.held[name]
        self.held[name] += by
        held = self.held[name] > 0
        if not held:
            del self.held[name]
        return [hold_record(name, held=held, at_us=self.now_us())] if held != (before > 0) else []


class FramedSpeaker:
    """One local client. What it holds ends with its connection."""

    rests_us = None

    def __init__(self, line: Line, holds: Holds, partitions: int, status: Callable[[], ServerStatus]) -> None:
        """Speak on a line."""
        self._line = line
        self._holds = holds
        self._partitions = partitions
        self._status = status
        self._inbox = FrameBuffer()
        self._mine: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        """Tell how much is held of a request that is not whole yet."""
        return self._inbox.size_bytes

    @property
    def begun(self) -> bool:
        """Tell whether a request has begun and is not whole yet."""
        return self._inbox.begun

    @property
    def dispensable(self) -> bool:
        """Tell whether the connection may be ended when there are too many: one that holds the clock may not."""
        return not self._mine

    def receive(self, data: bytes, this_round: Round) -> None:
        """Take bytes in; put whole requests into the round."""
        try:
            for message in self._inbox.feed(data):
                if message is None:
                    self._refuse(this_round, "too-large", f"over {self._inbox.most_bytes} bytes: send fewer records at once")
                else:
                    self._take(message, this_round)
        except BadRecord as error:
            self._refuse(this_round, error.reason, error.detail)
            self._line.ending = True

    def late(self) -> None:
        """Say that the request did not come in time."""
        self._say(Refused("late", "the request did not come whole in time; nothing of it was appended: send it again"))

    def gone(self, this_round: Round) -> None:
        """Release what the client holds."""
        for name in list(self._mine.elements()):
            this_round.appends.extend(self._holds.change(name, -1))
        self._mine.clear()

    def _take(self, message: bytes, this_round: Round) -> None:
        """Put one request into the round; a bad one is refused and the connection goes on."""
        try:
            self._put(requests.decode(message), this_round)
        except msgspec.DecodeError as error:
            self._refuse(this_round, "malformed", f"{error}; wanted append, hold, release or ping as msgpack")
        except BadRecord as error:
            self._refuse(this_round, error.reason, error.detail)

    def _put(self, request: Request, this_round: Round) -> None:
        match request:
            case AppendItems(items):
                this_round.take([placed_item(item, self._partitions) for item in items], self._placed)
            case Hold(name):
                self._mine[checked_name(name)] += 1
                this_round.take(self._holds.change(name, 1), self._placed)
            case Release(name):
                if not self._mine[name]:
                    raise BadRecord("not-held", f"{name!r} is not held by this connection")
                self._mine[name] -= 1
                self._mine += Counter()  # names held no more go
                this_round.take(self._holds.change(name, -1), self._placed)
            case Ping():
                status = self._status()
                this_round.take([], lambda _: self._say(status))

    def _refuse(self, this_round: Round, reason: str, detail: str) -> None:
        this_round.take([], lambda _: self._say(Refused(reason, detail)))

    def _placed(self, places: Sequence[Place]) -> None:
        self._say(Placed(list(places)))

    def _say(self, answer: Answer) -> None:
        self._line.outbox += frame(encoder.encode(answer))
