"""Work in a thread of its own beside what is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(name: str, work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Work while the body runs, until the event that the work is given is set; what the work raised is raised here."""
    stop = threading.Event()
    errors: list[Exception] = []

    def run() -> None:
        try:
            work(stop)
        except Exception as error:  # noqa: BLE001 - a thread has no caller
            errors.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]
