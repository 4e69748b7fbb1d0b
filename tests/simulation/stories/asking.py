"""Approvals, from outside: first valid decisions count, refused ones change nothing, each decision is heard once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.stories.account import Account, Did
from tests.simulation.stories.draw_steps import NOT_HIM


@dataclass(slots=True)
class Asked:
    """One approval while its history is read."""

    step: dict[str, Any]
    roles: list[str]
    people: list[str]
    need: int
    until: int
    since: int
    votes: list[tuple[str, str]] = field(default_factory=list)
    open: bool = True
    outcome: str = ""
    timed_out: bool = False


def check_decisions(account: Account, coverage: Counter[str], *, exact: bool) -> None:
    """Hold what one execution's approvals must obey."""
    asked: dict[tuple[str, int], Asked] = {}
    heard: list[Did] = []
    for one in account.did:
        if one.kind in ("decided", "refused") and one.verb == "approval":
            decision = account.decisions[len(heard)] if len(heard) < len(account.decisions) else None
            heard.append(one)
            assert decision is not None, (
                f"{account.name()} heard {len(heard)} decisions, {len(account.decisions)} were sent: {one}"
            )
            said = (one.step, one.detail["by"], one.detail["outcome"], one.detail["occurrence"])
            sent = (decision["step"], decision["by"], decision["outcome"], decision.get("occurrence", 0))
            assert said == sent, f"{account.name()} heard {said}, next was {sent}"
            _check_heard(account, one, decision, asked)
            coverage[f"story: decision {one.kind} {one.detail.get('why', '').split(':')[0]}".strip()] += 1
        elif one.verb == "approval":
            _follow(account, one, asked, exact=exact)
    if account.ended is None:
        assert len(heard) == len(account.decisions), f"{account.name()} lives and has not heard {account.decisions[len(heard) :]}"
    for key, ask in asked.items():
        if ask.outcome:
            _check_outcome(account, key, ask)


def _follow(account: Account, one: Did, asked: dict[tuple[str, int], Asked], *, exact: bool) -> None:
    key = (one.step, one.detail["occurrence"])
    step = account.steps[one.step]
    if one.kind == "requested":
        assert key not in asked, f"{account.name()} asked {key} twice"
        asked[key] = Asked(step, one.detail["roles"], one.detail["people"], one.detail["need"], one.detail["until"], one.at)
        assert one.detail["need"] == step.get("need", 1)
        return
    ask = asked[key]
    assert ask.open, f"{account.name()}: {one} behind the end of the approval"
    if one.kind == "escalated":
        ask.roles, ask.people = one.detail["roles"], one.detail["people"]
    elif one.kind == "timed_out":
        assert one.at >= ask.until, f"{account.name()}: {one} before its time {ask.until}"
        assert not exact or one.at == ask.until, f"{account.name()}: {one} not at its time {ask.until}"
        ask.timed_out = True
        ask.open = step["on_timeout"] != "fail"
    elif one.kind == "cancelled":
        ask.open = False
    elif one.kind == "completed":
        ask.open, ask.outcome = False, one.detail["outcome"]


def _check_heard(account: Account, one: Did, sent: dict[str, Any], asked: dict[tuple[str, int], Asked]) -> None:
    ask = asked.get((one.step, one.detail["occurrence"]))
    live = ask is not None and ask.open
    why = _refusal(ask, sent) if ask is not None and live else "not_open"
    why = sent.get("refused") or why
    found = one.detail.get("why", "").split(":")[0] if one.kind == "refused" else ""
    assert found == why, f"{account.name()}: the decision {sent} was refused for '{found}', must be '{why}'"
    if one.kind == "decided" and ask is not None:
        ask.votes.append((one.detail["by"], one.detail["outcome"]))


def _refusal(ask: Asked, sent: dict[str, Any]) -> str:
    by, roles = sent["by"], sent.get("roles", [])
    if (by not in ask.people and not set(roles) & set(ask.roles)) or (by == NOT_HIM and "not" in ask.step):
        return "not_allowed"
    if by in [name for name, _ in ask.votes]:
        return "decided_already"
    form = sent.get("form")
    if "form" not in ask.step or (form is None and sent["outcome"] == "rejected"):
        return ""
    return "" if form is not None and isinstance(form.get("reason"), str) else "bad_form"


def _check_outcome(account: Account, key: tuple[str, int], ask: Asked) -> None:
    rejected = any(outcome == "rejected" for _, outcome in ask.votes)
    if ask.timed_out:
        assert not rejected and len(ask.votes) < ask.need, f"{account.name()}: {key} timed out though {ask.votes} decided it"
        assert ask.outcome == ask.step["on_timeout"], f"{account.name()}: {key} ended as {ask.outcome}"
        return
    must = "rejected" if rejected else "approved"
    assert ask.outcome == must, f"{account.name()}: {key} is {ask.outcome}, must be {must}: {ask.votes}"
    assert rejected or len(ask.votes) == ask.need, f"{account.name()}: {key} needs {ask.need}, got {ask.votes}"
