"""What a turn tells beside its own records: what came too late, and what was read as something that it is not.

Reads: what the stages found. Emits: records of the topics `late` and `mistyped`, by partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flows.engine.mistyped import mistyped_appends
from flows.engine.part import Part
from flows.engine.work import JoinedWork
from operators.turn.live import shard_of_tenant
from operators.turn.pending import TurnResult
from schemas.ports import Append
from schemas.records import Late, encode
from schemas.topics import LATE


def with_late(result: TurnResult, part: Part, work: JoinedWork, partitions: int) -> TurnResult:
    """Add these records to what a part emits; those of its whole turn go with the last part."""
    if not part.last:
        told = late_appends(result.late, partitions)
    else:
        told = [*late_appends([*work.late, *result.late], partitions), *mistyped_appends(work.mistyped, partitions)]
    return replace(result, emitted=[*result.emitted, *told])


def late_appends(late: Sequence[Late], partitions: int) -> list[Append]:
    """Give the records of late events, by partition."""
    records: dict[int, list[bytes]] = {}
    for one in late:
        records.setdefault(shard_of_tenant(one.tenant) % partitions, []).append(encode(one))
    return [Append(LATE, partition, listed) for partition, listed in sorted(records.items())]
