"""Bad records through the real command line and the real roles: each becomes a dead letter, everything else goes on."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

from flows.deployment import check_files, in_force, open_ingress, register_contracts
from schemas.events import encode_events
from schemas.records import APPEND_BYTES_MAX, RECORD_BYTES_MAX
from schemas.topics import INGRESS_FILE
from sinks.ingress.protocol import Item
from tests.flows.driving import command, deployed, process, sent, thing, value

pytestmark = pytest.mark.slow


def _raw(name: str, fields: bytes) -> bytes:
    whole = json.dumps(thing(name)).encode()
    return whole.replace(b'"id": "' + name.encode() + b'"}', b'"id": "' + name.encode() + b'", ' + fields + b"}")


def _envelope(name: str, **changes: Any) -> bytes:
    return json.dumps({**thing(name), **changes}).encode()


JSON = {  # name → record, reason, tenant of the letter
    "cut": (b'{"id": "x", "tenant": "acme", "type": "thing.made"', "malformed-json", None),
    "no_json": (b"not json", "malformed", None),
    "no_object": (b"[1, 2]", "malformed", None),
    "two": (_envelope("two") + _envelope("two"), "malformed-json", None),
    "unbalanced": (_envelope("unbalanced") + b"}", "malformed-json", None),
    "opens_too_much": (b'{"a":[' + _envelope("opens"), "malformed-json", None),
    "empty": (b"{}", "unknown-event", None),
    "unknown": (_envelope("unknown", type="thing.lost"), "unknown-event", "acme"),
    "no_tenant": (json.dumps({k: v for k, v in thing("no_tenant").items() if k != "tenant"}).encode(), "no-tenant", None),
    "empty_tenant": (_envelope("empty_tenant", tenant=""), "no-tenant", None),
    "path_tenant": (_envelope("path_tenant", tenant="../../etc"), "bad-name", "../../etc"),
    "long_tenant": (_envelope("long_tenant", tenant="t" * 257), "bad-name", "t" * 257),
    "control_tenant": (_envelope("control_tenant", tenant="ac\u0000me"), "bad-name", "ac\u0000me"),
    "no_id": (_envelope("no_id", id=""), "no-id", "acme"),
    "control_id": (_envelope("control_id", id="a\u0007\u001b[31m"), "bad-name", "acme"),
    "nan": (_raw("nan", b'"size": NaN'), "malformed-json", None),
    "infinity": (_raw("infinity", b'"size": -Infinity'), "malformed-json", None),
    "float_too_large": (_raw("float_too_large", b'"size": 1e400'), "wrong-schema", "acme"),
    "any_too_large": (_raw("any_too_large", b'"extra": [1e400]'), "not-finite", "acme"),
    "int_too_large": (_raw("int_too_large", b'"count": 9223372036854775808'), "wrong-schema", "acme"),
    "decimal_too_large": (_raw("decimal_too_large", b'"price": 1e1000000'), "wrong-schema", "acme"),
    "wrong_type": (_raw("wrong_type", b'"count": "5"'), "wrong-schema", "acme"),
    "wrong_currency": (_raw("wrong_currency", b'"cost": "12.00 USD"'), "wrong-schema", "acme"),
    "old": (_envelope("old", time="1969-12-31T23:59:59Z"), "bad-time", "acme"),
    "far": (_envelope("far", time="2200-01-01T00:00:01Z"), "bad-time", "acme"),
    "ahead": (_envelope("ahead", time="2199-01-01T00:00:00Z"), "bad-time", "acme"),
    "no_time": (_envelope("no_time", time="yesterday"), "bad-time", "acme"),
    "old_data": (_raw("old_data", b'"made_at": "1900-01-01T00:00:00Z"'), "bad-time", "acme"),
    "large": (_raw("large", b'"extra": "' + b"x" * RECORD_BYTES_MAX + b'"'), "too-large", "acme"),
    "surrogate": (_raw("surrogate", b'"extra": "\\ud800"'), "malformed-json", None),
    "raw_control": (_raw("raw_control", b'"extra": "\x1b[2J"'), "malformed-json", None),
    "latin_1": (_raw("latin_1", b'"extra": "\xe9t\xe9"'), "malformed-json", "acme"),
    "deep": (_raw("deep", b'"extra": ' + b"[" * 200 + b"]" * 200), "too-deep", "acme"),
    "deeper": (_raw("deeper", b'"extra": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "too-deep", None),
    "hops": (_envelope("hops", hops=65), "hops", "acme"),
}
FINE = {
    "non_ascii": {**thing("non_ascii", extra="日本 \U0001f600 é"), "tenant": "tênant"},
    "control_text": thing("control_text", extra="\u0000\u001b[31m"),
    "edge_time": {**thing("edge_time"), "time": "1970-01-01T00:00:00Z"},
    "unusual_decimal": thing("unusual_decimal", price=0),
}


@dataclass(frozen=True)
class World:
    """A home that has worked off good and bad records, side by side."""

    home: Path
    letters: list[dict[str, Any]]
    good: set[str]


def _avro(home: Path) -> dict[str, tuple[bytes, str]]:
    """Give bad frames by name with their reasons, and the good one that they were made of as `good`."""
    contract = in_force(home).registry.contract("thing.made")
    assert contract is not None
    event = {**thing("avro"), "time": 1_767_607_200_000_000}
    (good,) = encode_events(contract, [event])
    (nan,) = encode_events(contract, [{**event, "data": {"thing": {"id": "nan", "size": float("nan")}}}])
    return {
        "good": (good, ""),
        "nan": (nan, "not-finite"),
        "truncated": (good[:-3], "wrong-schema"),
        "left over": (good + b"\0", "wrong-schema"),
        "garbage": (good[:5] + b"\xff" * 40, "wrong-schema"),
        "head alone": (good[:5], "wrong-schema"),
        "unknown schema": (b"\0\xff\xff\xff\xff" + good[5:], "unknown-schema"),
        "half a head": (b"\0\0", "malformed"),
        "other magic": (b"\1" + good[1:], "malformed"),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    home = deployed(tmp_path_factory.mktemp("bad") / "home")
    lines: list[dict[str, Any] | bytes] = []
    for name, (record, _, _) in JSON.items():
        lines += [record, thing(f"behind_{name}")]
    sent(home, *lines, *FINE.values())
    with open_ingress(home) as ingress:
        ingress.append([Item("lab.events", [frame for frame, _ in _avro(home).values()], None, 3)])
    process("up", "--until-idle", home=home)
    events = value("query", "select data->>'$.thing.id' as id from events", home=home)
    return World(home, value("dlq", "list", "--limit", "1000", home=home), {event["id"] for event in events})


def _payload(letter: dict[str, Any]) -> bytes:
    text: str = letter["payload"]
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode()


def _places(home: Path) -> dict[bytes, tuple[int, int]]:
    sql = "select partition, position, to_base64(payload) as payload from dead_letters"
    found = value("query", sql, home=home)
    return {base64.b64decode(row["payload"]): (row["partition"], row["position"]) for row in found}


@pytest.mark.parametrize("name", JSON)
def test_a_bad_record_is_a_dead_letter_with_its_bytes_reason_tenant_and_a_sentence(name: str, world: World) -> None:
    record, reason, tenant = JSON[name]
    (letter,) = [one for one in world.letters if _payload(one) == record]
    assert (letter["reason"], letter["tenant"], letter["topic"], letter["kind"]) == (reason, tenant, "lab.events", "event")
    assert letter["detail"]


def test_nothing_else_is_a_dead_letter_and_no_place_is_told_twice(world: World) -> None:
    assert len(world.letters) == len(JSON) + len(_avro(world.home)) - 1
    places = {(one["partition"], one["position"]) for one in world.letters}
    assert len(places) == len(world.letters)


def test_the_neighbours_of_bad_records_start_their_executions(world: World) -> None:
    assert world.good >= {f"behind_{name}" for name in JSON} | set(FINE) | {"avro"}
    counts = value("query", "select status, count(*) as n from executions group by all", home=world.home)
    assert counts == [{"status": "completed", "n": len(world.good)}]
    extras = value("query", "select params->>'$.extra' as extra from actions", "--tenant", "tênant", home=world.home)
    assert extras == [{"extra": "日本 \U0001f600 é"}]


def test_bad_frames_are_dead_letters_at_their_positions(world: World) -> None:
    places = _places(world.home)
    frames = _avro(world.home)
    base = min(position for frame, (partition, position) in places.items() if frame in [f for f, _ in frames.values()])
    for at, (name, (frame, reason)) in enumerate(frames.items()):
        if name == "good":
            assert frame not in places
            continue
        assert places[frame] == (3, base - 1 + at), name
        (letter,) = [one for one in world.letters if (one["partition"], one["position"]) == places[frame]]
        assert letter["reason"] == reason, name


def test_letters_are_listed_by_tenant_and_those_without_by_a_dash(world: World) -> None:
    without = value("dlq", "list", "--tenant", "-", "--limit", "1000", home=world.home)
    assert {_payload(one) for one in without} >= {record for record, _, tenant in JSON.values() if tenant is None}
    assert all(one["tenant"] is None for one in without)
    ours = value("dlq", "list", "--tenant", "acme", "--reason", "bad-time", home=world.home)
    assert len(ours) == sum(reason == "bad-time" for _, reason, _ in JSON.values())


def test_a_listing_holds_no_character_that_a_terminal_obeys(world: World) -> None:
    text = command("dlq", "list", "--limit", "1000", home=world.home).stdout
    assert "ac\\x00me" in text
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable() and letter != "\ufeff"]
    asked = command("query", "select chr(27) || '[2J' || chr(155) || chr(8238) as x", home=world.home).stdout
    assert "\\x1b[2J\\x9b\\u202e" in asked


def test_what_is_mended_starts_once_however_often_it_is_sent_again(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    sent(home, thing("first"), {**thing("later"), "type": "thing.lost"}, b"not json")
    process("up", "--until-idle", home=home)
    fix = tmp_path / "fix.yaml"
    fix.write_text(
        "event: thing.lost\ntopic: lab.events\nfields: {thing: {id: string}}\n---\n"
        'flow: lost\ntrigger: {event: thing.lost}\nsteps: [{action: search, with: {id: "{{ thing.id }}"}}]\n'
    )
    command("deploy", str(fix), home=home)
    assert value("dlq", "redrive", "--reason", "unknown-event", home=home) == {"redriven": 1, "left": 0}
    assert value("dlq", "redrive", home=home) == {"redriven": 2, "left": 0}
    process("up", "--until-idle", home=home)
    assert value("query", "select flow, status from executions order by flow", home=home) == [
        {"flow": "lost", "status": "completed"},
        {"flow": "things", "status": "completed"},
    ]
    assert value("dlq", "redrive", "--reason", "unknown-event", home=home)["redriven"] == 1
    process("up", "--until-idle", home=home)
    assert value("query", "select count(*) as n from actions where type = 'search'", home=home) == [{"n": 1}]
    letters = value("query", "select reason, count(*) as n from dead_letters group by all order by all", home=home)
    assert letters == [{"reason": "malformed", "n": 2}, {"reason": "unknown-event", "n": 1}]


def test_a_record_without_a_tenant_is_mended_by_a_default_tenant(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    sent(home, {name: part for name, part in thing("orphan").items() if name != "tenant"})
    process("up", "--until-idle", home=home)
    assert value("dlq", "redrive", "--tenant", "-", home=home)["redriven"] == 1
    process("up", "--until-idle", "--default-tenant", "acme", home=home)
    assert value("query", "select tenant, status from executions", home=home) == [{"tenant": "acme", "status": "completed"}]


def test_a_line_over_16_mib_is_refused_by_its_number_and_what_came_before_is_sent(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    file = tmp_path / "large.jsonl"
    good = json.dumps(thing("good")).encode()
    file.write_bytes(good + b"\n" + b"x" * (APPEND_BYTES_MAX + 1) + b"\n" + good + b"\n")
    said = command("send", "--topic", "lab.events", str(file), home=home, code=2).stderr
    assert "large.jsonl:2" in said
    topics = {topic["topic"]: topic["records"] for topic in value("topics", home=home)}
    assert topics.get("lab.events", 0) in (0, 1)


def test_broken_bytes_in_the_log_lose_themselves_alone(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    sent(home, *(thing(str(number)) for number in range(50)))
    before = (home / INGRESS_FILE).read_bytes()
    _break_one_record(home / INGRESS_FILE, b"e-25")
    found = {finding["what"]: finding for finding in value("doctor", home=home, code=1)}
    assert "damaged: lab.events/" in found["ingress.db"]["detail"]
    process("up", "--until-idle", home=home)
    assert value("query", "select count(*) as n from executions", home=home) == [{"n": 49}]
    (letter,) = value("dlq", "list", home=home)
    assert (letter["reason"], letter["position"], letter["payload"]) == ("damaged", 25, "")
    assert "restore the file" in letter["detail"]
    assert "damaged" in command("dlq", "redrive", home=home, code=2).stderr
    assert before != (home / INGRESS_FILE).read_bytes()


def _break_one_record(path: Path, where: bytes) -> None:
    connection = apsw.Connection(str(path))
    (table,) = [name for (name,) in connection.execute("select name from sqlite_master where name glob 'log_2*[0-9]'")]
    for seq, pack in list(connection.execute(f"select seq, pack from {table}")):
        at = bytes(pack).find(where)
        if at >= 0:
            broken = bytes(pack[:at]) + b"\xff" + bytes(pack[at + 1 :])
            connection.execute(f"update {table} set pack = ? where seq = ?", (broken, seq))
    connection.close()


def test_a_flow_that_fails_at_run_time_fails_alone(tmp_path: Path) -> None:
    contract = "event: part.made\ntopic: lab.events\nfields: {part: {id: {}, extra: any?}}\n"
    flows = """---
flow: talks
trigger: {event: part.made}
steps:
  - action: greet
    with: {text: "part {{ part.id }}"}
---
flow: counts
trigger: {event: part.made}
steps: [{action: note, with: {id: "{{ part.id }}"}}]
"""
    home = deployed(tmp_path / "home", contract.replace("{}", "string") + flows)
    (tmp_path / "looser.yaml").write_text(contract.replace("{}", "string?"))
    with open_ingress(home) as ingress:  # past the check: what was promised when the flow was checked no longer holds
        register_contracts(ingress, home, check_files([tmp_path / "looser.yaml"], home).contracts)
    part = {**thing("x"), "type": "part.made"}
    parts = [{**part, "id": name, "data": {"part": {"id": name}}} for name in ("a", "b")]
    sent(home, parts[0], {**part, "id": "none", "data": {"part": {}}}, parts[1])
    process("up", "--until-idle", home=home)
    listed = value("executions", "list", "--status", "failed", home=home)
    assert [(one["flow"], one["trigger_event"]) for one in listed] == [("talks", "none")]
    assert "part.id is missing" in listed[0]["error"]
    assert "coalesce" in listed[0]["error"]
    shown = value("executions", "show", listed[0]["execution"], home=home)
    assert [step["outcome"] for step in shown["steps"]] == ["failed"]
    assert shown["actions"] == []
    counts = value("query", "select flow, status, count(*) as n from executions group by all order by all", home=home)
    assert [(one["flow"], one["status"], one["n"]) for one in counts] == [
        ("counts", "completed", 3),
        ("talks", "completed", 2),
        ("talks", "failed", 1),
    ]
    assert "1 failed" in {one["what"]: one["detail"] for one in value("doctor", home=home)}["executions"]
