"""What `up` and `demo` show while they run: one small table on stderr, or a line now and then where that is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

FRAME_S: Final = 0.2
LINE_S: Final = 5.0

Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What is shown: the counts of each role, the engine's lag, restarts, and how far the whole is (0 to 1) if that is known."""

    title: str
    counts: Counts
    lag_us: int
    restarts: int
    done: float | None = None

    @property
    def numbers(self) -> tuple[tuple[str, str], ...]:
        """Give the shown figures by name."""
        engine, dispatcher = self.counts.get("engine", {}), self.counts.get("dispatcher", {})
        lag_ms = self.lag_us / 1000
        return (
            ("events", f"{engine.get('events', 0):,}"),
            ("executions", f"{engine.get('executions', 0):,}"),
            ("waiting", f"{engine.get('waiting', 0):,}"),
            ("actions", f"{engine.get('actions', 0):,}"),
            ("delivered", f"{dispatcher.get('delivered', 0):,}"),
            ("dead letters", f"{engine.get('dead_letters', 0):,}"),
            ("rows in views", f"{self.counts.get('projector', {}).get('rows', 0):,}"),
            ("lag", f"{lag_ms:,.0f} ms"),
            ("restarts", f"{self.restarts}"),
        )


class Display:
    """A live table. Use as a context; call `show` as often as there is news, it draws a few times a second."""

    def __init__(self, console: Console) -> None:
        """Draw on `console` (stderr)."""
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._started_s = time.monotonic()
        self._drawn_s = 0.0

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the table away."""
        if self._live is not None:
            self._live.stop()

    def note(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(line))

    def show(self, frame: Frame) -> None:
        """Draw the frame, if the last one is old enough."""
        now_s = time.monotonic()
        if now_s - self._drawn_s < (FRAME_S if self._live is not None else LINE_S):
            return
        self._drawn_s = now_s
        if self._live is not None:
            self._live.update(render(frame, now_s - self._started_s), refresh=True)
        else:
            self._console.print(Text(line(frame, now_s - self._started_s)))


def line(frame: Frame, elapsed_s: float) -> str:
    """Write a frame on one line."""
    return f"{frame.title} {elapsed_s:.0f} s: " + ", ".join(f"{name} {number}" for name, number in frame.numbers)


def render(frame: Frame, elapsed_s: float) -> RenderableType:
    """Draw a frame as a table with the figures side by side."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name, _ in frame.numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*(number for _, number in frame.numbers))
    head = Text.assemble((frame.title, "bold"), f"  {elapsed_s:.0f} s")
    bar = [] if frame.done is None else [ProgressBar(total=1.0, completed=min(1.0, frame.done), width=60)]
    return Group(head, *bar, table)
