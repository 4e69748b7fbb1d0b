"""Lines of files, read without loading them: CloudEvents JSON lines, gzip too, `-` for stdin."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from schemas.errors import InvalidInput
from schemas.records import APPEND_BYTES_MAX

STDIN: Final = Path("-")
MARK: Final = b"\xef\xbb\xbf"  # that some editors and exports put before the first line


class Line(NamedTuple):
    """One line without its end; `place` is file:number, numbers start at 1."""

    place: str
    text: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """Give the lines of a file that are not blank, without a byte order mark.

    Raises InvalidInput where there is no such file or a line is over 16 MiB.
    """
    with _opened(path) as file:
        number = 0
        while text := file.readline(APPEND_BYTES_MAX + 2):
            number += 1
            body = (text.removeprefix(MARK) if number == 1 else text).rstrip(b"\r\n")
            if len(body) > APPEND_BYTES_MAX:
                raise InvalidInput(
                    f"{path}:{number}: the line is over {APPEND_BYTES_MAX} bytes; split it. What came before is sent"
                )
            if body.strip():
                yield Line(f"{path}:{number}", body)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidInput(f"{path} cannot be read ({why}); name a file of CloudEvents JSON lines, or - for stdin") from error
