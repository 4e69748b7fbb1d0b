"""From a webhook to a refund that a person let through, over the real processes: nothing is lost when the server is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from flows.roles.http_door import API_KEY_FILE, door_of
from infra.clock import SystemClock
from sinks.connectors.webhook import sign
from tests.flows.driving import ROOT, command, deployed, value

RETURNS = """
event: return.requested
topic: returns.events
fields: {return: {id: string, amount: money(GBP)}}
---
flow: returns
tenant: acme
trigger:
  webhook: shop/returns
  event: return.requested
  signature: {header: X-Signature, scheme: hmac-sha256, secret: secrets.shop_hook, tolerance: 5m}
  id: return.id
steps:
  - {approve: "Refund {{ return.amount }}?", as: approval, by: {role: lead}, timeout: 3d, on_timeout: rejected}
  - {branch: [{when: approval.outcome == "rejected", then: [{stop: refused}]}], else: continue}
  - {action: refund, as: refund, await: true, timeout: 1h, with: {id: "{{ return.id }}", by: "{{ approval.by }}"}}
---
flow: collection
inputs: {invoice_id: string}
trigger: {manual: {roles: [finance]}, id: inputs.invoice_id}
steps: [{delay: 2h}]
"""
WAIT_S = 60


def eventually(look: Callable[[], Any]) -> Any:
    """Wait until something is there."""
    give_up_s = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < give_up_s, "it did not happen in time"
        threading.Event().wait(0.05)
    return found


@contextmanager
def up(home: Path) -> Iterator[int]:
    """Run a home; gives the supervisor's process id."""
    line = [sys.executable, "-m", "flows", "up", "--home", str(home)]
    environment = {**os.environ, "MILLRACE_SECRET_SHOP_HOOK": "hush"}
    running = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: (home / "ingress.sock").exists() and door_of(home))
        yield running.pid
    finally:
        running.terminate()
        running.wait(WAIT_S)


def hook(home: Path, name: str) -> int:
    """Post as a shop would: again until it is answered."""
    body = msgspec.json.encode({"return": {"id": name, "amount": 12.5}})
    headers = {"X-Signature": sign("hush", SystemClock().now_us() // 1_000_000, body)}
    try:
        return httpx.post(f"{door_of(home)}/hooks/acme/shop/returns", content=body, headers=headers, timeout=5).status_code
    except httpx.HTTPError:
        return 0


def server_of(supervisor: int) -> int:
    """Find the server's process among the supervisor's children."""
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if b"\0run\0server\0" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_return_is_requested_decided_and_refunded_though_the_server_dies(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home", RETURNS)
    with up(home) as supervisor:
        eventually(lambda: hook(home, "R1") == 202)
        os.kill(eventually(lambda: server_of(supervisor)), signal.SIGKILL)
        eventually(lambda: hook(home, "R2") == 202)
        assert hook(home, "R1") == 202
        rows = eventually(lambda: len(asked := value("approvals", "list", "--links", home=home)) == 2 and asked)
        first, second = (row["links"][0]["url"] for row in rows)
        assert httpx.post(first, json={"outcome": "approved", "by": "lea"}).status_code == 202
        assert httpx.post(second[:-2], json={"outcome": "approved", "by": "eve"}).status_code == 403
        command("approvals", "decide", rows[1]["execution"], "approval", "rejected", "--by", "lea", "--role", "lead", home=home)
        bearer = {"Authorization": f"Bearer {(home / API_KEY_FILE).read_text().strip()}"}
        start = {"tenant": "acme", "inputs": {"invoice_id": "I7"}, "roles": ["finance"]}
        for _ in range(2):
            assert httpx.post(f"{door_of(home)}/flows/collection/start", json=start, headers=bearer).status_code == 202

        def ended() -> Any:
            found = value("executions", "list", home=home)
            done = sorted(row["status"] for row in found if row["flow"] == "returns") == ["completed", "completed"]
            return done and any(row["flow"] == "collection" for row in found) and found

        found = eventually(ended)
        assert [row["status"] for row in found if row["flow"] == "collection"] == ["waiting"]
        assert sorted(row["status"] for row in value("approvals", "list", "--all", home=home)) == ["approved", "rejected"]
        refused = [row["name"] for row in value("executions", "history", rows[1]["execution"], home=home)]
        assert refused.count("approval.refused") == 1
        assert "POST /hooks/acme/shop/returns" in command("doctor", home=home).stdout
    lines = (home / "actions" / "acme" / "refund.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["data"] for line in lines] == [{"id": "R1", "by": "lea"}]
