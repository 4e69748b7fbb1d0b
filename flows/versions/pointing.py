"""Which pointer a deploy writes: the version for all, for a part beside the one before, or in shadow beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flows.language.compile import CompiledFlow
from schemas.errors import InvalidInput
from schemas.pointer import WHOLE, Pointer
from schemas.program import After, EventTrigger, Program, Trigger, Window

SHORT: Final = 12  # characters of a version that are shown
FOR_ALL: Final = "for all"


def pointed(flow: CompiledFlow, current: Pointer | None, program: Callable[[str], Program | None]) -> Pointer:
    """Give the pointer of a deploy; `current` is the one in force. Raises InvalidInput where a part of all has no other part.

    The rest stays with the version that ran before the rollout began, whatever was tried since.
    """
    share, version = flow.rollout, flow.version
    if not flow.shadow and share.percent == WHOLE:
        return Pointer(version)
    what = "in shadow" if flow.shadow else f"to {share.percent} %"
    base = None if current is None else current.rest or current.version
    if base is None:
        raise InvalidInput(
            f"flow '{flow.name}' asks to be rolled out {what}, and no version of it is in force yet that the others would run; "
            "deploy it without 'rollout' first"
        )
    if base == version:
        raise InvalidInput(
            f"flow '{flow.name}' asks to be rolled out {what}, and version {version[:SHORT]} is in force already, with no other "
            "beside it; take 'rollout' out, or change the flow, or roll it back first"
        )
    _refuse_retracting(flow, [flow.program, program(base)])
    if not flow.shadow:
        return Pointer(version, rest=base, share=share)
    if current is not None and current.rest is not None:
        raise InvalidInput(
            f"flow '{flow.name}' is rolled out to {current.share.words()} just now, so a shadow would be compared with two "
            "versions; deploy one for all, or roll it back, first"
        )
    return Pointer(base, shadow=version, share=share)


def runs(pointer: Pointer) -> str:
    """Say for whom a pointer's versions run."""
    if pointer.rest is not None:
        return f"for {pointer.share.words()}; the rest on {pointer.rest[:SHORT]}"
    if pointer.shadow is None:
        return FOR_ALL
    part = FOR_ALL if pointer.share.percent == WHOLE else f"for {pointer.share.words()}"
    return f"in shadow {part}, beside {pointer.version[:SHORT]}"


def _refuse_retracting(flow: CompiledFlow, programs: list[Program | None]) -> None:
    """Refuse windows whose verdict may be taken back: what is kept of them does not tell two versions apart."""
    triggers = [trigger for program in programs if program is not None for trigger in program.triggers]
    if any((window := _window(trigger)) is not None and window.retract_us for trigger in triggers):
        raise InvalidInput(
            f"flow '{flow.name}' has a window whose verdict may be taken back (retract), which two versions cannot share; "
            "deploy it for all"
        )


def _window(trigger: Trigger) -> Window | None:
    found = trigger.detail if isinstance(trigger, EventTrigger) else trigger.window if isinstance(trigger, After) else None
    return found if isinstance(found, Window) else None
