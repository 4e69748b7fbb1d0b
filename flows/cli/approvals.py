"""`millrace approvals`: who is asked what, and deciding it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from flows.cli.ask import ask, quoted, where
from flows.cli.saying import addressed, append, named_values, told, who
from flows.cli.terminal import Terminal
from flows.roles.http_door import door_of
from flows.settings import Settings, load_settings
from infra.clock import SystemClock
from infra.key_file import read_key
from schemas.errors import InvalidInput
from schemas.records import Decision
from sinks.links import KEY_FILE, Claim, token
from sinks.projection.query import Question

COLUMNS: Final = (
    *("execution", "tenant", "flow", "step", "occurrence", "title", "status", "requested_at", "until"),
    *("roles", "people", "need", "decided_by", "decided_at", "refused"),
)
OUTCOMES: Final[dict[str, Literal["approved", "rejected"]]] = {"approved": "approved", "rejected": "rejected"}


def list_approvals(  # noqa: PLR0913  what was typed
    terminal: Terminal, *, everything: bool, links: bool, flow: str | None, limit: int, tenant: str | None, home: Path | None
) -> int:
    """List approvals, those first that must be decided first. Raises StorageFailed where links are wanted and no key is there."""
    settings = load_settings(home=home, tenant=tenant)
    held = where(None if everything else "status = 'open'", flow and f"flow = {quoted(flow)}")
    order = "order by status <> 'open', \"until\", execution, step, occurrence"
    sql = f"select {', '.join(COLUMNS)} from approvals {held} {order} limit {limit}"
    rows = ask(terminal, settings.home, Question(sql, settings.tenant)).records()
    if links:
        rows = [{**row, "links": list(_links(settings.home, row))} for row in rows]
    terminal.rows(rows, COLUMNS)
    if links and not terminal.json:
        for link in (link for row in rows for link in row["links"]):
            terminal.print(f"{link['step']} of {link['execution'][:12]} for {link['for']}: {link['url']}")
    return 0


def decide(  # noqa: PLR0913  what was typed
    terminal: Terminal,
    *,
    execution: str,
    step: str,
    outcome: str,
    by: str | None,
    role: Sequence[str],
    form: Sequence[str],
    occurrence: int | None,
    tenant: str | None,
    home: Path | None,
) -> int:
    """Decide an approval: taken in now, decided by the engine's turn.

    Raises InvalidInput where nothing is asked there; what comes too late is written down before, for whoever looks for it.
    """
    settings = load_settings(home=home, tenant=tenant)
    owner, whole, over = addressed(terminal, settings, execution)
    passed, closed = (occurrence, "") if occurrence is not None else _asked_pass(terminal, settings, whole, step)
    decision = Decision(
        tenant=owner,
        execution=whole,
        step=step,
        occurrence=passed,
        outcome=OUTCOMES[outcome],
        by=who(by),
        roles=list(role),
        form=named_values(form, "form") or None,
        at=SystemClock().now_us(),
        via="cli",
    )
    append(settings.home, decision)
    if late := over or closed:
        raise InvalidInput(f"{late}; the decision is without effect, and written down as one that came too late")
    said = {"tenant": owner, "execution": whole, "step": step, "occurrence": passed, "outcome": outcome, "by": decision.by}
    after = f"`millrace executions history {whole}` shows whether it counts"
    return told(terminal, said, f"'{step}' of {whole}: {outcome} by {decision.by} is taken in; {after}")


def _asked_pass(terminal: Terminal, settings: Settings, execution: str, step: str) -> tuple[int, str]:
    """Find the pass of a step that is asked about now, else the last one with why it is over.

    Raises InvalidInput where the step never asked, or asks several times at once.
    """
    asked = f"select step, occurrence, status from approvals where execution = {quoted(execution)} order by all"
    rows = ask(terminal, settings.home, Question(asked, settings.tenant)).records()
    open_ones = [one for one in rows if one["status"] == "open"]
    passes = [int(one["occurrence"]) for one in open_ones if one["step"] == step]
    if len(passes) == 1:
        return passes[0], ""
    if passes:
        raise InvalidInput(
            f"'{step}' is asked {len(passes)} times at once; say which with --occurrence ({', '.join(map(str, passes))})"
        )
    known = ", ".join(sorted({str(one["step"]) for one in open_ones})) or "none"
    why = f"'{step}' of {execution} asks nobody now; open in this execution: {known}"
    closed = [one for one in rows if one["step"] == step]
    if not closed:
        raise InvalidInput(why)
    return int(closed[-1]["occurrence"]), f"{why} ('{step}' is {closed[-1]['status']})"


def _links(home: Path, row: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Give the links of an open approval: one for each person that is named, and one for those who have a role."""
    if row["status"] != "open":
        return
    address, key = door_of(home), read_key(home / KEY_FILE)
    if address is None:
        raise InvalidInput(f"{home} has not been served yet, so links would lead nowhere; start `millrace up`")
    roles = tuple(row["roles"] or ())
    claims = [Claim(row["tenant"], row["execution"], row["step"], row["occurrence"], by) for by in row["people"] or ()]
    if roles:
        claims.append(Claim(row["tenant"], row["execution"], row["step"], row["occurrence"], "", roles))
    for claim in claims:
        url = f"{address}/decide/{token(key, claim)}"
        yield {"execution": claim.execution, "step": claim.step, "for": claim.by or f"role {', '.join(claim.roles)}", "url": url}
