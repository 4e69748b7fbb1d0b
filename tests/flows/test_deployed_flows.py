"""A flow that is deployed can be called by one that comes later, locked to the version that is in force then."""

from __future__ import annotations

from pathlib import Path

from flows.deployed_flows import DeployedFlows
from flows.deployment import check_files, in_force
from schemas.expression.type_text import parse_type
from schemas.program import Call
from tests.flows.driving import command, deployed

CALLEE = """\
event: thing.made
fields: {thing: {id: string}}
---
flow: callee
inputs: {id: string}
trigger: {manual: {roles: [desk]}, id: inputs.id}
steps: [{delay: 1h}]
output: {id: "{{ inputs.id }}"}
"""
CALLER = """\
flow: caller
trigger: {event: thing.made}
steps:
  - {call: callee, as: back, timeout: 1d, with: {id: "{{ thing.id }}"}}
output: {id: "{{ back.id }}"}
"""


def call_in(file: Path, home: Path) -> Call:
    found = check_files([file], home)
    assert found.errors == ()
    (call,) = [step for step in found.flows[0].program.steps if isinstance(step, Call)]
    return call


def test_a_caller_is_locked_to_the_version_in_force(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home", CALLEE)
    file = tmp_path / "caller.yaml"
    file.write_text(CALLER)
    first = call_in(file, home)
    assert first.version == in_force(home).values["active/*/callee"]["version"]
    assert first.result == parse_type({"id": "string"})
    deployed(home, CALLEE.replace("1h", "2h"))
    assert call_in(file, home).version == in_force(home).values["active/*/callee"]["version"] != first.version


def test_a_flow_that_nobody_deployed_is_told(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home", CALLEE.replace("flow: callee", "flow: caller"))
    file = tmp_path / "caller.yaml"
    file.write_text(CALLER)
    ended = command("check", str(file), home=home, code=2)
    assert "4:12: error[unknown-flow]: no flow 'callee' is known that could be called" in ended.stderr + ended.stdout


def test_the_flow_of_a_tenant_is_found_where_there_is_none_for_all(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home", CALLEE.replace("inputs:", "tenant: acme\ninputs:"))
    found = DeployedFlows(home, in_force(home).values)
    flow = found("callee")
    assert flow is not None
    assert flow.version == in_force(home).values["active/acme/callee"]["version"]
    assert found("nobody") is None
