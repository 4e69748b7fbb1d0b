"""What became of a batch, item by item. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from schemas.dispatch import Command, Outcome
from schemas.records import Json


def batch_outcome(items: Sequence[Outcome]) -> Outcome:
    """Give the outcome of a batch whose members ended like this; alike ends are the end of the whole."""
    return items[0] if all(item == items[0] for item in items) else replace(items[0], items=tuple(items))


def told_items(members: Sequence[Command], answer: Json) -> dict[str, Mapping[str, Json]]:
    """Give what an answer says about members, by their ids: `{"results": [{"id", "status", "data", "error"}, ...]}`.

    {} where it says nothing about single ones. Entries about others are passed over.
    """
    results = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(results, list):
        return {}
    ours = {member.id for member in members}
    return {one["id"]: one for one in results if isinstance(one, Mapping) and one.get("id") in ours}
