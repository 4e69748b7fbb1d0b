"""What is kept off stderr and what is not."""

from __future__ import annotations

import os

import polars as pl
import pytest
from polars.exceptions import PanicException

from schemas.errors import BadRecord
from schemas.stderr import quietly


def test_what_others_write_meanwhile_comes_out_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    assert quietly(lambda: os.write(2, b"another thread\n")) == 15
    assert capfd.readouterr().err == "another thread\n"


def test_a_panic_is_a_bad_record_without_a_report(capfd: pytest.CaptureFixture[str]) -> None:
    def panic() -> None:
        os.write(2, b"thread panicked\n")
        raise PanicException("index out of bounds")

    with pytest.raises(BadRecord, match="index out of bounds"):
        quietly(panic)
    assert capfd.readouterr().err == ""


def test_stderr_is_itself_again_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadRecord):
        quietly(lambda: pl.DataFrame({"a": [1]}).select("b"))
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
