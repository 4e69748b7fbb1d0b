"""Rebuild what the engine holds in memory: the catalogue up to the last commit, and the keys seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from flows.engine.segments import read_control, register
from operators.execution.wait_shapes import WaitShapes
from operators.triggers.seen import KEY_BYTES, KEYS_MAX, MARGIN_US, WINDOW_US, SeenKeys
from operators.turn.deployed import Deployed
from schemas.errors import BadRecord
from schemas.ports import Chunk, LogReader, Slot, StateStore
from schemas.program import unpack
from schemas.registry import Registry
from schemas.topics import CONTROL

CONTROL_BLOCK: Final = 10_000
SEEN_BLOCK: Final = 1 << 24  # bytes of keys that are sorted together


def restore_catalogue(controls: LogReader, positions: Mapping[Slot, int], registry: Registry, deployed: Deployed) -> None:
    """Take in the control records that earlier turns took in; what they refused is in the dead letters already."""
    until = max((end for slot, end in positions.items() if slot.topic == CONTROL), default=0)
    while until > 0 and (chunks := controls.poll(CONTROL_BLOCK)):
        for chunk in chunks:
            _take(chunk, until, registry, deployed)
        if chunks[-1].end >= until:
            break
    controls.close()


def restore_seen(store: StateStore, seen: SeenKeys, most: int = KEYS_MAX) -> None:
    """Read back the keys of the window; older ones the store must be asked for by execution id.

    The store keeps the newest `most` keys: where it may have let others go, the oldest that is left is all one can rely on.
    """
    meta = store.meta()
    if meta.turn == 0:
        return
    since_us = max(0, meta.now_us - WINDOW_US - MARGIN_US)
    seen.forget_before(since_us)
    count, oldest_us = 0, since_us
    block = bytearray()
    newest_us = since_us
    for _, at_us, packed in store.seen_since(since_us):
        oldest_us = oldest_us if count else at_us
        count += len(packed) // KEY_BYTES
        block += packed
        newest_us = at_us
        if len(block) >= SEEN_BLOCK:
            seen.restore(bytes(block), newest_us)
            block.clear()
    seen.restore(bytes(block), newest_us)
    if 2 * count >= most:  # it lets go a turn's keys at a time, never half of all
        seen.forget_before(oldest_us)


def restore_shapes(store: StateStore, shapes: WaitShapes) -> None:
    """Learn what executions may wait for that run a version which is not deployed any more."""
    for version in store.versions():
        packed = store.program(version)
        if packed is not None:
            shapes.add(unpack(packed))


def _take(chunk: Chunk, until: int, registry: Registry, deployed: Deployed) -> None:
    for data in chunk.records[: max(0, until - chunk.base)]:
        with suppress(BadRecord):
            control = read_control(data)
            register(registry, control)
            deployed.apply(control)
