"""`millrace deploy`: put flows and their contracts in force, without a restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from flows.cli.terminal import Terminal
from flows.deployment import Deployment, await_applied, check_files, open_ingress
from flows.deployment import deploy as put_in_force
from flows.settings import load_settings
from infra.clock import SystemClock
from schemas.errors import InvalidFlow, InvalidInput, MillraceError
from sinks.ingress.client import SocketIngress

SHORT: Final = 12  # characters of a version that are shown


def deploy(terminal: Terminal, *, files: Sequence[Path], wait: bool, tenant: str | None, home: Path | None) -> int:
    """Deploy files. Raises InvalidFlow with every problem, and then nothing is deployed."""
    settings = load_settings(home=home)
    definitions = check_files(files, settings.home, tenant)
    if not definitions.ok:
        raise InvalidFlow(definitions.problems)
    for problem in definitions.problems:
        terminal.say(str(problem))
    if not (definitions.flows or definitions.contracts or definitions.actions or definitions.policies):
        raise InvalidInput("the files define nothing; a document begins with its kind, e.g. flow: my_flow")
    with open_ingress(settings.home) as ingress:
        deployment = put_in_force(ingress, settings.home, definitions, tenant)
        runs = isinstance(ingress, SocketIngress)
    _tell(terminal, deployment)
    if wait:
        if not runs:
            raise MillraceError(f"it is deployed, but no `millrace up` runs on {settings.home}, so nothing applies it yet")
        await_applied(settings.home, deployment.end, SystemClock())
    return 0


def _tell(terminal: Terminal, deployment: Deployment) -> None:
    contracts = [{"event": one.event, "topic": one.topic, "schema": one.schema_id} for one in deployment.contracts]
    if terminal.json:
        flows = [asdict(flow) for flow in deployment.flows]
        told = {"flows": flows, "contracts": contracts, "actions": deployment.actions, "policies": deployment.policies}
        terminal.value({**told, "written": deployment.written})
        return
    for contract in contracts:
        terminal.say(f"event {contract['event']} on {contract['topic']}, schema {contract['schema']}")
    for policy in deployment.policies:
        terminal.say(f"policy {policy}")
    rows = [{**asdict(flow), "version": flow.version[:SHORT]} for flow in deployment.flows]
    terminal.rows(rows, ("flow", "tenant", "version", "change", "runs"))
