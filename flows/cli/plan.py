"""`millrace plan`: what a deploy would mean for every execution in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from flows.cli.deploy import SHORT
from flows.cli.terminal import Terminal
from flows.deployment import check_files
from flows.settings import load_settings
from flows.versions.in_home import versions_in
from flows.versions.plan import Fate, FlowPlan
from flows.versions.plan import plan as plan_flows
from flows.versions.pointing import FOR_ALL
from schemas.errors import InvalidFlow

FINE: Final = 0
STRANDS: Final = 3
LISTED: Final = 20  # one by one; more are shown as groups, each with one of its executions
COLUMNS: Final = ("execution", "tenant", "version", "outcome", "at", "why")
GROUPED: Final = ("executions", "outcome", "version", "at", "why", "execution")


def plan(terminal: Terminal, *, files: Sequence[Path], tenant: str | None, home: Path | None) -> int:
    """Plan a deploy; 3 if an execution would strand if it were moved. Raises InvalidFlow with every problem."""
    settings = load_settings(home=home)
    definitions = check_files(files, settings.home, tenant)
    if not definitions.ok:
        raise InvalidFlow(definitions.problems)
    found = list(plan_flows(definitions.flows, settings.home, versions_in(settings.home), tenant))
    if terminal.json:
        terminal.value([{**asdict(one), "counts": one.counts} for one in found])
    else:
        for one in found:
            _tell(terminal, one)
        if not found:
            terminal.say("these files define no flow, so there is nothing to plan")
            return FINE
        counts = sum((Counter(one.counts) for one in found), Counter())
        terminal.say(_counted(counts))
        if counts["migrates"] and any(one.runs != FOR_ALL for one in found):
            terminal.say("nothing is moved while two versions share what starts; deploy one of them for all first")
    return STRANDS if any(one.counts["strands"] for one in found) else FINE


def _tell(terminal: Terminal, one: FlowPlan) -> None:
    whose = "" if one.tenant == "*" else f" of {one.tenant}"
    state = "unchanged" if one.old == one.new else f"{one.old[:SHORT] or 'new'} -> {one.new[:SHORT]}"
    terminal.print(f"flow {one.flow}{whose}: {state}" + ("" if one.runs == FOR_ALL else f", {one.runs}"))
    for change in one.changes:
        terminal.print(f"  {change}")
    if one.fates:
        tell_fates(terminal, one.fates)


def tell_fates(terminal: Terminal, fates: Sequence[Fate]) -> None:
    """Show what becomes of executions: one by one, or, where they are many, those alike together; `--json` lists all."""
    if len(fates) <= LISTED:
        terminal.rows([{**asdict(fate), **_words(fate)} for fate in fates], COLUMNS)
        return
    alike: dict[tuple[object, ...], list[Fate]] = {}
    for fate in fates:
        alike.setdefault((fate.outcome, fate.version, fate.at, fate.why), []).append(fate)
    groups = sorted(alike.values(), key=len, reverse=True)
    terminal.rows([{**asdict(some[0]), **_words(some[0]), "executions": len(some)} for some in groups], GROUPED)


def _words(fate: Fate) -> dict[str, str]:
    return {"version": fate.version[:SHORT], "at": ", ".join(fate.at), "why": "; ".join(fate.why)}


def _counted(counts: Counter[str]) -> str:
    total = counts.total()
    if not total:
        return "no execution is in flight on another version"
    return (
        f"{total} in flight stay on their version: {counts['migrates']} could be moved (millrace migrate), "
        f"{counts['strands']} would strand, {counts['pinned']} end where they are"
    )
