"""The JSON Schema of the language, made from the models that check it, so that editors complete and validate."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from schemas.flow.documents import ActionContract, Event, Flow, Workflow
from schemas.flow.policy import Policy
from schemas.flow.scenario import Test

_DOCUMENTS: TypeAdapter[Any] = TypeAdapter(Flow | Workflow | Event | ActionContract | Policy | Test)


def json_schema() -> dict[str, Any]:
    """Give the schema (draft 2020-12) of one document; `x-sort` marks literal, expression and data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Millrace flow language 1",
        **_DOCUMENTS.json_schema(by_alias=True),
    }
