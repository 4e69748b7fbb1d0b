"""Which function stands behind each command: loaded when it is called, so that `--help` imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

COMMANDS: Final[Mapping[str, str]] = {
    "approvals decide": "flows.cli.approvals:decide",
    "approvals list": "flows.cli.approvals:list_approvals",
    "check": "flows.cli.check:check",
    "connectors list": "flows.cli.connectors:list_connectors",
    "connectors remove": "flows.cli.connectors:remove_connector",
    "connectors set": "flows.cli.connectors:set_connector",
    "demo": "flows.cli.demo:demo",
    "deploy": "flows.cli.deploy:deploy",
    "diff": "flows.cli.diff:diff",
    "dlq list": "flows.cli.dlq:list_dead_letters",
    "dlq redrive": "flows.cli.dlq:redrive",
    "doctor": "flows.cli.doctor:doctor",
    "executions cancel": "flows.cli.operate:operate",
    "executions fork": "flows.cli.fork:fork",
    "executions history": "flows.cli.executions:history",
    "executions list": "flows.cli.executions:list_executions",
    "executions resume": "flows.cli.operate:operate",
    "executions retry": "flows.cli.operate:operate",
    "executions show": "flows.cli.executions:show_execution",
    "executions skip": "flows.cli.operate:operate",
    "explain": "flows.cli.explain:explain",
    "flows list": "flows.cli.flows:list_flows",
    "flows start": "flows.cli.operate:start",
    "fmt": "flows.cli.fmt:fmt",
    "policies history": "flows.cli.policies:policy_history",
    "policies list": "flows.cli.policies:list_policies",
    "policies set": "flows.cli.policies:set_policy",
    "migrate": "flows.cli.migrate:migrate",
    "plan": "flows.cli.plan:plan",
    "query": "flows.cli.query:query",
    "reference": "flows.cli.reference:reference",
    "rollback": "flows.cli.rollback:rollback",
    "run": "flows.cli.run:run",
    "schedules list": "flows.cli.schedules:list_schedules",
    "schedules preview": "flows.cli.schedules:preview",
    "send": "flows.cli.send:send",
    "test": "flows.cli.test:test",
    "topics": "flows.cli.topics:topics",
    "up": "flows.cli.up:up",
}
ROLES: Final[Mapping[str, str]] = {
    "server": "flows.roles.server:run",
    "engine": "flows.roles.engine:run",
    "dispatcher": "flows.roles.dispatcher:run",
    "projector": "flows.roles.projector:run",
}


def load(place: str) -> Callable[..., Any]:
    """Import "module:function"."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
