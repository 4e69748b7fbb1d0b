"""The command line: help, exit codes, messages, and what each command does to a home, without `up`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.cli.table import COMMANDS, ROLES, load
from flows.demo.flows import demo_files
from flows.deployment import in_force
from infra.file_reader import FileReader
from infra.lock import FileLock
from schemas.topics import INGRESS_FILE, is_events

CATALOG = Path(__file__).parents[2] / "flows" / "catalog"
DEMO = Path(__file__).parents[2] / "flows" / "demo" / "flows"
FLOWS = [str(path) for path in demo_files()]
HEAVY = ("polars", "duckdb", "apsw", "numpy", "pydantic_settings", "httpx", "bytewax", "fastavro", "yaml", "pyarrow")
INCIDENT = {
    "specversion": "1.0",
    "id": "i-1",
    "source": "test",
    "type": "incident.opened",
    "time": "2026-01-05T10:00:00Z",
    "tenant": "acme",
    "data": {"incident": {"number": "INC1", "state": "New", "priority": "1 - Critical"}},
}


def millrace(*arguments: str, home: Path | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments, *(["--home", str(home)] if home else [])], catch_exceptions=False)


def answered(*arguments: str, home: Path) -> Any:
    result = millrace(*arguments, "--json", home=home)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def lines(path: Path, *events: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def records(home: Path) -> list[tuple[str, int, bytes]]:
    reader = FileReader(home / INGRESS_FILE, is_events, {})
    found = [(chunk.topic, chunk.partition, record) for chunk in reader.poll(100_000) for record in chunk.records]
    reader.close()
    return found


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    result = millrace(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Example:  millrace {command}" in " ".join(result.stdout.split()).replace("Example: ", "Example:  ")


def test_help_loads_nothing_heavy() -> None:
    script = f"""
import sys
from flows.__main__ import app
try:
    app(["deploy", "--help"])
except SystemExit:
    pass
sys.stderr.write(" ".join(name for name in {HEAVY!r} if name in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "Usage" in result.stdout
    assert result.stderr == ""


def test_every_command_and_role_of_the_table_exists() -> None:
    for place in (*COMMANDS.values(), *ROLES.values()):
        assert callable(load(place))


def test_check_prints_each_problem_with_its_place_and_ends_with_two(tmp_path: Path) -> None:
    flow = tmp_path / "bad.yaml"
    steps = "[{action: send_email, with: {template: a}, wiht: {}}]"
    flow.write_text(f"flow: bad\ntrigger: {{event: deal.closed, conditions: [deal.valeu > 5]}}\nsteps:\n  {steps}\n")
    result = millrace("check", str(CATALOG / "contracts.yaml"), str(flow), home=tmp_path / "home")
    assert result.exit_code == 2
    places = [line.split(" ")[0] for line in result.stdout.splitlines()]
    assert len(places) == 2
    assert [place.removeprefix(f"{flow}:").split(":")[0] for place in places] == ["2", "4"]
    assert "did you mean 'deal.value'?" in result.stdout
    assert "'wiht'" in result.stdout
    problems = json.loads(millrace("check", str(CATALOG / "contracts.yaml"), str(flow), "--json", home=tmp_path / "home").stdout)
    assert [problem["line"] for problem in problems] == [2, 4]


def test_check_run_shows_the_history_of_the_reference_runner(tmp_path: Path) -> None:
    events = lines(tmp_path / "events.jsonl", INCIDENT, {**INCIDENT, "id": "i-2", "tenant": "other"})
    result = answered("check", *FLOWS, "--run", events, "--tenant", "acme", home=tmp_path / "home")
    assert [(one["flow"], one["tenant"], one["status"]) for one in result["histories"]] == [
        ("ticket_escalation", "acme", "completed")
    ]
    assert [command["type"] for command in result["commands"]] == ["page_group"]
    text = millrace("check", *FLOWS, "--run", events, home=tmp_path / "home")
    assert "2 executions, 2 actions, 0 records set aside" in text.stderr


def test_a_run_says_until_when_it_waits(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    text = (
        "event: order.placed\nfields: {id: string?}\n---\nflow: slow\ntrigger: {event: order.placed}\nsteps:\n  - {delay: 1h}\n"
    )
    asked = "  - {approve: ok?, as: ask, by: {role: boss}, timeout: 2h, on_timeout: fail}\n"
    flow.write_text(text + asked)
    events = tmp_path / "events.jsonl"
    event = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "order.placed", "tenant": "acme", "data": {}}
    events.write_text(json.dumps({**event, "time": "2026-01-01T09:00:00Z"}) + "\n")
    text = millrace("check", str(flow), "--run", str(events), home=tmp_path / "home").stdout
    assert "2026-01-01T09:00:00Z entered delay_1 2026-01-01T10:00:00Z" in text
    assert '"until":"2026-01-01T12:00:00Z"' in text


def test_the_json_schema_of_the_language_is_printed() -> None:
    assert json.loads(millrace("check", "--schema").stdout)["$schema"].startswith("https://json-schema.org/")


def test_explain_says_what_starts_a_flow(tmp_path: Path) -> None:
    result = millrace("explain", *FLOWS, home=tmp_path)
    assert result.exit_code == 0
    assert "starts on each return.requested" in result.stdout


def test_deploy_refuses_everything_if_anything_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("flow: bad\ntrigger: {event: deal.closed, conditions: [deal.valeu > 5]}\nsteps: [{stop: done}]\n")
    result = millrace("deploy", *FLOWS, str(bad), home=tmp_path / "home")
    assert result.exit_code == 2
    assert f"{bad}:2:" in result.stderr
    assert in_force(tmp_path / "home").values == {}


def test_deploy_refuses_a_part_of_nothing(tmp_path: Path) -> None:
    file = tmp_path / "partial.yaml"
    contract = "event: job.made\nfields: {job: {id: string}}\n---\n"
    text = contract + "flow: jobs\ntrigger: {event: job.made}\nROLLOUT\nsteps: [{action: work}]\n"
    for rollout in ("rollout: {percent: 25, by: job.id}", "rollout: {shadow: true}"):
        file.write_text(text.replace("ROLLOUT", rollout))
        refused = millrace("deploy", str(file), home=tmp_path / "home")
        assert refused.exit_code == 2
        assert "no version of it is in force yet that the others would run; deploy it without 'rollout' first" in refused.stderr
        assert in_force(tmp_path / "home").values == {}


def test_deploy_writes_contracts_and_flows_once(tmp_path: Path) -> None:
    first = answered("deploy", *FLOWS, home=tmp_path)
    assert {flow["change"] for flow in first["flows"]} == {"new"}
    assert [contract["schema"] for contract in first["contracts"]] == list(range(1, len(first["contracts"]) + 1))
    again = answered("deploy", *FLOWS, home=tmp_path)
    assert again["written"] == 0
    assert {flow["change"] for flow in again["flows"]} == {"unchanged"}
    own = answered("deploy", str(DEMO / "refund.yaml"), "--tenant", "acme", home=tmp_path)
    assert [(flow["tenant"], flow["change"]) for flow in own["flows"]] == [("acme", "new")]


def test_send_appends_lines_as_they_are_and_tenants_keep_their_partition(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"tenant":"acme","n":1}\nnot json\n\n{"n":2}\n')
    sent = answered("send", "--topic", "support.events", str(path), home=tmp_path / "home")
    assert (sent["records"], sent["without_tenant"]) == (3, 2)
    found = records(tmp_path / "home")
    assert {record for _, partition, record in found if partition == 0} >= {b"not json", b'{"n":2}'}
    filled = answered("send", "--topic", "support.events", str(path), "--tenant", "acme", home=tmp_path / "other")
    assert filled["without_tenant"] == 1  # what is no JSON cannot be given a tenant
    assert b'{"n":2,"tenant":"acme"}' in [record for _, _, record in records(tmp_path / "other")]


def test_send_takes_a_byte_order_mark_away_and_says_what_becomes_of_lines_without_a_tenant(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"tenant":"acme","n":1}\r\nnumber,priority\r\n')
    said = millrace("send", "--topic", "support.events", str(path), home=tmp_path / "home").stderr
    assert {record for _, _, record in records(tmp_path / "home")} == {b'{"tenant":"acme","n":1}', b"number,priority"}
    assert "1 of them name no tenant, or are no JSON objects" in " ".join(said.split())
    assert "send --tenant NAME" in said


def test_send_keeps_the_order_of_records_of_several_tenants(tmp_path: Path) -> None:
    written = [f'{{"tenant":"{tenant}","n":{n}}}'.encode() for n in range(20) for tenant in ("acme", "bolt", "cobalt")]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(written))
    answered("send", "--topic", "support.events", str(path), home=tmp_path / "home")
    found = records(tmp_path / "home")
    assert [record for _, _, record in found] == written  # one clock runs for all: what is read before is not late behind others
    assert len({partition for _, partition, _ in found}) > 1


def test_send_encodes_lines_as_avro_by_a_registered_schema(tmp_path: Path) -> None:
    answered("deploy", str(CATALOG / "contracts.yaml"), home=tmp_path / "home")
    path = lines(tmp_path / "events.jsonl", INCIDENT)
    answered("send", "--topic", "support.events", "--avro", "incident.opened", path, home=tmp_path / "home")
    schema_id = in_force(tmp_path / "home").registry.contracts()["incident.opened"].schema_id
    assert [record[:5] for _, _, record in records(tmp_path / "home")] == [b"\0" + schema_id.to_bytes(4, "big")]
    wrong = lines(tmp_path / "wrong.jsonl", {**INCIDENT, "data": {"incident": {"number": 7}}})
    result = millrace("send", "--topic", "support.events", "--avro", "incident.opened", wrong, home=tmp_path / "home")
    assert result.exit_code == 2
    assert "wrong.jsonl:1" in result.stderr


def test_send_encodes_lines_by_a_schema_from_a_file_and_registers_it(tmp_path: Path) -> None:
    data = {
        "type": "record",
        "name": "d",
        "fields": [{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}],
    }
    names = ("id", "source", "type", "tenant")
    fields = [
        *({"name": name, "type": "string"} for name in names),
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]
    schema = tmp_path / "schema.avsc"
    schema.write_text(json.dumps({"type": "record", "name": "e", "fields": [*fields, {"name": "data", "type": data}]}))
    event = {
        "id": "1",
        "source": "s",
        "type": "door.opened",
        "tenant": "t",
        "time": "2026-01-05T10:00:00Z",
        "data": {"at": "2026-01-05T10:00:00.5Z"},
    }
    path = lines(tmp_path / "events.jsonl", event)
    answered("send", "--topic", "door.events", "--avro", str(schema), path, home=tmp_path / "home")
    assert "door.opened" in in_force(tmp_path / "home").registry.contracts()
    assert len(records(tmp_path / "home")) == 1


def test_send_infers_shows_and_registers_contracts(tmp_path: Path) -> None:
    event = {**INCIDENT, "type": "sensor.read", "data": {"sensor": {"id": "a", "celsius": 21.5, "seen": "2026-01-05T10:00:00Z"}}}
    path = lines(tmp_path / "events.jsonl", event, {**event, "id": "i-2", "data": {"sensor": {"id": "b", "celsius": 3}}})
    result = millrace("send", "--topic", "sensor.events", "--infer", path, home=tmp_path / "home")
    assert result.exit_code == 0
    assert "sensor.read" in result.stderr
    assert "timestamp?" in result.stderr
    assert in_force(tmp_path / "home").registry.contracts()["sensor.read"].schema_id == 1


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["send"], "nothing to send"),
        (["send", "x.jsonl"], "--topic is missing"),
        (["send", "--topic", "control", "x.jsonl"], "is no topic of events"),
        (["send", "--topic", "a.events", "no-such-file.jsonl"], "cannot be read"),
        (["connectors", "set", "*", "smtp"], "wanted http, webhook, file"),
        (["connectors", "set", "*", "http"], "needs url"),
        (["connectors", "remove", "x"], "no Millrace home"),
        (["executions", "list", "--status", "asleep"], "no status 'asleep'"),
        (["query", "select 1"], "no Millrace home"),
        (["check"], "nothing to check"),
    ],
)
def test_invalid_input_is_one_clear_message_and_exit_code_two(flags: list[str], wanted: str, tmp_path: Path) -> None:
    result = millrace(*flags, home=tmp_path / "home")
    assert result.exit_code == 2
    assert wanted in result.stderr
    assert "Traceback" not in result.stderr


def test_connector_rules_are_set_listed_and_removed(tmp_path: Path) -> None:
    said = millrace("connectors", "set", "send_*", "http", "url=http://127.0.0.1:1", "idempotent=false", home=tmp_path).stderr
    assert "rule */send_* is in force: http; events that were sent before go by what held then" in " ".join(said.split())
    millrace("connectors", "set", "*", "file", "--tenant", "acme", home=tmp_path)
    rules = answered("connectors", "list", home=tmp_path)
    assert [(rule["tenant"], rule["pattern"], rule["connector"]) for rule in rules] == [
        ("acme", "*", "file"),
        ("*", "send_*", "http"),
    ]
    assert rules[1]["settings"] == {"url": "http://127.0.0.1:1", "idempotent": False}
    answered("connectors", "remove", "send_*", home=tmp_path)
    assert [rule["tenant"] for rule in answered("connectors", "list", home=tmp_path)] == ["acme"]


def test_doctor_names_the_actions_that_no_rule_serves(tmp_path: Path) -> None:
    answered("deploy", *FLOWS, home=tmp_path)
    found = {finding["what"]: finding for finding in answered("doctor", home=tmp_path)}
    assert found["connectors"]["level"] == "note"
    assert "send_email" in found["connectors"]["detail"]
    assert "checksums verified" in found["ingress.db"]["detail"]


def test_settings_come_from_flags_before_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "millrace.toml").write_text('tenant = "from_file"\n')
    millrace("connectors", "set", "a", "file", home=tmp_path)
    monkeypatch.setenv("MILLRACE_TENANT", "from_environment")
    millrace("connectors", "set", "b", "file", home=tmp_path)
    millrace("connectors", "set", "c", "file", "--tenant", "from_flag", home=tmp_path)
    keys = [key for key in in_force(tmp_path).values if key.startswith("connector/")]
    assert keys == ["connector/from_file/a", "connector/from_environment/b", "connector/from_flag/c"]


def test_a_setting_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "millrace.toml").write_text("colour = 1\n")
    result = millrace("doctor", home=tmp_path)
    assert result.exit_code == 2
    assert "'colour' in millrace.toml is no setting" in result.stderr


def test_a_second_up_on_a_home_is_refused(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "up")
    result = millrace("up", "--until-idle", home=tmp_path)
    lock.release()
    assert result.exit_code == 1
    assert "process" in result.stderr
