"""`query.sock` of a home: queries asked of the process that writes the views, because no other may open the file meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import BadRecord, HomeLocked, InvalidInput, Retryable
from schemas.ports import Clock
from sinks.frames import FrameBuffer, receive_frame, send_frame
from sinks.projection.damage import ViewsDamaged
from sinks.projection.query import Answer, Cursor, Question, answer, opened_file
from sinks.unix_socket import dial, listen

SOCKET: Final = "query.sock"
FILE: Final = "views.duckdb"
AT_ONCE: Final = 4
ASK_S: Final = 10.0  # to send a question, or to take its answer
RETRY_US: Final = 50_000
CONNECT_US: Final = 5_000_000


class _Refused(msgspec.Struct, frozen=True, tag="refused"):
    message: str
    damaged: bool = False  # the views are, and nothing is wrong with the question


class _Answered(msgspec.Struct, frozen=True, tag="answered"):
    answer: Answer


_questions = msgspec.json.Decoder(Question)
_replies = msgspec.json.Decoder(_Answered | _Refused)


class QueryServer:
    """Answers on threads of its own; a cursor a question."""

    def __init__(self, home: Path, cursor: Callable[[], Cursor], as_of_us: Callable[[], int] = lambda: 0) -> None:
        """Listen and answer. The caller holds the views' file; `as_of_us` may know better than the file how fresh it is."""
        self.damage = ""  # what a question found that the projector had no need to read
        self._path = home / SOCKET
        self._cursor = cursor
        self._as_of_us = as_of_us
        self._listener = listen(self._path)
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="query")
        self._acceptor = threading.Thread(target=self._accept, name="query-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening; questions under way are answered first."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._workers.shutdown()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._workers.submit(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        """Answer one question; a peer that is slow, gone or speaks garbage is dropped."""
        with peer:
            peer.settimeout(ASK_S)
            try:
                send_frame(peer, self._reply(receive_frame(peer, FrameBuffer())))
            except (Retryable, BadRecord):
                return

    def _reply(self, message: bytes) -> bytes:
        known_us = self._as_of_us()  # before the rows are read: what they miss came later
        try:
            cursor = self._cursor()
            try:
                found = answer(cursor, _questions.decode(message), live=True)
                return _encode(_Answered(msgspec.structs.replace(found, as_of_us=max(found.as_of_us, known_us))))
            finally:
                cursor.close()
        except ViewsDamaged as damage:
            self.damage = str(damage)
            return _encode(_Refused(str(damage), damaged=True))
        except (InvalidInput, msgspec.DecodeError) as error:
            return _encode(_Refused(str(error)))


class QueryClient:
    """Asks the projector of a home; where none runs, reads the file."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock

    def ask(self, question: Question) -> Answer:
        """Run a query. Raises InvalidInput for a bad one, ViewsDamaged, HomeLocked where the file is taken and nobody answers."""
        give_up_us = self._clock.now_us() + CONNECT_US
        while True:
            peer = dial(self._home / SOCKET, question.timeout_s + ASK_S)
            if peer is not None:
                with peer:
                    return _asked(peer, question)
            try:
                with opened_file(self._home / FILE) as cursor:
                    return answer(cursor(), question, live=False)
            except HomeLocked:
                if self._clock.now_us() >= give_up_us:
                    raise
                self._clock.sleep_us(RETRY_US)

    def age_us(self, found: Answer) -> int:
        """Tell how old an answer's data are."""
        return max(0, self._clock.now_us() - found.as_of_us)


def _asked(peer: socket.socket, question: Question) -> Answer:
    send_frame(peer, msgspec.json.encode(question))
    reply: _Answered | _Refused = _replies.decode(receive_frame(peer, FrameBuffer()))
    if isinstance(reply, _Refused):
        raise ViewsDamaged(reply.message) if reply.damaged else InvalidInput(reply.message)
    return reply.answer


def _encode(reply: _Answered | _Refused) -> bytes:
    return msgspec.json.encode(reply)
