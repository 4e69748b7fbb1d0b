"""What a decision link is about, read from the engine's file beside its engine: the one place that knows whether it is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.executions import ExecutionRow, show_with_program
from operators.execution.execution import State, unpack
from schemas.asked import Asked
from schemas.errors import MillraceError
from schemas.program import Approve, Program
from schemas.program import unpack as unpack_program
from schemas.program_graph import Graph
from schemas.topics import engine_file


class StoredQuestions:
    """Answers by the file of a home's engine. State: none; each question is one short transaction."""

    def __init__(self, home: Path) -> None:
        """Read in a home."""
        self._path = home / engine_file(0)

    def __call__(self, tenant: str, execution: str, step: str, occurrence: int) -> Asked | None:
        """Give an approval as it stands; `over` where that tenant has no such execution, None if nothing can be read."""
        try:
            if not self._path.exists():
                return None
            found = show_with_program(self._path, bytes.fromhex(execution))
            if found is None or found[0].tenant != tenant:
                return Asked(standing="over", flow="")
            return _asked(found[0], unpack_program(found[1]) if found[1] is not None else None, step, occurrence)
        except (MillraceError, ValueError):
            return None


def _asked(row: ExecutionRow, program: Program | None, step: str, occurrence: int) -> Asked | None:
    over = Asked(standing="over", flow=row.flow, ended=row.status if row.state is None else "")
    if row.state is None or program is None:
        return over
    state, graph = unpack(row.state), Graph(program)
    known = graph.step(step) if step in graph.places else None
    if not isinstance(known, Approve):
        return over
    return _open(state, row.flow, known, graph.places[step], occurrence) or _decided(state, row.flow, known) or over


def _open(state: State, flow: str, step: Approve, place: int, occurrence: int) -> Asked | None:
    for token, ballot in state.rest.ballots.items() if state.rest is not None else ():
        parked = next(one for one in state.parked if one.token == token)
        if parked.step == place and ballot.occurrence == occurrence:
            return Asked(
                standing="open",
                flow=flow,
                title=ballot.title,
                show=ballot.show,
                form=step.form,
                until_us=parked.due_us,
                need=step.need,
                votes=tuple(vote.by for vote in ballot.votes),
                excluded=tuple(ballot.excluded),
            )
    return None


def _decided(state: State, flow: str, step: Approve) -> Asked | None:
    """Say what came of it, where the execution still knows: passes inside a for_each have ended with their item."""
    said: Any = state.env.get(step.bind) if step.bind else None
    if not isinstance(said, dict) or said.get("outcome") not in ("approved", "rejected"):
        return None
    return Asked(standing=said["outcome"], flow=flow, by=said.get("by") or "", at_us=said.get("at") or 0)
