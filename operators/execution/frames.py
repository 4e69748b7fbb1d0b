"""Frames: instances of blocks with tokens of their own, and how they are torn down.

Tearing a frame down takes its tokens with their timers and waits; a command that was sent stays known, for its outcome
decides what can be undone.
"""

from __future__ import annotations

from typing import Final

from operators.execution.execution import ROOT, Frame, Parked, Sent
from operators.execution.run import Run
from schemas.effects import Abandoned, Unwanted
from schemas.errors import BrokenInvariant
from schemas.ids import action_id
from schemas.program import Act, Approve, Call, Wait

_PASSES_BITS: Final = 32


def open_frame(run: Run, owner: int, parent: int) -> int:
    """Open a frame at the current step."""
    frame = run.new_token()
    run.frames[frame] = Frame(parent, owner, run.step, {})
    return frame


def is_alive(run: Run, token: int, frame: int) -> bool:
    """Tell whether a token may still go on."""
    if frame == ROOT:
        return True
    found = run.frames.get(frame)
    return found is not None and token in found.open


def tear_down(run: Run, frame: int) -> None:
    """End a frame and all within it."""
    torn = _within(run, frame)
    for parked in [one for one in run.parked.values() if one.frame in torn]:
        drop(run, parked)
    for one in torn:
        run.frames.pop(one, None)


def tear_all_down(run: Run) -> None:
    """End every token."""
    if run.parked:
        for parked in list(run.parked.values()):
            drop(run, parked)
    run.frames.clear()
    run.agenda.clear()
    run.frame, run.names, run.env = ROOT, None, run.root


def withdraw_all(run: Run) -> None:
    """Tell that no open command or call is wanted any more."""
    if run.rest is not None:
        run.rest.sent = [withdraw(run, sent) for sent in run.rest.sent]


def _within(run: Run, frame: int) -> set[int]:
    torn = {frame}
    for name in sorted(run.frames):  # a frame is younger than its parent
        if run.frames[name].parent in torn:
            torn.add(name)
    return torn


def drop(run: Run, parked: Parked) -> None:
    """Take a waiting token away."""
    del run.parked[parked.token]
    run.end_timer(parked)
    step = None if parked.kind == "notice" else run.runnable.program.steps[parked.step]
    match step:
        case Wait() if parked.about is not None:
            run.end_wait(parked.about, parked.token)
        case Act():
            keep_sent(run, parked)
        case Call():
            _drop_call(run, parked)
        case Approve():
            ballot = run.more().ballots.pop(parked.token, None)
            run.note("cancelled", step.name, "approval", {"occurrence": 0 if ballot is None else ballot.occurrence})
        case _:
            return


def call_token(step: int, occurrence: int) -> int:
    """Number a call: the token that made it may be elsewhere when the called flow ends."""
    return (step << _PASSES_BITS) + occurrence


def call_place(number: int) -> tuple[int, int]:
    """Give the step and the pass that a call's number stands for."""
    return number >> _PASSES_BITS, number & ((1 << _PASSES_BITS) - 1)


def _drop_call(run: Run, parked: Parked) -> None:
    number = call_token(parked.step, parked.about or 0)
    called = tuple(one for one in run.calls if one.token != number)
    if len(called) < len(run.calls):  # by this very input: it has not begun
        run.calls = called
        return
    sent = keep_sent(run, parked)
    run.more().sent[-1] = withdraw(run, sent)


def keep_sent(run: Run, parked: Parked, *, unknown: bool = False) -> Sent:
    """Keep a command or a call known whose token goes on without its outcome."""
    if parked.about is None:
        raise BrokenInvariant(f"token {parked.token} waits for a command of no pass")
    names = None
    if parked.frame != ROOT and run.runnable.codes[parked.step].undo is not None:
        names = names_of(run, parked.frame)
    sent = Sent(parked.step, parked.about, unknown=unknown, names=names)
    run.more().sent.append(sent)
    return sent


def names_of(run: Run, frame: int) -> dict[str, object]:
    """Give all names that the frames around a token bind."""
    names: dict[str, object] = {}
    while frame != ROOT:
        found = run.frames[frame]
        names = {**(found.names or {}), **names}
        frame = found.parent
    return names


def withdraw(run: Run, sent: Sent) -> Sent:
    """Tell that a command or a call whose outcome is open is not wanted any more."""
    if sent.unknown or sent.unwanted:
        return sent
    step = run.runnable.program.steps[sent.step]
    if isinstance(step, Call):
        run.abandoned = (*run.abandoned, Abandoned(call_token(sent.step, sent.occurrence), step.name, sent.occurrence))
    elif isinstance(step, Act):
        run.cancels = (*run.cancels, Unwanted(action_id(run.id, step.name, sent.occurrence).hex(), step.action, step.name))
    return Sent(sent.step, sent.occurrence, sent.unknown, True, sent.names)
