"""Conditions as people write them: an expression, the short form of one, and all / any / not around them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from schemas.flow.words import DATA, EXPRESSION, LITERAL, Data, Many, ScalarExpression, Words
from schemas.records import Json

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "contains", "matches", "starts_with", "ends_with", "exists"]


class ShortCondition(Words):
    """`{field: F, operator: O, value: V}`: V is a literal, or `{field: G}`."""

    field: Annotated[str, Field(json_schema_extra=EXPRESSION)]
    operator: Annotated[Operator, Field(json_schema_extra=LITERAL)]
    value: Annotated[Data, Field(json_schema_extra=DATA)]


class All(Words):
    """Every one must hold."""

    all_: Many[Condition] = Field(alias="all", min_length=1)


class Any(Words):
    """At least one must hold."""

    any_: Many[Condition] = Field(alias="any", min_length=1)


class Not(Words):
    """It must not hold."""

    not_: Condition = Field(alias="not")


def _spelling(value: Json) -> str:
    if isinstance(value, All | Any | Not | ShortCondition):
        return {"All": "condition:all", "Any": "condition:any", "Not": "condition:not"}.get(
            type(value).__name__, "condition:short"
        )
    if isinstance(value, list | tuple):
        return "condition:list"
    if isinstance(value, dict):
        return next((f"condition:{word}" for word in ("all", "any", "not") if word in value), "condition:short")
    return "condition:text"


# a named alias, for it is recursive: pydantic would unfold an unnamed one for ever
Condition = TypeAliasType(
    "Condition",
    Annotated[
        Annotated[ScalarExpression, Tag("condition:text")]
        | Annotated[ShortCondition, Tag("condition:short")]
        | Annotated[All, Tag("condition:all")]
        | Annotated[Any, Tag("condition:any")]
        | Annotated[Not, Tag("condition:not")]
        | Annotated["Many[Condition]", Tag("condition:list")],
        Discriminator(_spelling),
    ],
)

All.model_rebuild()
Any.model_rebuild()
Not.model_rebuild()
