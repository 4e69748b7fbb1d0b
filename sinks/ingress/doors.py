"""Who answers over HTTP: webhooks, decisions, starts by hand and operators' words, each appended before it is answered.

Promise: 202 means that the record is on the disk; what becomes of it is decided by the engine's turn. A webhook is let in by its
signature, a link by its proof (link_door.py), all else by the home's key. What is refused leaves nothing behind but a count.

POST /hooks/<tenant>/<path> · GET, POST /decide/<token> · POST /decide · POST /flows/<flow>/start · POST /executions/<id>/<word>
"""

from __future__ import annotations

import hmac
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote

from schemas.asked import Questions, unread
from schemas.errors import BadRecord
from schemas.ports import Append, Clock, LogReader
from schemas.program import Webhook
from schemas.records import Decision, OperatorCommand, encode
from schemas.topics import COMMANDS, DECISIONS, partition_of
from sinks.ingress.bodies import DecidingOn, Operating, Starting, named, read_body
from sinks.ingress.hand_starts import makes_its_id, unstartable
from sinks.ingress.http_speaker import Granted, HttpAsk, Reply, problem
from sinks.ingress.link_door import ACCEPTED, LinkDoor
from sinks.ingress.routes import Routes
from sinks.ingress.webhooks import check_signature, event_of, record_of
from sinks.secrets import ENVIRONMENT_PREFIX, Lookup

READ_RECORDS: Final = 1_024
Word = Literal["cancel", "skip", "retry", "resume"]
WORDS: Final[dict[str, Word]] = {"cancel": "cancel", "skip": "skip", "retry": "retry", "resume": "resume"}
_EXECUTION: Final = re.compile(r"[0-9a-f]{32}")
_STATUS: Final = {"unsigned": 401, "bad-signature": 401, "too-old": 401, "malformed-json": 400, "no-secret": 503}


@dataclass(frozen=True, slots=True)
class DoorKeys:
    """What lets people in: `links` proves decision links, `api` is the bearer token of programs, `secrets` serve webhooks."""

    links: bytes
    api: str
    secrets: Lookup


@dataclass(slots=True)
class Doors:
    """Decides about requests. State: what is deployed, and counts."""

    keys: DoorKeys
    control: LogReader
    clock: Clock
    partitions: int
    new_id: Callable[[], str]
    questions: Questions = unread
    counts: Counter[str] = field(default_factory=Counter)
    _routes: Routes = field(default_factory=Routes)
    _links: LinkDoor = field(init=False)

    def __post_init__(self) -> None:
        """Open the door for links."""
        self._links = LinkDoor(self.keys.links, self.clock, self.partitions, self.questions, self.counts)

    def answer(self, ask: HttpAsk) -> Reply | Granted:
        """Give the answer to a request, or what must be appended before it."""
        self._learn()
        self.counts["requests"] += 1
        try:
            answer = self._routed(ask)
        except BadRecord as error:
            answer = Reply(_STATUS.get(error.reason, 422), problem(error.reason, error.detail))
        if not isinstance(answer, Granted) and answer.status >= 400:
            self.counts["refused"] += 1
        return answer

    def refused(self, status: int) -> None:
        """Count a request that was refused before it was whole."""
        del status
        self.counts["requests"] += 1
        self.counts["refused"] += 1

    def _learn(self) -> None:
        """Read the control topic to its end: what was deployed before the request holds for it."""
        while chunks := self.control.poll(READ_RECORDS):
            for chunk in chunks:
                for record in chunk.records:
                    self._routes.learn(record)

    def _routed(self, ask: HttpAsk) -> Reply | Granted:
        parts = [unquote(part) for part in ask.path.strip("/").split("/")]
        match parts:
            case ["hooks", tenant, *path] if path:
                return self._posted(ask) or self._hook(ask, tenant, "/".join(path))
            case ["decide", text]:
                return self._links.answer(ask, text)
            case ["decide"]:
                return self._posted(ask, keyed=True) or self._decide(ask)
            case ["flows", flow, "start"]:
                return self._posted(ask, keyed=True) or self._start(ask, flow)
            case ["executions", execution, word] if word in WORDS:
                return self._posted(ask, keyed=True) or self._operate(ask, execution, WORDS[word])
            case _:
                return Reply(404, problem("unknown-path", f"there is nothing at {ask.path[:200]}; see `millrace doctor`"))

    def _posted(self, ask: HttpAsk, *, keyed: bool = False) -> Reply | None:
        """Refuse what is not POST, and what has not the home's key where that is wanted."""
        if ask.method != "POST":
            return Reply(405, problem("wrong-method", f"{ask.method} is not answered here; wanted POST"), (("Allow", "POST"),))
        wanted = f"Bearer {self.keys.api}".encode()
        if keyed and not hmac.compare_digest(ask.headers.get("authorization", "").encode(), wanted):
            said = "wanted the header Authorization: Bearer <the text of api.key in the home>"
            return Reply(401, problem("no-key", said), (("WWW-Authenticate", "Bearer"),))
        return None

    def _hook(self, ask: HttpAsk, tenant: str, path: str) -> Reply | Granted:
        webhooks = self._routes.webhooks(tenant, path)
        if not webhooks:
            return Reply(404, problem("unknown-path", f"no flow in force for {tenant!r} listens on {path!r}; deploy one"))
        webhook = self._let_in(webhooks, ask)
        contract = self._routes.contract(webhook.event)
        if contract is None:
            return Reply(503, problem("no-contract", f"{webhook.event} has no contract in force; deploy it"))
        event = event_of(webhook, contract, tenant, ask.headers, ask.body)
        self.counts["hooks"] += 1
        record = record_of(event, ask.body, self.clock.now_us())
        return self._granted(contract.topic, tenant, record, {"status": ACCEPTED, "id": event["id"], "event": event["type"]})

    def _let_in(self, webhooks: Sequence[Webhook], ask: HttpAsk) -> Webhook:
        """Give the first webhook whose signature fits. Raises BadRecord as the first says why not."""
        failure: BadRecord | None = None
        for webhook in webhooks:
            try:
                if webhook.scheme != "none":
                    check_signature(webhook, ask.headers, ask.body, self._secret(webhook.secret), self.clock.now_us())
                return webhook
            except BadRecord as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def _secret(self, name: str) -> str:
        secret = self.keys.secrets(name)
        if not secret:
            variable = ENVIRONMENT_PREFIX + name.upper()
            raise BadRecord(
                "no-secret", f"secrets.{name} is not set, so no signature can be checked; set {variable} for the server"
            )
        return secret

    def _decide(self, ask: HttpAsk) -> Granted:
        body = read_body(DecidingOn, ask.body)
        decision = Decision(
            tenant=named(body.tenant, "tenant"),
            execution=_execution(body.execution),
            step=named(body.step, "step"),
            occurrence=body.occurrence,
            outcome=body.outcome,
            by=named(body.by, "by"),
            roles=body.roles,
            form=body.form,
            at=self.clock.now_us(),
            via="http",
        )
        self.counts["decisions"] += 1
        told = {"status": ACCEPTED, "execution": decision.execution, "step": decision.step, "outcome": decision.outcome}
        return self._granted(DECISIONS, decision.tenant, encode(decision), told)

    def _start(self, ask: HttpAsk, flow: str) -> Reply | Granted:
        body = read_body(Starting, ask.body)
        tenant = named(body.tenant, "tenant")
        refused = unstartable(self._routes, flow, body)
        if refused is not None:
            return refused
        keyed = makes_its_id(self._routes.by_hand(tenant, flow) or ())
        self.counts["starts"] += 1
        name = body.id or self._id_of_a_start(ask, keyed)
        command = OperatorCommand(
            command="start",
            tenant=tenant,
            flow=flow,
            inputs=body.inputs,
            id=name,
            by=body.by,
            roles=body.roles,
            at=self.clock.now_us(),
        )
        return self._granted(COMMANDS, tenant, encode(command), {"status": ACCEPTED, "flow": flow, "id": name})

    def _id_of_a_start(self, ask: HttpAsk, made_by_flow: bool) -> str:
        """Give nothing where the flow makes the key of its inputs, else the caller's, else a new one: each call is a start."""
        return "" if made_by_flow else ask.headers.get("idempotency-key", "") or self.new_id()

    def _operate(self, ask: HttpAsk, execution: str, word: Word) -> Granted:
        body = read_body(Operating, ask.body)
        tenant = named(body.tenant, "tenant")
        command = OperatorCommand(
            command=word,
            tenant=tenant,
            execution=_execution(execution),
            step=body.step,
            occurrence=body.occurrence,
            outcome=body.outcome,
            by=body.by,
            roles=body.roles,
            at=self.clock.now_us(),
        )
        self.counts["commands"] += 1
        return self._granted(COMMANDS, tenant, encode(command), {"status": ACCEPTED, "execution": execution, "command": word})

    def _granted(self, topic: str, tenant: str, record: bytes, said: dict[str, str]) -> Granted:
        return Granted([self._placed(topic, tenant, record)], Reply(202, said))

    def _placed(self, topic: str, tenant: str, record: bytes) -> Append:
        return Append(topic, partition_of(tenant, self.partitions), [record])


def _execution(text: str) -> str:
    if not _EXECUTION.fullmatch(text):
        raise BadRecord(
            "wrong-body", f"execution {text[:60]!r}: wanted its whole id, 32 hex digits: see `millrace executions list`"
        )
    return text
