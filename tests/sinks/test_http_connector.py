import hmac
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from schemas.dispatch import Outcome
from sinks.connectors.http import HttpConnector
from sinks.connectors.webhook import webhook
from tests.sinks.world import NOW_US, Answer, HandClock, command, receiving, wait_until


@pytest.fixture
def http() -> Iterator[HttpConnector]:
    connector = HttpConnector()
    yield connector
    connector.close()


def summary(outcome: Outcome) -> tuple[str, bool, str | None]:
    return outcome.status, outcome.retry, outcome.code


@pytest.mark.parametrize(
    ("status", "idempotent", "wanted"),
    [
        (200, True, ("delivered", False, None)),
        (204, False, ("delivered", False, None)),
        (302, True, ("failed", False, "rejected")),
        (400, True, ("failed", False, "rejected")),
        (408, True, ("failed", True, "timeout")),
        (425, False, ("failed", True, "unavailable")),
        (429, False, ("failed", True, "rate_limited")),
        (503, False, ("failed", True, "unavailable")),
        (500, True, ("unknown", True, "unavailable")),
        (500, False, ("unknown", False, "unknown_outcome")),
    ],
)
def test_each_status_means_one_thing(
    http: HttpConnector, *, status: int, idempotent: bool, wanted: tuple[str, bool, str | None]
) -> None:
    with receiving(lambda body, before: Answer(status, b"" if status == 204 else b'{"id": 7}')) as receiver:
        (outcome,) = http.call([command("a", {"url": receiver.url, "idempotent": idempotent})])
    assert summary(outcome) == wanted
    if status == 200:
        assert outcome.data == {"id": 7}
    if status == 400:
        assert '{"id": 7}' in (outcome.error or "")


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://xn--a/"},
        {"url": "http://[::1"},
        {"url": "http://a..b/"},
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://127.0.0.1:9/", "headers": {"ä": "x"}},
        {"url": "http://127.0.0.1:9/", "headers": {"X-Key": "\udcff"}},
        {"url": "http://127.0.0.1:9/", "method": "GET"},
    ],
)
def test_settings_that_cannot_be_sent_reject_the_command_and_raise_nothing(http: HttpConnector, settings: dict[str, Any]) -> None:
    (outcome,) = http.call([command("a", settings)])
    assert outcome.status == "failed"
    assert outcome.error


def test_a_header_has_one_value_whatever_the_case_of_its_name(http: HttpConnector) -> None:
    given = {"content-type": "application/json", "IDEMPOTENCY-KEY": "mine", "Transfer-Encoding": "chunked", "content-length": "1"}
    with receiving() as receiver:
        (outcome,) = http.call([command("a", {"url": receiver.url, "headers": given})])
    ((headers, body),) = receiver.requests
    assert outcome.status == "delivered"
    assert (headers["content-type"], headers["idempotency-key"]) == ("application/json", "a")
    assert int(headers["content-length"]) == len(body)


def test_the_receiver_gets_a_cloudevent_its_key_and_the_headers_of_the_rule(http: HttpConnector) -> None:
    with receiving() as receiver:
        http.call([command("a", {"url": receiver.url, "headers": {"X-Tenant": "acme"}})])
    ((headers, body),) = receiver.requests
    assert headers["idempotency-key"] == "a"
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["x-tenant"] == "acme"
    event = json.loads(body)
    assert (event["specversion"], event["id"], event["type"]) == ("1.0", "a", "create_project")


def test_retry_after_is_read_as_seconds_and_as_a_date(http: HttpConnector) -> None:
    seconds = Answer(429, headers={"Retry-After": "7"})
    with receiving(lambda body, before: seconds) as receiver:
        assert http.call([command("a", {"url": receiver.url})])[0].after_us == 7_000_000
    date = Answer(503, headers={"Retry-After": "Wed, 21 Oct 2076 07:28:10 GMT"})
    with receiving(lambda body, before: date) as receiver:
        assert http.call([command("a", {"url": receiver.url})])[0].after_us == 86_400_000_000


def test_nobody_listening_is_surely_not_delivered(http: HttpConnector, free_port: object) -> None:
    url = f"http://127.0.0.1:{free_port()}/"  # type: ignore[operator]
    for address in (url, "http://no-such-host.invalid/"):
        (outcome,) = http.call([command("a", {"url": address, "idempotent": False})])
        assert summary(outcome) == ("failed", True, "unavailable")


def test_no_answer_in_time_is_asked_again_only_where_the_key_is_honoured(http: HttpConnector) -> None:
    with receiving(lambda body, before: Answer(hang=True)) as receiver:
        commands = [
            command(str(idempotent), {"url": receiver.url, "idempotent": idempotent}, timeout_us=200_000)
            for idempotent in (True, False)
        ]
        again, never = http.call(commands)
    assert summary(again) == ("unknown", True, "timeout")
    assert summary(never) == ("unknown", False, "unknown_outcome")


def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(http: HttpConnector) -> None:
    with receiving(lambda body, before: Answer(close=True)) as receiver:
        again, never = http.call([command(str(one), {"url": receiver.url, "idempotent": one}) for one in (True, False)])
    assert summary(again) == ("unknown", True, "unavailable")
    assert summary(never) == ("unknown", False, "unknown_outcome")


def test_a_slow_receiver_does_not_hold_up_the_others(http: HttpConnector) -> None:
    ended: list[str] = []
    with receiving(lambda body, before: Answer(hang=True)) as slow, receiving() as quick:
        for at in range(10):
            http.begin(command(f"s{at}", {"url": slow.url}), lambda outcome: ended.append("slow"))
        for at in range(100):
            http.begin(command(f"q{at}", {"url": quick.url}), lambda outcome: ended.append("quick"))
        wait_until(lambda: ended.count("quick") == 100)
        assert "slow" not in ended
        slow.release.set()
        wait_until(lambda: len(ended) == 110)


def test_more_commands_than_connections_all_end_and_connections_are_used_again(http: HttpConnector) -> None:
    with receiving() as receiver:
        outcomes = http.call([command(str(at), {"url": receiver.url}) for at in range(500)])
        http.call([command(f"again{at}", {"url": receiver.url}) for at in range(10)])
    assert {outcome.status for outcome in outcomes} == {"delivered"}
    assert len(set(receiver.keys)) == 510


def test_an_answer_too_long_to_keep_is_delivered_without_it(http: HttpConnector) -> None:
    with receiving(lambda body, before: Answer(body=b'"' + b"x" * 600_000 + b'"')) as receiver:
        one, two = http.call([command(name, {"url": receiver.url}) for name in "ab"])
    assert (one.status, one.data, two.status) == ("delivered", None, "delivered")
    assert "left out" in (one.error or "")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no url"),
        ({"url": "ftp://x/"}, "http:// or https://"),
        ({"url": "http://x/", "method": "BREW"}, "BREW"),
        ({"url": "http://x/", "headers": ["a"]}, "headers"),
        ({"url": "http://127.0.0.1:9/", "headers": {"Bad Name": "x"}}, ""),
    ],
)
def test_settings_that_cannot_be_used_are_rejected_with_what_is_wanted(http: HttpConnector, settings: object, said: str) -> None:
    (outcome,) = http.call([command("a", settings)])
    assert outcome.status == "failed"
    assert said in (outcome.error or "")


def test_a_webhook_is_signed_so_that_the_receiver_can_check_it() -> None:
    connector = webhook(HandClock())
    with receiving() as receiver:
        unsigned, signed = connector.call(
            [command("a", {"url": receiver.url}), command("b", {"url": receiver.url, "secret": "hush"})]
        )
    connector.close()
    assert (unsigned.status, unsigned.code, signed.status) == ("failed", "rejected", "delivered")
    ((headers, body),) = receiver.requests
    seconds, digest = (part.split("=")[1] for part in headers["x-millrace-signature"].split(","))
    assert int(seconds) == NOW_US // 1_000_000
    assert hmac.compare_digest(digest, hmac.new(b"hush", seconds.encode() + b"." + body, "sha256").hexdigest())


def test_tls_is_spoken_and_an_unknown_certificate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), _Fine)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        url = f"https://localhost:{server.server_port}/"
        stranger, friend = HttpConnector(), HttpConnector(tls=ssl.create_default_context(cafile=str(certificate)))
        refused = stranger.call([command("a", {"url": url})])[0]
        outcomes = friend.call([command(name, {"url": url}) for name in "bc"])
        stranger.close()
        friend.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert summary(refused) == ("failed", True, "unavailable")
    assert "certificate" in (refused.error or "")
    assert [outcome.status for outcome in outcomes] == ["delivered", "delivered"]


class _Fine(BaseHTTPRequestHandler):
    """Answers everything with 200."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"error": "out_of_stock"}', "out_of_stock"),
        (b'{"code": "out_of_stock", "error": "none left"}', "out_of_stock"),
        (b'{"error": {"code": "out_of_stock", "message": "none left"}}', "out_of_stock"),
        (b'{"code": "another"}', "rejected"),
        (b'{"error": "unavailable"}', "rejected"),
        (b'{"error": ["out_of_stock"]}', "rejected"),
        (b'["out_of_stock"]', "rejected"),
        (b"out_of_stock", "rejected"),
    ],
)
def test_a_refusal_has_the_code_that_the_contract_knows(http: HttpConnector, answer: bytes, code: str) -> None:
    with receiving(lambda body, before: Answer(409, answer)) as receiver:
        (outcome,) = http.call([command("a", {"url": receiver.url}, errors=frozenset({"out_of_stock"}))])
    assert summary(outcome) == ("failed", False, code)


def a_batch(settings: Any, *names: str) -> Any:
    members = tuple(command(name, settings, errors=frozenset({"out_of_stock"})) for name in names)
    raw = b"[" + b",".join(member.raw for member in members) + b"]"
    whole = command("b1", settings, errors=frozenset({"out_of_stock"}), members=members)
    return replace(whole, raw=raw, body={})


def test_a_batch_is_one_request_under_its_own_key_in_the_batch_format(http: HttpConnector) -> None:
    with receiving(lambda body, before: Answer(body=b'{"id": 7}')) as receiver:
        (outcome,) = http.call([a_batch({"url": receiver.url}, "a", "b")])
    ((headers, body),) = receiver.requests
    assert headers["idempotency-key"] == "b1"
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert [one["id"] for one in json.loads(body)] == ["a", "b"]
    assert (outcome.status, outcome.data, outcome.items) == ("delivered", {"id": 7}, ())


def test_an_answer_that_tells_of_single_commands_is_read_for_each(http: HttpConnector) -> None:
    results = [
        {"id": "a", "data": {"n": 1}},
        {"id": "b", "error": "out_of_stock"},
        {"id": "c", "status": 429},
        {"id": "d", "status": "well"},
        {"id": "stranger", "status": 400},
    ]
    with receiving(lambda body, before: Answer(body=json.dumps({"results": results}).encode())) as receiver:
        (outcome,) = http.call([a_batch({"url": receiver.url}, *"abcde")])
    assert [summary(item) for item in outcome.items] == [
        ("delivered", False, None),
        ("failed", False, "out_of_stock"),
        ("failed", True, "rate_limited"),
        ("unknown", True, "unavailable"),
        ("unknown", True, "unavailable"),
    ]
    assert outcome.items[0].data == {"n": 1}


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (Answer(200, b'{"id": 7}'), ("delivered", False, None)),
        (Answer(404), ("failed", True, "unavailable")),
        (Answer(409, b'{"error": "out_of_stock"}'), ("failed", False, "out_of_stock")),
        (Answer(403), ("unknown", False, "unknown_outcome")),
        (Answer(500), ("unknown", False, "unknown_outcome")),
        (Answer(429), ("unknown", False, "unknown_outcome")),
        (Answer(close=True), ("unknown", False, "unknown_outcome")),
    ],
)
@pytest.mark.parametrize("idempotent", [True, False])
def test_what_became_of_a_command_is_looked_up_where_the_rule_says(
    http: HttpConnector, told: Answer, wanted: tuple[str, bool, str | None], *, idempotent: bool
) -> None:
    with receiving() as receiver:
        receiver.tell = lambda path: told
        place = receiver.url.replace("/hook", "/done/{key}?v=1")
        settings = {"url": receiver.url, "idempotent": idempotent, "look_up": place}
        found = http.resolve(command("a b", settings, errors=frozenset({"out_of_stock"})))
    assert receiver.asked == ["/done/a%20b?v=1"]
    assert receiver.requests == []
    assert found is not None
    assert summary(found) == (("unknown", True, "timeout") if wanted[0] == "unknown" and idempotent else wanted)


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/{key}", "http://127.0.0.1:9/", 7, "ftp://{key}"])
def test_a_look_up_that_cannot_be_made_tells_nothing(http: HttpConnector, place: object) -> None:
    found = http.resolve(command("a", {"url": "http://127.0.0.1:9/", "idempotent": False, "look_up": place}))
    assert found is not None
    assert summary(found) == ("unknown", False, "unknown_outcome")
