"""What a test is told on: the flow under test with those that it calls and follows, contracts, and policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from flows.language.definitions import ALL_TENANTS, Definitions
from flows.scenarios.coverage import Coverage
from operators.advance.advance import Runnable
from operators.steps.steps import make_runnable
from operators.triggers.policies import Policies
from schemas.errors import InvalidInput
from schemas.expression.findings import ExpressionError
from schemas.expression.literal_fit import literal_value
from schemas.expression.template import Value
from schemas.expression.types import Type
from schemas.flow.scenario import Test
from schemas.policy import KeyedPolicy, Policy, TablePolicy, ValuePolicy, policy_record
from schemas.program import After, Call, Program
from schemas.records import Json
from schemas.registry import Registry, registered

CHANGED: Final = "test"  # the version of a policy that a test sets
_encoder = msgspec.json.Encoder(decimal_format="number")


class Stage:
    """Everything around the tests of one flow. Raises InvalidInput where there is no such flow."""

    def __init__(self, flow: str, definitions: Definitions, registry: Registry, coverage: Coverage) -> None:
        """`registry` knows the contracts that are deployed; those of the files are added to it."""
        self.registry = registry
        for contract in definitions.contracts:
            for key, value in registered(registry, contract)[1]:
                registry.apply(key, value)
        programs = {one.program.version: one.program for one in definitions.flows}
        found = _of_name(programs.values(), flow)
        if found is None:
            names = ", ".join(sorted({one.flow for one in programs.values()}))
            raise InvalidInput(
                f"there is no flow '{flow}' in the files of the test ({names or 'they hold none'}); give its file too"
            )
        self._program = found
        around = [found, *_followed(found, programs.values())]
        self.programs = {program.version: coverage.watched(make_runnable(program)) for program in _with_called(around, programs)}
        self.started = [self.programs[program.version] for program in around]
        self._policies = {one.policy.name: (one.policy, one.document) for one in definitions.policies}

    def tenant(self, test: Test) -> str:
        """Give the tenant of a test: the one it names, if the flow serves it."""
        tenants = self._program.tenants
        return test.tenant if not tenants or test.tenant in tenants else tenants[0]

    def first(self, flow: str, kind: type[Any]) -> tuple[Runnable, Any] | None:
        """Give the first trigger of a kind: of the flow under test, else of one that it follows."""
        ordered = sorted(self.started, key=lambda one: one.program.flow != flow)
        return next(((one, trigger) for one in ordered for trigger in one.program.triggers if isinstance(trigger, kind)), None)

    def policies(self, test: Test) -> Policies:
        """Give the policies that hold in a test. Raises InvalidInput for one that it sets wrongly."""
        policies = Policies()
        for name, (policy, document) in self._policies.items():
            policies.apply(ALL_TENANTS, name, msgspec.to_builtins(policy_record(policy, document)))
        self.change_policies(policies, self.tenant(test), test.policies)
        return policies

    def change_policies(self, policies: Policies, tenant: str, values: Mapping[str, Json]) -> None:
        """Set policies of a tenant to other values."""
        for name, value in values.items():
            if name not in self._policies:
                known = ", ".join(sorted(self._policies)) or "there are none"
                raise InvalidInput(f"there is no policy '{name}' ({known}); give the file that defines it")
            policy, document = self._policies[name]
            policies.apply(tenant, name, msgspec.to_builtins(policy_record(_changed(policy, value), document)))


def _changed(policy: Policy, value: Json) -> Policy:
    match policy:
        case ValuePolicy():
            return msgspec.structs.replace(policy, value=_literal(value, policy.type, policy.name), version=CHANGED)
        case KeyedPolicy():
            if not isinstance(value, dict):
                raise InvalidInput(f"policy '{policy.name}' has a value for each key; write {{key: value}}")
            kept = [(key, one) for key, one in policy.values if msgspec.json.decode(key.json) not in value]
            fresh = [
                (_literal(key, policy.key, policy.name), _literal(one, policy.type, policy.name)) for key, one in value.items()
            ]
            return msgspec.structs.replace(policy, values=(*kept, *fresh), version=CHANGED)
        case TablePolicy():
            raise InvalidInput(f"policy '{policy.name}' is a decision table; a test takes it as it is")


def _literal(value: Json, kind: Type, name: str) -> Value:
    try:
        literal_value(value, kind)
    except ExpressionError as error:
        raise InvalidInput(f"policy '{name}': {error.message}") from error
    return Value(_encoder.encode(value).decode())


def _of_name(programs: Iterable[Program], flow: str) -> Program | None:
    return next((program for program in programs if program.flow == flow), None)


def _followed(program: Program, programs: Iterable[Program]) -> Iterator[Program]:
    """Give the flows after whose end a flow starts."""
    wanted = {name for trigger in program.triggers if isinstance(trigger, After) for name in trigger.flows}
    return (one for one in programs if one.flow in wanted and one is not program)


def _with_called(around: Iterable[Program], programs: Mapping[str, Program]) -> list[Program]:
    """Give flows with all that they call, whatever deep."""
    found: dict[str, Program] = {}
    ahead = list(around)
    while ahead:
        program = ahead.pop()
        if program.version not in found:
            found[program.version] = program
            ahead += [programs[step.version] for step in program.steps if isinstance(step, Call) and step.version in programs]
    return list(found.values())
