import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.engine.careful import DEATHS, Careful
from flows.roles.projector import build_projector
from infra.embedded_log import IngressLog
from schemas.contracts import EventContract
from schemas.errors import HomeLocked, InvalidInput, StorageFailed
from schemas.events import encode_events, to_json
from schemas.expression.types import Type
from schemas.ports import Append
from schemas.records import Control, DeadLetter, History, Json, Result, Status, Transition, encode
from schemas.registry import Registry, registered
from sinks.projection.projector import Projector, ProjectorSettings
from sinks.projection.query import Answer, Question
from sinks.projection.query_socket import FILE, QueryClient, QueryServer
from sinks.projection.snapshot import NAME
from sinks.projection.upkeep import Upkeep
from sinks.projection.views_file import ViewsFile
from tests.sinks.world import NOW_US, HandClock, action, wait_until

STRING, DECIMAL = Type("string"), Type("decimal")
DEAL = Type("record", fields=(("id", STRING), ("value", DECIMAL), ("closed_at", Type("timestamp", optional=True))))
CONTRACT = EventContract(event="deal.closed", topic="crm.events", data=Type("record", fields=(("deal", DEAL),)))


class Views:
    """A home whose logs the test writes, its projector, and questions about it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = HandClock()
        self.logs = {name: IngressLog(home / name) for name in ("ingress.db", "engine-0.db", "dispatcher-0.db")}
        self.contract, changes = registered(Registry(), CONTRACT)
        self.append("ingress.db", "control", *(encode(Control(key=key, value=value)) for key, value in changes))

    def append(self, file: str, topic: str, *records: bytes) -> None:
        self.logs[file].append([Append(topic, 0, records)], self.clock.us)

    def event(self, name: str, tenant: str = "acme", **deal: Json) -> dict[str, Json]:
        data = {"deal": {"id": name, "value": Decimal("12.50"), "closed_at": None, **deal}}
        return {"id": name, "source": "crm", "tenant": tenant, "time": NOW_US, "subject": None, "data": data}

    def avro(self, *events: dict[str, Json]) -> None:
        self.append("ingress.db", "crm.events", *encode_events(self.contract, events))

    def history(self, execution: str, status: Status, *moments: Transition, **more: Any) -> None:
        record = History(
            execution=execution,
            flow="f",
            event="e-1",
            status=status,
            transitions=list(moments),
            **{"tenant": "acme", "version": "v", **more},
        )
        self.append("engine-0.db", "history", encode(record))

    def open(self) -> tuple[ViewsFile, Projector]:
        file = ViewsFile(self.home / FILE)
        return file, build_projector(self.home, file, ProjectorSettings(), self.clock)

    def project(self) -> None:
        file, projector = self.open()
        while projector.step():
            pass
        assert projector.idle
        file.close()

    def ask(self, sql: str, **how: Json) -> Answer:
        return QueryClient(self.home, self.clock).ask(Question(sql, **how))

    def rows(self, sql: str, **how: Json) -> list[list[Json]]:
        return self.ask(sql, **how).values()

    def close(self) -> None:
        for log in self.logs.values():
            log.close()


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    views = Views(tmp_path)
    yield views
    views.close()


def test_events_are_shown_with_their_place_and_data_whatever_they_were_written_as(views: Views) -> None:
    one, two = views.event("d1", closed_at=NOW_US), views.event("d2", value=Decimal("0.10"))
    views.avro(one)
    views.append("ingress.db", "crm.events", b"{ not json", to_json(views.contract, two))
    views.project()
    answer = views.ask("select * from events order by position")
    assert answer.columns == [
        *("tenant", "event", "source", "type", "subject", "time", "appended_at", "topic", "partition", "position", "data"),
    ]
    first, second = answer.records()
    assert first == {
        "tenant": "acme",
        "event": "d1",
        "source": "crm",
        "type": "deal.closed",
        "subject": None,
        "time": "2026-05-28T20:26:40Z",
        "appended_at": "2026-05-28T20:26:40Z",
        "topic": "crm.events",
        "partition": 0,
        "position": 0,
        "data": {"deal": {"id": "d1", "value": 12.5, "closed_at": "2026-05-28T20:26:40Z"}},
    }
    assert (second["event"], second["position"], second["data"]) == ("d2", 2, {"deal": {"id": "d2", "value": 0.1}})


def test_an_execution_is_shown_as_it_stands_and_step_by_step(views: Views) -> None:
    second = 1_000_000
    start = (Transition(NOW_US, "started", "", ""), Transition(NOW_US, "issued", "project", "action", "a1"))
    waits = Transition(NOW_US, "entered", "pause", "delay", NOW_US + second)
    views.history("x1", "waiting", *start, waits, waiting_on="pause", wait_until=NOW_US + second, started=NOW_US)
    views.project()
    assert views.rows("select status, waiting_on, ended_at is null from executions") == [["waiting", "pause", True]]
    over = (Transition(NOW_US + second, "completed", "pause", "delay"), Transition(NOW_US + second, "ended", "", "", "completed"))
    views.history("x1", "completed", *over, started=NOW_US)
    failure = Transition(NOW_US, "failed", "sum", "", {"code": "missing_value", "message": "no deal"})
    views.history(
        "x2",
        "failed",
        Transition(NOW_US, "started", "", ""),
        failure,
        Transition(NOW_US, "ended", "", "", "failed"),
        started=NOW_US,
    )
    views.project()
    assert views.rows(
        "select execution, flow, status, trigger_event, waiting_on, error, epoch_us(ended_at) - epoch_us(started_at) "
        "from executions order by 1"
    ) == [
        ["x1", "f", "completed", "e-1", None, None, second],
        ["x2", "f", "failed", "e-1", None, "missing_value: no deal", 0],
    ]
    assert views.rows("select execution, step, kind, outcome, detail from steps order by execution, step") == [
        ["x1", "pause", "delay", "completed", "2026-05-28T20:26:41Z"],
        ["x1", "project", "action", "issued", "a1"],
        ["x2", "sum", "", "failed", {"code": "missing_value", "message": "no deal"}],
    ]
    assert views.rows("select started, completed, failed, p99_ms from flow_stats") == [[2, 1, 1, 990.0]]


def test_an_action_is_pending_until_its_result_and_a_redrive_is_the_last_word(views: Views) -> None:
    views.append("engine-0.db", "actions.http", encode(action("a1", "x1")), encode(action("a2", "x1")))
    views.project()
    assert views.rows("select distinct status, attempts, delivered_at from actions") == [["pending", 0, None]]
    said: dict[str, Any] = {
        "execution": "x1",
        "tenant": "acme",
        "flow": "f",
        "step": "s",
        "type": "t",
        "connector": "http",
        "at": NOW_US,
        "wall": 0,
    }
    dead = Result(action="a1", status="dead", attempts=5, **said)
    again = Result(action="a1", status="delivered", attempts=1, first=False, **said)
    views.append("dispatcher-0.db", "results", encode(dead), encode(again))
    views.project()
    assert views.rows("select action, status, attempts, params, delivered_at from actions order by 1") == [
        ["a1", "delivered", 1, {"template": "basic"}, "2026-05-28T20:26:40Z"],
        ["a2", "pending", 0, {"template": "basic"}, None],
    ]


def test_dead_letters_and_records_that_cannot_be_read_are_shown_with_their_bytes(views: Views) -> None:
    letter = DeadLetter(
        kind="event",
        tenant=None,
        source="ingress.db",
        topic="crm.events",
        partition=3,
        position=9,
        reason="malformed-json",
        detail="",
        payload=b"\xff\x00",
        at=NOW_US,
    )
    views.append("engine-0.db", "dead_letters", encode(letter))
    views.append("engine-0.db", "history", b"{}")
    views.history("x1", "running", Transition(NOW_US, "started", "", ""))
    views.project()
    assert views.rows('select kind, topic, partition, position, reason, payload, "at" from dead_letters order by kind') == [
        ["event", "crm.events", 3, 9, "malformed-json", "/wA=", "2026-05-28T20:26:40Z"],
        ["result", "history", 0, 0, "wrong-schema", "{}", "2026-05-28T20:26:40Z"],
    ]
    assert views.rows("select count(*) from executions") == [[1]]
    assert views.rows("select reason from dead_letters", tenant="-") == [["malformed-json"], ["wrong-schema"]]


def test_a_history_that_tells_nothing_is_set_aside_and_its_neighbours_are_shown(views: Views) -> None:
    views.history("x1", "running", Transition(NOW_US, "started", "", ""))
    views.history("x2", "running")
    views.history("x3", "running", Transition(NOW_US, "started", "", ""))
    views.project()
    assert views.rows("select execution from executions order by execution") == [["x1"], ["x3"]]
    assert views.rows("select kind, topic, position, reason from dead_letters") == [["result", "history", 1, "wrong-schema"]]


def test_contracts_hold_from_their_place_in_the_log_on_also_after_a_restart(views: Views) -> None:
    views.append("ingress.db", "control", encode(Control(key="contract/deal.closed", value=None)))
    views.append("ingress.db", "crm.events", to_json(views.contract, views.event("too-early")))
    views.project()
    views.append("ingress.db", "crm.events", to_json(views.contract, views.event("still-none")))
    views.project()
    assert views.rows("select event from events") == []


_CHILD = """
import sys
from pathlib import Path
from typing import Any
from infra.clock import SystemClock
from flows.roles.projector import build_projector
from sinks.projection.projector import ProjectorSettings
from sinks.projection.views_file import ViewsFile
home = Path(sys.argv[1])
file = ViewsFile(home / "views.duckdb")
projector = build_projector(home, file, ProjectorSettings(), SystemClock())
while True:
    projector.step()
"""


def _has_grown(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size > size + 20_000


def test_a_killed_projector_shows_every_record_once(views: Views) -> None:
    wal = views.home / (FILE + ".wal")
    for kill in range(3):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(views.home)], cwd=Path(__file__).parents[2])
        before = wal.stat().st_size if wal.exists() else 0
        for batch in range(4):
            views.avro(*(views.event(f"d{kill}-{batch}-{at}") for at in range(500)))
        wait_until(partial(_has_grown, wal, before))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    views.project()
    assert views.rows("select count(*), count(distinct event) from events") == [[6000, 6000]]


def test_queries_are_answered_beside_the_writer_and_no_other_process_may_open_the_file(views: Views) -> None:
    file, projector = views.open()
    server = QueryServer(views.home, file.cursor)
    views.avro(*(views.event(f"d{at}") for at in range(100)))
    projector.step()
    answer = views.ask("select count(*) as n from events")
    assert (answer.records(), answer.live) == ([{"n": 100}], True)
    assert (views.home / "query.sock").stat().st_mode & 0o777 == 0o600
    child = [sys.executable, "-c", "import sys, duckdb; duckdb.connect(sys.argv[1], read_only=True)", str(views.home / FILE)]
    assert subprocess.run(child, capture_output=True, check=False).returncode != 0
    script = (
        "import sys\nfrom pathlib import Path\nfrom sinks.projection.views_file import ViewsFile\nViewsFile(Path(sys.argv[1]))"
    )
    second = subprocess.run(
        [sys.executable, "-c", script, str(views.home / FILE)], capture_output=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert HomeLocked.__name__.encode() in second.stderr
    counts: list[int] = []
    asking = threading.Thread(target=lambda: counts.extend(views.rows("select count(*) from events")[0][0] for _ in range(30)))
    asking.start()
    for batch in range(20):
        views.avro(*(views.event(f"e{batch}-{at}") for at in range(100)))
        projector.step()
    asking.join()
    assert counts == sorted(counts)
    assert all(count % 100 == 0 for count in counts)
    server.close()
    file.close()
    assert views.ask("select count(*) from events").live is False


def test_views_that_show_all_there_is_are_not_old(views: Views) -> None:
    file, projector = views.open()
    server = QueryServer(views.home, file.cursor, lambda: file.as_of_us)
    views.avro(views.event("d1"))
    projector.step()
    views.clock.us += 60_000_000
    assert projector.step() == 0
    assert views.ask("select 1").as_of_us == views.clock.us
    server.close()
    file.close()


@pytest.fixture(scope="module")
def two_tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    views = Views(tmp_path_factory.mktemp("home"))
    views.avro(*(views.event(f"d{at}", tenant="acme" if at % 2 else "o'brien") for at in range(10)))
    views.history("x1", "running", Transition(NOW_US, "started", "", ""), started=NOW_US)
    views.project()
    yield views
    views.close()


def test_with_a_tenant_every_view_holds_its_rows_alone(two_tenants: Views) -> None:
    assert two_tenants.rows("select distinct tenant from events", tenant="o'brien") == [["o'brien"]]
    assert two_tenants.rows("select count(*) from executions", tenant="o'brien") == [[0]]
    assert two_tenants.rows("select count(*) from flow_stats", tenant="acme") == [[1]]
    assert two_tenants.rows("with events as (select 1 as one) select * from events", tenant="acme") == [[1]]
    assert two_tenants.rows("select count(*) from events, range(2) r", tenant="acme") == [[10]]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from main.events",
        "select * from shown.events",
        "select * from log.events",
        "select (select count(*) from log.events)",
        "with a as (select * from views.log.events) select * from a",
        "select * from query('select * from log.events')",
        "select * from query_table('log.events')",
        "summarize shown.events",
        "explain select 1",
    ],
)
def test_with_a_tenant_nothing_goes_round_the_views(two_tenants: Views, sql: str) -> None:
    with pytest.raises(InvalidInput):
        two_tenants.ask(sql, tenant="acme")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("delete from log.events", "DELETE"),
        ("explain analyze delete from half_0.events", "read-only"),
        ("create table t as select 1", "CREATE"),
        ("select 1; select 2", "2 statements"),
        ("", "0 statements"),
        ("set threads = 8", "SET"),
        ("select * from read_text('/etc/passwd')", "disabled"),
        ("copy events to '/tmp/x'", "COPY"),
        ("install httpfs", "wanted SELECT"),
        ("select nothing from events", "nothing"),
        ("selekt 1", "syntax error"),
        ("select * from views", "views"),
    ],
)
def test_a_query_that_does_more_than_read_is_refused_in_words(two_tenants: Views, sql: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        two_tenants.ask(sql)
    assert two_tenants.rows("select count(*) from events") == [[10]]


@pytest.mark.parametrize(
    "sql", ["select at from history", "select kind from history order by at", "from history where At > now()"]
)
def test_a_column_that_is_a_word_of_sql_is_to_be_quoted(two_tenants: Views, sql: str) -> None:
    with pytest.raises(InvalidInput, match='write "at" in quotes'):
        two_tenants.ask(sql)
    two_tenants.ask(sql.replace("at from", '"at" from').replace("by at", 'by "at"').replace("At >", '"at" >'))


def test_a_bad_query_is_told_in_its_words_alone(two_tenants: Views) -> None:
    with pytest.raises(InvalidInput, match="syntax error") as told:
        two_tenants.ask("selekt 'at' as cat from history")
    assert "quotes" not in str(told.value)


def test_a_runaway_is_stopped_and_rows_are_limited(two_tenants: Views) -> None:
    with pytest.raises(InvalidInput, match=r"stopped after 0\.2 s"):
        two_tenants.ask("select count(*) from range(100000) a, range(100000) b where (a.range + b.range) % 7 = 3", timeout_s=0.2)
    answer = two_tenants.ask("select * from range(5000) order by 1", limit=3)
    assert (answer.values(), answer.truncated) == ([[0], [1], [2]], True)
    assert two_tenants.ask("select * from range(3)", limit=3).truncated is False


def test_values_of_every_kind_become_json(two_tenants: Views) -> None:
    sql = """select 1.50::decimal(9,2) as d, sum(1::bigint) as h, 'nan'::double as n, null as z, '{"a": [1]}'::json as j,
        [1, 2] as l, {'a': 'b'} as s, '\\xFF'::blob as b, 'ok'::blob as t, timestamptz '2026-01-01 01:00:00+01' as w,
        date '2026-01-02' as y, 1 as d"""
    answer = two_tenants.ask(sql)
    assert answer.json() == (
        b'[{"d":1.50,"h":1,"n":null,"z":null,"j":{"a": [1]},"l":[1,2],"s":{"a":"b"},"b":"/w==","t":"ok",'
        b'"w":"2026-01-01T00:00:00Z","y":"2026-01-02","d_2":1}]'
    )


def test_what_is_far_ahead_of_the_event_clock_is_shown_unless_the_engine_set_it_aside(views: Views) -> None:
    """A timer may have brought the engine's clock further than the events alone: its verdict is the one that holds."""
    year_us = 366 * 86_400_000_000
    late, later = NOW_US + 2 * year_us, NOW_US + 4 * year_us
    views.avro(views.event("now"), {**views.event("refused"), "time": late}, {**views.event("taken"), "time": late})
    views.avro(*({**views.event(f"after-{at}"), "time": time} for at, time in enumerate((late, later, NOW_US))))
    verdicts = [(1, "bad-time"), (4, "bad-time")]
    for position, reason in verdicts:
        letter = DeadLetter(
            kind="event",
            tenant="acme",
            source="ingress.db",
            topic="crm.events",
            partition=0,
            position=position,
            reason=reason,
            detail="",
            payload=b"",
            at=NOW_US,
        )
        views.append("engine-0.db", "dead_letters", encode(letter))
    file = ViewsFile(views.home / FILE)
    projector = build_projector(views.home, file, ProjectorSettings("events"), views.clock)
    while projector.step():
        pass
    assert file.progress().event_time_us == NOW_US
    file.close()
    assert views.rows("select event from events order by position") == [["now"], ["taken"], ["after-0"], ["after-2"]]


def test_a_comparison_that_takes_the_arrow_apart_says_how_it_is_written(two_tenants: Views) -> None:
    with pytest.raises(InvalidInput, match=r"write \(params->>'field'\) = 'value'"):
        two_tenants.ask("select 1 from (select '{}'::json as params, 'x' as type) where type = 'x' and params->>'v' = '2'")
    with pytest.raises(InvalidInput) as other:
        two_tenants.ask("select 'x'::integer")
    assert "->>" not in str(other.value)


def test_without_views_a_query_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="millrace up"):
        QueryClient(tmp_path, HandClock()).ask(Question("select 1"))


def test_the_snapshot_is_whole_and_open_to_other_tools_while_the_writer_goes_on(views: Views) -> None:
    file, projector = views.open()
    upkeep = Upkeep(file, views.clock, every_us=1_000)
    views.avro(*(views.event(f"d{at}") for at in range(100)))
    projector.step()
    upkeep.changed()
    views.clock.us += 2_000
    upkeep.tick()
    views.avro(views.event("later"))
    projector.step()
    wait_until(lambda: not upkeep.tick() and (views.home / NAME).exists())  # type: ignore[func-returns-value]
    with duckdb.connect(str(views.home / NAME), read_only=True) as other:
        assert other.execute("select count(*) from events").fetchone() == (100,)
    upkeep.changed()
    upkeep.finish()
    file.close()
    with duckdb.connect(str(views.home / NAME), read_only=True) as other:
        assert other.execute("select count(*) from events").fetchone() == (101,)


def test_a_snapshot_that_a_killed_projector_left_behind_is_made_anew(views: Views) -> None:
    file, projector = views.open()
    Upkeep(file, views.clock).finish()
    views.avro(views.event("d1"))
    assert projector.step()
    file.close()  # without a last snapshot, as after a kill
    file, projector = views.open()
    assert not projector.step()
    Upkeep(file, views.clock).finish()
    file.close()
    with duckdb.connect(str(views.home / NAME), read_only=True) as other:
        assert other.execute("select count(*) from events").fetchone() == (1,)


def test_a_record_on_which_the_projector_dies_is_shown_as_poison_and_its_neighbours_as_they_are(views: Views) -> None:
    def start() -> tuple[ViewsFile, Projector]:
        file = ViewsFile(views.home / FILE)
        careful = Careful(views.home / "views.starts", file.progress().ord)
        return file, build_projector(views.home, file, ProjectorSettings(), views.clock, careful)

    views.project()
    views.avro(views.event("killer"), views.event("good"))
    for _ in range(DEATHS + 2):
        file, projector = start()
        file.close()  # whatever is shown now ends badly
        with pytest.raises(StorageFailed):
            projector.step()
    file, projector = start()
    while projector.step():
        pass
    file.close()
    assert views.rows("select event from events") == [["good"]]
    assert views.rows("select kind, topic, position from dead_letters") == [["poison", "crm.events", 0]]
