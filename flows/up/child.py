"""One child process: its pipes without blocking, its status lines, the tail of what it said on stderr.

Promise: never forks after threads (subprocess execs at once), and a child is killed and reaped before it is replaced.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Final

import msgspec

from flows.roles.process import RoleEnd, RoleStatus

TAIL_LINES: Final = 40
_READ_BYTES: Final = 1 << 16


class Child:
    """A process that was started; ends with `end` or by itself."""

    def __init__(self, command: Sequence[str], log: Callable[[str], None]) -> None:
        """Start the command in a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone."""
        self.process = subprocess.Popen(  # noqa: S603  our own module with our own arguments
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        self.status: RoleStatus | None = None
        self.fatal: RoleEnd | None = None
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._log = log
        self._parts: dict[int, bytes] = {}
        for pipe in self.pipes:
            os.set_blocking(pipe.fileno(), False)

    @property
    def pipes(self) -> tuple[IO[bytes], ...]:
        """Give the pipes that are still open."""
        return tuple(pipe for pipe in (self.process.stdout, self.process.stderr) if pipe is not None and not pipe.closed)

    @property
    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self.process.poll() is None

    def read(self) -> bool:
        """Take what the child has said; tell whether there was anything."""
        said = False
        for pipe in self.pipes:
            for line in self._lines(pipe):
                said = True
                if pipe is self.process.stdout:
                    self._take(line)
                else:
                    self._note(line.decode(errors="replace"))
        return said

    def terminate(self) -> None:
        """Ask the child to stop after its current unit of work."""
        if self.alive:
            self.process.terminate()

    def end(self) -> None:
        """Kill what still runs, reap it and read its last words."""
        if self.alive:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.read()
        for pipe in self.pipes:
            pipe.close()

    def last_error(self) -> str:
        """Say why the child ended, as well as it said so itself."""
        if self.fatal is not None:
            return self.fatal.message
        code = self.process.returncode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"{how}\n" + "\n".join(self.tail)

    def _lines(self, pipe: IO[bytes]) -> list[bytes]:
        number = pipe.fileno()
        try:
            data = os.read(number, _READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            pipe.close()
        *lines, rest = (self._parts.get(number, b"") + data).split(b"\n")
        self._parts[number] = rest
        if not data and rest:
            lines.append(self._parts.pop(number))
        return lines

    def _take(self, line: bytes) -> None:
        try:
            self.status = _statuses.decode(line)
        except msgspec.ValidationError:
            self.fatal = _ends.decode(line)
        except msgspec.DecodeError:
            self._note(line.decode(errors="replace"))

    def _note(self, line: str) -> None:
        self.tail.append(line)
        self._log(line)


_statuses = msgspec.json.Decoder(RoleStatus)
_ends = msgspec.json.Decoder(RoleEnd)
