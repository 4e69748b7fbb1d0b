"""The readers of real data sets against counts made another way: the csv module and plain loops."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flows.datasets import read_dataset
from infra.file_reader import FileReader
from schemas.contracts import EventContract
from schemas.errors import InvalidInput
from schemas.events import to_json
from schemas.expression.types import Name, Type
from schemas.infer import infer_contracts
from schemas.topics import INGRESS_FILE, PARTITIONS, is_events, partition_of
from tests.flows.driving import command


def rows(path: Path) -> Iterator[dict[str, str]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline=""))


def events(folder: Path, name: str, tenant_column: str | None = None) -> list[dict[str, Any]]:
    found = [event for _, event in read_dataset(name, folder / name, tenant_column)]
    assert [event["time"] for event in found] == sorted(event["time"] for event in found)
    return found


def micros(text: str, pattern: str) -> int:
    return int(datetime.strptime(text, pattern).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.data("crm_sales")
def test_each_opportunity_is_engaged_and_closed_once(datasets: Path) -> None:
    found = events(datasets, "crm_sales", "regional_office")
    pipeline = list(rows(datasets / "crm_sales" / "sales_pipeline.csv"))
    regions = {row["sales_agent"]: row["regional_office"] for row in rows(datasets / "crm_sales" / "sales_teams.csv")}
    stages = Counter(row["deal_stage"] for row in pipeline)
    assert Counter(event["type"] for event in found) == {
        "deal.engaged": sum(row["engage_date"] != "" for row in pipeline),
        "deal.won": stages["Won"],
        "deal.lost": stages["Lost"],
        "deal.closed": stages["Won"] + stages["Lost"],
    }
    assert len({event["id"] for event in found}) == len(found)
    closed = [event["data"]["deal"] for event in found if event["type"] == "deal.closed"]
    assert sum(deal["value"] for deal in closed) == sum(int(row["close_value"]) for row in pipeline if row["close_value"])
    assert {event["subject"]: event["tenant"] for event in found} == {
        row["opportunity_id"]: regions[row["sales_agent"]] for row in pipeline if row["engage_date"]
    }
    engaged = next(event for event in found if event["type"] == "deal.engaged")
    assert (engaged["data"]["deal"]["value"], engaged["data"]["deal"]["stage"]) == (None, "Engaging")


@pytest.mark.data("incident_uci498")
def test_each_incident_opens_once_and_every_row_is_an_event(datasets: Path) -> None:
    found = events(datasets, "incident_uci498")
    last: dict[str, str] = {}
    counts, wanted = Counter[str](), list[tuple[str, str, int]]()
    for row in rows(datasets / "incident_uci498" / "incident_event_log.csv.gz"):
        number, state, time = row["number"], row["incident_state"], micros(row["sys_updated_at"], "%d/%m/%Y %H:%M")
        kinds = ["opened", "resolved"] if state == "Resolved" else ["opened"]
        if number in last:
            changed = state != last[number] and state in ("Resolved", "Closed")
            kinds = [state.lower()] if changed else ["updated"]
        last[number] = state
        for kind in kinds:
            counts[number] += 1
            wanted.append((f"{number}-{counts[number]}", f"incident.{kind}", time))
    assert sorted((event["id"], event["type"], event["time"]) for event in found) == sorted(wanted)
    assert Counter(event["type"] for event in found)["incident.opened"] == 24_918
    known = set().union(*(event["data"]["incident"] for event in found[:1000]))
    assert not known & {"resolved_at", "closed_at", "closed_code", "resolved_by"}
    assert all(event["data"]["incident"]["state"] and event["data"]["incident"]["priority"] for event in found)
    assert not any("?" in event["data"]["incident"].values() for event in found)


@pytest.mark.data("online_retail")
def test_each_invoice_is_one_event_with_all_its_lines(datasets: Path) -> None:
    found = events(datasets, "online_retail")
    lines, totals, times = (
        Counter[tuple[int, str]](),
        defaultdict[tuple[int, str], Decimal](Decimal),
        dict[tuple[int, str], str](),
    )
    names = [
        ("online_retail_II_2009_2010", "Invoice", "Price"),
        ("online_retail_2010_2011_positive_qty", "InvoiceNo", "UnitPrice"),
    ]
    for at, (name, invoice, price) in enumerate(names):
        for row in rows(datasets / "online_retail" / f"{name}.csv.gz"):
            key = (at, row[invoice])
            lines[key] += 1
            totals[key] += int(row["Quantity"]) * Decimal(row[price])
            times[key] = min(times.get(key, row["InvoiceDate"]), row["InvoiceDate"])
    wanted = [key for key in lines if not key[1].startswith("A")]
    assert sorted(
        (event["id"], len(event["data"]["order"]["lines"]), event["data"]["order"]["total"]) for event in found
    ) == sorted((key[1], lines[key], totals[key]) for key in wanted)
    assert Counter(event["time"] for event in found) == Counter(micros(times[key], "%Y-%m-%d %H:%M:%S") for key in wanted)
    assert {event["type"] for event in found if event["id"].startswith("C")} == {"order.cancelled"}
    assert len(found) - len({event["id"] for event in found}) == 888
    assert not any(event["data"]["order"]["customer_id"] in ("", "0") for event in found)


@pytest.mark.data("scms_delivery")
def test_each_order_line_is_scheduled_and_delivered_and_told_when_it_was_recorded(datasets: Path) -> None:
    found = [event for _, event in read_dataset("scms_delivery", datasets / "scms_delivery", "Country")]
    wanted, arrivals = [], {}
    for row in rows(datasets / "scms_delivery" / "SCMS_Delivery_History_Dataset.csv.gz"):
        scheduled, delivered, recorded = (
            micros(row[f"{name} Date"], "%d-%b-%y") for name in ("Scheduled Delivery", "Delivered to Client", "Delivery Recorded")
        )
        dates = [_slashed(row[name]) for name in ("PO Sent to Vendor Date", "PQ First Sent to Client Date")]
        placed = next((date for date in dates if date is not None), scheduled)
        for kind, time, arrival in (("scheduled", placed, placed), ("delivered", delivered, recorded)):
            wanted.append((f"{row['ID']}-delivery.{kind}", time, row["Country"]))
            arrivals[wanted[-1][0]] = arrival
    assert sorted((event["id"], event["time"], event["tenant"]) for event in found) == sorted(wanted)
    order = [arrivals[event["id"]] for event in found]
    assert order == sorted(order)
    late = [arrivals[event["id"]] - event["time"] for event in found if event["type"] == "delivery.delivered"]
    assert (max(late) // 86_400_000_000, round(sum(one > 0 for one in late) / len(late), 3)) == (546, 0.185)
    assert not any("N/A" in event["data"]["delivery"].values() for event in found)
    known = [event["data"]["delivery"]["delivered_at"] for event in found if event["type"] == "delivery.scheduled"]
    assert set(known) == {None}


def _slashed(text: str) -> int | None:
    parts = text.split("/")
    if len(parts) != 3:
        return None
    month, day, year = (int(part) for part in parts)
    return int(datetime(year if year > 99 else year + 2000, month, day, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.data("crm_sales")
def test_the_events_of_a_data_set_can_be_inferred(datasets: Path) -> None:
    found = [event for _, event in read_dataset("crm_sales", datasets / "crm_sales")][-600:]
    (contract,) = [one for one in infer_contracts([json_line(event) for event in found]) if one.event == "deal.closed"]
    deal = dict(dict(contract.data.fields)["deal"].fields)
    assert (deal["closed_at"].name, deal["region"].name, deal["value"].name) == ("timestamp", "string", "int")


def json_line(event: dict[str, Any]) -> bytes:
    from_contracts: dict[str, Name] = {"closed_at": "timestamp", "engaged_at": "timestamp", "value": "decimal"}
    kinds = tuple((name, Type(from_contracts.get(name, "string"), optional=True)) for name in event["data"]["deal"])
    return to_json(
        EventContract(
            event=event["type"], topic="crm.events", data=Type("record", fields=(("deal", Type("record", fields=kinds)),))
        ),
        event,
    )


@pytest.mark.data("crm_sales")
def test_a_column_that_is_not_there_is_named(datasets: Path) -> None:
    with pytest.raises(InvalidInput, match="no column 'nope'; it has opportunity_id"):
        list(read_dataset("crm_sales", datasets / "crm_sales", "nope"))


def test_an_unknown_set_or_an_empty_folder_says_what_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="crm_sales, incident_uci498, online_retail"):
        read_dataset("no_such_set", tmp_path)
    with pytest.raises(InvalidInput, match=r"incident_event_log.csv.gz is not there"):
        list(read_dataset("incident_uci498", tmp_path))


@pytest.mark.data("crm_sales")
def test_a_data_set_is_sent_as_the_tenant_that_is_named(datasets: Path, tmp_path: Path) -> None:
    sent = ["send", "--dataset", "crm_sales", str(datasets / "crm_sales"), "--limit", "20", "--tenant", "acme"]
    command(*sent, home=tmp_path)
    with closing(FileReader(tmp_path / INGRESS_FILE, is_events, {})) as reader:
        chunks = reader.poll(100)
    assert {chunk.partition for chunk in chunks} == {partition_of("acme", PARTITIONS)}
    assert [b"acme" in record for chunk in chunks for record in chunk.records] == [True] * 20
    refused = command(*sent, "--tenant-column", "regional_office", home=tmp_path, code=2)
    assert "give one of them" in refused.stderr
