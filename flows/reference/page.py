"""Pages of the reference as Markdown: keys with their sort, default and meaning, and the worked example."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from flows.reference.constructs import CONSTRUCTS, GROUPS, Construct, example_of
from flows.reference.functions import function_lines
from flows.reference.meanings import meaning
from schemas.flow.json_schema import json_schema
from schemas.flow.words import Words


def page(construct: Construct) -> str:
    """Write the page of a construct."""
    parts = [line for name, model in construct.parts.items() for line in ("", f"### {name}", "", *_keys(model))]
    lines = [
        f"## {construct.name}",
        "",
        _sentence(construct.model),
        "",
        *_keys(construct.model),
        *parts,
        "",
        "```yaml",
        example_of(construct).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def functions_page() -> str:
    """Write the page of the functions."""
    return (
        "\n".join(["## functions", "", "A closed list; arguments by position. What fails is missing.", "", *function_lines()])
        + "\n"
    )


def whole() -> str:
    """Write all pages as one document."""
    lines = ["# The flow language", ""]
    lines += [f"- {group}: {', '.join(names)}" for group, names in GROUPS.items()] + ["- functions"]
    pages = [page(construct) for construct in CONSTRUCTS]
    return "\n".join(lines) + "\n\n" + "\n".join([*pages, functions_page()])


def _sentence(model: type[Words]) -> str:
    return " ".join((model.__doc__ or "").split())


def _keys(model: type[Words]) -> Iterable[str]:
    found = _definitions()[model.__name__]
    needed = found.get("required", [])
    yield "| key | holds | default | meaning |"
    yield "|---|---|---|---|"
    for key, value in sorted(found["properties"].items(), key=lambda item: item[0] not in needed):
        default = "required" if key in needed else _shown(value.get("default"))
        yield f"| `{key}` | {_holds(value)} | {default} | {meaning(model.__name__, key)} |"


@lru_cache(maxsize=1)
def _definitions() -> dict[str, Any]:
    return dict(json_schema()["$defs"])


def _shown(default: Any) -> str:
    if default is None or default in ({}, [], ()) or isinstance(default, dict):
        return ""
    if isinstance(default, list):
        return ", ".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def _holds(value: dict[str, Any]) -> str:
    """Say what stands at a key: one of few words, a literal, an expression, data, a condition, steps, or keys of its own."""
    words = value.get("enum") or ([value["const"]] if "const" in value else [])
    if words:
        return " \\| ".join(str(word) for word in words)
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return {"Condition": "condition", "Step": "steps", "Steps": "steps"}.get(name) or _inside(_definitions()[name])
    return str(value["x-sort"]) if "x-sort" in value else _inside(value)


def _inside(value: dict[str, Any]) -> str:
    parts = [part for name in ("anyOf", "oneOf") for part in value.get(name, ())]
    parts += [value["items"]] if isinstance(value.get("items"), dict) else []
    return " or ".join(dict.fromkeys(_holds(part) for part in parts)) or "keys of its own"
