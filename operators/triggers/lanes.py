"""Which of several versions of a flow starts for an entity: the lanes of its pointer.

Reads: pointers, what a start knows of its entity. Emits: whether a lane takes it. State: none. Cost: a hash a start.
Law: of the lanes `whole`, `new` and `rest` of a flow exactly one takes any entity, and who is in a share stays in a larger one.
What has no entity (no value, a slot of a schedule) is in the last bucket: it goes over when all do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from schemas.expression.rows import compile_row
from schemas.ids import entity_bucket, key_text
from schemas.pointer import Pointer, Share, buckets_of, keys_of, tree_of

Side = Literal["whole", "new", "rest", "shadow"]
WHOLE: Final = "whole"
SHADOW: Final = "shadow"
ORDERS: Final[dict[Side, int]] = {"whole": 0, "new": 0, "rest": 1_000, "shadow": 2_000}  # places of triggers begin there


class Lane(NamedTuple):
    """One version that something starts on, and which entities it takes. `keys` are what must be known of them."""

    flow: str
    version: str
    side: Side
    buckets: int = 0  # how many of the first ones are in the share
    entity: Callable[[Mapping[str, Any]], Any] | None = None
    keys: tuple[str, ...] = ()

    def takes(self, tenant: str, env: Mapping[str, Any], start: str | None) -> bool:
        """Tell whether it takes a start. `start` names it where nothing tells entities apart; None: it has no entity."""
        if self.side == WHOLE:
            return True
        entity = start if self.entity is None or start is None else key_text(self.entity(env))
        inside = entity_bucket(tenant, self.flow, entity) < self.buckets
        return inside is not (self.side == "rest")


def lanes_of(flow: str, pointer: Pointer) -> tuple[Lane, ...]:
    """Give the lanes of a pointer; the one whose triggers are asked first comes first."""
    share = _shared(pointer.share)
    if pointer.rest is not None:
        return (Lane(flow, pointer.version, "new", *share), Lane(flow, pointer.rest, "rest", *share))
    whole = Lane(flow, pointer.version, WHOLE)
    return (whole,) if pointer.shadow is None else (whole, Lane(flow, pointer.shadow, SHADOW, *share))


@lru_cache(maxsize=16_384)
def _shared(share: Share) -> tuple[int, Callable[[Mapping[str, Any]], Any] | None, tuple[str, ...]]:
    tree = tree_of(share)
    return buckets_of(share), None if tree is None else compile_row(tree), keys_of(tree)


def slots_of(lanes: tuple[Lane, ...]) -> str:
    """Give the version whose schedules are in force: slots have no entity."""
    return next((one.version for one in lanes if one.side == "rest"), lanes[0].version)
