"""A compiled policy: what `policies.<name>` is worth, or the decision table that the step `decide` asks.

Stored as control record `policy/<tenant or *>/<name>` (PolicyRecord); a tenant's own wins over the one for all. Documents of one
name follow each other: one without `valid_from` holds from its place in the control topic and ends what was announced before
it, one with it holds from that time of the event clock on and ends only what was announced for later (`following`).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from schemas.errors import InvalidInput
from schemas.expression.keyed import Keyed
from schemas.expression.literal_fit import literal_value
from schemas.expression.template import Template, Value, value_of
from schemas.expression.tree import Tree
from schemas.expression.types import Type
from schemas.records import Json

POLICY_PREFIX: Final = "policy/"
AT_ONCE: Final = -1  # valid_from of a document that says none
ANNOUNCED_MAX: Final = 16  # documents of one name that are known at a time


class ValuePolicy(msgspec.Struct, frozen=True, tag="value", tag_field="kind"):
    """One value, read by its type."""

    name: str
    version: str
    type: Type
    value: Value
    valid_from_us: int = AT_ONCE


class KeyedPolicy(msgspec.Struct, frozen=True, tag="keyed", tag_field="kind"):
    """A value by key; `default` covers every other key, so a lookup misses only where its key is missing."""

    name: str
    version: str
    key: Type  # string, one_of, int or bool
    type: Type
    values: tuple[tuple[Value, Value], ...]
    default: Value
    valid_from_us: int = AT_ONCE


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """One rule: a condition over the inputs, and data that has the type of the outputs."""

    when: Tree
    then: Template


class TablePolicy(msgspec.Struct, frozen=True, tag="table", tag_field="kind"):
    """A decision table.

    Evaluation: the environment holds each input under its own name, as rows hold values of its type, and each of `policies`
    under `policies.<name>`. Conditions are asked in order; a missing value makes them false. The answer of a rule is its
    template's JSON, read by `outputs` with `literal_value`. first: the first rule that holds. unique: the one rule that holds
    (the check has proved that no two do). collect: the list of all that hold, in order. If none holds: `otherwise` (collect: a
    list of it alone); None means that the rules cover every input, so that nothing holds only where an input is missing: the
    step fails with missing_value (collect: an empty list).
    """

    name: str
    version: str
    inputs: Type  # a record
    outputs: Type  # a record
    hit: Literal["first", "unique", "collect"]
    rules: tuple[Rule, ...]
    otherwise: Template | None = None
    policies: tuple[str, ...] = ()  # names that the rules read
    valid_from_us: int = AT_ONCE

    @property
    def answer(self) -> Type:
        """Give the type that a step binds."""
        return Type("list", item=self.outputs) if self.hit == "collect" else self.outputs


Policy = ValuePolicy | KeyedPolicy | TablePolicy


class PolicyType(msgspec.Struct, frozen=True):
    """What the language must know of a policy: expressions see `value` (by `key`), the step `decide` a table."""

    name: str
    value: Type | None = None
    key: Type | None = None
    inputs: Type | None = None
    answer: Type | None = None


class PolicyRecord(msgspec.Struct, frozen=True):
    """The value of a control record: the version, the canonical document and the packed policy (base64)."""

    version: str
    document: Json
    compiled: str


def policy_type(policy: Policy) -> PolicyType:
    """Give what the language must know."""
    match policy:
        case ValuePolicy():
            return PolicyType(policy.name, value=policy.type)
        case KeyedPolicy():
            return PolicyType(policy.name, value=policy.type, key=policy.key)
        case TablePolicy():
            return PolicyType(policy.name, inputs=policy.inputs, answer=policy.answer)


def policy_value(policy: ValuePolicy | KeyedPolicy) -> Any:
    """Give what stands in an environment under `policies.<name>`."""
    if isinstance(policy, ValuePolicy):
        return literal_value(value_of(policy.value), policy.type)
    values = {
        literal_value(value_of(key), policy.key): literal_value(value_of(value), policy.type) for key, value in policy.values
    }
    return Keyed(values, literal_value(value_of(policy.default), policy.type))


def policy_record(policy: Policy, document: Json) -> PolicyRecord:
    """Make the value of the control record."""
    return PolicyRecord(policy.version, document, b64encode(_encoder.encode(policy)).decode())


def read_policy(value: object) -> Policy:
    """Read the value of a control record; raises InvalidInput."""
    try:
        policy: Policy = _decoder.decode(b64decode(msgspec.convert(value, PolicyRecord).compiled, validate=True))
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidInput(f"the policy is not readable: {error}; deploy it again") from error
    return policy


def following(known: Sequence[Policy], policy: Policy) -> tuple[Policy, ...]:
    """Give the documents of one name in the order in which they hold, with a new one among them."""
    earlier = [one for one in known if one.valid_from_us < policy.valid_from_us]
    return (*earlier[1 - ANNOUNCED_MAX :], policy)


def in_force(known: Sequence[Policy], now_us: int) -> Policy | None:
    """Give the document that holds at a time; None if none does yet."""
    return next((one for one in reversed(known) if one.valid_from_us <= now_us), None)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Policy)
