"""Documents with junk in one place."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

KEYS = [
    "action",
    "delay",
    "when",
    "then",
    "set",
    "as",
    "any",
    "not",
    "field",
    "value",
    "wait",
    "steps",
    "for_each",
    "by",
    "{{ k }}",
]
junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from(["", "x", "{{", "{{ a }}", "1h", "30", "deal", "continue", "a.b", "null"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner),
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give the way to every part of a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in pairs for place in places(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Copy a document with the part at a way replaced."""
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def spoiled(document: Any, new: Any, where: int) -> Any:
    """Put junk into one of the places of a document."""
    found = places(document)
    return replaced(document, found[where % len(found)], new)
