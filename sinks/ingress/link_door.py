"""Deciding by a link: its page for people, JSON for programs.

A link that was changed is written down as a refused decision, at most AUDITS_MAX a minute. What comes for a question that is
closed is written down too, for the audit, and said to be without effect; whether a decision counts, the execution alone decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.asked import Asked, Questions
from schemas.errors import BadRecord
from schemas.ports import Append, Clock
from schemas.records import Decision, Json, encode
from schemas.topics import DECISIONS, partition_of
from sinks.ingress.bodies import FORM, Deciding, named, read_body
from sinks.ingress.decide_page import (
    GUARD,
    asked_page,
    closed_page,
    forged_page,
    not_counted_page,
    refused_for,
    told_page,
)
from sinks.ingress.form_fields import read_fields
from sinks.ingress.http_speaker import Granted, HttpAsk, Reply, problem
from sinks.links import BadToken, Claim, read_token

AUDITS_MAX: Final = 60
MINUTE_US: Final = 60_000_000
ACCEPTED: Final = "accepted"


@dataclass(slots=True)
class LinkDoor:
    """Decides about requests that bring a link. State: counts."""

    key: bytes
    clock: Clock
    partitions: int
    questions: Questions
    counts: Counter[str]
    _audit_minute: int = 0
    _audits: int = field(default=0)

    def answer(self, ask: HttpAsk, text: str) -> Reply | Granted:
        """Give the answer to a request. Raises BadRecord."""
        if ask.method not in ("GET", "POST"):
            said = problem("wrong-method", f"{ask.method} is not answered here; wanted POST")
            return Reply(405, said, (("Allow", "GET, POST"),))
        try:
            claim = read_token(self.key, text)
        except BadToken as error:
            return self._forged(error, ask)
        asked = self.questions(claim.tenant, claim.execution, claim.step, claim.occurrence)
        if ask.method == "GET":
            return _page(200, asked_page(claim, asked))
        if not _wants_page(ask):
            return self._posted(claim, asked, ask)
        try:
            return self._posted(claim, asked, ask)
        except BadRecord as error:
            return _page(422, asked_page(claim, asked, wrong={"": error.detail}))

    def _posted(self, claim: Claim, asked: Asked | None, ask: HttpAsk) -> Reply | Granted:
        body = read_body(Deciding, ask.body, ask.headers.get("content-type", ""))
        if claim.by and body.by not in ("", claim.by):
            return Reply(403, problem("not-yours", f"this link is {claim.by}'s; leave `by` out or ask for a link of your own"))
        form: Json = body.form
        wrong: Mapping[str, str] = {}
        if asked is not None and asked.standing == "open" and _is_form(ask):
            form, wrong = _read_form(asked, body)
        if wrong and asked is not None:
            given = {**_texts(body.form), "by": body.by}
            if _wants_page(ask):
                return _page(422, asked_page(claim, asked, given, wrong))
            raise BadRecord("bad-form", "; ".join(f"{name}: {why}" for name, why in wrong.items()))
        decision = Decision(
            tenant=claim.tenant,
            execution=claim.execution,
            step=claim.step,
            occurrence=claim.occurrence,
            outcome=body.outcome,
            by=named(claim.by or body.by, "by"),
            roles=list(claim.roles),
            form=form,
            at=self.clock.now_us(),
            via="link",
        )
        return self._granted(decision, _told_page(claim, asked, decision) if _wants_page(ask) else None)

    def _granted(self, decision: Decision, page: Reply | None) -> Granted:
        self.counts["decisions"] += 1
        told = {"status": ACCEPTED, "execution": decision.execution, "step": decision.step, "outcome": decision.outcome}
        return Granted([self._placed(decision)], page or Reply(202, told))

    def _forged(self, error: BadToken, ask: HttpAsk) -> Reply | Granted:
        """Refuse a link that this home did not make; what it pretends is written down."""
        page = _page(403, forged_page(str(error)))
        reply = page if _wants_page(ask) else Reply(403, problem("forged", str(error)))
        self.counts["forged"] += 1
        if error.claim is None or ask.method != "POST" or not self._may_audit():
            return reply
        self.counts["refused"] += 1
        claim = error.claim
        decision = Decision(
            tenant=claim.tenant[:200],
            execution=claim.execution[:64],
            step=claim.step[:64],
            occurrence=claim.occurrence,
            outcome=_outcome(ask),
            by=claim.by[:200],
            at=self.clock.now_us(),
            via="link",
            refused="forged",
        )
        return Granted([self._placed(decision)], reply)

    def _may_audit(self) -> bool:
        minute = self.clock.now_us() // MINUTE_US
        self._audits = self._audits + 1 if minute == self._audit_minute else 1
        self._audit_minute = minute
        return self._audits <= AUDITS_MAX

    def _placed(self, decision: Decision) -> Append:
        return Append(DECISIONS, partition_of(decision.tenant, self.partitions), [encode(decision)])


def _told_page(claim: Claim, asked: Asked | None, decision: Decision) -> Reply:
    if asked is None:
        return _page(202, told_page(claim, asked, decision.outcome))
    if asked.standing != "open":
        return _page(409, closed_page(claim, asked, sent=True))
    why = refused_for(decision.by, asked)
    return _page(409, not_counted_page(claim, asked, why)) if why else _page(202, told_page(claim, asked, decision.outcome))


def _read_form(asked: Asked, body: Deciding) -> tuple[Json, Mapping[str, str]]:
    """Read the fields of a page by their types; who rejects need not fill them in."""
    given = _texts(body.form)
    if asked.form is None:
        return body.form, {}
    if body.outcome == "rejected" and not any(text.strip() for text in given.values()):
        return None, {}
    return read_fields(asked.form, given)


def _texts(form: Json) -> dict[str, str]:
    return {str(name): str(value) for name, value in form.items()} if isinstance(form, dict) else {}


def _outcome(ask: HttpAsk) -> Json:
    """Give the outcome that somebody wanted who had no right to it; empty where that cannot be read."""
    try:
        return read_body(Deciding, ask.body, ask.headers.get("content-type", "")).outcome
    except BadRecord:
        return ""


def _is_form(ask: HttpAsk) -> bool:
    return ask.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def _wants_page(ask: HttpAsk) -> bool:
    return "html" in ask.headers.get("accept", "")


def _page(status: int, text: str) -> Reply:
    return Reply(status, text, GUARD)
