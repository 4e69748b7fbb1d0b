"""crm_sales: each opportunity is engaged, then won or lost, and closed. Topic crm.events.

`deal.manager` and `deal.region` are joined from sales_teams. An engaged deal knows neither value nor end. Prospects without an
engage date yield nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from flows.datasets.stream import TENANT, DataEvent, events_of, read_text_columns, with_tenant
from schemas.frames import DECIMAL

NAME: Final = "crm_sales"
TOPIC: Final = "crm.events"
ENDED: Final = ("Won", "Lost")


def read_crm_sales(folder: Path, tenant_column: str | None) -> Iterator[DataEvent]:
    """Give the events of the set in order."""
    pipeline = read_text_columns(folder / "sales_pipeline.csv").with_row_index("#row")
    deals = pipeline.join(read_text_columns(folder / "sales_teams.csv"), on="sales_agent", how="left", maintain_order="left")
    deals = with_tenant(deals, NAME, tenant_column).with_columns(
        engaged_at=_date_us("engage_date"), closed_at=_date_us("close_date"), value=pl.col("close_value").cast(DECIMAL)
    )
    ended = deals.filter(pl.col("deal_stage").is_in(ENDED))
    parts = [
        _events(deals.filter(pl.col("engaged_at").is_not_null()), pl.lit("deal.engaged"), 0),
        _events(ended, pl.lit("deal.") + pl.col("deal_stage").str.to_lowercase(), 1),
        _events(ended, pl.lit("deal.closed"), 2),
    ]
    yield from events_of(pl.concat(parts).sort("time", "#row", "#order"), TOPIC, NAME)


def _date_us(column: str) -> pl.Expr:
    return pl.col(column).str.to_date("%Y-%m-%d").cast(pl.Datetime("us")).cast(pl.Int64)


def _events(deals: pl.DataFrame, kind: pl.Expr, order: int) -> pl.DataFrame:
    engaged = order == 0
    deal = pl.struct(
        pl.col("opportunity_id").alias("id"),
        pl.lit("Engaging").alias("stage") if engaged else pl.col("deal_stage").alias("stage"),
        pl.lit(None, dtype=DECIMAL).alias("value") if engaged else pl.col("value"),
        pl.col("sales_agent").alias("agent"),
        pl.col("manager"),
        pl.col("regional_office").alias("region"),
        pl.col("product"),
        pl.col("account"),
        pl.col("engaged_at"),
        pl.lit(None, dtype=pl.Int64).alias("closed_at") if engaged else pl.col("closed_at"),
    )
    return deals.select(
        "#row",
        TENANT,
        pl.lit(order).alias("#order"),
        (pl.col("opportunity_id") + "-" + kind).alias("id"),
        kind.alias("type"),
        pl.col("opportunity_id").alias("subject"),
        pl.col("engaged_at" if engaged else "closed_at").alias("time"),
        pl.struct(deal.alias("deal")).alias("data"),
    )
