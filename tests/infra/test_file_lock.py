import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded_log import IngressLog
from infra.lock import FileLock
from infra.state_store import SqliteStateStore
from schemas.errors import HomeLocked, StorageFailed


def test_a_second_writer_is_refused_and_told_who_holds_the_file(tmp_path: Path) -> None:
    log = IngressLog(tmp_path / "ingress.db")
    with pytest.raises(HomeLocked, match=rf"process {os.getpid()} writes this file.*kill {os.getpid()}"):
        IngressLog(tmp_path / "ingress.db")
    log.close()
    IngressLog(tmp_path / "ingress.db").close()


def test_the_lock_ends_with_its_process_and_is_not_kept_by_its_children(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys
from pathlib import Path
from infra.lock import FileLock
FileLock(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "engine-0.db")], capture_output=True, text=True, check=False, timeout=30
    )
    child = int(told.stdout)
    try:
        FileLock(tmp_path / "engine-0.db").release()
    finally:
        os.kill(child, 9)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_folder_is_named_in_the_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageFailed, match="the home must be a writable folder"):
            SqliteStateStore(tmp_path / "engine-0.db")
    finally:
        tmp_path.chmod(0o700)


def test_a_home_that_is_no_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StorageFailed, match="cannot make the lock file"):
        SqliteStateStore(tmp_path / "home" / "engine-0.db")
