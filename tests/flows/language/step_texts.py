"""The contracts and the flow that texts of steps are checked in."""

from __future__ import annotations

from flows.language.definitions import Source, check_sources

CONTRACTS = """\
event: order.placed
fields: {order: order}
types:
  line: {sku: string, quantity: int}
  order:
    {id: string, customer: string, total: money(GBP), paid: bool, lines: list(line), tags: list(string), email: string?,
     due_at: timestamp, score: float}
---
event: payment.received
fields: {payment: {order: string, amount: money(GBP), note: string?, rate: float}}
---
event: order.held
fields: {order: {id: string, total: money(GBP), by: string?}}
---
{action: notify, params: {to: string, text: string?, level: int?, token: string?}}
---
{action: reserve, params: {order: string}, result: {reservation: string, ready_at: timestamp}, errors: [out_of_stock]}
---
{action: release, params: {reservation: string}}
"""
CALLEE = """\
flow: callee
trigger: {event: order.held}
steps: [{delay: 1h}]
output: {id: '{{ order.id }}'}
"""
HEAD = "flow: f\ntrigger: {event: order.placed}\nsteps:\n"


def messages(steps: str) -> list[str]:
    """Say what check says of steps, without the name of their file."""
    texts = [Source("c.yaml", CONTRACTS), Source("a.yaml", f"{HEAD}  {steps}\n"), Source("b.yaml", CALLEE)]
    return [str(problem).removeprefix("a.yaml:") for problem in check_sources(texts).problems]
