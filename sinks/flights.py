"""What is on its way, one command or a batch of them, and what its end means for each. Pure.

A call that ended as a whole is repeated as a whole, by the retry of the batch's first command; where the receiver told an end
for each, each goes its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, NamedTuple

from schemas.dispatch import Outcome, Postponed, StoredAction
from schemas.records import Action
from sinks.settlement import EXPIRED, Now, Settled, look_up, resolve, settle, settled

End = Settled | Postponed
Decide = Callable[[StoredAction, Action, Outcome], End]
Times = Callable[[Action], Now]


@dataclass(frozen=True, slots=True)
class Flight:
    """A command or a batch that is on its way, with what was read of it (`actions`: one, or one a member).

    asking: "start": what became of it before a stop is being found out; "end": its end was unknown, and is being looked up.
    """

    stored: StoredAction
    actions: tuple[Action, ...]
    asking: Literal["", "start", "end"] = ""
    ended: Outcome | None = None  # as it was known before it was looked up


class Ends(NamedTuple):
    """What an end comes to: for commands, and the row of the batch that is over."""

    ends: list[End]
    over: list[int]

    def look_up_wanted(self, actions: tuple[Action, ...]) -> bool:
        """Tell whether an end is unknown that its step wants to be looked up."""
        wanting = {action.id for action in actions if action.onunknown == "look_up"}
        settled_ones = [end.result for end in self.ends if isinstance(end, Settled)]
        return any(result.status == "unknown" and result.action in wanting for result in settled_ones)


def landed(flight: Flight, outcome: Outcome, times: Times, rng: Random) -> Ends:
    """Decide about all that was on its way."""

    def after_attempt(stored: StoredAction, action: Action, end: Outcome) -> End:
        return settle(stored, action, end, times(action), rng)

    def after_stop(stored: StoredAction, action: Action, end: Outcome) -> End:
        return resolve(stored, action, end, times(action))

    if flight.ended is not None:
        return _looked_up(flight, flight.ended, outcome, after_attempt)
    if outcome is EXPIRED and flight.stored.members:
        return _expired(flight, times)
    return _decided(flight, outcome, times, after_stop if flight.asking == "start" else after_attempt)


def _decided(flight: Flight, outcome: Outcome, times: Times, decide: Decide) -> Ends:
    stored = flight.stored
    if not stored.members:
        return Ends([decide(stored, flight.actions[0], outcome)], [])
    pairs = list(zip(map(_carried(stored), stored.members), flight.actions, strict=True))
    if outcome.items:
        ends = [decide(one, action, item) for (one, action), item in zip(pairs, outcome.items, strict=True)]
        return _together(stored, ends)
    first = decide(*pairs[0], outcome)
    if isinstance(first, Postponed):
        return Ends([Postponed(stored.row, min(first.due_us, stored.expires_us), first.doubt)], [])
    return Ends([settled(one, action, outcome, times(action)) for one, action in pairs], [stored.row])


def _together(stored: StoredAction, ends: list[End]) -> Ends:
    """Keep a batch of which every command is to be tried again; else it is over."""
    waits = [end for end in ends if isinstance(end, Postponed)]
    if len(waits) < len(ends):
        return Ends(ends, [stored.row])
    due_us = min(max(wait.due_us for wait in waits), stored.expires_us)
    return Ends([Postponed(stored.row, due_us, any(wait.doubt for wait in waits))], [])


def _expired(flight: Flight, times: Times) -> Ends:
    """End a batch whose first command may not be sent any more: all of them if they may have been carried out, else that one."""
    stored = flight.stored
    ends: list[End] = []
    for member, action in zip(stored.members, flight.actions, strict=True):
        now = times(action)
        if stored.doubt or member.expires_us <= now.wall_us:
            ends.append(settled(_carried(stored)(member), action, EXPIRED, now))
        else:
            ends.append(Postponed(member.row, now.wall_us, doubt=False))
    return Ends(ends, [stored.row])


def _looked_up(flight: Flight, ended: Outcome, found: Outcome, decide: Decide) -> Ends:
    """Decide anew about those ends that were unknown; the others stand."""
    stored = flight.stored
    if not stored.members:
        return Ends([_one_looked_up(stored, flight.actions[0], (ended, found), decide)], [])
    one_by_one = zip(
        map(_carried(stored), stored.members), flight.actions, _items(ended, stored), _items(found, stored), strict=True
    )
    return _together(stored, [_one_looked_up(one, action, (end, item), decide) for one, action, end, item in one_by_one])


def _one_looked_up(stored: StoredAction, action: Action, ends: tuple[Outcome, Outcome], decide: Decide) -> End:
    ended, found = ends
    first = decide(stored, action, ended)
    if isinstance(first, Postponed) or first.result.status != "unknown" or action.onunknown != "look_up":
        return first
    now = Now(first.result.wall, first.result.at)
    surely_not = replace(stored, doubt=False)
    if found.retry and found.status == "failed" and ended.status == "unknown":
        return decide(surely_not, action, found)
    return look_up(stored, action, ended, found, now)


def _items(outcome: Outcome, stored: StoredAction) -> tuple[Outcome, ...]:
    return outcome.items or (outcome,) * len(stored.members)


def _carried(batch: StoredAction) -> Callable[[StoredAction], StoredAction]:
    """Give a member as it stands after its batch's attempts."""
    return lambda member: replace(member, attempts=batch.attempts, doubt=batch.doubt or member.doubt)
