"""How commands look at a home before they act on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from schemas.errors import InvalidInput
from schemas.topics import INGRESS_FILE


def must_exist(home: Path) -> Path:
    """Give the home back. Raises InvalidInput where nothing was ever written there."""
    if not (home / INGRESS_FILE).exists():
        raise InvalidInput(f"{home} holds no Millrace home; name another with --home, or make one with `millrace up` or `deploy`")
    return home


def only_tenant(keys: Iterable[str], tenant: str | None) -> list[str]:
    """Keep those control keys (`kind/<tenant>/...`) that hold for a tenant: its own and those for all."""
    return [key for key in keys if tenant is None or key.split("/")[1] in (tenant, "*")]
