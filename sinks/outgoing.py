"""Commands as connectors get them: with the settings of their rule, their secrets, and what their contract says.

Reads: stored actions, control records (connector rules, action contracts). Emits: Command. State: the rules, and for each
action type the codes it may be refused with, and whether one key is carried out once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from schemas.connector_rules import ConnectorRules
from schemas.dispatch import Command, Connector, Outcome, StoredAction
from schemas.errors import InvalidInput
from schemas.records import Action, Control, Json
from sinks.secrets import Lookup, fill, revealed

SECRET_RETRY_US: Final = 5_000_000
CONTRACT: Final = "action/"
IDEMPOTENT: Final = "idempotent"  # a key of contracts, and a setting of rules
LOOK_UP: Final = "look_up"  # the setting that says where a receiver tells what became of a command
_controls: Final = msgspec.json.Decoder(Control)
_bodies: Final = msgspec.json.Decoder(dict)


@dataclass(slots=True)
class Outgoing:
    """Makes commands for the connectors that there are."""

    connectors: Mapping[str, Connector]
    secrets: Lookup
    _rules: ConnectorRules = field(default_factory=ConnectorRules)
    _errors: dict[str, frozenset[str]] = field(default_factory=dict)
    _repeating: set[str] = field(default_factory=set)  # types that do a thing again when they are told again

    def learn(self, record: bytes) -> None:
        """Take a control record in; one that cannot be read is the engine's to set aside."""
        try:
            control = _controls.decode(record)
            self._rules.apply(control.key, control.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidInput):
            return
        if control.key.startswith(CONTRACT):
            self._learn_contract(control.key.removeprefix(CONTRACT), control.value)

    def _learn_contract(self, kind: str, contract: Json) -> None:
        self._errors[kind] = _codes(contract)
        repeats = isinstance(contract, dict) and contract.get(IDEMPOTENT) is False
        (self._repeating.add if repeats else self._repeating.discard)(kind)

    def command(self, stored: StoredAction, actions: Sequence[Action], now_us: int) -> Command | Outcome:
        """Make the command of an attempt, or the end of one that no connector can be asked about."""
        if stored.connector not in self.connectors:
            known = ", ".join(sorted(self.connectors))
            return Outcome("failed", code="rejected", error=f"there is no connector {stored.connector!r}; wanted one of {known}")
        try:
            return self._made(stored, actions, fill(self._settings(stored, actions), self.secrets), now_us)
        except InvalidInput as error:
            return Outcome("failed", retry=True, after_us=SECRET_RETRY_US, code="unavailable", error=str(error))

    def question(self, stored: StoredAction, actions: Sequence[Action], now_us: int) -> Command:
        """Make the command to ask a connector about; where a secret is missing nothing can be looked up outside."""
        settings = self._settings(stored, actions)
        try:
            settings = fill(settings, self.secrets)
        except InvalidInput:
            settings = {name: value for name, value in settings.items() if name != LOOK_UP}
        return self._made(stored, actions, settings, now_us, reveal=False)

    def _settings(self, stored: StoredAction, actions: Sequence[Action]) -> Mapping[str, Json]:
        """Give the settings of the rule; it knows its receiver better than the contract does, if it says so."""
        kind = actions[0].type
        settings = self._rules.rule(stored.tenant, kind, stored.connector).settings
        return {IDEMPOTENT: False, **settings} if kind in self._repeating else settings

    def _made(
        self, stored: StoredAction, actions: Sequence[Action], settings: Mapping[str, Json], now_us: int, *, reveal: bool = True
    ) -> Command:
        pairs = zip(stored.members or (stored,), actions, strict=True)
        members = tuple(self._one(one, action, settings, now_us, reveal=reveal) for one, action in pairs)
        if not stored.members:
            return members[0]
        return Command(
            id=stored.id,
            tenant=stored.tenant,
            type=actions[0].type,
            idempotency_key=stored.id,
            attempt=stored.attempts,
            timeout_us=min(one.timeout_us for one in members),
            settings=settings,
            body={},
            raw=b"[" + b",".join(one.raw for one in members) + b"]",
            errors=members[0].errors,
            members=members,
        )

    def _one(self, stored: StoredAction, action: Action, settings: Mapping[str, Json], now_us: int, *, reveal: bool) -> Command:
        raw = revealed(stored.raw, action.secrets, self.secrets) if reveal and action.secrets else stored.raw
        left_us = max(1, stored.expires_us - now_us) if action.awaited else action.retry.attempt_timeout_us
        return Command(
            id=action.id,
            tenant=action.tenant,
            type=action.type,
            idempotency_key=action.idempotencykey,
            attempt=stored.attempts,
            timeout_us=min(action.retry.attempt_timeout_us, left_us),
            settings=settings,
            body=_bodies.decode(raw),
            raw=raw,
            errors=self._errors.get(action.type, frozenset()),
        )


def _codes(contract: Json) -> frozenset[str]:
    codes = contract.get("errors") if isinstance(contract, dict) else None
    return frozenset(code for code in codes if isinstance(code, str)) if isinstance(codes, list) else frozenset()
