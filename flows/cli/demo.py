"""`millrace demo`: run the whole way once and count."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from flows.cli.terminal import Terminal
from flows.demo.run import DemoOptions, Report, run_demo
from flows.up.display import Display

FINE: Final = 0
FAILED: Final = 1
QUERIES: Final = (
    "select flow, status, count(*) as executions from executions group by all order by all",
    "select tenant, type, count(*) as actions from actions group by all order by actions desc limit 10",
    "select reason, topic, count(*) as records from dead_letters group by all order by records desc",
)


def demo(terminal: Terminal, *, events: int, seed: int, crash: int, home: Path) -> int:
    """Run the demo; 1 if anything was lost or doubled, or if the counts are not those that the oracle says."""
    report = run_demo(DemoOptions(home, events, seed, crash), Display(terminal.err))
    if terminal.json:
        terminal.value(report.counts)
    else:
        _tell(terminal, report, home)
    if not report.fine:
        for example in _complaints(report):
            terminal.say(example)
    return FINE if report.fine else FAILED


def _tell(terminal: Terminal, report: Report, home: Path) -> None:
    counts = msgspec.structs.asdict(report.counts)
    terminal.print(f"the demo took {report.seconds:.0f} s; {report.kills} kills, {sum(report.restarts.values())} restarts")
    for name, value in counts.items():
        terminal.print(f"  {name:<14}{value:>12,}")
    if report.fine:
        terminal.print("every expected action arrived exactly once, every malformed record was set aside")
    terminal.print("three queries to try:")
    for sql in QUERIES:
        terminal.print(f'  millrace query --home {home} "{sql}"')


def _complaints(report: Report) -> list[str]:
    counts, expected = report.counts, report.expected
    found = list(report.verdict.examples)
    if counts.executions != expected.executions:
        found.append(f"{counts.executions} executions, expected {expected.executions}")
    if counts.dead_letters != expected.dead_letters:
        found.append(f"{counts.dead_letters} dead letters, expected {expected.dead_letters}")
    return found
