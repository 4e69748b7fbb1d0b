"""scms_delivery: each order line is scheduled, then delivered. Topic delivery.events, in order of arrival.

A delivery's time is the day it reached the client, and it arrives on the day that this was recorded, up to 546 days later: events
are sorted by arrival, not by time. What is only known at the end (weight, freight, insurance) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from flows.datasets.stream import TENANT, DataEvent, events_of, read_text_columns, with_tenant
from schemas.frames import DECIMAL

NAME: Final = "scms_delivery"
TOPIC: Final = "delivery.events"
FILE: Final = "SCMS_Delivery_History_Dataset.csv.gz"
DAY: Final = "%d-%b-%y"
SLASHED: Final = ("%m/%d/%Y", "%m/%d/%y")  # 09/11/2014, 8/27/14; what else stands there is no date
NOT_APPLICABLE: Final = "N/A"
TEXTS: Final = {
    "id": "ID",
    "project": "Project Code",
    "country": "Country",
    "managed_by": "Managed By",
    "fulfilled": "Fulfill Via",
    "mode": "Shipment Mode",
    "vendor": "Vendor",
    "site": "Manufacturing Site",
    "product_group": "Product Group",
    "item": "Item Description",
}


def read_deliveries(folder: Path, tenant_column: str | None) -> Iterator[DataEvent]:
    """Give the events of the set in order of arrival, ties in file order."""
    lines = with_tenant(read_text_columns(folder / FILE).with_row_index("#row"), NAME, tenant_column)
    dated = lines.with_columns(
        scheduled=_day("Scheduled Delivery Date"),
        delivered=_day("Delivered to Client Date"),
        recorded=_day("Delivery Recorded Date"),
        ordered=pl.coalesce(_slashed("PO Sent to Vendor Date"), _slashed("PQ First Sent to Client Date")),
    ).with_columns(placed=pl.coalesce("ordered", "scheduled"))
    parts = [
        _events(dated, "delivery.scheduled", "placed", "placed", 0),
        _events(dated, "delivery.delivered", "delivered", "recorded", 1),
    ]
    yield from events_of(pl.concat(parts).sort("#arrival", "#row", "#order"), TOPIC, NAME)


def _day(column: str) -> pl.Expr:
    return pl.col(column).str.to_date(DAY).cast(pl.Datetime("us")).cast(pl.Int64)


def _slashed(column: str) -> pl.Expr:
    long = pl.col(column).str.len_chars() == len("09/11/2014")
    year_of_four, year_of_two = (pl.col(column).str.to_date(pattern, strict=False) for pattern in SLASHED)
    return pl.when(long).then(year_of_four).otherwise(year_of_two).cast(pl.Datetime("us")).cast(pl.Int64)


def _events(lines: pl.DataFrame, kind: str, time: str, arrival: str, order: int) -> pl.DataFrame:
    unknown = pl.lit(None, dtype=pl.Int64)
    delivery = pl.struct(
        *(pl.col(column).replace(NOT_APPLICABLE, None).alias(name) for name, column in TEXTS.items()),
        pl.col("Line Item Quantity").cast(pl.Int64).alias("quantity"),
        pl.col("Line Item Value").cast(DECIMAL).alias("value"),
        pl.col("scheduled").alias("scheduled_at"),
        (pl.col("delivered") if order else unknown).alias("delivered_at"),
        (pl.col("recorded") if order else unknown).alias("recorded_at"),
    )
    return lines.select(
        "#row",
        TENANT,
        pl.lit(order).alias("#order"),
        pl.col(arrival).alias("#arrival"),
        (pl.col("ID") + f"-{kind}").alias("id"),
        pl.lit(kind).alias("type"),
        pl.col("ID").alias("subject"),
        pl.col(time).alias("time"),
        pl.struct(delivery.alias("delivery")).alias("data"),
    )
