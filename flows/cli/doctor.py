"""`millrace doctor`: look at the machine and at a home, and say what to do about what is wrong."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Final

from flows.cli.finding import Finding
from flows.cli.home import must_exist, only_tenant
from flows.cli.overdue import overdue_finding
from flows.cli.terminal import Terminal
from flows.deployment import ACTION, ACTIVE, InForce, in_force
from flows.roles.http_door import door_of
from flows.roles.mending import said
from flows.settings import load_settings
from flows.versions.programs import deployed_programs
from infra.clock import SystemClock
from infra.executions import count_by_status
from infra.file_reader import FileReader
from infra.lock import FileLock
from infra.log_ends import log_ends
from infra.sqlite import LEAST_VERSION, library_version
from infra.unanswered import settle as settle_unanswered
from infra.unanswered import unanswered
from schemas.connector_rules import PREFIX
from schemas.errors import HomeLocked, InvalidInput, MillraceError
from schemas.ports import Damage
from schemas.program import Webhook
from schemas.topics import INGRESS_FILE, dispatcher_file, engine_file
from sinks.projection.query import Question
from sinks.projection.query_socket import FILE, QueryClient

EVERYONE: Final = "*"
FREE_BYTES: Final = 1 << 30
VERIFY_BYTES_MAX: Final = 1 << 30  # of a file, beyond that reading it all would take minutes
BLOCK: Final = 20_000
PYTHONS: Final = ((3, 11), (3, 12))


def doctor(terminal: Terminal, *, settle: bool, tenant: str | None, home: Path | None) -> int:
    """Look at everything; 1 if something is wrong. Raises HomeLocked where something shall be settled and roles run."""
    settings = load_settings(home=home, tenant=tenant)
    if settle:
        _settle(terminal, settings.home)
    findings = [*_machine(settings.home), *_home(settings.home, settings.tenant)]
    if terminal.json:
        terminal.value([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            terminal.print(f"{finding.level:<6}{finding.what:<17}{finding.detail}")
    return int(any(finding.level == "wrong" for finding in findings))


def _settle(terminal: Terminal, home: Path) -> None:
    count = settle_unanswered(must_exist(home) / engine_file(0), home / dispatcher_file(0))
    lost = f"{count:,} command{'' if count == 1 else 's'} that can never have an outcome"
    terminal.say(
        f"settled: {lost} no longer hold{'s' if count == 1 else ''} the clock; whether they were carried out, nobody knows"
        if count
        else "nothing to settle: every command has an outcome or is on its way to one"
    )


def _machine(home: Path) -> Iterator[Finding]:
    version = sys.version_info[:2]
    fits = version in PYTHONS
    wanted = "" if fits else "; wanted 3.11 or 3.12"
    yield Finding("ok" if fits else "wrong", "python", f"{version[0]}.{version[1]}{wanted}")
    sqlite = library_version()
    safe = sqlite >= LEAST_VERSION
    yield Finding(
        "ok" if safe else "wrong", "sqlite", f"{sqlite}" + ("" if safe else f"; at least {LEAST_VERSION} is wanted: upgrade apsw")
    )
    place = home if home.exists() else Path(home.absolute().anchor)
    free = shutil.disk_usage(place).free
    enough = free >= FREE_BYTES
    yield Finding(
        "ok" if enough else "wrong", "disk", f"{free >> 20:,} MiB free" + ("" if enough else "; a turn needs room to commit")
    )


def _home(home: Path, tenant: str | None) -> Iterator[Finding]:
    if not (home / INGRESS_FILE).exists():
        yield Finding("note", "home", f"{home} holds nothing yet; `millrace up` or `millrace deploy` makes it")
        return
    yield _lock(home)
    for file in (INGRESS_FILE, engine_file(0), dispatcher_file(0)):
        yield _looked(file, partial(_file, home, file))
    try:
        yield from _deployed(in_force(home), tenant)
    except MillraceError as error:
        yield Finding("wrong", "flows", str(error))
    yield _looked("http", lambda: _doors(home, tenant))
    yield _looked("executions", lambda: _executions(home))
    yield _looked("deadlines", lambda: overdue_finding(home))
    yield _looked("commands", lambda: _commands(home))
    yield _looked("views", lambda: _views(home, tenant))
    if mending := said(home):
        yield Finding("note", "views", mending)


def _looked(what: str, look: Callable[[], Finding]) -> Finding:
    """Look, and take what cannot be looked at for wrong."""
    try:
        return look()
    except MillraceError as error:
        return Finding("wrong", what, str(error))


def _lock(home: Path) -> Finding:
    try:
        FileLock(home / "up").release()
    except HomeLocked as error:
        return Finding("ok", "up", f"runs: {str(error).split(';')[0]}")
    except MillraceError as error:
        return Finding("wrong", "up", str(error))
    return Finding("note", "up", "does not run; start it with `millrace up`")


def _doors(home: Path, tenant: str | None) -> Finding:
    """Say where webhooks are answered: the part of the path before the webhook's own names the tenant."""
    found = [one for one in deployed_programs(home) if tenant is None or one.tenant in (tenant, EVERYONE)]
    owners = [
        (one.tenant if one.tenant != EVERYONE else tenant or "<tenant>", program) for one in found for program in one.programs
    ]
    listed = [
        f"POST /hooks/{owner}/{one.path}" for owner, program in owners for one in program.triggers if isinstance(one, Webhook)
    ]
    hooks = list(dict.fromkeys(listed))
    address = door_of(home)
    listening = f"; webhooks: {', '.join(hooks)}" if hooks else ""
    if address is None:
        return Finding("note", "http", f"was not served yet; `millrace up` serves it on 127.0.0.1{listening}")
    return Finding("ok", "http", f"{address}{listening}")


def _file(home: Path, file: str) -> Finding:
    path = home / file
    if not path.exists():
        return Finding("note", file, "is not there yet")
    ends = log_ends(path)
    topics = len({end.topic for end in ends})
    size_bytes = sum(part.stat().st_size for part in (path, home / f"{file}-wal") if part.exists())
    held = f"{size_bytes >> 10:,} KiB, {topics} topics, {sum(end.next - end.first for end in ends):,} records"
    if size_bytes > VERIFY_BYTES_MAX:
        return Finding("note", file, f"{held}; over {VERIFY_BYTES_MAX >> 30} GiB, so checksums were not verified")
    damage = _damage(path)
    if damage:
        places = ", ".join(f"{one.slot.topic}/{one.slot.partition} {one.base}..{one.base + one.count - 1}" for one in damage[:3])
        return Finding("wrong", file, f"{held}; damaged: {places} ({damage[0].reason}); restore the file from a backup")
    return Finding("ok", file, f"{held}, checksums verified")


def _damage(path: Path) -> list[Damage]:
    """Read the log of a file from the first record kept to its end; give what cannot be read."""
    reader = FileReader(path, bool, {}, from_first=True)
    try:
        while reader.poll(BLOCK):
            pass
        return reader.take_damaged()
    finally:
        reader.close()


def _deployed(known: InForce, tenant: str | None) -> Iterator[Finding]:
    flows = only_tenant([key for key in known.values if key.startswith(ACTIVE)], tenant)
    yield Finding("ok" if flows else "note", "flows", f"{len(flows)} in force, {len(known.registry.contracts())} event contracts")
    rules = only_tenant([key for key in known.values if key.startswith(PREFIX)], tenant)
    patterns = [key.split("/", 2)[2] for key in rules]
    types = sorted(key.removeprefix(ACTION) for key in known.values if key.startswith(ACTION))
    unruled = [kind for kind in types if not any(fnmatchcase(kind, pattern) for pattern in patterns)]
    if unruled:
        names = ", ".join(unruled)
        yield Finding(
            "note", "connectors", f"no rule, so these are written to actions/<tenant>/<type>.jsonl in the home: {names}"
        )
    elif types:
        yield Finding("ok", "connectors", f"all {len(types)} action types have a rule")


def _executions(home: Path) -> Finding:
    counts = count_by_status(home / engine_file(0))
    told = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())) or "none yet"
    return Finding("note" if counts.get("failed") else "ok", "executions", told)


def _commands(home: Path) -> Finding:
    """Look for commands whose outcome their engine awaits in vain; under the event clock they hold all that waits."""
    lost = unanswered(home / engine_file(0), home / dispatcher_file(0))
    if not lost:
        return Finding("ok", "commands", "all have an outcome or are on their way to one")
    waiting = count_by_status(home / engine_file(0)).get("waiting", 0)
    detail = (
        f"{lost:,} will never have an outcome: their records were damaged or unreadable (`millrace dlq list --tenant -`); "
        f"{waiting:,} executions wait, and an event clock stands still until then: restore the files from a backup, "
        "or stop `up` and let the clock go on without them: `millrace doctor --settle`"
    )
    return Finding("wrong", "commands", detail)


def _views(home: Path, tenant: str | None) -> Finding:
    if not (home / FILE).exists():
        return Finding("note", "views", "nothing has been projected yet")
    client = QueryClient(home, SystemClock())
    try:
        answer = client.ask(Question("select reason, count(*) as records from dead_letters group by all order by all", tenant))
    except InvalidInput as error:  # the projector was stopped while it made the file
        return Finding("note", "views", str(error))
    letters = ", ".join(f"{row['records']:,} {row['reason']}" for row in answer.records())
    age = f"{client.age_us(answer) / 1_000_000:.1f} s old" if answer.as_of_us else "made, and nothing is projected yet"
    return Finding(
        "note" if letters else "ok", "views", f"{age}; " + (f"dead letters: {letters}" if letters else "no dead letters")
    )
