"""From append of an event to commit of its first action, in wall time, as the log files say it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from flows.demo.feed import Position
from flows.demo.generator import Made
from infra.file_reader import FileReader
from schemas.ports import Chunk
from schemas.topics import ACTIONS_PREFIX, INGRESS_FILE, engine_file, is_events

BLOCK: Final = 50_000
EventKey = tuple[str, str]  # tenant, event id


class _Command(msgspec.Struct, frozen=True):
    tenant: str
    causationid: str


def count_commands(home: Path) -> int:
    """Count the commands on the engine's action topics."""
    return sum(len(chunk.records) for chunk in _chunks(home / engine_file(0), actions=True))


def first_action_us(home: Path, places: Mapping[Position, Made], wanted: Collection[EventKey]) -> list[int]:
    """Give the latencies of the wanted events that have an action, rising."""
    appended = _appended(home, places, wanted)
    committed: dict[EventKey, int] = {}
    for chunk in _chunks(home / engine_file(0), actions=True):
        for record in chunk.records:
            command = _commands.decode(record)
            key = (command.tenant, command.causationid)
            committed[key] = min(committed.get(key, chunk.appended_us), chunk.appended_us)
    return sorted(committed[key] - at_us for key, at_us in appended.items() if key in committed)


def percentile_ms(latencies_us: Sequence[int], share: float) -> float:
    """Give a percentile of rising latencies in milliseconds, 0 where there are none."""
    if not latencies_us:
        return 0.0
    return round(latencies_us[min(len(latencies_us) - 1, int(share * len(latencies_us)))] / 1000, 1)


def _appended(home: Path, places: Mapping[Position, Made], wanted: Collection[EventKey]) -> dict[EventKey, int]:
    """Give when each wanted event was appended the first time."""
    found: dict[EventKey, int] = {}
    for chunk in _chunks(home / INGRESS_FILE, actions=False):
        for position in range(chunk.base, chunk.end):
            happening = places[chunk.topic, chunk.partition, position].happening
            key = (happening.tenant, happening.id)
            if key in wanted:
                found.setdefault(key, chunk.appended_us)
    return found


def _chunks(path: Path, *, actions: bool) -> Iterator[Chunk]:
    reader = FileReader(path, _is_action if actions else is_events, {})
    try:
        while chunks := reader.poll(BLOCK):
            yield from chunks
    finally:
        reader.close()


def _is_action(topic: str) -> bool:
    return topic.startswith(ACTIONS_PREFIX)


_commands = msgspec.json.Decoder(_Command)
