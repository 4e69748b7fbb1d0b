"""Put the policies in force into the conditions of triggers; a tenant with a policy of its own gets conditions of its own.

Reads: triggers of one event type, policies, a time. Emits: triggers without policies, and until when they hold. State: none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from operators.triggers.match_rows import ALL, Trigger
from operators.triggers.policies import NEVER_US, Policies
from schemas.expression.bind import bind
from schemas.expression.tree import Tree
from schemas.expression.walk import keys

PREFIX = "policies."


def bind_policies(triggers: Sequence[Trigger], policies: Policies, now_us: int) -> tuple[list[Trigger], int]:
    """Give the triggers as they match at a time, and the time at which that changes."""
    names = {name for one in triggers for name in _names(one)}
    if not names:
        return list(triggers), NEVER_US
    by_flow: dict[tuple[str, str], list[Trigger]] = {}
    for one in triggers:
        by_flow.setdefault((one.tenant, one.flow), []).append(one)
    bound = [made for (tenant, _), flow in by_flow.items() for made in _bound(flow, tenant, policies, now_us)]
    taken = {(one.tenant, one.flow) for one in triggers}
    kept = [one for one, first in bound if first or (one.tenant, one.flow) not in taken]
    return kept, policies.next_change_us(names, now_us)


def _bound(flow: Sequence[Trigger], tenant: str, policies: Policies, now_us: int) -> Iterator[tuple[Trigger, bool]]:
    """Give a flow's triggers, and for a flow for all those of tenants with policies of their own (False)."""
    names = sorted({name for one in flow for name in _names(one)})
    others = sorted(policies.tenants(names)) if tenant == ALL else []
    for whose in (tenant, *others):
        values = policies.values(whose, names, now_us)
        for one in flow:
            condition = one.condition and bind(one.condition, values)
            yield one._replace(tenant=whose, condition=condition), whose == tenant


def _names(trigger: Trigger) -> frozenset[str]:
    return frozenset() if trigger.condition is None else _read(trigger.condition)


@lru_cache(maxsize=16_384)
def _read(condition: Tree) -> frozenset[str]:
    return frozenset(key.removeprefix(PREFIX) for key in keys(condition) if key.startswith(PREFIX))
