"""The policy document: a value, a value by key, or a decision table (flow-language.md section 2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.flow.condition import Condition
from schemas.flow.words import DATA, LITERAL, Data, Many, Name, Parameters, Words

Types = Annotated[dict[Name, Data], Field(min_length=1, json_schema_extra=LITERAL)]
TypeText = Annotated[str, Field(json_schema_extra=LITERAL)]
Text = Annotated[str | None, Field(json_schema_extra=LITERAL)]
SHAPES = {
    "value": frozenset(["type", "value"]),
    "keyed": frozenset(["type", "key", "values", "default"]),
    "table": frozenset(["inputs", "outputs", "hit", "rules"]),
}


class TableRule(Words):
    """One rule of a decision table: its condition over the inputs, and its answer."""

    when: Condition
    then: Parameters = Field(json_schema_extra=DATA)


class Policy(Words):
    """What may change without the flow: `type` and `value`, or those by `key`, or a decision table."""

    language: Annotated[Literal[1], Field(json_schema_extra=LITERAL)] = 1
    policy: Name
    type: TypeText | None = None
    value: Data = Field(None, json_schema_extra=DATA)
    key: TypeText | None = None
    values: Annotated[dict[str, Data] | None, Field(json_schema_extra=DATA)] = None
    default: Data = Field(None, json_schema_extra=DATA)
    inputs: Types | None = None
    outputs: Types | None = None
    hit: Annotated[Literal["first", "unique", "collect"] | None, Field(json_schema_extra=LITERAL)] = None
    rules: Annotated[Many[TableRule], Field(min_length=1)] | None = None
    otherwise: Annotated[dict[str, Data] | None, Field(json_schema_extra=DATA)] = None
    owner: Text = None
    title: Text = None
    description: Text = None
    valid_from: Text = None
