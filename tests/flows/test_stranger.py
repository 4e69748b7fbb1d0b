"""What a stranger meets at the command line: each mistake is told as it is, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.check import check
from flows.cli.terminal import Terminal
from flows.settings import load_settings
from schemas.errors import InvalidInput
from tests.flows.driving import command

FLOW = """\
{event: order.placed, fields: {order: {id: string, total: money(GBP)}}}
---
{policy: most, type: money(GBP), value: 5 GBP}
---
{action: note, params: {id: string}}
---
flow: large
trigger: {event: order.placed, conditions: [order.total > policies.most]}
steps: [{action: note, with: {id: "{{ order.id }}"}}]
"""
EVENT = (
    '{"specversion":"1.0","id":"1","source":"x","type":"order.placed","time":"2026-05-28T20:26:40Z","tenant":"acme",'
    '"data":{"order":{"id":"A","total":"TOTAL GBP"}}}\n'
)


@pytest.mark.parametrize(("total", "executions"), [("6", 1), ("5", 0)])
def test_a_run_of_files_goes_by_their_policies(
    total: str, executions: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.yaml").write_text(FLOW)
    (tmp_path / "e.jsonl").write_text(EVENT.replace("TOTAL", total))
    asked = {"schema": False, "tenant": None, "home": tmp_path / "home"}
    assert check(Terminal(), files=[tmp_path / "f.yaml"], run=tmp_path / "e.jsonl", **asked) == 0  # type: ignore[arg-type]
    assert f"{executions} executions, {executions} actions" in capsys.readouterr().err


@pytest.mark.parametrize("tenant", ["a/b", "", "*", "..", "a\\b", "x" * 300, "\udcff"])
def test_what_can_be_no_tenant_is_none(tenant: str) -> None:
    with pytest.raises(InvalidInput, match="is no tenant; write a name without / and"):
        load_settings(tenant=tenant)
    assert load_settings(tenant="-").tenant == "-"


def test_an_unknown_setting_is_told_with_a_near_name(tmp_path: Path) -> None:
    (tmp_path / "millrace.toml").write_text("retentoin_days = 3")
    with pytest.raises(InvalidInput, match=r"'retentoin_days' in millrace\.toml is no setting; did you mean 'retention_days'"):
        load_settings(home=tmp_path)


@pytest.mark.parametrize("url", ["secrets.hook_url", "{{ secrets.host }}/orders", "HTTPS://api.example.com"])
def test_an_address_may_be_a_secret_by_reference(url: str, tmp_path: Path) -> None:
    command("connectors", "set", "book", "http", f"url={url}", home=tmp_path)
    assert url in command("connectors", "list", home=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["send", "--topic", "a b.events", "x"], "a b.events is no topic of events"),
        (["send", "--topic", "x.events", "nofile"], "nofile cannot be read (No such file or directory)"),
        (["connectors", "set", "book", "http", "url=ftp://x"], "url 'ftp://x' is no address; write one like https://"),
        (["test", "adir"], "folder adir holds no file that ends in .yaml, .yml, .json"),
    ],
)
def test_a_mistake_is_told_as_it_is(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adir").mkdir()
    assert said in command(*words, home=tmp_path / "home", code=2).stderr
