"""The step `for_each`: its body once an item, each in a frame of its own, so many at a time.

Items start in their order. What an item binds ends with it; `result` is what comes out.
"""

from __future__ import annotations

from typing import Final

from operators.execution.execution import Frame, Loop, Parked
from operators.execution.frames import open_frame, tear_down
from operators.execution.issue import shared_row, shared_template
from operators.execution.run import END, PUMP, Run, StepFailed, StepFunction
from schemas.errors import BrokenInvariant
from schemas.program import EachEnd, ForEach

STEPS_LEFT: Final = 500  # of those an input may take; an item is begun only where it may take as many


def for_each(step: ForEach) -> StepFunction:
    """Make the function of the loop's beginning."""
    listed = shared_row(step.items)

    def enter(run: Run) -> int:
        items = listed(run.env)
        if items is None:
            raise StepFailed("missing_value", f"the list of step '{step.name}' has no value")
        if step.most and len(items) > step.most:
            raise StepFailed("limit_exceeded", f"{len(items)} items, and step '{step.name}' says at most {step.most}")
        run.note("entered", step.name, "for_each", len(items))
        frame = open_frame(run, run.token, run.frame)
        run.frames[frame].loop = Loop(list(items))
        run.push(PUMP, frame, END)
        return END

    return enter


def each_end(step: EachEnd) -> StepFunction:
    """Make the function of an item's end."""
    result = None if step.result is None else shared_template(step.result, raw=True)

    def leave(run: Run) -> int:
        value = None if result is None else result(run.env)
        group, loop, index = _leave_item(run)
        if result is not None:
            loop.results[index] = value
        _start_more(run, group)
        return END

    return leave


def start_items(run: Run, name: int) -> None:
    """Start the next item if one may, and the others behind it; end the loop when all have ended."""
    group = run.frames.get(name)
    if group is None or group.loop is None:
        return
    step = run.runnable.program.steps[group.step]
    assert isinstance(step, ForEach)
    loop = group.loop
    if loop.next < len(loop.items) and len(group.open) < step.concurrency:
        if run.left < STEPS_LEFT:
            _rest(run, name, group)
        else:
            _start_item(run, name, group, step)
    elif not group.open and loop.next >= len(loop.items):
        _end(run, name, group, step)


def _rest(run: Run, name: int, group: Frame) -> None:
    """Start no more items in this input: others have their turn first, and no loop is cut off by its mere length."""
    resting = Parked(run.new_token(), group.step, run.now_us, "delay", name)
    run.parked[resting.token] = resting
    run.timers_set.append(resting)


def go_on(run: Run, resting: Parked) -> int:
    """Start the next items of a loop that rested."""
    run.unpark(resting.token)
    run.push(PUMP, resting.frame, END)
    return END


def _start_item(run: Run, name: int, group: Frame, step: ForEach) -> None:
    loop = group.loop
    assert loop is not None
    index = loop.next
    loop.next = index + 1
    token, frame = run.new_token(), run.new_token()
    group.open[token] = index
    run.frames[frame] = Frame(name, token, group.step, {token: index}, names={step.each: loop.items[index]})
    run.push(PUMP, name, END)
    run.push(token, frame, step.body)


def _end(run: Run, name: int, group: Frame, step: ForEach) -> None:
    loop = group.loop
    assert loop is not None
    tear_down(run, name)
    run.switch(group.owner, group.parent)
    ends = run.runnable.program.steps[step.end]
    has_result = isinstance(ends, EachEnd) and ends.result is not None
    results = [loop.results.get(index) for index in range(len(loop.items))] if has_result else []
    errors = [{"index": index, "code": code, "message": said} for index, (code, said) in sorted(loop.errors.items())]
    if step.bind:
        run.bind(step.bind, {"results": results, "errors": errors})
    run.note("completed", step.name, "for_each", {"items": len(loop.items), "errors": len(errors)})
    run.push(group.owner, group.parent, step.next)


def collect_failure(run: Run, failure: StepFailed) -> bool:
    """Let the current item end with an error, if its loop collects them."""
    item = run.frames[run.frame]
    step = run.runnable.program.steps[item.step]
    if item.loop is not None or not isinstance(step, ForEach) or step.failures != "collect":
        return False
    group, loop, index = _leave_item(run)
    loop.errors[index] = (failure.code, failure.message)
    _start_more(run, group)
    return True


def _start_more(run: Run, group: int) -> None:
    """See to it that the next item starts, once."""
    if (PUMP, group, END) not in run.agenda:
        run.push(PUMP, group, END)


def _leave_item(run: Run) -> tuple[int, Loop, int]:
    """Take the current item out of its loop, with all that is in it."""
    item = run.frames[run.frame]
    group = run.frames[item.parent]
    if group.loop is None:
        raise BrokenInvariant("an item of a for_each has no loop around it")
    index = group.open.pop(item.owner)
    item.open.clear()
    tear_down(run, run.frame)
    return item.parent, group.loop, index
