"""`millrace fmt`: what it does to files, what it says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from flows.cli.app import app

UNTIDY = 'steps: [{with: {a: 1}, action: note}]   # all\nflow: f\ntrigger: {event: "thing.made"}\n'
TIDY = """flow: f
trigger:
  event: thing.made
steps:  # all
  - action: note
    with:
      a: 1
"""


def fmt(*arguments: str | Path, given: str = "") -> Result:
    return CliRunner().invoke(app, ["fmt", *map(str, arguments)], input=given, catch_exceptions=False)


def test_a_file_is_laid_out_once_and_for_all(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(UNTIDY)
    file.chmod(0o640)
    assert fmt(file).exit_code == 0
    assert file.read_text() == TIDY
    assert file.stat().st_mode & 0o777 == 0o640
    assert json.loads(fmt("--json", file).stdout) == {"changed": [], "files": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["f.yaml"]


def test_check_names_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    tidy, untidy = tmp_path / "a.yaml", tmp_path / "b.yaml"
    tidy.write_text(TIDY)
    untidy.write_text(UNTIDY)
    result = fmt("--check", tidy, untidy)
    assert result.exit_code == 1
    assert f"would lay out {untidy}" in result.stderr
    assert str(tidy) not in result.stderr
    assert untidy.read_text() == UNTIDY


def test_a_file_that_cannot_be_read_stays_and_the_others_are_laid_out(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(UNTIDY)
    bad.write_text("flow: f\nsteps: [&a]\n")
    result = fmt(bad, good)
    assert result.exit_code == 2
    assert f"{bad}:2:9: error[anchor]" in result.stderr
    assert bad.read_text() == "flow: f\nsteps: [&a]\n"
    assert good.read_text() == TIDY


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    result = fmt(tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr


def test_stdin_goes_to_stdout() -> None:
    assert fmt("-", given=UNTIDY).stdout == TIDY
    assert fmt("--check", "-", given=UNTIDY).exit_code == 1
