"""The policies in force: what `policies.<name>` is worth for a tenant at a time.

Reads: control records `policy/<tenant or *>/<name>`. Emits: environments for steps, values for conditions, and when they change.
State: at most a few announced documents a name. Cost: a dict lookup a policy; values are made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from schemas.errors import BadRecord, InvalidInput
from schemas.policy import Policy, TablePolicy, following, in_force, policy_value, read_policy

ALL = "*"
NEVER_US = 1 << 62


class Policies:
    """The policies of one engine. Only `apply` changes it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Policy, ...]] = {}
        self._value = lru_cache(maxsize=16_384)(_environment_value)

    def apply(self, tenant: str, name: str, value: Any) -> None:
        """Take in a control record; None takes the policy away. Raises BadRecord for an unreadable one."""
        if value is None:
            self._known.pop((tenant, name), None)
            return
        try:
            self._known[tenant, name] = following(self._known.get((tenant, name), ()), read_policy(value))
        except InvalidInput as error:
            raise BadRecord("bad-policy", f"policy {name}: {error}") from error

    def environment(self, tenant: str, names: Iterable[str], now_us: int) -> dict[str, Any]:
        """Give each policy under its key, with those that tables read, and under `policies` the versions by name.

        What is not in force is left out.
        """
        env: dict[str, Any] = {}
        versions: dict[str, str] = {}
        asked = list(names)
        for name in asked:
            policy = self._of(tenant, name, now_us) if name not in versions else None
            if policy is not None:
                env[f"policies.{name}"] = self._value(policy)
                versions[name] = policy.version
                asked += policy.policies if isinstance(policy, TablePolicy) else ()  # values, so that this ends
        env["policies"] = versions
        return env

    def values(self, tenant: str, names: Iterable[str], now_us: int) -> Mapping[str, Any]:
        """Give the values by environment key, for conditions."""
        env = self.environment(tenant, names, now_us)
        del env["policies"]
        return env

    def tenants(self, names: Iterable[str]) -> set[str]:
        """Give the tenants that have some of these policies of their own."""
        wanted = set(names)
        return {tenant for tenant, name in self._known if name in wanted and tenant != ALL}

    def next_change_us(self, names: Iterable[str], now_us: int) -> int:
        """Give the first time behind `now_us` at which one of these policies changes for somebody."""
        wanted = set(names)
        starts = [one.valid_from_us for (_, name), known in self._known.items() if name in wanted for one in known]
        return min((start for start in starts if start > now_us), default=NEVER_US)

    def _of(self, tenant: str, name: str, now_us: int) -> Policy | None:
        own = in_force(self._known.get((tenant, name), ()), now_us)
        return own if own is not None else in_force(self._known.get((ALL, name), ()), now_us)


def _environment_value(policy: Policy) -> Any:
    """Give what stands in an environment: a value, values by key, or the table itself."""
    return policy if isinstance(policy, TablePolicy) else policy_value(policy)
