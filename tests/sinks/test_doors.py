import socket
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from schemas.expression.tree import Field
from schemas.expression.types import INT, Type
from schemas.ports import Append
from schemas.program import Manual, Program, pack
from schemas.records import Control, encode
from schemas.topics import partition_of
from sinks.connectors.webhook import sign
from sinks.ingress.http_speaker import BODY_BYTES_MAX
from sinks.links import BadToken, Claim, read_token, token
from tests.sinks.door_world import API, BODY, CONTRACT, LINKS, OPEN, SECRET, TEXT, World, controls, program, serving
from tests.sinks.world import NOW_US, wait_until

EXECUTION = "0123456789abcdef" * 2
CLAIM = Claim("acme", EXECUTION, "approval", 0, "ann", ("finance_manager",))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(tmp_path) as world:
        yield world


def test_a_signed_request_is_an_event_of_the_webhooks_type_before_it_is_answered(world: World) -> None:
    answer = world.hook(b'{"return": {"id": "R7", "amount": 12.50}}')
    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted", "id": "R7", "event": "return.requested"}
    (record,) = world.records(CONTRACT.topic)
    assert b'"amount": 12.50' in record
    (event,) = world.events()
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "tenant", "time")} == {
        "specversion": "1.0",
        "id": "R7",
        "source": "/hooks/shop/returns",
        "type": "return.requested",
        "tenant": "acme",
        "time": "2026-05-28T20:26:40Z",
    }
    reader_partition = partition_of("acme", 8)
    assert world.server.status().records == 1
    assert reader_partition in range(8)


def test_an_answer_waits_for_the_disk(world: World) -> None:
    """A server that dies before its commit has said nothing."""
    world.paused.set()
    address = ("127.0.0.1", int(world.url.rpartition(":")[2]))
    body = msgspec.json.encode(BODY)
    head = f"POST /hooks/zeta/open HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    real, said = world.log.append, []
    with socket.create_connection(address, 20) as peer:
        peer.sendall(head + body)

        def append(batch: Sequence[Append], now_us: int) -> list[int]:
            peer.setblocking(False)
            with pytest.raises(BlockingIOError):
                peer.recv(100)
            said.append(len(batch))
            peer.setblocking(True)
            return real(batch, now_us)

        world.server._writer = type("Writer", (), {"append": staticmethod(append)})()
        world.paused.clear()
        assert peer.recv(100).startswith(b"HTTP/1.1 202")
    assert said == [1]


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"X-Signature": ""}, "bad-signature"),
        ({"X-Signature": "sha256=00"}, "bad-signature"),
        ({"X-Signature": sign("wrong", NOW_US // 1_000_000, msgspec.json.encode(BODY))}, "bad-signature"),
        ({"X-Signature": sign(SECRET, NOW_US // 1_000_000, b"{}")}, "bad-signature"),
        ({"X-Signature": sign(SECRET, NOW_US // 1_000_000 - 301, msgspec.json.encode(BODY))}, "too-old"),
        ({"X-Signature": sign(SECRET, NOW_US // 1_000_000 + 301, msgspec.json.encode(BODY))}, "too-old"),
        ({"X-Signature": sign(SECRET, NOW_US // 1_000_000, msgspec.json.encode(BODY)).replace("t=1", "t=2")}, "bad-signature"),
        ({"X-Signature": "t=²,v1=00"}, "bad-signature"),
    ],
)
def test_what_is_not_signed_as_it_should_be_is_refused(world: World, headers: dict[str, str], error: str) -> None:
    answer = world.client.post(
        world.url + "/hooks/acme/shop/returns",
        content=msgspec.json.encode(BODY),
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )
    assert (answer.status_code, answer.json()["error"]) == (401, error)
    assert world.nothing_was_appended()
    assert (world.doors.counts["requests"], world.doors.counts["refused"]) == (1, 1)


def test_an_unsigned_request_is_refused_and_where_none_is_said_it_is_let_in(world: World) -> None:
    answer = world.post("/hooks/acme/shop/returns", BODY)
    assert (answer.status_code, answer.json()["error"]) == (401, "unsigned")
    assert "X-Signature" in answer.json()["message"]
    assert world.post("/hooks/zeta/open", BODY, key=None).status_code == 202
    assert [event["tenant"] for event in world.events()] == ["zeta"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hooks/zeta/shop/returns", 404),
        ("/hooks/acme/shop", 404),
        ("/hooks/acme", 404),
        ("/hooks//shop/returns", 404),
        ("/", 404),
        ("/../../etc/passwd", 404),
        ("/flows/report/stop", 404),
        ("/executions/x/explode", 404),
    ],
)
def test_an_unknown_path_says_so(world: World, path: str, status: int) -> None:
    answer = world.hook(path=path)
    assert (answer.status_code, answer.json()["error"]) == (status, "unknown-path")
    assert world.nothing_was_appended()


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{", 400, "malformed-json"),
        (b"", 400, "malformed-json"),
        (b"\xff", 400, "malformed-json"),
        (b"[" * 100_000, 422, "wrong-schema"),
        (b'{"return": {"id": "R", "amount": 1}, "x": ' + b"[" * 100_000, 400, "malformed-json"),
        ([1], 422, "wrong-schema"),
        ({"return": {"id": 7, "amount": 1}}, 422, "wrong-schema"),
        ({"return": {"amount": 1}}, 422, "wrong-schema"),
        ({"return": {"id": "R", "amount": "12.50 EUR"}}, 422, "wrong-schema"),
        ({"return": {"id": "R", "amount": "12.50"}}, 422, "wrong-schema"),
        ({"return": {"id": "R", "amount": True}}, 422, "wrong-schema"),
        ({"return": {"id": "R", "amount": 1, "at": "yesterday"}}, 422, "wrong-schema"),
        ({"return": {"id": "", "amount": 1}}, 422, "no-id"),
        (b" " * (BODY_BYTES_MAX + 1), 413, "too-large"),
    ],
)
def test_a_body_that_the_contract_does_not_know_is_refused(world: World, body: object, status: int, error: str) -> None:
    answer = world.hook(body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert world.nothing_was_appended()
    assert world.doors.counts["refused"] == 1


def test_money_is_a_number_or_names_its_currency_as_in_any_event(world: World) -> None:
    assert world.hook({"return": {"id": "R7", "amount": "12.50 GBP"}}).status_code == 202
    (event,) = world.events()
    assert event["data"] == {"return": {"id": "R7", "amount": "12.50 GBP"}}
    answer = world.hook({"return": {"id": "R8", "amount": "much"}})
    assert answer.json()["message"] == '"much" is not a number or "12.50 GBP"'


def test_without_an_expression_the_id_is_the_senders_key_or_the_body(world: World) -> None:
    for headers in ({}, {}, {"Idempotency-Key": "k1"}):
        assert world.post("/hooks/zeta/open", BODY, key=None, **headers).status_code == 202
    first, second, third = (event["id"] for event in world.events())
    assert first == second != third == "k1"


def test_a_secret_that_is_not_set_lets_nobody_in(tmp_path: Path) -> None:
    with serving(tmp_path, secrets={}) as world:
        answer = world.hook()
        assert (answer.status_code, answer.json()["error"]) == (503, "no-secret")
        assert "MILLRACE_SECRET_SHOP_HOOK" in answer.json()["message"]
        assert world.nothing_was_appended()


def test_what_is_deployed_while_it_serves_counts_from_the_next_request_on(world: World) -> None:
    assert world.post("/hooks/acme/open", BODY).status_code == 404
    world.paused.set()
    world.log.append([Append("control", 0, controls("acme", program("open", OPEN)))], NOW_US)
    world.paused.clear()
    assert world.post("/hooks/acme/open", BODY).status_code == 202


def test_other_methods_are_refused(world: World) -> None:
    for path in ("/hooks/zeta/open", "/decide", "/flows/report/start"):
        answer = world.client.get(world.url + path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_link_decides_as_the_person_and_with_the_roles_that_it_names(world: World) -> None:
    link = f"/decide/{token(LINKS, CLAIM)}"
    page = world.client.get(world.url + link)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "approval" in page.text
    assert world.nothing_was_appended()
    answer = world.post(link, {"outcome": "approved", "form": {"limit": 5}}, key=None)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    (decision,) = world.decisions()
    assert (decision.tenant, decision.execution, decision.step, decision.occurrence) == ("acme", EXECUTION, "approval", 0)
    assert (decision.outcome, decision.by, decision.roles, decision.form) == (
        "approved",
        "ann",
        ["finance_manager"],
        {"limit": 5},
    )
    assert (decision.via, decision.refused, decision.at) == ("link", "", NOW_US)


def test_a_page_posts_its_form(world: World) -> None:
    anyone = token(LINKS, Claim("acme", EXECUTION, "<b>", 0))
    answer = world.client.post(
        f"{world.url}/decide/{anyone}",
        data={"outcome": "rejected", "by": "bob", "form.reason": "no"},
        headers={"Accept": "text/html"},
    )
    assert (answer.status_code, "&lt;b&gt;" in answer.text, "<b>" in answer.text) == (202, True, False)
    (decision,) = world.decisions()
    assert (decision.outcome, decision.by, decision.form) == ("rejected", "bob", {"reason": "no"})


def test_a_link_that_names_nobody_wants_a_name_and_one_that_does_is_that_persons(world: World) -> None:
    anyone = token(LINKS, Claim("acme", EXECUTION, "approval"))
    assert world.post(f"/decide/{anyone}", {"outcome": "approved"}).status_code == 422
    anns = token(LINKS, CLAIM)
    assert world.post(f"/decide/{anns}", {"outcome": "approved", "by": "bob"}).status_code == 403
    assert world.post(f"/decide/{anns}", {"outcome": "approved", "roles": ["cfo"]}).status_code == 422
    assert world.decisions() == []


def test_a_forged_or_foreign_link_is_refused_and_written_down_without_effect(world: World) -> None:
    foreign = token(b"another home", CLAIM)
    said, _, proof = token(LINKS, CLAIM).partition(".")
    changed = f"{token(LINKS, Claim('acme', EXECUTION, 'other')).partition('.')[0]}.{proof}"
    for text in (foreign, changed):
        answer = world.post(f"/decide/{text}", {"outcome": "approved", "by": "eve"}, key=None)
        assert (answer.status_code, answer.json()["error"]) == (403, "forged")
        assert world.client.get(f"{world.url}/decide/{text}").status_code == 403
    for text in ("", "x", f"{said}.", "." + proof, said * 100, "%00", "ÿ.ÿ"):
        answer = world.post(f"/decide/{text}", {"outcome": "approved", "by": "eve"}, key=None)
        assert answer.status_code in (401, 403)
    decisions = world.decisions()
    assert [(one.execution, one.step, one.refused, one.via) for one in decisions[:2]] == [
        (EXECUTION, "approval", "forged", "link"),
        (EXECUTION, "other", "forged", "link"),
    ]
    assert {one.refused for one in decisions} == {"forged"}


@pytest.mark.parametrize(
    "body", ["form=x&form.a=1&outcome=approved", "&".join(f"form.f{at}=1" for at in range(200)), "outcome=%ff%fe", "=&=&;;"]
)
def test_no_form_however_odd_ends_the_server(world: World, body: str) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    links = [f"{world.url}/decide/{token(key, CLAIM)}" for key in (LINKS, b"another home")]
    for link in links:
        assert world.client.post(link, content=body, headers=kind).status_code in (202, 400, 403, 422)
    assert world.client.get(links[0]).status_code == 200


def test_a_flood_of_forged_links_does_not_fill_the_log(world: World) -> None:
    foreign = token(b"another home", CLAIM)
    for _ in range(70):
        world.post(f"/decide/{foreign}", {"outcome": "approved"}, key=None)
    assert len(world.decisions()) == 60
    assert world.doors.counts["forged"] == 70
    world.clock.us += 60_000_000
    world.post(f"/decide/{foreign}", {"outcome": "approved"}, key=None)
    assert len(world.decisions()) == 61


def test_a_program_decides_by_name_with_the_homes_key(world: World) -> None:
    body = {"tenant": "acme", "execution": EXECUTION, "step": "approval", "outcome": "approved", "by": "ann", "roles": ["cfo"]}
    for key in (None, "x", "b" * 64):
        assert world.post("/decide", body, key=key).status_code == 401
    assert world.post("/decide", {**body, "execution": "nonsense"}).status_code == 422
    assert world.post("/decide", {**body, "outcome": "maybe"}).status_code == 422
    assert world.post("/decide", body).status_code == 202
    (decision,) = world.decisions()
    assert (decision.by, decision.roles, decision.via) == ("ann", ["cfo"], "http")


def test_a_start_has_an_id_where_only_one_of_two_versions_makes_its_own(world: World) -> None:
    keyed = program("report", Manual(("support",), Field("inputs.invoice_id", (), TEXT)))
    value = {"flow": {}, "program": b64encode(pack(keyed)).decode()}
    pointer = {"version": "v2", "rest": "v-report", "share": {"percent": 25}}
    records = [Control(key="version/*/report/v2", value=value), Control(key="active/*/report", value=pointer)]
    world.log.append([Append("control", 0, [encode(one) for one in records])], world.clock.us)
    start = {"tenant": "acme", "inputs": {"invoice_id": "I7"}, "by": "ann", "roles": ["support"]}
    assert world.post("/flows/report/start", start).json()["id"] == "start-1"
    assert world.post("/flows/report/start", {**start, "id": "mine"}).json()["id"] == "mine"


def test_a_flow_is_started_by_hand_by_those_who_may(world: World) -> None:
    start = {"tenant": "acme", "inputs": {"invoice_id": "I7"}, "by": "ann", "roles": ["finance"]}
    assert world.post("/flows/collection/start", start, key=None).status_code == 401
    assert world.post("/flows/collection/start", {**start, "roles": ["desk"]}).status_code == 403
    assert world.post("/flows/nothing/start", start).status_code == 404
    assert world.post("/flows/returns/start", start).status_code == 404
    assert world.post("/flows/collection/start", {**start, "inputs": 7}).status_code == 422
    assert "leave `id` out" in world.post("/flows/collection/start", {**start, "id": "k"}).json()["message"]
    assert world.commands() == []
    assert world.post("/flows/collection/start", start, **{"Idempotency-Key": "k"}).json()["id"] == ""
    assert world.post("/flows/report/start", start).json()["id"] == "start-1"
    assert world.post("/flows/report/start", start, **{"Idempotency-Key": "k"}).json()["id"] == "k"
    assert world.post("/flows/report/start", {**start, "id": "mine"}).json()["id"] == "mine"
    first, *_ = commands = world.commands()
    assert (first.command, first.flow, first.inputs, first.by, first.roles) == (
        "start",
        "collection",
        {"invoice_id": "I7"},
        "ann",
        ["finance"],
    )
    assert [one.id for one in commands] == ["", "start-1", "k", "mine"]


def test_a_start_with_wrong_inputs_is_refused_with_all_that_is_wrong(world: World) -> None:
    start = {"tenant": "acme", "inputs": {"invoice": "I7", "pieces": "5"}, "by": "ann", "roles": ["finance"]}
    for flow in ("collection", "report"):
        answer = world.post(f"/flows/{flow}/start", start)
        assert answer.status_code == 422
        said = answer.json()
        assert (said["error"], said["problems"]) == (
            "bad-inputs",
            [
                "inputs.invoice: field 'invoice' is not in {invoice_id: string, pieces: int?}; did you mean 'invoice_id'?",
                "inputs.invoice_id is missing and string is wanted; give a value",
                "inputs.pieces: '5' is string and int? is wanted",
            ],
        )
        assert said["message"] == "; ".join(said["problems"])
    unnamed = world.post("/flows/collection/start", {**start, "inputs": {"invoice_id": ""}}).json()
    assert unnamed["problems"] == ["its id has no value; the inputs that name it must be given"]
    many = {**start, "inputs": {f"x{number}": 1 for number in range(50)}}
    assert len(world.post("/flows/report/start", many).json()["problems"]) == 21
    assert world.commands() == []


def test_a_flow_without_inputs_is_started_without(world: World) -> None:
    bare = Program("bare", "v1", (), (Manual(("finance",)),), (), ())
    world.log.append([Append("control", 0, controls("acme", bare))], world.clock.us)
    start = {"tenant": "acme", "by": "ann", "roles": ["finance"]}
    assert world.post("/flows/bare/start", {**start, "inputs": {"n": 1}}).json()["message"] == (
        "'bare' takes no inputs; leave n out"
    )
    assert world.post("/flows/bare/start", start).status_code == 202


def test_of_two_versions_one_that_takes_the_inputs_is_enough(world: World) -> None:
    other = msgspec.structs.replace(
        program("report", Manual(("support",))), version="v2", inputs=Type("record", fields=(("n", INT),))
    )
    value = {"flow": {}, "program": b64encode(pack(other)).decode()}
    pointer = {"version": "v2", "rest": "v-report", "share": {"percent": 25}}
    records = [Control(key="version/*/report/v2", value=value), Control(key="active/*/report", value=pointer)]
    world.log.append([Append("control", 0, [encode(one) for one in records])], world.clock.us)
    start = {"tenant": "acme", "by": "ann", "roles": ["support"]}
    assert world.post("/flows/report/start", {**start, "inputs": {"invoice_id": "I7"}}).status_code == 202
    assert world.post("/flows/report/start", {**start, "inputs": {"n": 7}}).status_code == 202
    assert world.post("/flows/report/start", {**start, "inputs": {}}).json()["problems"] == [
        "inputs.n is missing and int is wanted; give a value"
    ]


def test_an_unknown_flow_is_answered_with_a_near_name(world: World) -> None:
    start = {"tenant": "acme", "roles": ["finance"]}
    assert world.post("/flows/colection/start", start).json() == {
        "error": "unknown-flow",
        "message": "'colection' is not in force for 'acme'; did you mean 'collection'?",
    }
    assert "by hand start collection, report" in world.post("/flows/zzz/start", start).json()["message"]
    assert "has no manual trigger" in world.post("/flows/returns/start", start).json()["message"]


@pytest.mark.parametrize("word", ["cancel", "skip", "retry", "resume"])
def test_an_operator_says_a_word(world: World, word: str) -> None:
    body = {"tenant": "acme", "step": "stock", "outcome": "done" if word == "resume" else "", "by": "ann"}
    assert world.post(f"/executions/{EXECUTION}/{word}", body, key=None).status_code == 401
    assert world.post(f"/executions/{EXECUTION[:8]}/{word}", body).status_code == 422
    assert world.post(f"/executions/{EXECUTION}/{word}", body).status_code == 202
    (command,) = world.commands()
    assert (command.command, command.execution, command.step, command.by) == (word, EXECUTION, "stock", "ann")


def test_a_connection_serves_many_requests_and_garbage_ends_only_its_own(world: World) -> None:
    address = ("127.0.0.1", int(world.url.rpartition(":")[2]))
    for garbage in (b"\x16\x03\x01 TLS", b"GET /" + b"x" * 20_000, b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with socket.create_connection(address, 20) as peer:
            peer.sendall(garbage + b"\r\n\r\n")
            said = b"".join(iter(lambda: peer.recv(65_536), b""))
            assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    for _ in range(50):
        assert world.hook().status_code == 202
    assert len(world.events()) == 50


def test_chunks_a_slow_head_and_expect_are_understood(world: World) -> None:
    address = ("127.0.0.1", int(world.url.rpartition(":")[2]))
    body = msgspec.json.encode(BODY)
    with socket.create_connection(address, 20) as peer:
        for part in (
            b"POST /hooks/zeta/open HTTP/1.1\r\nHo",
            b"st: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        ):
            peer.sendall(part)
        assert peer.recv(100).startswith(b"HTTP/1.1 100")
        peer.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert peer.recv(100).startswith(b"HTTP/1.1 202")
    with socket.create_connection(address, 20) as peer:
        peer.sendall(b"POST /hooks/zeta/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(20):
                peer.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        except OSError:
            pass  # it has hung up
    wait_until(lambda: world.doors.counts["refused"] == 1)
    assert len(world.events()) == 1


def test_a_token_is_read_by_the_key_that_made_it_alone() -> None:
    assert read_token(LINKS, token(LINKS, CLAIM)) == CLAIM
    with pytest.raises(BadToken) as failure:
        read_token(b"k", token(LINKS, CLAIM))
    assert failure.value.claim == CLAIM
    assert API not in token(LINKS, CLAIM)
