"""What an action type takes and answers, as its contract says."""

from __future__ import annotations

import msgspec

from schemas.expression.type_text import parse_type
from schemas.expression.types import Type
from schemas.flow.documents import ActionContract


class ActionType(msgspec.Struct, frozen=True):
    """An action contract with its types read."""

    action: str
    params: Type
    result: Type
    errors: tuple[str, ...] = ()
    idempotent: bool = True


def action_type(contract: ActionContract) -> ActionType:
    """Read the types of an action contract; raises ExpressionError."""
    return ActionType(
        action=str(contract.action),
        params=parse_type(contract.params, contract.types),
        result=parse_type(contract.result, contract.types),
        errors=tuple(str(code) for code in contract.errors),
        idempotent=contract.idempotent,
    )
