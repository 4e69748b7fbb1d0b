"""Sending again what cannot be sent, and rules that say little: an answer, never a traceback."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.deployment import append_controls, in_force, open_ingress
from flows.roles.projector import build_projector
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from schemas.ports import Append
from schemas.records import Control, DeadLetter, encode
from schemas.topics import CONTROL, DEAD_LETTERS, INGRESS_FILE, dispatcher_file
from sinks.projection.projector import ProjectorSettings
from sinks.projection.query_socket import FILE
from sinks.projection.views_file import ViewsFile
from tests.flows.driving import LAB, deployed


def millrace(home: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)], catch_exceptions=False)
    return result.exit_code, result.stdout + result.stderr


def project(home: Path, *letters: DeadLetter) -> None:
    IngressLog(home / INGRESS_FILE).close()
    with closing(IngressLog(home / dispatcher_file(0))) as log:
        log.append([Append(DEAD_LETTERS, 0, [encode(letter) for letter in letters])], SystemClock().now_us())
    with closing(ViewsFile(home / FILE)) as file:
        build_projector(home, file, ProjectorSettings(), SystemClock()).step()


@pytest.mark.parametrize("payload", [b'{"id"', b"\xff", b"[]", b"{}", b'"' + b"[" * 9, b""])
def test_an_action_whose_record_cannot_be_read_is_not_sent_again(tmp_path: Path, payload: bytes) -> None:
    letter = DeadLetter(
        kind="action",
        tenant=None,
        source="engine-0.db",
        topic="actions.http",
        partition=3,
        position=17,
        reason="malformed-json",
        detail="a detail",
        payload=payload,
        at=SystemClock().now_us(),
    )
    project(tmp_path, letter)
    code, said = millrace(tmp_path, "dlq", "redrive", "--position", "actions.http/3/17")
    assert code == 2
    assert "none of the 1 dead letters that fit can be sent again" in " ".join(said.split())


def _control_letter(position: int, record: bytes) -> DeadLetter:
    return DeadLetter(
        kind="control",
        tenant=None,
        source="ingress.db",
        topic=CONTROL,
        partition=0,
        position=position,
        reason="bad-contract",
        detail="a detail",
        payload=record,
        at=SystemClock().now_us(),
    )


def test_an_old_pointer_is_put_back_by_position_alone_and_with_a_word(tmp_path: Path) -> None:
    home, key = deployed(tmp_path / "home"), "active/*/things"
    old = in_force(home).values[key]
    new = in_force(deployed(home, LAB.replace("action: note", "action: letter"))).values[key]
    assert old != new
    project(home, _control_letter(7, encode(Control(key=key, value=old))))
    code, said = millrace(home, "dlq", "redrive")
    assert code == 2
    assert "control records are sent again by --position alone" in " ".join(said.split())
    code, said = millrace(home, "dlq", "redrive", "--position", "control/0/7")
    assert code == 2
    words = " ".join(said.split())
    assert f"{key} becomes " + json.dumps(old, separators=(",", ":")) in words
    assert "now it is " + json.dumps(new, separators=(",", ":")) in words
    assert "add --put-back" in words
    assert in_force(home).values[key] == new
    code, said = millrace(home, "dlq", "redrive", "--position", "control/0/7", "--put-back")
    assert code == 0
    assert in_force(home).values[key] == old


def test_a_rule_without_settings_is_listed_and_one_that_cannot_be_read_is_not_in_force(tmp_path: Path) -> None:
    with open_ingress(tmp_path) as ingress:
        append_controls(ingress, {"connector/*/send_*": {"connector": "http"}, "connector/acme/odd": ["http"]})
    code, said = millrace(tmp_path, "connectors", "list", "--json")
    assert code == 0
    assert json.loads(said) == [{"tenant": "*", "pattern": "send_*", "connector": "http", "settings": {}}]
