"""`millrace flows list`: which versions of which flows are in force, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Final

from flows.cli.home import must_exist
from flows.cli.terminal import Terminal
from flows.settings import load_settings
from flows.versions.in_home import FlowKey, Versions, versions_in
from schemas.pointer import WHOLE, Pointer, Share

COLUMNS: Final = ("flow", "tenant", "version", "runs", "percent", "by")


def list_flows(terminal: Terminal, *, tenant: str | None, home: Path | None) -> int:
    """List what is in force, a row a version: two for a flow that is rolled out to a part, or runs beside itself in shadow."""
    settings = load_settings(home=home, tenant=tenant)
    versions = versions_in(must_exist(settings.home))
    rows = [row for key in _shown(versions, settings.tenant) for row in _rows(key, versions.active[key].told)]
    terminal.rows(rows, COLUMNS)
    return 0


def _shown(versions: Versions, tenant: str | None) -> list[FlowKey]:
    """Choose the flows to show: of a tenant each as it runs there, else all that is in force."""
    if tenant is None:
        return sorted(versions.active, key=itemgetter(1, 0))
    runs = (versions.of_tenant(tenant, flow) for flow in sorted({flow for _, flow in versions.active}))
    return [key for key in runs if key is not None]


def _rows(key: FlowKey, told: Pointer) -> Iterator[dict[str, object]]:
    percent = told.share.percent
    if told.rest is not None:
        yield _row(key, told.version, "new", told.share)
        yield _row(key, told.rest, "rest", Share(WHOLE - percent, told.share.by))
        return
    yield _row(key, told.version, "all", Share())
    if told.shadow is not None:
        yield _row(key, told.shadow, "shadow", told.share)


def _row(key: FlowKey, version: str, runs: str, share: Share) -> dict[str, object]:
    tenant, flow = key
    return {"flow": flow, "tenant": tenant, "version": version, "runs": runs, "percent": share.percent, "by": share.by or None}
