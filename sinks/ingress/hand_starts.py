"""Whether a start by hand can be let in: by the same question that the engine asks of the flow which is in force then.

What is let in here is decided there: the flow may be another one by the time its turn comes, and the start a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from schemas.program import Manual, Program
from schemas.start_inputs import manual_of, wrong_inputs
from sinks.ingress.bodies import Starting
from sinks.ingress.http_speaker import Reply, problem
from sinks.ingress.routes import Routes

NAMES_MAX: Final = 12


def unstartable(routes: Routes, flow: str, wish: Starting) -> Reply | None:
    """Give the answer that refuses a start, None where nothing speaks against it."""
    programs = routes.by_hand(wish.tenant, flow)
    if not programs:
        return Reply(404, problem("unknown-flow", _unknown(flow, wish.tenant, routes, in_force=programs is not None)))
    roles = {role for manual in _manuals(programs) for role in manual.roles}
    if not roles & set(wish.roles):
        return Reply(403, problem("not-allowed", f"{flow!r} is started by {', '.join(sorted(roles))}; give one of them in roles"))
    if wish.id and makes_its_id(programs):
        return Reply(422, problem("wrong-body", f"{flow!r} makes its id of its inputs; leave `id` out"))
    wrong = [wrong_inputs(program, wish.inputs, manual_of(program)) for program in programs]
    if all(wrong):  # of two versions the engine chooses
        message = "; ".join(wrong[0])
        return Reply(422, {"error": "bad-inputs", "message": message, "problems": list(wrong[0])})
    return None


def makes_its_id(programs: Sequence[Program]) -> bool:
    """Tell whether whatever version it is makes the id of a start of its inputs."""
    return all(manual.id is not None for manual in _manuals(programs))


def _manuals(programs: Sequence[Program]) -> list[Manual]:
    return [manual for program in programs if (manual := manual_of(program)) is not None]


def _unknown(flow: str, tenant: str, routes: Routes, *, in_force: bool) -> str:
    startable = routes.all_by_hand(tenant)
    near = get_close_matches(flow[:64], startable, 1)
    listed = ", ".join(startable[:NAMES_MAX]) + (f" and {len(startable) - NAMES_MAX} more" if startable[NAMES_MAX:] else "")
    hint = f"did you mean {near[0]!r}?" if near else f"by hand start {listed}" if startable else "no flow of it starts by hand"
    return f"{flow[:64]!r} {'has no manual trigger' if in_force else 'is not in force'} for {tenant!r}; {hint}"
