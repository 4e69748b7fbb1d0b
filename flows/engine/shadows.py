"""Candidates of versions in shadow: each where the version in force starts, or alone, or a note that it does not start there.

Reads: candidates. Emits: candidates. State: none. Cost: nothing where no flow ever ran in shadow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from operators.advance.advance import Runnable
from operators.turn.incoming import STARTS, Candidate


def absent_beside(candidate: Candidate, runnable: Runnable) -> Candidate:
    """Say that a version in shadow would start here, if one of its triggers fitted too."""
    return msgspec.structs.replace(candidate, runnable=runnable, trigger="", env={}, watch=STARTS, shadow="absent")


def with_shadow(candidate: Candidate, runnable: Runnable) -> Iterator[Candidate]:
    """Give a start of the version in force beside which a shadow runs; what only watches is compared once it begins."""
    if candidate.watch == STARTS:
        yield candidate
        yield absent_beside(candidate, runnable)
    else:
        yield msgspec.structs.replace(candidate, beside=runnable.program.version)


def without_present(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Leave out the notes where the shadow does start."""
    present = {_start(one) for one in candidates if one.shadow == "runs"}
    return [one for one in candidates if one.shadow != "absent" or _start(one) not in present]


def _start(candidate: Candidate) -> tuple[str, str, bytes, int]:
    return candidate.runnable.program.flow, candidate.tenant, candidate.key, candidate.cause.time_us
