"""`millrace connectors`: rules that say which connector carries out which action type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from flows.cli.home import must_exist, only_tenant
from flows.cli.terminal import Terminal
from flows.deployment import append_controls, in_force, open_ingress
from flows.settings import load_settings
from schemas.connector_rules import ALL, PREFIX, read_rule
from schemas.errors import InvalidInput
from schemas.records import Json
from sinks.secrets import names_secret

CONNECTORS: Final = ("http", "webhook", "file")
NEEDED: Final = {"http": ("url",), "webhook": ("url",), "file": ()}
PATTERN: Final = re.compile(r"[a-z0-9_*?\[\]-]+")


def list_connectors(terminal: Terminal, *, tenant: str | None, home: Path | None) -> int:
    """Show the rules in force, the tenants' own ones first."""
    settings = load_settings(home=home, tenant=tenant)
    values = in_force(must_exist(settings.home)).values
    keys = only_tenant([key for key in values if key.startswith(PREFIX)], settings.tenant)
    rows = []
    for key in sorted(keys, key=lambda key: (key.split("/")[1] == ALL, key)):
        _, owner, pattern = key.split("/", 2)
        rule = read_rule(key, values[key])
        rows.append({"tenant": owner, "pattern": pattern, "connector": rule.connector, "settings": rule.settings})
    terminal.rows(rows, ("tenant", "pattern", "connector", "settings"))
    return 0


def set_connector(
    terminal: Terminal, *, pattern: str, connector: str, settings: Sequence[str], tenant: str | None, home: Path | None
) -> int:
    """Put a rule in force. Raises InvalidInput for a connector or a setting that cannot work."""
    if connector not in CONNECTORS:
        raise InvalidInput(f"there is no connector {connector!r}; wanted {', '.join(CONNECTORS)}")
    if not PATTERN.fullmatch(pattern):
        raise InvalidInput(f"pattern {pattern!r} fits no action type; write a type (send_email) or a pattern (send_*, *)")
    given = dict(_setting(text) for text in settings)
    missing = [name for name in NEEDED[connector] if name not in given]
    if missing:
        raise InvalidInput(f"connector {connector} needs {', '.join(missing)}; write {missing[0]}=VALUE")
    url = str(given.get("url", ""))
    if "url" in NEEDED[connector] and not names_secret(url) and not url.lower().startswith(("http://", "https://")):
        raise InvalidInput(f"url {url!r} is no address; write one like https://api.example.com/orders")
    _write(terminal, tenant, home, pattern, {"connector": connector, "settings": given})
    return 0


def remove_connector(terminal: Terminal, *, pattern: str, tenant: str | None, home: Path | None) -> int:
    """Take a rule away. Raises InvalidInput where there is none."""
    settings = load_settings(home=home, tenant=tenant)
    key = rule_key(settings.tenant, pattern)
    known = [key for key in in_force(must_exist(settings.home)).values if key.startswith(PREFIX)]
    if key not in known:
        names = ", ".join(name.removeprefix(PREFIX) for name in sorted(known)) or "no rules"
        raise InvalidInput(f"there is no rule {key.removeprefix(PREFIX)}; there are: {names}")
    _write(terminal, tenant, home, pattern, None)
    return 0


def rule_key(tenant: str | None, pattern: str) -> str:
    """Name the control record of a rule."""
    return f"{PREFIX}{tenant or ALL}/{pattern}"


def _write(terminal: Terminal, tenant: str | None, home: Path | None, pattern: str, value: Json) -> None:
    settings = load_settings(home=home, tenant=tenant)
    key = rule_key(settings.tenant, pattern)
    with open_ingress(settings.home) as ingress:
        append_controls(ingress, {key: value})
    if terminal.json:
        terminal.value({"rule": key.removeprefix(PREFIX), "value": value})
    else:
        done = "is taken away" if value is None else f"is in force: {value['connector']}"
        terminal.say(f"rule {key.removeprefix(PREFIX)} {done}; events that were sent before go by what held then")


def _setting(text: str) -> tuple[str, Json]:
    """Read KEY=VALUE; a value that is JSON (a number, a bool, a record) is taken as such, everything else as text."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidInput(f"setting {text!r} is not KEY=VALUE; write for instance url=https://api.example.com")
    try:
        return key, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return key, value
