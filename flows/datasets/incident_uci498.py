"""incident_uci498: the life of each incident as events. Topic support.events.

An incident's first row is opened (and resolved with the next ordinal if it is Resolved already); a row whose state becomes
Resolved or Closed is resolved or closed; every other row is updated. The columns that hold the final value in every row
(resolved_at, closed_at, closed_code, resolved_by) are left out: data is what was known then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from flows.datasets.stream import TENANT, DataEvent, events_of, micros, read_text_columns, with_tenant

NAME: Final = "incident_uci498"
TOPIC: Final = "support.events"
FILE: Final = "incident_event_log.csv.gz"
MISSING: Final = "?"
MINUTE: Final = "%d/%m/%Y %H:%M"
TEXTS: Final = {
    "number": "number",
    "state": "incident_state",
    "priority": "priority",
    "impact": "impact",
    "urgency": "urgency",
    "category": "category",
    "subcategory": "subcategory",
    "symptom": "u_symptom",
    "contact_type": "contact_type",
    "location": "location",
    "caller": "caller_id",
    "opened_by": "opened_by",
    "assignment_group": "assignment_group",
    "assigned_to": "assigned_to",
}


def read_incidents(folder: Path, tenant_column: str | None) -> Iterator[DataEvent]:
    """Give the events of the set in order."""
    rows = read_text_columns(folder / FILE).with_row_index("#row")
    rows = with_tenant(rows.with_columns(pl.col(pl.String).replace(MISSING, None)), NAME, tenant_column)
    yield from events_of(_with_ids(_with_types(rows)), TOPIC, NAME)


def _with_types(rows: pl.DataFrame) -> pl.DataFrame:
    """Give each row its event type, and the extra rows of incidents that are resolved from the start."""
    state, before = pl.col("incident_state"), pl.col("incident_state").shift().over("number")
    first = pl.int_range(pl.len()).over("number") == 0
    became = pl.when(state.ne_missing(before)).then(state)
    typed = rows.with_columns(
        pl.when(first)
        .then(pl.lit("incident.opened"))
        .when(became == "Resolved")
        .then(pl.lit("incident.resolved"))
        .when(became == "Closed")
        .then(pl.lit("incident.closed"))
        .otherwise(pl.lit("incident.updated"))
        .alias("type"),
        pl.lit(0).alias("#order"),
    )
    at_once = typed.filter((pl.col("type") == "incident.opened") & (state == "Resolved"))
    return pl.concat([typed, at_once.with_columns(pl.lit("incident.resolved").alias("type"), pl.lit(1).alias("#order"))])


def _with_ids(typed: pl.DataFrame) -> pl.DataFrame:
    """Number the events within each incident in file order, then sort all by time."""
    ordinal = pl.int_range(1, pl.len() + 1).over("number")
    return (
        typed.sort("#row", "#order")
        .with_columns(
            (pl.col("number") + "-" + ordinal.cast(pl.String)).alias("id"), micros(pl.col("sys_updated_at"), MINUTE).alias("time")
        )
        .sort("time", "#row", "#order")
        .select(
            "id",
            "type",
            pl.col("number").alias("subject"),
            "time",
            TENANT,
            pl.struct(_incident().alias("incident")).alias("data"),
        )
    )


def _incident() -> pl.Expr:
    return pl.struct(
        *(pl.col(column).alias(name) for name, column in TEXTS.items()),
        micros(pl.col("opened_at"), MINUTE).alias("opened_at"),
        *(pl.col(name).cast(pl.Int64) for name in ("reassignment_count", "reopen_count")),
        *((pl.col(name) == "true").alias(name) for name in ("made_sla", "knowledge")),
    )
