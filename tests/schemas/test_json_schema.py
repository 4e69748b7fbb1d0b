"""The JSON Schema of the language: all documents, every value with its sort, and only what the models take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.flow.documents import KINDS
from schemas.flow.json_schema import json_schema
from schemas.flow.step import VERBS
from schemas.flow.trigger import SORTS

SORTS_OF_VALUES = {"literal", "expression", "data"}
PLAIN = ("string", "number", "integer", "boolean")


def leaves(schema: Any, sort: str, way: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give every plain value of a schema with the sort that is said at it or around it."""
    if isinstance(schema, list):
        for place, part in enumerate(schema):
            yield from leaves(part, sort, (*way, str(place)))
    if not isinstance(schema, dict):
        return
    sort = schema.get("x-sort", sort)
    if "const" in schema or "enum" in schema or schema.get("type") in PLAIN or isinstance(schema.get("type"), list):
        yield way, sort
    for key, part in schema.items():
        if key == "properties":
            for name, inner in part.items():
                yield from leaves(inner, "", (*way, name))
        elif key not in ("default", "discriminator", "required", "enum"):
            yield from leaves(part, sort, (*way, key))


def test_every_value_says_whether_it_is_literal_expression_or_data() -> None:
    unmarked = [way for way, sort in leaves(json_schema(), "", ()) if sort not in SORTS_OF_VALUES]
    assert unmarked == []


@pytest.mark.parametrize("model", [*KINDS.values(), *VERBS.values(), *SORTS.values()])
def test_every_document_step_and_trigger_is_in_it_with_all_its_keys(model: Any) -> None:
    found = json_schema()["$defs"][model.__name__]
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert set(found["properties"]) == keys
    assert found["additionalProperties"] is (model.__name__ == "ShortAction")
    assert set(found.get("required", ())) == {
        field.alias or name for name, field in model.model_fields.items() if field.is_required()
    }


def test_null_is_nowhere() -> None:
    assert "null" not in str(json_schema()).replace("'nullable'", "")


def test_a_key_has_the_sort_that_the_language_gives_it() -> None:
    defs = json_schema()["$defs"]
    sorts = {
        ("BranchArm", "when"): "expression",
        ("ActionStep", "with"): "data",
        ("ActionStep", "order_key"): "expression",
        ("ScheduleTrigger", "schedule"): "literal",
        ("WindowRule", "measures"): "expression",
        ("Policy", "value"): "data",
        ("Policy", "type"): "literal",
    }
    assert {place: defs[place[0]]["properties"][place[1]].get("x-sort") for place in sorts} == sorts
