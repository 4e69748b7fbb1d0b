"""`millrace up`: run all roles until they are told to stop, or until there is nothing left to do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.cli.terminal import Terminal
from flows.roles.process import ClockName
from flows.settings import Settings, load_settings
from flows.up.display import Display, Frame
from flows.up.held import HeldWatch
from flows.up.home import IdleWatch, StopSignal, locked_home, stop_signals
from flows.up.supervisor import Supervisor, UpOptions
from infra.clock import SystemClock
from infra.unanswered import unanswered
from schemas.expression.literals import print_timestamp
from schemas.topics import dispatcher_file, engine_file
from sinks.projection.query import Question
from sinks.projection.query_socket import FILE, QueryClient

POLL_S: Final = 0.05


class Summary(msgspec.Struct, frozen=True):
    """What `up --json` prints at its end."""

    home: str
    idle: bool
    restarts: dict[str, int]
    counts: dict[str, dict[str, int]]
    executions: dict[str, int]  # by status; of --tenant alone, if it was given
    actions: dict[str, int]
    unanswered: int  # commands that will never have an outcome: their records were lost before they were carried out


def up(  # noqa: PLR0913  a command's parameters are its flags
    terminal: Terminal,
    *,
    until_idle: bool,
    home: Path | None,
    clock: ClockName | None,
    default_tenant: str | None,
    tenant: str | None,
    port: int | None = None,
) -> int:
    """Run a home. Raises HomeLocked where one runs already, RoleFailed with the last error of a role that cannot run.

    With `until_idle`, ClockHeld where executions wait and nothing is left that could let them go on.
    """
    settings = load_settings(home=home, clock=clock, default_tenant=default_tenant, tenant=tenant, port=port)
    with locked_home(settings.home), stop_signals() as stop:
        display = Display(terminal.err)
        supervisor = Supervisor(options_of(settings), lambda role, line: display.note(f"{role}: {line}"))
        with display:
            idle = work(supervisor, display, stop, until_idle=until_idle)
    counts = _plain(supervisor.final_counts)
    executions, actions = (_by_status(settings, view) for view in ("executions", "actions"))
    lost = unanswered(settings.home / engine_file(0), settings.home / dispatcher_file(0))
    _tell(terminal, Summary(str(settings.home), idle, dict(supervisor.restarts), counts, executions, actions, lost))
    return 0


def options_of(settings: Settings) -> UpOptions:
    """Give the supervisor's options as the settings say."""
    return UpOptions(settings.home, settings.clock, settings.default_tenant, settings.crashes_a_minute, settings.port)


def work(supervisor: Supervisor, display: Display, stop: StopSignal, *, until_idle: bool) -> bool:
    """Run the roles until a signal comes or, if wanted, until all is idle; tell which. The roles are stopped at the end."""
    watch, held = IdleWatch(supervisor.options.home), HeldWatch(supervisor.options.home)
    idle = False
    try:
        while not stop.asked and not idle:
            supervisor.poll(POLL_S)
            display.show(frame_of(supervisor, f"up {supervisor.options.home}"))
            if until_idle:
                idle = watch.look(supervisor)
                held.look(supervisor.statuses, time.monotonic())
    finally:
        supervisor.stop()
    return idle


def frame_of(supervisor: Supervisor, title: str, done: float | None = None) -> Frame:
    """Take a picture of what the roles have said."""
    lag_us = max((status.lag_us for status in supervisor.statuses.values() if status is not None), default=0)
    return Frame(title, supervisor.counts, lag_us, sum(supervisor.restarts.values()), done)


def _plain(counts: Any) -> dict[str, dict[str, int]]:
    return {role: dict(sorted(numbers.items())) for role, numbers in counts.items()}


def _by_status(settings: Settings, view: str) -> dict[str, int]:
    """Count the rows of a view by status, {} where nothing has been projected."""
    if not (settings.home / FILE).exists():
        return {}
    question = Question(f"select status, count(*) as n from {view} group by all order by all", settings.tenant)
    return {row["status"]: row["n"] for row in QueryClient(settings.home, SystemClock()).ask(question).records()}


def _tell(terminal: Terminal, summary: Summary) -> None:
    if terminal.json:
        terminal.value(summary)
        return
    terminal.say("idle: everything is worked off" if summary.idle else "stopped")
    if summary.unanswered:
        terminal.say(f"  {summary.unanswered:,} commands were lost and will never have an outcome; see `millrace doctor`")
    for name, counts in {**summary.counts, "executions": summary.executions, "actions": summary.actions}.items():
        terminal.say(f"  {name}: " + (", ".join(_counted(what, number) for what, number in counts.items()) or "none"))


def _counted(what: str, number: int) -> str:
    if what == "now_us":
        return f"clock {print_timestamp(number)}" if number else "clock not begun"
    return f"{what} {number:,}"
