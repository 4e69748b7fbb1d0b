"""`millrace executions fork`: another execution that goes on from a step of one that was, out of its history.

What the steps before had bound is bound, what they did is not done again; from the step on everything is done, and done for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from flows.cli.ask import ask, quoted
from flows.cli.home import must_exist
from flows.cli.saying import append, found_execution, named_values, told, who
from flows.cli.terminal import Terminal
from flows.settings import Settings, load_settings
from flows.versions.in_home import Versions, versions_in
from infra.clock import SystemClock
from operators.advance.fold import Past, fold
from operators.advance.forked import fork_id
from schemas.errors import InvalidInput
from schemas.exact_json import exact, from_exact
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_timestamp_us
from schemas.expression.read_json import read_json
from schemas.expression.types import DECIMAL, Type
from schemas.program import Program
from schemas.program_graph import read_by
from schemas.program_values import type_at, value_types
from schemas.records import RECORD_BYTES_MAX, Folded, Json, OperatorCommand, Transition, encode
from sinks.projection.query import Question

ROWS_MAX = 100_000  # transitions, or turns, of one execution


def fork(  # noqa: PLR0913  what was typed
    terminal: Terminal,
    *,
    execution: str,
    step: str,
    version: str | None,
    pairs: Sequence[str],
    key: str | None,
    by: str | None,
    role: Sequence[str],
    tenant: str | None,
    home: Path | None,
) -> int:
    """Fork an execution. Raises InvalidInput where it cannot be found, or cannot be forked there."""
    settings = load_settings(home=home, tenant=tenant)
    must_exist(settings.home)
    found = found_execution(terminal, settings, execution)
    versions = versions_in(settings.home)
    past = _past(terminal, settings, found, versions)
    to = _version(versions, found, version)
    values = named_values(pairs, "--set")
    folded = _changed(fold(past, step, to, frozenset(values)), values, to)
    order = OperatorCommand(
        command="fork",
        tenant=past.tenant,
        execution=str(found["execution"]),
        flow=to.flow,
        step=step,
        version=to.version,
        folded=folded,
        id=key or uuid4().hex,
        by=who(by),
        roles=list(role),
        at=SystemClock().now_us(),
    )
    if (size := len(encode(order))) > RECORD_BYTES_MAX:
        raise InvalidInput(f"what it had bound there takes {size:,} bytes, and an order may take {RECORD_BYTES_MAX:,}")
    append(settings.home, order)
    made = fork_id(past.tenant, to.flow, bytes.fromhex(order.execution), order.id, folded.cause[2]).hex()
    said = {"execution": made, "tenant": past.tenant, "forked_from": order.execution, "step": step, "version": to.version}
    return told(
        terminal,
        said,
        f"the fork of {order.execution} from '{step}' is taken in; it is {made}: `millrace executions show {made}`",
    )


def _past(terminal: Terminal, settings: Settings, found: Mapping[str, Any], versions: Versions) -> Past:
    """Read what the views hold of an execution. Raises InvalidInput where that is not all of it."""
    name = str(found["execution"])
    where = f"where execution = {quoted(name)} and tenant = {quoted(str(found['tenant']))} order by position"
    history = _rows(terminal, settings, f'select "at", kind, step, verb, detail from history {where}')
    turns = _rows(terminal, settings, f"select version, cause, bound from turns {where}")
    if not turns or turns[0]["cause"] is None:
        raise InvalidInput(
            f"the views do not hold the beginning of {name}: it is older than they are, so it is not known what it knew; "
            "send its event again, or start its flow by hand"
        )
    ran_on = dict.fromkeys(turn["version"] for turn in turns)
    programs = {one: versions.program(one) for one in ran_on}
    if gone := [one for one, program in programs.items() if program is None]:
        raise InvalidInput(f"{name} ran on version {gone[0]}, which is not in the control topic any more; it cannot be forked")
    return Past(
        str(found["tenant"]),
        [program for program in programs.values() if program is not None],
        [Transition(parse_timestamp_us(one["at"]), one["kind"], one["step"], one["verb"], one["detail"]) for one in history],
        msgspec.convert(turns[0]["cause"], tuple[str, str, int, str, int]),
        [turn["bound"] or {} for turn in turns],
    )


def _rows(terminal: Terminal, settings: Settings, sql: str) -> list[dict[str, Json]]:
    answer = ask(terminal, settings.home, Question(sql, settings.tenant, ROWS_MAX))
    if answer.truncated:
        raise InvalidInput(f"its history has more than {len(answer.rows):,} rows, which is more than a fork can go through")
    return answer.records()


def _version(versions: Versions, found: Mapping[str, Any], wanted: str | None) -> Program:
    """Give the version to go on with: the one it ran on last, `active`, or one that begins as is said. Raises InvalidInput."""
    tenant, flow = str(found["tenant"]), str(found["flow"])
    if wanted == "active":
        key = versions.of_tenant(tenant, flow)
        wanted = versions.active[key].version if key is not None else wanted
    ours = [one for one in versions.packed if not versions.owners.get(one, set()).isdisjoint({(tenant, flow), ("*", flow)})]
    named = [one for one in ours if one.startswith(wanted if wanted is not None else str(found["version"]))]
    program = versions.program(named[0]) if len(named) == 1 else None
    if program is None:
        which = "more than one version" if named else "no version"
        known = ", ".join(one[:12] for one in ours) or "none"
        raise InvalidInput(f"{which} of '{flow}' begins with {wanted!r}; there are {known}, and `active` is the one in force")
    return program


def _changed(folded: Folded, values: Mapping[str, Json], to: Program) -> Folded:
    """Set values as whoever forks says. Raises InvalidInput for a name that nothing reads, or a value of another type."""
    bound_now = {name: from_exact(value) for name, value in folded.bound.items()}
    types = value_types(to)
    read = {key for one in to.steps for key in read_by(one)}
    for name, value in values.items():
        _set(bound_now, name, value, type_at(types, name), read)
    marked = {name: exact(value) for name, value in bound_now.items()}
    return msgspec.structs.replace(folded, bound=marked, changed=sorted(values))


def _set(values: dict[str, Any], name: str, value: Json, kind: Type | None, read: set[str]) -> None:
    holder, _, rest = name.partition(".")
    if name in values or (name in read and not isinstance(values.get(holder), dict)):
        values[name] = _typed(name, value, kind, values.get(name))
        return
    inner = values.get(holder)
    if not rest or not isinstance(inner, dict):
        near = get_close_matches(name, [*values, *read], 1)
        meant = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(sorted(values))}"
        raise InvalidInput(f"--set {name}: nothing is bound by that name there{meant}")
    inner = values[holder] = dict(inner)
    *way, last = rest.split(".")
    for part in way:
        found = inner.get(part)
        inner[part] = dict(found) if isinstance(found, dict) else {}
        inner = inner[part]
    inner[last] = _typed(name, value, kind, inner.get(last))


def _typed(name: str, value: Json, kind: Type | None, before: Any) -> Any:
    """Read a value by its type; where none is known, by what stood there."""
    try:
        if kind is not None:
            return read_json(value, kind)
        return read_json(value, DECIMAL) if isinstance(before, Decimal) else value
    except ExpressionError as error:
        raise InvalidInput(f"--set {name}: {error.message}") from error
