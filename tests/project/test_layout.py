"""The shape of the repository: sizes, doors, locks, and nothing of the machine it was written on."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("schemas", "operators", "features", "models", "sinks", "infra", "flows")
LINES_MAX = 500
PARAMETERS_MAX = 6
DOORS = {
    "apsw": r"infra/(sqlite\w*|faults)\.py",
    "duckdb": r"sinks/projection(/\w+)?\.py",
    "httpx": r"sinks/connectors/\w+\.py",
    "bytewax": r"flows/run_bytewax\.py|benchmarks/peers/bytewax_\w+\.py",
    "fastavro": r"schemas/avro/\w+\.py",
    "dbos": r"benchmarks/peers/dbos_\w+\.py",
    "zen": r"benchmarks/peers/zen_\w+\.py",
}
ONE_FILE = ("httpx", "bytewax", "fastavro", "zen")
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
LOCKS = ("core.txt", "dev.txt", "bench.txt")


def tracked(*patterns: str) -> list[Path]:
    """List the files that git tracks; skip where this is no clone."""
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    """Give the name and text of every tracked text file."""
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            yield str(path.relative_to(ROOT)), data.decode()


@cache
def parsed(path: Path) -> list[ast.AST]:
    """Give all nodes of a file."""
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imported(path: Path) -> set[str]:
    """Give the top names of all modules that a file imports."""
    names: set[str] = set()
    for node in parsed(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_modules_stay_small() -> None:
    long = {path.name: lines for path in tracked("*.py") if (lines := path.read_text().count("\n")) > LINES_MAX}
    assert long == {}


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_has_one_door(library: str) -> None:
    scope = [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] in (*ROOMS, "benchmarks")]
    users = [str(path.relative_to(ROOT)) for path in scope if library in imported(path)]
    strangers = [user for user in users if not re.fullmatch(DOORS[library], user)]
    if library == "apsw":  # the yardstick measures SQLite itself
        strangers = [user for user in strangers if user != "benchmarks/yardsticks.py"]
    assert strangers == []
    assert library not in ONE_FILE or sum(not user.startswith("benchmarks/peers/") for user in users) <= 1


def test_no_import_hides_in_a_function() -> None:
    hidden = []
    for path in tracked("*.py"):
        if path.relative_to(ROOT).parts[0] not in (*ROOMS, "benchmarks"):
            continue
        for node in parsed(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found = [inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)]
                hidden += [f"{path.relative_to(ROOT)}:{inner.lineno}" for inner in found]
    assert hidden == []


def test_no_file_is_named_for_nothing() -> None:
    empty_names = {"utils", "util", "helpers", "helper", "common", "manager", "base", "core", "misc"}
    assert [path for path in tracked("*.py") if path.stem in empty_names] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_and_hash_everything_and_name_no_index(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    loose = [entry.split("\n")[0] for entry in entries if "==" not in entry.split("\n")[0] or "--hash=sha256:" not in entry]
    assert entries
    assert loose == []


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"core.txt": project["dependencies"]}
    wanted |= {
        f"{extra}.txt": project["dependencies"] + asked
        for extra, asked in project["optional-dependencies"].items()
        if extra in ("dev", "bench")
    }
    for lock, requirements in wanted.items():
        pinned = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))
        names = {re.split(r"[<>=!~\[ ;]", requirement)[0].lower() for requirement in requirements}
        assert names <= {name.lower() for name in pinned}, f"requirements/{lock} is old: make lock"


def test_nothing_tracked_names_this_machine() -> None:
    paths = re.compile("|".join(f"/{name}/" for name in ("root", "work", "home")))
    named = [f"{name}: {found.group()}" for name, text in texts() if (found := paths.search(text))]
    assert named == []


def test_nothing_tracked_names_a_registry_of_this_machine() -> None:
    values = [value for name, value in os.environ.items() if re.search("INDEX|REGISTRY|PROXY|FIND_LINKS|MIRROR", name.upper())]
    hosts = {urlsplit(word).hostname for value in values for word in re.split(r"[\s,]+", value) if "://" in word}
    private = {host for host in hosts if host and host not in THIS_MACHINE}
    options = re.compile(r"--(extra-)?index" + r"-url|trusted" + r"-host|registry\s*=\s*http")
    named = [name for name, text in texts() if options.search(text) or any(host in text for host in private)]
    assert named == []
