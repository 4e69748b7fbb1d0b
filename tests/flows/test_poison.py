"""Records that kill whatever process decodes them: each is found and set aside, all others are worked off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.flows.driving import ROOT, deployed, process, sent, thing, value

DEADLY: Final = os.pathsep.join((str(Path(__file__).parent / "deadly"), str(ROOT)))
KILLERS: Final = (5, 10, 11)  # two of them side by side


@pytest.mark.slow
def test_records_that_kill_the_decoder_become_poison_and_their_neighbours_go_on(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    sent(home, *(thing(f"KILLER{number}" if number in KILLERS else str(number)) for number in range(200)))
    process("up", "--until-idle", home=home, environment={"PYTHONPATH": DEADLY})
    letters = value("dlq", "list", "--reason", "poison", home=home)
    assert sorted(letter["position"] for letter in letters) == list(KILLERS)
    assert all(letter["kind"] == "poison" and "KILLER" in letter["payload"] and letter["detail"] for letter in letters)
    assert value("query", "select status, count(*) as n from executions group by all", home=home) == [
        {"status": "completed", "n": 197}
    ]
    assert value("query", "select count(*) as n from events", home=home) == [{"n": 197}]

    assert value("dlq", "redrive", "--reason", "poison", home=home) == {"redriven": 3, "left": 0}
    process("up", "--until-idle", home=home)  # the decoder is mended
    assert value("query", "select status, count(*) as n from executions group by all", home=home) == [
        {"status": "completed", "n": 200}
    ]
