"""The pointer to a flow's version in force (control key `active/<tenant>/<flow>`), and how two versions share what starts.

With `rest` two versions are in force: entities of the first `percent` of all buckets start `version`, the others `rest`. With
`shadow` one version is in force, and for such a share of entities another runs beside it with everything muted.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.errors import BadRecord
from schemas.expression.tree import Tree
from schemas.expression.walk import keys
from schemas.ids import BUCKETS

WHOLE: Final = 100


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which share of the entities: `by` as it was written, `tree` as msgpack. Without `by` each start stands for itself."""

    percent: int = WHOLE
    by: str = ""
    tree: bytes | None = None

    def words(self) -> str:
        """Say it for people."""
        return f"{self.percent} % by {self.by}" if self.by else f"{self.percent} %"


EVERYTHING: Final = Share()


class Pointer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What runs. `instead_of` is a version that was rolled back, and is not gone back to."""

    version: str
    rest: str | None = None
    shadow: str | None = None
    share: Share = EVERYTHING
    instead_of: str | None = None

    def versions(self) -> tuple[str, ...]:
        """Name every version that something starts on."""
        return tuple(one for one in (self.version, self.rest, self.shadow) if one is not None)


def share_of(percent: int, by: str, tree: Tree | None) -> Share:
    """Make the share that a pointer carries."""
    return Share(percent, by, None if tree is None else msgspec.msgpack.encode(tree))


def read_pointer(value: Any) -> Pointer:
    """Read the value of a pointer. Raises BadRecord where it is none."""
    try:
        pointer = msgspec.convert(value, Pointer)
        tree_of(pointer.share)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadRecord("bad-pointer", f"a pointer to a version cannot be read: {error}; deploy the flow again") from error
    return pointer


def write_pointer(pointer: Pointer) -> dict[str, Any]:
    """Write a pointer as the value of its control record."""
    written: dict[str, Any] = msgspec.to_builtins(pointer)
    return written


def tree_of(share: Share) -> Tree | None:
    """Give the expression that tells entities apart."""
    return None if share.tree is None else _trees.decode(share.tree)


def keys_of(tree: Tree | None) -> tuple[str, ...]:
    """Name what it reads."""
    return () if tree is None else tuple(sorted(keys(tree)))


def buckets_of(share: Share) -> int:
    """Give how many of the first buckets belong to a share."""
    return share.percent * BUCKETS // WHOLE


_trees = msgspec.msgpack.Decoder(Tree)
