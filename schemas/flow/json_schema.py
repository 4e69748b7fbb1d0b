"""The JSON Schema of the language, made from the models that check it, so that editors complete and validate."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from schemas.flow.documents import ActionContract, Event, Flow, Workflow
from schemas.flow.policy import Policy
from schemas.flow.scenario import Test

_DOCUMENTS: TypeAdapter[Any] = TypeAdapter(Flow | Workflow | Event | ActionContract | Policy | Test)
_NULL: Final = {"type": "null"}


def json_schema() -> dict[str, Any]:
    """Give the schema (draft 2020-12) of one document; `x-sort` marks literal, expression and data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Millrace flow language 1",
        **_without_null(_DOCUMENTS.json_schema(by_alias=True)),
    }


def _without_null(schema: Any) -> Any:
    """Take null out: a key that may be absent is left out, never written empty."""
    if isinstance(schema, list):
        return [_without_null(part) for part in schema if part != _NULL]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_null(part) for key, part in schema.items() if not (key == "default" and part is None)}
    if len(kept.get("anyOf", ())) == 1:
        (only,) = kept.pop("anyOf")
        kept = {**only, **kept}
    return kept
