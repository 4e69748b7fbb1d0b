"""The recorder as a process: the first time 201 and on the disk, the same key again 200, and faults by seed and key."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.demo.recorder import FILE, fault_of


@contextmanager
def recorder(folder: Path, seed: int = 7) -> Iterator[http.client.HTTPConnection]:
    command = [sys.executable, "-m", "flows.demo.recorder", str(folder), "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=20)
        try:
            yield connection
        finally:
            connection.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def post(connection: http.client.HTTPConnection, key: str | None, body: str) -> tuple[int, bytes]:
    connection.request("POST", "/commands", body, {"idempotency-key": key} if key else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def key_with(fault: str) -> str:
    return next(key for key in map(str, range(10_000)) if fault_of(7, key, 1) == fault and fault_of(7, key, 2) == "none")


def test_a_command_is_accepted_once_and_its_answer_repeated(tmp_path: Path) -> None:
    key = key_with("none")
    with recorder(tmp_path) as connection:
        first = post(connection, key, '{"a":1}')
        again = post(connection, key, '{"a":1}')
        other = post(connection, key, '{"a":2}')
        assert (first[0], again[0], other[0]) == (201, 200, 422)
        assert first[1] == again[1]
        assert post(connection, None, "{}")[0] == 400
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [(line["what"], line["key"]) for line in lines] == [("accepted", key), ("again", key), ("conflict", key)]
    assert lines[0]["body"] == {"a": 1}


def test_a_fault_accepts_nothing_and_the_next_attempt_succeeds(tmp_path: Path) -> None:
    with recorder(tmp_path) as connection:
        for fault, status in (("unavailable", 503), ("too_many", 429), ("slow", 201)):
            key = key_with(fault)
            assert post(connection, key, "{}")[0] == status
            assert post(connection, key, "{}")[0] == (200 if fault == "slow" else 201)
    lines = [json.loads(line)["what"] for line in (tmp_path / FILE).read_text().splitlines()]
    assert lines == ["refused", "accepted", "refused", "accepted", "accepted", "again"]


def test_faults_are_few_and_end() -> None:
    first = [fault_of(7, str(key), 1) for key in range(5_000)]
    assert 50 < sum(fault != "none" for fault in first) < 250
    assert all(fault_of(7, str(key), 3) == "none" for key in range(5_000))
