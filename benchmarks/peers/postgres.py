"""A throw-away Postgres on 127.0.0.1 with its durable defaults, if the Debian package (postgresql) is installed.

initdb refuses to run as root, so as root the server runs under the account `postgres` that the package made.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROGRAMS: Final = Path("/usr/lib/postgresql")
ACCOUNT: Final = "postgres"


def find_programs() -> Path | None:
    """Give the folder of initdb and pg_ctl, the newest of Debian's or that of the PATH; None if there is none."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def server(programs: Path) -> Iterator[str]:
    """Run a fresh server; give its SQLAlchemy URL."""
    with tempfile.TemporaryDirectory(prefix="millrace-pg-", dir=os.environ.get("MILLRACE_BENCH_DIR")) as folder:
        data, port = Path(folder) / "data", _free_port()
        prefix: list[str] = []
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(folder, account.pw_uid, account.pw_gid)
            prefix = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={account.pw_gid}", "--clear-groups"]
        control = [*prefix, str(programs / "pg_ctl"), "-D", str(data), "-w", "-s"]
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        _run(
            [*prefix, str(programs / "initdb"), "-D", str(data), "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync"], folder
        )
        _run([*control, "-l", str(data / "log"), "-o", options, "start"], folder)
        try:
            yield f"postgresql://{ACCOUNT}@127.0.0.1:{port}/{ACCOUNT}"
        finally:
            _run([*control, "-m", "fast", "stop"], folder)


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
