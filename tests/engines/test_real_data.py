"""The catalogue on real data, through the command line, against counts made with plain polars from the files themselves."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from flows.demo.flows import demo_files
from tests.engines.by_command import millrace, rows

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _run(home: Path, name: str, folder: Path) -> None:
    millrace(home, "deploy", *[str(path) for path in demo_files()])
    millrace(home, "send", "--dataset", name, str(folder))
    millrace(home, "up", "--clock", "events", "--until-idle")
    assert rows(home, "select count(*) n from dead_letters") == [{"n": 0}]
    assert rows(home, "select distinct status from executions") == [{"status": "completed"}]
    assert rows(home, "select distinct status from actions") == [{"status": "delivered"}]


def _keys(home: Path, action: str, path: str) -> list[str]:
    """Give one parameter of every command of a type, sorted."""
    sql = f"select params->>'{path}' as key from actions where type = '{action}' order by key"
    return [row["key"] for row in rows(home, sql)]


def test_every_incident_opened_as_critical_or_high_pages_once(home: Path, datasets: Path) -> None:
    _run(home, "incident_uci498", datasets / "incident_uci498")
    log = pl.read_csv(datasets / "incident_uci498" / "incident_event_log.csv.gz", infer_schema=False)
    updated = pl.col("sys_updated_at").str.to_datetime("%-d/%-m/%Y %H:%M")
    opened = log.with_columns(updated.alias("at")).sort("at", maintain_order=True).group_by("number", maintain_order=True).first()
    urgent = opened.filter(pl.col("priority").is_in(["1 - Critical", "2 - High"]))
    assert urgent.height > 300
    assert _keys(home, "page_group", "number") == sorted(urgent["number"])


def test_every_deal_won_is_invoiced_and_every_agent_is_paid(home: Path, datasets: Path) -> None:
    _run(home, "crm_sales", datasets / "crm_sales")
    deals = pl.read_csv(datasets / "crm_sales" / "sales_pipeline.csv", infer_schema=False)
    won = deals.filter((pl.col("deal_stage") == "Won") & (pl.col("close_value").cast(pl.Float64) > 0))
    assert won.height > 4_000
    assert _keys(home, "create_invoice", "deal") == sorted(won["opportunity_id"])
    paid = "select params->>'agent' a, sum((params->>'amount')::decimal(18, 2)) c from actions where type = 'book_commission'"
    commissions = rows(home, f"{paid} group by a order by a")
    cents = (pl.col("close_value").cast(pl.Int64) * 5).sum().alias("cents")
    expected = won.group_by("sales_agent").agg(cents).sort("sales_agent")
    assert [(row["a"], round(float(row["c"]) * 100)) for row in commissions] == expected.rows()
    onboarded = deals.filter(pl.col("deal_stage").is_in(["Won", "Lost"]) & (pl.col("close_value").cast(pl.Float64) >= 10_000))
    assert len(_keys(home, "create_task", "title")) == onboarded.height


def test_every_large_order_is_held_once_though_888_invoices_come_twice(home: Path, datasets: Path) -> None:
    folder = datasets / "online_retail"
    _run(home, "online_retail", folder)
    assert _keys(home, "hold_order", "order") == sorted(_large_invoices(folder))


def _large_invoices(folder: Path) -> list[str]:
    """Give the invoices worth more than 5,000, exactly; an invoice of both files counts as its first delivery says."""
    first = pl.read_csv(folder / "online_retail_II_2009_2010.csv.gz", infer_schema=False)
    second = pl.read_csv(folder / "online_retail_2010_2011_positive_qty.csv.gz", infer_schema=False)
    names = {"Invoice": "invoice", "InvoiceNo": "invoice", "Price": "price", "UnitPrice": "price", "Quantity": "quantity"}
    large: dict[str, bool] = {}
    for frame in (first, second):
        lines = frame.rename({old: new for old, new in names.items() if old in frame.columns}).filter(
            ~pl.col("invoice").str.contains("^[CA]")
        )
        worth = pl.col("price").cast(pl.Decimal(38, 9)) * pl.col("quantity").cast(pl.Int64)
        totals = lines.group_by("invoice", maintain_order=True).agg(worth.sum().alias("total"))
        for invoice, total in totals.select("invoice", "total").rows():
            large.setdefault(invoice, total > 5_000)
    return [invoice for invoice, is_large in large.items() if is_large]
