"""What differs between two contracts of one event type, as far as flows and records already written are concerned."""

from __future__ import annotations

from flows.versions.change import Change, breaks, changes, weighed
from schemas.contracts import EventContract, incompatibilities
from schemas.expression.type_text import print_type
from schemas.expression.types import Type


def contract_changes(old: EventContract, new: EventContract) -> tuple[Change, ...]:
    """List the changes of an event contract: fields gone, types changed, what old records cannot be read as."""
    unreadable = [breaks("data", reason) for reason in incompatibilities(old, new)]
    told = {change.what.split(" ", 1)[0] for change in unreadable}
    fields = [change for change in field_changes(old.data, new.data, "data") if change.place not in told]
    return weighed([*unreadable, *fields, *_around(old, new)])


def field_changes(old: Type, new: Type, path: str) -> list[Change]:
    """List the fields that are gone, new or of another type, in the order of their names."""
    if old.item is not None and new.item is not None:
        return field_changes(old.item, new.item, f"{path}[*]")
    if old.name != "record" or new.name != "record":
        return _type_change(old, new, path)
    before, after = dict(old.fields), dict(new.fields)
    found: list[Change] = []
    for name in sorted({*before, *after}):
        place = f"{path}.{name}"
        if name not in after:
            found.append(breaks(place, "the field is gone; flows that read it no longer check: keep it, or mark it optional"))
        elif name not in before:
            found.append(changes(place, f"the field is new ({print_type(after[name])})"))
        else:
            found += field_changes(before[name], after[name], place)
    return found


def _type_change(old: Type, new: Type, path: str) -> list[Change]:
    if old == new:
        return []
    what = f"was {print_type(old)} and is now {print_type(new)}"
    stricter = new.optional and not old.optional
    same = old.name == new.name and old.currency == new.currency and set(old.options) <= set(new.options)
    if same and not stricter:
        return [changes(path, what)]
    return [breaks(path, f"{what}; flows that read it must be checked again")]


def _around(old: EventContract, new: EventContract) -> list[Change]:
    found = []
    for name in ("topic", "key", "time"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            weight = breaks if name == "topic" else changes
            found.append(weight(name, f"was {before or 'not given'} and is now {after or 'not given'}"))
    if old.compatibility != new.compatibility:
        found.append(changes("compatibility", f"was {old.compatibility} and is now {new.compatibility}"))
    if old.privacy != new.privacy:
        found.append(changes("privacy", "says something else of the fields; what is stored already stays as it is"))
    return found
