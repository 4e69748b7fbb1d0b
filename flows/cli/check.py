"""`millrace check`: every problem of flow files at once; with --run also what the flows do with a file of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.cli.lines import read_lines
from flows.cli.terminal import Terminal, counted
from flows.deployment import check_files, in_force
from flows.language.definitions import Definitions, policy_control
from flows.local.run_local import LocalRun, run_local
from flows.settings import Settings, load_settings
from schemas.errors import InvalidInput, Problem
from schemas.expression.literals import print_timestamp
from schemas.flow.json_schema import json_schema
from schemas.infer import topic_of
from schemas.json_route import event_types
from schemas.policy import POLICY_PREFIX
from schemas.records import Control, History, Transition
from schemas.registry import Registry, registered

FINE: Final = 0
INVALID: Final = 2


def check(
    terminal: Terminal, *, files: Sequence[Path], run: Path | None, schema: bool, tenant: str | None, home: Path | None
) -> int:
    """Check files together; 2 if there is an error. Raises InvalidInput where no file is named."""
    if schema:
        terminal.value(json_schema())
        return FINE
    if not files:
        raise InvalidInput("nothing to check; name flow files, e.g. millrace check flows/catalog/*.yaml, or ask for --schema")
    settings = load_settings(home=home, tenant=tenant)
    definitions = check_files(files, settings.home, tenant)
    if run is None or not definitions.ok:
        _tell_problems(terminal, definitions)
        return FINE if definitions.ok else INVALID
    for problem in definitions.problems:
        terminal.say(str(problem))
    _tell_run(terminal, _run(definitions, run, settings), settings.tenant)
    return FINE


def _run(definitions: Definitions, events: Path, settings: Settings) -> LocalRun:
    """Run the flows of the files over CloudEvents lines, by the reference runner."""
    known = in_force(settings.home)
    registry = known.registry
    for contract in definitions.contracts:
        for key, value in registered(registry, contract)[1]:
            registry.apply(key, value)
    policies = [Control(key=key, value=value) for key, value in known.values.items() if key.startswith(POLICY_PREFIX)]
    policies += [policy_control(one) for one in definitions.policies]
    programs = [flow.program for flow in definitions.flows if flow.enabled]
    return run_local(_records(events, registry), programs, registry, policies)


def _records(events: Path, registry: Registry) -> Iterator[tuple[str, bytes]]:
    for line in read_lines(events):
        kind = event_types([line.text])[0][0] or ""
        contract = registry.contract(kind)
        yield contract.topic if contract is not None else topic_of(kind), line.text


def _tell_problems(terminal: Terminal, definitions: Definitions) -> None:
    if terminal.json:
        terminal.value([_problem(problem) for problem in definitions.problems])
        return
    for problem in definitions.problems:
        terminal.print(str(problem))
    errors = len(definitions.errors)
    kinds = {
        "flow": definitions.flows,
        "event contract": definitions.contracts,
        "action contract": definitions.actions,
        "policy": definitions.policies,
        "test": definitions.tests,
    }
    defined = ", ".join(counted(len(found), what) for what, found in kinds.items() if found or what == "flow")
    warnings = counted(len(definitions.problems) - errors, "warning")
    terminal.say(f"{defined}: {counted(errors, 'error') if errors else 'fine'}, {warnings}")


def _problem(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("file", "line", "column", "severity", "name", "message")}


def _tell_run(terminal: Terminal, run: LocalRun, tenant: str | None) -> None:
    histories = [history for history in run.histories() if tenant in (None, history.tenant)]
    bad = [{"line": place + 1, "reason": reason, "detail": detail} for place, reason, detail in run.bad]
    if terminal.json:
        commands = [command for command in run.commands if tenant in (None, command.tenant)]
        terminal.value({"histories": histories, "commands": commands, "bad": bad})
        return
    for history in histories:
        terminal.print(f"{history.tenant} {history.flow} {history.execution}: {history.status}, started by {history.event}")
        for transition in history.transitions:
            terminal.print(f"  {_shown(transition)}")
    for one in bad:
        terminal.say(f"record {one['line']} is set aside: {one['reason']}: {one['detail']}")
    terminal.say(_counts(histories, len(bad)))


def _shown(transition: Transition) -> str:
    told = _timed(transition)
    detail = told if isinstance(told, str) else "" if told is None else msgspec.json.encode(told).decode()
    parts = (print_timestamp(transition.at), transition.kind, transition.step, detail)
    return " ".join(part for part in parts if part)


def _timed(transition: Transition) -> Any:
    """Give what a transition tells, until when it waits as a time."""
    match transition.detail:
        case int(until_us) if transition.kind == "entered" and transition.verb in ("delay", "until", "wait"):
            return print_timestamp(until_us)
        case {"until": int(until_us), **rest}:
            return {**rest, "until": print_timestamp(until_us)}
        case other:
            return other


def _counts(histories: Sequence[History], bad: int) -> str:
    issued = sum(transition.kind == "issued" for history in histories for transition in history.transitions)
    return f"{len(histories)} executions, {issued} actions, {bad} records set aside"
