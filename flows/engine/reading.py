"""What the store knows of a part of a turn, read all at once before it is run.

Reads: the store as of the last commit, the keys seen. Emits: the Reads of the part. Cost: five queries a part, whatever its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.engine.inputs import named_by
from flows.engine.part import Part
from flows.engine.settings import EngineSettings
from flows.engine.world import EngineWorld
from operators.triggers.seen import MARGIN_US, SeenKeys
from operators.turn.incoming import Arrivals, Arrived, Candidate
from operators.turn.pending import Reads
from schemas.ports import MissedVerdict, StateStore


@dataclass(frozen=True, slots=True)
class Reading:
    """The reads of one engine."""

    store: StateStore
    world: EngineWorld
    seen: SeenKeys
    settings: EngineSettings

    def of(self, part: Part, arrived: Sequence[Arrived], arrivals: Arrivals) -> Reads:
        """Read what a part may ask for."""
        waits = part.waits
        named = self.store.find(sorted({identity for one in part.inputs if (identity := named_by(one)) is not None}))
        wanted = {timer.execution for timer in (*part.due, *part.passing)} | {wait.execution for wait in waits}
        executions = self.store.load(sorted(wanted)) if wanted else {}
        executions |= {stored.row: stored for stored in named.values()}
        keys = {_seen_as(one, self.settings.namespace) for one in part.candidates if not one.known or one.runnable.limited}
        return Reads(
            self.world,
            part.due,
            executions,
            self.seen.among(keys.union(*(one.events for one in arrived)) if arrived else keys),
            self._existing(part.candidates),
            self.settings.partitions,
            part.passing,
            {identity: stored.row for identity, stored in named.items()},
            waits,
            self._missed(arrivals),
        )

    def _missed(self, arrivals: Arrivals) -> Sequence[MissedVerdict]:
        """Read the verdicts that events are too late for: no event in order of time is."""
        last_us = self.store.last_verdict_us() if arrivals else None
        since = {} if last_us is None else arrivals.oldest(last_us)
        return self.store.verdicts(since) if since else ()

    def _existing(self, candidates: Sequence[Candidate]) -> set[bytes]:
        """Ask the store for executions of events so old that their keys may have left the window, and of those known already."""
        since_us = self.seen.complete_since_us
        asked_us = since_us + MARGIN_US if since_us else 0
        old = [one for one in candidates if one.known or one.shadow or one.cause.time_us <= asked_us]
        ids = [one.identity(self.settings.namespace) for one in old]
        return self.store.existing(ids) if ids else set()


def _seen_as(candidate: Candidate, namespace: str) -> bytes:
    """Give what would be seen of a start: its event; of what a window or a slot starts, itself, if a limit dropped it."""
    return candidate.identity(namespace) if candidate.known else candidate.key
