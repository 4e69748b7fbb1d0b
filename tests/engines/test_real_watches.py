"""Absence, reminders, windows, sequences, retraction on real data, against counts made in DuckDB and plain loops from the files.

Nothing of Millrace is used to make them: the meaning of each flow is written down here a second time.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import io
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from flows.catalog import catalog_file
from tests.engines.by_command import millrace, rows

pytestmark = [pytest.mark.data, pytest.mark.slow]

HOUR, DAY = 3_600, 86_400
INCIDENTS = """
create table log as select row_number() over () as r, number, incident_state as state, priority,
  epoch(strptime(sys_updated_at, '%d/%m/%Y %H:%M'))::bigint as t from read_csv('{file}', all_varchar = true);
create table events as
with o as (select *, row_number() over (partition by number order by r) = 1 as first,
  lag(state) over (partition by number order by r) as before from log)
select number, priority, t, r, state, case when first then 'opened'
  when state is distinct from before and state = 'Resolved' then 'resolved'
  when state is distinct from before and state = 'Closed' then 'closed' else 'updated' end as kind from o
union all select number, priority, t, r, state, 'resolved' from o where first and state = 'Resolved'
"""
BREACHES = """
with sla(priority, s) as (values ('1 - Critical', 4 * 3600), ('2 - High', 8 * 3600), ('3 - Moderate', 3 * 86400)),
due as (select number, t, t + coalesce(s, 10 * 86400) as due from events left join sla using (priority) where kind = 'opened')
select number from due d where not exists (select 1 from events e where e.number = d.number and kind = 'resolved'
  and e.t between d.t and d.due) order by number
"""
ORDERS = """
create table lines as
select 0 as f, row_number() over () as r, Invoice as id, Quantity::bigint as q, InvoiceDate::timestamp as d,
  Price::decimal(18, 4) as p, nullif("Customer ID", '') as c from read_csv('{first}', all_varchar = true)
union all select 1, row_number() over (), InvoiceNo, Quantity::bigint, InvoiceDate::timestamp, UnitPrice::decimal(18, 4),
  nullif(CustomerID, '') from read_csv('{second}', all_varchar = true);
create table invoices as select *, row_number() over (order by t, f, r) as n from (
  select f, id, first(c order by r) as c, epoch(min(d)) as t, sum(q * p) as total, min(r) as r from lines
  where id not like 'A%' group by f, id);
create table once as select * from invoices where c is not null and c <> '0'
  qualify row_number() over (partition by id order by n) = 1;
create table placed as select * from once where id not like 'C%'
"""
BURSTS = """
with w as (select a.c, count(*) as k, sum(b.total) as spend from placed a join placed b
  on b.c = a.c and b.t > a.t - 3600 and (b.t, b.n) <= (a.t, a.n) group by a.n, a.c)
select c, spend > 500 as much from w where k = 3
"""
CHURNS = """
select c from once a where id like 'C%' and exists (select 1 from placed b where b.c = a.c and b.n > a.n
  and b.t between a.t and a.t + 3600 and b.total > a.total)
"""


def run(home: Path, folder: Path, *flows: str) -> None:
    names = ("contracts.yaml", "policies.yaml", *(f"{flow}.yaml" for flow in flows))
    millrace(home, "deploy", *(str(catalog_file(name)) for name in names))
    millrace(home, "send", "--dataset", folder.name, str(folder))
    millrace(home, "up", "--clock", "events", "--until-idle")
    assert rows(home, "select distinct status from executions") == [{"status": "completed"}]


def params(home: Path, action: str, name: str) -> list[str]:
    return [
        row["key"] for row in rows(home, f"select params->>'{name}' as key from actions where type = '{action}' order by key")
    ]


def database(script: str, **files: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(script.format(**files))
    return connection


def test_incidents_that_are_not_resolved_in_time_are_breaches_and_silent_callers_are_reminded(
    tmp_path: Path, datasets: Path
) -> None:
    folder, home = datasets / "incident_uci498", tmp_path / "home"
    run(home, folder, "sla_watch", "awaiting_user")
    data = database(INCIDENTS, file=folder / "incident_event_log.csv.gz")
    breached = rows(home, "select data->>'$.incident.number' as n from events where type = 'incident.breached' order by n")
    assert [row["n"] for row in breached] == [number for (number,) in data.execute(BREACHES).fetchall()]
    assert len(breached) > 8_000
    assert rows(home, "select count(*) as n from events where type = 'incident.breach_withdrawn'") == [{"n": 0}]

    order = "order by t, r, kind = 'resolved'"  # an incident that is resolved at once is opened first
    wanted = reminders(data.execute(f"select number, t, kind, state from events {order}").fetchall())
    assert rows(home, "select count(*) as n from executions where flow = 'awaiting_user'") == [{"n": wanted["start"]}]
    sent = {row["type"]: row["n"] for row in rows(home, "select type, count(*) as n from actions group by type")}
    assert sent == {"send_email": wanted["reminder"], "close_incident": wanted["close"]}
    assert rows(home, "select reason, count(*) as n from dead_letters group by all") == [
        {"reason": "over-limit", "n": wanted["drop"]}
    ]


def reminders(events: list[tuple[str, int, str, str]]) -> Counter[str]:
    """Tell each incident's story: one execution at a time, reminders on days 1, 3 and 5, the end on day 7."""
    stories: defaultdict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for number, at, kind, state in events:
        stories[number].append((at, kind, state))
    counts: Counter[str] = Counter()
    for story in stories.values():
        began: int | None = None
        for at, kind, state in [*story, (1 << 40, "end", "")]:
            if began is not None and (at >= began + 7 * DAY):
                counts.update(reminder=3, close=1)
                began = None
            answered = kind == "resolved" or (kind == "updated" and state != "Awaiting User Info")
            if began is not None and answered:
                counts["reminder"] += sum(at >= began + days * DAY for days in (1, 3, 5))
                began = None
            elif kind == "updated" and not answered:
                counts["drop" if began is not None else "start"] += 1
                began = at if began is None else began
    return counts


def test_bursts_and_churns_of_customers_are_found(tmp_path: Path, datasets: Path) -> None:
    folder, home = datasets / "online_retail", tmp_path / "home"
    run(home, folder, "velocity")
    files = {"first": "online_retail_II_2009_2010.csv.gz", "second": "online_retail_2010_2011_positive_qty.csv.gz"}
    data = database(ORDERS, **{name: folder / file for name, file in files.items()})
    bursts = data.execute(BURSTS).fetchall()
    assert params(home, "hold_orders", "customer") == sorted(customer for customer, much in bursts if much)
    flagged = rows(home, "select params->>'customer' as c, params->>'why' as why from actions where type = 'flag_customer'")
    assert sorted(row["c"] for row in flagged if row["why"] == "burst") == sorted(
        customer for customer, much in bursts if not much
    )
    churned = sorted(customer for (customer,) in data.execute(CHURNS).fetchall())
    assert sorted(row["c"] for row in flagged if row["why"] == "churn") == churned
    assert len(bursts) > 400
    assert len(churned) > 600


def test_deliveries_that_are_not_recorded_raise_alarms_and_late_records_withdraw_them(tmp_path: Path, datasets: Path) -> None:
    folder, home = datasets / "scms_delivery", tmp_path / "home"
    run(home, folder, "late_delivery")
    alarms, withdrawn = late_deliveries(folder / "SCMS_Delivery_History_Dataset.csv.gz")
    assert params(home, "raise_alarm", "delivery") == sorted(alarms)
    assert params(home, "withdraw_alarm", "delivery") == sorted(withdrawn)
    assert (len(alarms), len(withdrawn)) == (1_712, 416)  # of those, 202 went out before they were ordered, as the file has it
    late = rows(home, "select key, event from late_events where flow = 'late_delivery'")
    assert len({row["key"] for row in late}) == len(late) == 416  # each came behind its alarm, and nothing else did
    assert rows(home, "select count(*) as n from dead_letters") == [{"n": 0}]


def late_deliveries(file: Path) -> tuple[list[str], list[str]]:
    """Let the recorded events arrive one by one: an alarm when the clock is past a week after the day after the schedule."""
    text = gzip.decompress(file.read_bytes()).decode("utf-8-sig")
    arrivals: list[tuple[int, int, int, int]] = []  # arrival, line, whether delivered, time of the event
    lines = list(csv.DictReader(io.StringIO(text)))
    until = [day(line["Scheduled Delivery Date"]) + DAY for line in lines]
    ordered_on: list[int] = []
    for at, line in enumerate(lines):
        ordered = [slashed(line[name]) for name in ("PO Sent to Vendor Date", "PQ First Sent to Client Date")]
        placed = next((one for one in ordered if one is not None), until[at] - DAY)
        ordered_on.append(placed)
        arrivals.append((placed, at, 0, placed))
        arrivals.append((day(line["Delivery Recorded Date"]), at, 1, day(line["Delivered to Client Date"])))
    clock, watched, raised, withdrawn = 0, set[int](), set[int](), set[int]()
    due: list[tuple[int, int]] = []
    for _, at, delivered, time in sorted(arrivals):
        clock = max(clock, time)
        while due and due[0][0] < clock:
            passed = heapq.heappop(due)[1]
            raised |= {passed} & watched
            watched.discard(passed)
        if not delivered:
            watched.add(at)
            heapq.heappush(due, (until[at] + 7 * DAY, at))
        elif ordered_on[at] <= time <= until[at]:
            withdrawn |= {at} & raised
            watched.discard(at)
    return [lines[at]["ID"] for at in raised | watched], [lines[at]["ID"] for at in withdrawn]


def day(text: str) -> int:
    return int(datetime.strptime(text, "%d-%b-%y").replace(tzinfo=UTC).timestamp())


def slashed(text: str) -> int | None:
    parts = text.split("/")
    if len(parts) != 3:
        return None
    month, of_month, year = (int(part) for part in parts)
    return (date(year if year > 99 else year + 2000, month, of_month) - date(1970, 1, 1)).days * DAY
