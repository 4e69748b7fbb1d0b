import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from flows.roles.http_door import API_KEY_FILE, PORT_FILE, build_door, door_of
from infra.embedded_log import IngressLog
from infra.key_file import made_key, read_key
from schemas.errors import StorageFailed
from sinks.links import KEY_FILE
from tests.sinks.world import HandClock


def opened(home: Path, port: int = 0) -> int:
    with closing(IngressLog(home / "ingress.db")):
        http, doors = build_door(home, HandClock(), 8, port)
        found = int(http.listener.getsockname()[1])
        assert http.listener.getsockname()[0] == "127.0.0.1"
        doors.control.close()
        http.listener.close()
    return found


def test_the_port_is_written_into_the_home_and_kept(tmp_path: Path) -> None:
    assert door_of(tmp_path) is None
    first = opened(tmp_path)
    assert door_of(tmp_path) == f"http://127.0.0.1:{first}"
    assert opened(tmp_path) == first
    with socket.create_server(("127.0.0.1", first)):
        other = opened(tmp_path)
    assert other != first
    assert (tmp_path / PORT_FILE).read_text() == f"{other}\n"


def test_a_port_that_is_wanted_and_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StorageFailed, match=f"port {port} of 127.0.0.1 is taken; name another with --port"):
            opened(tmp_path, port)


def test_keys_are_their_owners_alone_and_stay(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        opened(tmp_path)
    finally:
        os.umask(mask)
    keys = {name: (tmp_path / name).read_text() for name in (KEY_FILE, API_KEY_FILE)}
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in keys} == {0o600}
    opened(tmp_path)
    assert keys == {name: (tmp_path / name).read_text() for name in keys}
    assert len(set(keys.values())) == 2


def test_a_key_that_others_may_read_or_that_is_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k"
    with pytest.raises(StorageFailed, match="there is no key"):
        read_key(path)
    made_key(path)
    path.chmod(0o640)
    with pytest.raises(StorageFailed, match="chmod 600"):
        made_key(path)
    path.chmod(0o600)
    path.write_text("00ff")
    with pytest.raises(StorageFailed, match="has 2 bytes"):
        made_key(path)
