"""online_retail: one event per invoice, with its lines. Topic orders.events.

An invoice with "C" in front is order.cancelled (quantities and total are negative), one with "A" (bad debt) is left out.
The two files share 888 invoices, which come twice under one id; lines that stand twice in an invoice stay twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from flows.datasets.stream import TENANT, DataEvent, events_of, micros, read_text_columns, with_tenant
from schemas.frames import DECIMAL

NAME: Final = "online_retail"
TOPIC: Final = "orders.events"
FILES: Final = ("online_retail_II_2009_2010.csv.gz", "online_retail_2010_2011_positive_qty.csv.gz")
COLUMNS: Final = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
OTHER_NAMES: Final = {"InvoiceNo": "Invoice", "UnitPrice": "Price", "CustomerID": "Customer ID"}
NO_CUSTOMER: Final = "0"


def read_orders(folder: Path, tenant_column: str | None) -> Iterator[DataEvent]:
    """Give the events of the set in order."""
    parts = [read_text_columns(folder / name).rename(OTHER_NAMES, strict=False).select(COLUMNS) for name in FILES]
    lines = pl.concat([part.with_columns(pl.lit(at).alias("#file")) for at, part in enumerate(parts)])
    invoices = _invoices(with_tenant(lines, NAME, OTHER_NAMES.get(tenant_column or "", tenant_column), [NO_CUSTOMER]))
    yield from events_of(invoices.sort("time", maintain_order=True), TOPIC, NAME)


def _invoices(lines: pl.DataFrame) -> pl.DataFrame:
    price, quantity = pl.col("Price").cast(DECIMAL), pl.col("Quantity").cast(pl.Int64)
    line = pl.struct(
        pl.col("StockCode").alias("sku"),
        quantity.alias("quantity"),
        price.alias("price"),
        pl.col("Description").alias("description"),
    )
    customer = pl.col("Customer ID").replace(NO_CUSTOMER, None).alias("customer_id")
    rows = lines.filter(~pl.col("Invoice").str.starts_with("A")).select(
        "#file", TENANT, "Invoice", customer, "Country", micros(pl.col("InvoiceDate"), "%Y-%m-%d %H:%M:%S").alias("time"),
        line.alias("line"), (price * quantity.cast(DECIMAL)).alias("amount"),
    )  # fmt: skip
    grouped = rows.group_by("#file", "Invoice", maintain_order=True).agg(
        pl.col(TENANT, "customer_id", "Country").first(), pl.col("time").min(), pl.col("line"), pl.col("amount").sum()
    )
    order = pl.struct(
        pl.col("Invoice").alias("id"),
        pl.col("customer_id"),
        pl.col("Country").alias("country"),
        pl.col("amount").alias("total"),
        pl.col("line").alias("lines"),
    )
    kind = pl.when(pl.col("Invoice").str.starts_with("C")).then(pl.lit("order.cancelled")).otherwise(pl.lit("order.placed"))
    return grouped.select(
        pl.col("Invoice").alias("id"),
        kind.alias("type"),
        pl.col("Invoice").alias("subject"),
        "time",
        TENANT,
        pl.struct(order.alias("order")).alias("data"),
    )
