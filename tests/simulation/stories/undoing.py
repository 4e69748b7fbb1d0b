"""What must be undone, and in which order: told from outcomes, and held against the commands that undo."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import Any

from tests.simulation.stories.account import Account


def check_undoing(account: Account, coverage: Counter[str]) -> None:
    """Hold that exactly what was done and can be undone was undone: in reverse order, each once, behind its outcome."""
    issued = [
        (at, account.actions[one.detail]) for at, one in account.of("issued", "compensation") if one.detail in account.actions
    ]
    first: dict[str, tuple[int, dict[str, Any]]] = {}
    for at, action in issued:
        first.setdefault(action["idempotencykey"], (at, action))
    undone = [action["step"].removeprefix("undo:") for _, action in first.values()]
    closes = _closes(account)
    if not closes:
        assert not undone, f"{account.name()} ended well and was undone: {undone}"
        return
    completed = _completed(account)
    wanted = [step for _, step in reversed(completed)]
    # what could not be fixed has no command: it stands as failed at once, and waits for an operator
    unfixed = [one.step for _, one in account.of("failed", "compensation") if one.detail["code"] == "missing_value"]
    gone = _without(wanted, unfixed)
    unsure = _unsure(account)
    sure = _without(undone, unsure)
    sure_wanted = _without(gone, unsure)
    done = account.ended is not None
    if done:
        assert sure == sure_wanted, f"{account.name()} undid {undone}, must undo {wanted} (unsure: {unsure})"
    else:
        assert sure == sure_wanted[: len(sure)], f"{account.name()} undid {undone} so far, must undo {wanted} (unsure: {unsure})"
    _check_outcomes_first(account, first)
    _check_pairs(account, first)
    if len(undone) > 1:
        coverage["story: several steps undone"] += 1


def _closes(account: Account) -> bool:
    stopped = [one.detail for _, one in account.of("stopped")]
    if stopped and not any(one.kind == "closing" for one in account.did):
        return bool(stopped[-1] == "all_back")
    return account.status in ("failed", "cancelled", "closing") or "all_back" in stopped


def _completed(account: Account) -> list[tuple[int, str]]:
    """Give the steps that were carried out for sure and say how they are undone, with the places of their completion."""
    found = []
    ended = next((at for at, _ in account.of("ended")), len(account.did))
    for at, one in account.of("answered"):
        if "compensate" not in account.steps.get(one.step, {}) or at > ended:
            continue
        good = one.detail["status"] in ("delivered", "completed")
        if good and not _unreadable(account, at):
            found.append((at, one.step))
    return found


def _unreadable(account: Account, at: int) -> bool:
    """Tell whether an outcome that came could not be read: then a person is asked what became of it."""
    step, codes = account.did[at].step, ("invalid_result", "missing_value")
    behind = takewhile(lambda one: one.kind != "answered", account.did[at + 1 :])
    return any(one.kind == "failed" and one.step == step and one.detail["code"] in codes for one in behind)


def _unsure(account: Account) -> list[str]:
    """Give the steps of which at some time nobody knew: a person or their own word decides about them."""
    found = []
    for at, one in account.of("answered"):
        unreadable = one.detail["status"] in ("delivered", "completed") and one.step in account.steps and _unreadable(account, at)
        if one.detail["status"] == "unknown" or unreadable:
            found.append(one.step)
    return found


def _without(listed: list[str], gone: list[str]) -> list[str]:
    return [one for one in listed if one not in gone]


def _check_outcomes_first(account: Account, first: dict[str, tuple[int, dict[str, Any]]]) -> None:
    """Hold that every outcome that was waited for was known before anything was undone."""
    if not first:
        return
    begin = min(at for at, _ in first.values())
    waited = Counter(
        account.actions[one.detail]["step"]
        for _, one in account.of("issued", "action")
        if one.detail in account.actions and account.actions[one.detail].get("awaited")
    )
    known = Counter(one.step for at, one in account.of("answered", "action") if at < begin)
    known += Counter(one.step for at, one in account.of("resumed") if at < begin)  # an operator's word is an outcome
    handled = Counter(one.step for at, one in account.of("issued", "action") if at > begin)
    open_ones = waited - known - handled
    assert not open_ones, f"{account.name()} began to undo while the outcome of {dict(open_ones)} was not known"


def _check_pairs(account: Account, first: dict[str, tuple[int, dict[str, Any]]]) -> None:
    """Hold that each command that undoes names what it undoes, and was made of that one's own result."""
    outcomes = {result["action"]: result for result in account.results}
    named = Counter(action["undoes"] for _, action in first.values() if action.get("undoes"))
    assert not named or max(named.values()) == 1, f"{account.name()} undid one command twice: {named}"
    for _, action in first.values():
        undoes = action.get("undoes")
        if undoes is None:
            continue
        outcome = outcomes.get(undoes)
        assert outcome is not None, f"{account.name()} undid {undoes} before its outcome was known"
        assert outcome["status"] not in ("failed", "dead", "cancelled"), f"{account.name()} undid what never was: {outcome}"
        receipt = action["data"].get("receipt")
        if receipt is not None and outcome["status"] == "delivered" and outcome.get("data"):
            own = outcome["data"].get("receipt")
            assert receipt == own, f"{account.name()} undoes with {receipt}, the command's own result says {own}"
