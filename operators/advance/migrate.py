"""Move an execution from one version of its flow to another: what it waits at must stand there under the same name.

Reads: two programs and a state. Emits: a verdict for `plan`, the moved state for `migrate`. State: none. Cost: a walk over both
programs, once for each pair of versions and place.
Law: a moved execution goes on as one that had run on the new version from the start would, from the same place with the same
values; where that cannot be said, it stays on the version it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec

from operators.advance.operate import standing
from operators.execution.execution import NOWHERE, Frame, Parked, Rest, Sent, State, Undo
from operators.execution.run import Advanced, Moment, Runnable, resume
from schemas.contracts import type_differences
from schemas.program import Act, Call, Fork, Program, Wait
from schemas.program_graph import Graph, acts, bound, read_by
from schemas.records import OperatorCommand

KEPT_MAX: Final = 10_000  # verdicts kept for those alike
GIVEN: Final = ("policies.", "execution.", "error.", "schedule.")  # not kept by an execution
Outcome = Literal["migrates", "strands", "pinned"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would become of one execution. pinned: it ends where it is. `why` says what hinders it; `at` are its steps."""

    outcome: Outcome
    at: tuple[str, ...]
    why: tuple[str, ...] = ()


def migrate(moment: Moment, to: Runnable | None, order: OperatorCommand, *, shared: bool = False) -> Advanced:
    """Move an execution to another version, for an operator; where it cannot be, it stays, and it is noted why.

    `shared`: two versions are in force, each for a part, so none is the one to move to.
    """
    run, old = resume(moment), moment.runnable.program
    if shared:
        found = Verdict("pinned", (), (f"two versions of flow '{old.flow}' share what starts; deploy one of them for all first",))
    elif to is None or moment.state is None:
        found = Verdict("pinned", (), (f"no version of flow '{old.flow}' is in force",))
    elif to.program.version == old.version:
        found = Verdict("pinned", (), ("it is on the version in force already",))
    else:
        found = Migration(old, to.program).verdict(moment.state)
    if found.outcome != "migrates" or to is None:
        run.note("refused", "", "operator", {"command": order.command, "by": order.by, "why": "; ".join(found.why)})
        return standing(run)
    run.note("migrated", "", "operator", {"from": old.version, "to": to.program.version, "by": order.by})
    advanced = standing(run)
    if advanced.state is not None:
        advanced.state = Migration(old, to.program).moved(advanced.state)
    return advanced


class Migration:
    """From one version of a flow to another."""

    def __init__(self, old: Program, new: Program) -> None:
        self._pair = _Pair(Graph(old), Graph(new))
        self._said: dict[tuple[tuple[int, ...], tuple[str, ...]], Verdict] = {}

    def verdict(self, state: State) -> Verdict:
        """Say whether an execution can go on in the new version; of many that wait at the same step it is found out once."""
        if not _is_plain(state):
            return self._verdict(state)
        alike = (tuple(one.step for one in state.parked), tuple(state.env))
        found = self._said.get(alike)
        if found is None:
            found = self._verdict(state)
            if len(self._said) < KEPT_MAX:
                self._said[alike] = found
        return found

    def _verdict(self, state: State) -> Verdict:
        pair, rest = self._pair, state.rest or Rest()
        at = tuple(sorted({pair.name(one.step) for one in state.parked if one.step != NOWHERE}))
        if rest.closing is not None or rest.over:
            return Verdict("pinned", at, ("it is ending, and ends on the version it has",))
        if rest.watch is not None or not at:
            return Verdict("pinned", at, ("it has not begun yet, and what it waits for is of the version it has",))
        why = tuple(dict.fromkeys([*_frames(pair, rest), *_kept(pair, rest), *_places(pair, state), *_values(pair, state)]))
        return Verdict("strands" if why else "migrates", at, why)

    def moved(self, state: State) -> State:
        """Give the state as the new version reads it; the verdict on it must be `migrates`."""
        parked = tuple(msgspec.structs.replace(one, step=self._pair.place(one.step)) for one in state.parked)
        rest = None if state.rest is None else _moved_rest(self._pair, state.rest)
        return msgspec.structs.replace(state, parked=parked, rest=rest)


def _is_plain(state: State) -> bool:
    """Tell whether a verdict depends on where an execution waits and on which values it has kept alone."""
    rest = state.rest
    return rest is None or not (rest.frames or rest.done or rest.sent or rest.closing or rest.watch or rest.over)


class _Pair(NamedTuple):
    """Two versions, and where a step of the one stands in the other."""

    old: Graph
    new: Graph

    def name(self, place: int) -> str:
        return self.old.program.steps[place].name

    def place(self, place: int) -> int:
        return place if place == NOWHERE else self.new.places[self.name(place)]


def _moved_rest(pair: _Pair, rest: Rest) -> Rest:
    return msgspec.structs.replace(
        rest,
        frames={name: _moved_frame(pair, frame) for name, frame in rest.frames.items()},
        done=[msgspec.structs.replace(one, step=pair.place(one.step)) for one in rest.done],
        sent=[msgspec.structs.replace(one, step=pair.place(one.step)) for one in rest.sent],
    )


def _moved_frame(pair: _Pair, frame: Frame) -> Frame:
    before, place = pair.old.program.steps[frame.step], pair.place(frame.step)
    after = pair.new.program.steps[place]
    arms = frame.open
    if isinstance(before, Fork) and isinstance(after, Fork):
        numbers = {name: number for number, (name, _) in enumerate(after.arms)}
        arms = {token: numbers[before.arms[number][0]] for token, number in frame.open.items()}
    return msgspec.structs.replace(frame, step=place, open=arms)


def _frames(pair: _Pair, rest: Rest) -> Iterator[str]:
    """The blocks that the execution is in must be there, with the same arms."""
    for frame in rest.frames.values():
        before, name = pair.old.program.steps[frame.step], pair.name(frame.step)
        if name not in pair.new.places or type(pair.new.step(name)) is not type(before):
            yield f"it is inside '{name}', which is gone"
            continue
        after = pair.new.step(name)
        if (
            isinstance(before, Fork)
            and isinstance(after, Fork)
            and {arm for arm, _ in before.arms} != {arm for arm, _ in after.arms}
        ):
            yield f"it is inside '{name}', which has other arms now"


def _kept(pair: _Pair, rest: Rest) -> Iterator[str]:
    """What may be undone, or is on its way without being waited for, must be known to the new version."""
    open_ends: list[Undo | Sent] = [*rest.done, *rest.sent]
    for one in open_ends:
        name = pair.name(one.step)
        step = pair.new.step(name) if name in pair.new.places else None
        if not isinstance(step, Act | Call) or not step.awaited:
            yield f"'{name}' is done, and the new version could not undo it"
        else:
            yield from _call(pair, one.step)


def _places(pair: _Pair, state: State) -> Iterator[str]:
    for one in state.parked:
        if one.step != NOWHERE:
            yield from _place(pair, one)


def _place(pair: _Pair, one: Parked) -> Iterator[str]:
    before, name = pair.old.program.steps[one.step], pair.name(one.step)
    if name not in pair.new.places:
        yield f"it waits at '{name}', which is gone"
        return
    after, place = pair.new.step(name), pair.new.places[name]
    if type(after) is not type(before) or (isinstance(after, Act | Call) and not after.awaited):
        yield f"it waits at '{name}', which is another kind of step now"
    elif pair.old.blocks(one.step) != pair.new.blocks(place):
        yield f"it waits at '{name}', which stands in another block now"
    elif isinstance(before, Wait) and isinstance(after, Wait) and _asks(before) != _asks(after):
        yield f"it waits at '{name}' for another event, or by another key"
    else:
        yield from _call(pair, one.step)
    twice = sorted(set(_again(pair, name)))
    if twice:
        yield f"it has done {', '.join(twice)} already, and would do that a second time"


def _call(pair: _Pair, at: int) -> Iterator[str]:
    """The end of a call comes to the place that asked for it, from an execution whose id its flow is part of."""
    before, name = pair.old.program.steps[at], pair.name(at)
    after, place = pair.new.step(name), pair.new.places[name]
    if isinstance(before, Call) and place != at:
        yield f"the end of the call '{name}' is awaited at another place now"
    elif isinstance(before, Call) and isinstance(after, Call) and after.flow != before.flow:
        yield f"'{name}' has called '{before.flow}', and calls '{after.flow}' now"


def _asks(wait: Wait) -> tuple[object, ...]:
    return wait.await_.event, wait.await_.correlate, wait.await_.bind


def _again(pair: _Pair, name: str) -> Iterator[str]:
    here_old, here_new = pair.old.places[name], pair.new.places[name]
    for other, place in pair.old.places.items():
        passed = here_old in pair.old.after(place) and place not in pair.old.after(here_old)
        ahead = other in pair.new.places and pair.new.places[other] in pair.new.after(here_new)
        if passed and ahead and acts(pair.new.step(other)):
            yield other


def _values(pair: _Pair, state: State) -> Iterator[str]:
    """Everything that steps ahead read must be kept, or bound on the way, and have the type they expect."""
    places = [
        pair.new.places[name] for one in state.parked if one.step != NOWHERE and (name := pair.name(one.step)) in pair.new.places
    ]
    ahead = sorted({step for place in places for step in pair.new.ahead(place)})
    names = {name for frame in (state.rest or Rest()).frames.values() for name in frame.names or ()}
    known = {*state.env, *names, *(name for place in ahead for name in bound(pair.new.program.steps[place]))}
    for key in sorted({key for place in ahead for key in read_by(pair.new.program.steps[place])}):
        if key not in known and not key.startswith(GIVEN):
            yield f"steps ahead read '{key}', which it has not kept"
    for name, step in ((name, pair.old.step(name)) for name in pair.old.places if name in pair.new.places):
        for bind, kind in bound(step).items():
            other = bound(pair.new.step(name)).get(bind)
            if bind in state.env and kind is not None and other is not None and type_differences(kind, other, bind):
                yield f"'{bind}' is of another type now: {type_differences(kind, other, bind)[0]}"
