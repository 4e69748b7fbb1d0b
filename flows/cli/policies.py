"""`millrace policies`: what policies are worth, changing one, and who it was before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.cli.home import must_exist, only_tenant
from flows.cli.saying import json_or_text
from flows.cli.terminal import Terminal
from flows.deployment import deploy, in_force, open_ingress
from flows.language.definitions import Source, check_sources
from flows.settings import load_settings
from flows.versions.control_topic import readable_controls
from infra.clock import SystemClock
from schemas.errors import InvalidFlow, InvalidInput
from schemas.expression.literals import print_timestamp
from schemas.policy import POLICY_PREFIX, KeyedPolicy, Policy, TablePolicy, ValuePolicy, following, read_policy
from schemas.policy import in_force as policy_in_force
from schemas.records import Json

ALL: Final = "*"
LISTED: Final = ("policy", "tenant", "kind", "value", "version", "valid_from")
HISTORY: Final = ("at", "tenant", "version", "value", "valid_from")
SHORT: Final = 12


def list_policies(terminal: Terminal, *, tenant: str | None, home: Path | None) -> int:
    """List the policies in force, and behind each what is announced; with a tenant, its own and those for all."""
    settings = load_settings(home=home, tenant=tenant)
    known = _standing(must_exist(settings.home), SystemClock().now_us())
    keys = sorted(only_tenant(list(known), settings.tenant), key=lambda key: key.rpartition("/")[::-1])
    terminal.rows([_listed(key, value, whole=terminal.json) for key in keys for value in known[key]], LISTED)
    return 0


def set_policy(  # noqa: PLR0913  what was typed
    terminal: Terminal,
    *,
    name: str,
    value: str,
    key: str | None,
    since: str | None,
    tenant: str | None,
    home: Path | None,
) -> int:
    """Give a policy another value. Raises InvalidInput for one that is not there, InvalidFlow for a value of another type."""
    settings = load_settings(home=home, tenant=tenant)
    document = _document(must_exist(settings.home), name, settings.tenant)
    changed = {**_changed(document, name, value, key), **({"valid_from": since} if since is not None else {})}
    if since is None:
        changed.pop("valid_from", None)
    known = in_force(settings.home)
    text = msgspec.json.encode(changed, order="sorted").decode()
    definitions = check_sources([Source(f"policy {name}.json", text)], known.registry.contracts().values(), known.actions())
    if not definitions.ok:
        raise InvalidFlow(definitions.problems)
    with open_ingress(settings.home) as ingress:
        written = deploy(ingress, settings.home, definitions, settings.tenant).written
    (compiled,) = definitions.policies
    said = {"policy": name, "tenant": settings.tenant or ALL, "version": compiled.policy.version, "written": written}
    if terminal.json:
        terminal.value(said)
    else:
        whom = f"for {settings.tenant}" if settings.tenant else "for all"
        terminal.say(
            f"'{name}' {whom} " + (f"is {value} {f'from {since} on' if since else 'now'}" if written else f"was {value} already")
        )
    return 0


def policy_history(terminal: Terminal, *, name: str, tenant: str | None, home: Path | None) -> int:
    """Show each version of a policy, newest first. Raises InvalidInput for one that never was."""
    settings = load_settings(home=home, tenant=tenant)
    rows = [
        row
        for row in _versions(must_exist(settings.home), name)
        if settings.tenant in (None, row["tenant"]) or row["tenant"] == ALL
    ]
    if not rows:
        raise InvalidInput(_unknown(settings.home, name))
    terminal.rows(rows[::-1], HISTORY)
    return 0


def _standing(home: Path, now_us: int) -> dict[str, list[dict[str, Json]]]:
    """Give for each key the record that holds, and those that are announced; a later one without a time ends them."""
    written: dict[str, list[tuple[Policy, dict[str, Json]]]] = {}
    for control in readable_controls(home):
        if not control.key.startswith(POLICY_PREFIX):
            continue
        before = written.pop(control.key, [])
        if control.value is not None:
            policy = read_policy(control.value)
            kept = following([one for one, _ in before], policy)
            written[control.key] = [pair for pair in before if any(pair[0] is one for one in kept)] + [(policy, control.value)]
    return {key: _holding(pairs, now_us) for key, pairs in written.items()}


def _holding(pairs: Sequence[tuple[Policy, dict[str, Json]]], now_us: int) -> list[dict[str, Json]]:
    holds = policy_in_force([policy for policy, _ in pairs], now_us)
    return [value for policy, value in pairs if policy is holds or policy.valid_from_us > now_us]


def _document(home: Path, name: str, tenant: str | None) -> dict[str, Json]:
    """Give the document in force: the tenant's own, else the one for all."""
    values = in_force(home).values
    for owner in (tenant, ALL):
        found = values.get(f"{POLICY_PREFIX}{owner}/{name}")
        if found is not None:
            return dict(found["document"])
    raise InvalidInput(_unknown(home, name))


def _unknown(home: Path, name: str) -> str:
    known = sorted({key.rpartition("/")[2] for key in in_force(home).values if key.startswith(POLICY_PREFIX)})
    return f"there is no policy '{name}'; there are: {', '.join(known) or 'none, deploy one first'}"


def _changed(document: Mapping[str, Json], name: str, value: str, key: str | None) -> dict[str, Json]:
    """Put the value into a document: the value, that of a key, or the default of a keyed one."""
    read = json_or_text(value)
    if "rules" in document:
        raise InvalidInput(f"'{name}' is a decision table; change its file and deploy it")
    if "values" not in document:
        if key is not None:
            raise InvalidInput(f"'{name}' has one value and no keys; leave --key out")
        return {**document, "value": read}
    if key is None:
        return {**document, "default": read}
    return {**document, "values": {**document["values"], key: read}}


def _versions(home: Path, name: str) -> Iterator[dict[str, Any]]:
    for control in readable_controls(home):
        if control.key.startswith(POLICY_PREFIX) and control.key.rpartition("/")[2] == name:
            row = _listed(control.key, control.value, whole=True) if control.value is not None else {"value": None}
            yield {"at": print_timestamp(control.at), "tenant": control.key.split("/")[1], **row}


def _listed(key: str, value: Json, *, whole: bool) -> dict[str, Any]:
    policy = read_policy(value)
    document = value["document"]
    valid_from = policy.valid_from_us
    return {
        "policy": policy.name,
        "tenant": key.split("/")[1],
        "kind": _KINDS[type(policy)],
        "value": document.get("value", document.get("values", document.get("rules"))),
        "version": policy.version if whole else policy.version[:SHORT],
        "valid_from": print_timestamp(valid_from) if valid_from >= 0 else None,
    }


_KINDS: Final[dict[type[Policy], str]] = {ValuePolicy: "value", KeyedPolicy: "keyed", TablePolicy: "table"}
