"""The policies that a trigger's conditions read: matching puts their values in, so the execution itself never asks for them."""

from __future__ import annotations

from functools import lru_cache

from operators.execution.run import POLICIES, Run
from schemas.expression.walk import keys
from schemas.program import After, EventTrigger, Trigger, Window


def use_asked(run: Run) -> None:
    """Note the versions by which the trigger of an execution has held."""
    if POLICIES not in run.root:
        return
    name = run.root.get("trigger.name") or ""
    for trigger in run.runnable.program.triggers:
        if trigger.name == name:
            for policy in _asked(trigger):
                run.use_policy(policy)


@lru_cache(maxsize=16_384)
def _asked(trigger: Trigger) -> tuple[str, ...]:
    if not isinstance(trigger, EventTrigger | After):
        return ()
    window = trigger.detail if isinstance(trigger, EventTrigger) else trigger.window
    trees = [trigger.condition, *((window.when,) if isinstance(window, Window) else ())]
    read = {key for tree in trees if tree is not None for key in keys(tree)}
    return tuple(sorted(key.split(".")[1] for key in read if key.startswith(f"{POLICIES}.")))
