"""Keeps a library's panic reports off stderr, where forty lines of Rust would hide ours.

Promise: what other threads write to stderr meanwhile is kept and written afterwards; only the report of a panic is dropped.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from polars.exceptions import PanicException, PolarsError

from schemas.errors import BadRecord

T = TypeVar("T")
STDERR = 2
_one_at_a_time = threading.Lock()  # two at once would put each other's file in stderr's place


def quietly(call: Callable[[], T]) -> T:
    """Make a polars call that may panic on corrupt bytes; every end but success is a BadRecord `wrong-schema`."""
    with _one_at_a_time, _held_stderr():
        try:
            return call()
        except PanicException as error:
            os.ftruncate(STDERR, 0)
            raise BadRecord("wrong-schema", f"the bytes end too early or a length is wrong: {str(error)[:200]}") from error
        except (PolarsError, OSError) as error:
            raise BadRecord("wrong-schema", str(error)[:200]) from error


@contextmanager
def _held_stderr() -> Iterator[None]:
    held, saved = _memory_file(), os.dup(STDERR)
    os.dup2(held, STDERR)
    try:
        yield
    finally:
        os.dup2(saved, STDERR)
        os.close(saved)
        size = os.lseek(held, 0, os.SEEK_END)
        if os.fstat(held).st_size:
            os.write(STDERR, os.pread(held, size, 0))
        os.close(held)


def _memory_file() -> int:
    """Open a file of no name; in memory where the system can, for the disk may be full."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("stderr")
    handle, path = tempfile.mkstemp()
    os.unlink(path)  # noqa: PTH108 - a descriptor is what is wanted
    return handle
