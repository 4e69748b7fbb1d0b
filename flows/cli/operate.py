"""`millrace executions cancel | retry | skip | resume`, `millrace flows start`: an operator's word, appended to the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

from flows.cli.home import must_exist
from flows.cli.saying import append, execution_of, json_or_text, named_values, told, who
from flows.cli.terminal import Terminal
from flows.language.report import listed, near
from flows.settings import load_settings
from flows.versions.programs import Deployed, deployed_programs
from infra.clock import SystemClock
from schemas.errors import InvalidInput
from schemas.program import Manual, Program
from schemas.records import Json, OperatorCommand
from schemas.start_inputs import manual_of, wrong_inputs

Word = Literal["cancel", "skip", "retry", "resume"]
ALL: Final = "*"
OUTCOMES: Final[dict[str, Literal["done", "not_done"]]] = {"done": "done", "not_done": "not_done"}


def operate(  # noqa: PLR0913  what was typed
    terminal: Terminal,
    *,
    word: Word,
    execution: str,
    tenant: str | None,
    home: Path | None,
    step: str = "",
    occurrence: int = 0,
    outcome: str = "",
    by: str | None = None,
    role: Sequence[str] = (),
) -> int:
    """Say a word about an execution. Raises InvalidInput where the execution cannot be found."""
    settings = load_settings(home=home, tenant=tenant)
    must_exist(settings.home)
    owner, whole = execution_of(terminal, settings, execution)
    command = OperatorCommand(
        command=word,
        tenant=owner,
        execution=whole,
        step=step,
        occurrence=occurrence,
        outcome=OUTCOMES[outcome] if outcome else "",
        by=who(by),
        roles=list(role),
        at=SystemClock().now_us(),
    )
    append(settings.home, command)
    said = {"command": word, "tenant": owner, "execution": whole, "step": step}
    return told(terminal, said, f"{word} of {whole} is taken in; `millrace executions history {whole}` shows what became of it")


def start(  # noqa: PLR0913  what was typed
    terminal: Terminal,
    *,
    flow: str,
    pairs: Sequence[str],
    inputs: str | None,
    key: str | None,
    by: str | None,
    role: Sequence[str],
    tenant: str | None,
    home: Path | None,
) -> int:
    """Start a flow by hand. Raises InvalidInput for one that cannot be started so, or with these inputs, or by this role."""
    settings = load_settings(home=home, tenant=tenant)
    found = _startable(deployed_programs(must_exist(settings.home)), flow, settings.tenant)
    owner = settings.tenant or found.tenant
    if owner == ALL:
        raise InvalidInput(f"'{flow}' serves all tenants; say for which one with --tenant")
    given = _inputs(found, pairs, inputs)
    keyed = all(manual.id is not None for program in found.programs for manual in _by_hand(program))
    if key and keyed:
        raise InvalidInput(f"'{flow}' makes its key of its inputs, so --id would mean nothing; leave it out")
    name = key or ("" if keyed else uuid4().hex)
    _check_role(found, role)
    command = OperatorCommand(
        command="start", tenant=owner, flow=flow, inputs=given, id=name, by=who(by), roles=list(role), at=SystemClock().now_us()
    )
    append(settings.home, command)
    said = {"flow": flow, "tenant": owner, "id": name}
    return told(
        terminal, said, f"the start of '{flow}' for {owner} is taken in; `millrace executions list --flow {flow}` shows it"
    )


def _startable(deployed: Sequence[Deployed], flow: str, tenant: str | None) -> Deployed:
    """Find the flow as it is in force for a tenant: its own goes before the one for all."""
    named = [one for one in deployed if one.flow == flow and (tenant is None or one.tenant in (tenant, ALL))]
    if not named:
        known = sorted({one.flow for one in deployed if any(map(_by_hand, one.programs))})
        hint = near(flow, known) or f"; by hand start {listed(known) or 'none'}"
        raise InvalidInput(f"no flow '{flow}' is in force{f' for {tenant}' if tenant else ''}{hint}")
    if tenant is None and len(named) > 1:
        raise InvalidInput(f"'{flow}' is in force for {', '.join(one.tenant for one in named)}; say for which with --tenant")
    found = max(named, key=lambda one: one.tenant != ALL)
    if not any(map(_by_hand, found.programs)):
        raise InvalidInput(f"'{flow}' has no manual trigger; add `manual: {{roles: [...]}}` to its triggers and deploy it")
    return found


def _by_hand(program: Program) -> list[Manual]:
    return [trigger for trigger in program.triggers if isinstance(trigger, Manual)]


def _inputs(found: Deployed, pairs: Sequence[str], whole: str | None) -> Json:
    given = json_or_text(whole) if whole is not None else {}
    if not isinstance(given, dict):
        raise InvalidInput(f'--inputs {whole!r} is no JSON object; write for instance {{"invoice_id": "I7"}}')
    given |= named_values(pairs, "input")
    wrong = [wrong_inputs(one, given, manual_of(one)) for one in found.programs if _by_hand(one)]  # of two the engine chooses
    if all(wrong):
        raise InvalidInput("\n".join(wrong[0]))
    return given


def _check_role(found: Deployed, role: Sequence[str]) -> None:
    roles = {name for program in found.programs for manual in _by_hand(program) for name in manual.roles}
    if roles.isdisjoint(role):
        raise InvalidInput(f"'{found.flow}' is started by {', '.join(sorted(roles))}; say which you are with --role")
