"""Public data sets as event streams (contracts.md section 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from flows.datasets.crm_sales import read_crm_sales
from flows.datasets.incident_uci498 import read_incidents
from flows.datasets.online_retail import read_orders
from flows.datasets.scms_delivery import read_deliveries
from flows.datasets.stream import DataEvent
from schemas.errors import InvalidInput

__all__ = ["DATASETS", "DataEvent", "read_dataset"]

DATASETS: Final[Mapping[str, Callable[[Path, str | None], Iterator[DataEvent]]]] = {
    "crm_sales": read_crm_sales,
    "incident_uci498": read_incidents,
    "online_retail": read_orders,
    "scms_delivery": read_deliveries,
}


def read_dataset(name: str, folder: Path, tenant_column: str | None = None) -> Iterator[DataEvent]:
    """Give the events of a data set in order of their time (scms_delivery: of arrival), ties in file order; each with its topic.

    `tenant_column` names a column of the set whose value is the tenant; where it is empty, and by default, the tenant is the
    set's name. Raises InvalidInput for an unknown set or column, or a missing file.
    """
    if name not in DATASETS:
        raise InvalidInput(f"{name!r} is no data set that can be read; there are {', '.join(sorted(DATASETS))}")
    return DATASETS[name](folder, tenant_column)
