"""What is said to an execution that is not alive, or to another tenant's: set aside with who said it, and without effect."""

from __future__ import annotations

import pytest

from flows.engine.settings import EngineSettings
from schemas.records import Decision, OperatorCommand, encode
from schemas.topics import COMMANDS, DECISIONS
from tests.laws.recorded import PARTITIONS, recorded

NOBODY = "0" * 31 + "1"
DECIDED = Decision(tenant="acme", execution=NOBODY, step="ask", outcome="approved", by="ann", at=1)
FORGED = Decision(tenant="acme", execution=NOBODY, step="ask", outcome="rejected", by="", at=1, refused="forged")
CANCELLED = OperatorCommand(command="cancel", tenant="acme", execution=NOBODY, by="ann", at=1)


@pytest.mark.parametrize(
    ("said", "topic", "kind", "reason"),
    [
        (DECIDED, DECISIONS, "decision", "not-alive"),
        (FORGED, DECISIONS, "decision", "forged"),
        (CANCELLED, COMMANDS, "command", "not-alive"),
    ],
)
def test_it_is_set_aside_with_what_was_said(said: Decision | OperatorCommand, topic: str, kind: str, reason: str) -> None:
    with recorded(EngineSettings(partitions=PARTITIONS), 1, 10) as home:
        home.send(topic, encode(said))
        while home.step():
            pass
        home.answer()
        (letter,) = home.dead
        assert (letter["kind"], letter["reason"], letter["tenant"], letter["topic"]) == (kind, reason, "acme", topic)
        assert home.histories == {}
