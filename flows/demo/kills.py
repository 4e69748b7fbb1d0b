"""When `--crash N` kills whom: N moments spread over the work, by seed; a moment is a share of the work done, not a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from flows.up.supervisor import Supervisor

ROLES: Final = ("engine", "dispatcher", "projector")
FIRST, LAST = 0.02, 0.95  # before and behind these shares of the work nothing is killed


@dataclass(slots=True)
class Kills:
    """The kills that are still to come: (share of the work, role)."""

    waiting: list[tuple[float, str]]
    done: int = 0
    _reached: dict[str, int] = field(default_factory=dict)  # how far a role had committed when it was killed last

    @property
    def over(self) -> bool:
        """Tell whether all kills have been made."""
        return not self.waiting

    def strike(self, supervisor: Supervisor, share: float) -> None:
        """Kill those whom it is time to kill, each once it has committed something since its last death, or all work is done."""
        for kill in [kill for kill in self.waiting if kill[0] <= share]:
            role = kill[1]
            status = supervisor.statuses[role]
            reached = sum(status.read.values()) if status is not None else -1
            if (reached > self._reached.get(role, 0) or share >= 1.0) and supervisor.kill(role):
                self._reached[role] = reached
                self.waiting.remove(kill)
                self.done += 1


def plan_kills(count: int, seed: int) -> Kills:
    """Choose `count` moments and roles; every role comes about equally often."""
    dice = Random(seed)  # noqa: S311  the same kills for the same seed
    roles = [ROLES[at % len(ROLES)] for at in range(count)]
    dice.shuffle(roles)
    moments = sorted(dice.uniform(FIRST, LAST) for _ in range(count))
    return Kills(list(zip(moments, roles, strict=True)))
