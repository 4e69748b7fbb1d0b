"""Which connector serves an action type, from `connector/<tenant>/<type pattern>` control records (contracts.md section 7).

The tenant's own rules go before those of `*`; within either the longest pattern that fits wins, ties in order of name.
Without a rule the `file` connector serves. Engine and dispatcher both ask here, so they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from schemas.errors import InvalidInput
from schemas.records import Json

PREFIX: Final = "connector/"
DEFAULT: Final = "file"
ALL: Final = "*"
ANSWERS_MAX: Final = 100_000


class Rule(NamedTuple):
    """One connector with its settings."""

    connector: str
    settings: Mapping[str, Json]


@dataclass(slots=True)
class ConnectorRules:
    """The rules in force. State: one entry a rule, and the answers given since the last change."""

    _rules: dict[str, dict[str, Rule]] = field(default_factory=dict)  # tenant -> pattern -> rule
    _answers: dict[tuple[str, str, str | None], Rule] = field(default_factory=dict)

    def apply(self, key: str, value: Json) -> bool:
        """Take a control record in; True if it was about connectors. Raises InvalidInput, and the rule before stays."""
        if not key.startswith(PREFIX):
            return False
        tenant, _, pattern = key.removeprefix(PREFIX).partition("/")
        if value is None:
            self._rules.get(tenant, {}).pop(pattern, None)
        else:
            self._rules.setdefault(tenant, {})[pattern] = read_rule(key, value)
        self._answers.clear()
        return True

    def rule(self, tenant: str, action_type: str, connector: str | None = None) -> Rule:
        """Give the rule for an action; with `connector`, the best of those that name it, or that connector without settings."""
        asked = (tenant, action_type, connector)
        if asked not in self._answers:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            self._answers[asked] = self._find(*asked)
        return self._answers[asked]

    def _find(self, tenant: str, action_type: str, connector: str | None) -> Rule:
        for owner in (tenant, ALL):
            rules = self._rules.get(owner, {})
            fitting = [p for p, rule in rules.items() if fnmatchcase(action_type, p) and connector in (None, rule.connector)]
            if fitting:
                return rules[max(fitting, key=lambda pattern: (len(pattern), pattern))]
        return Rule(connector or DEFAULT, {})


def read_rule(key: str, value: Json) -> Rule:
    """Read the value of a control record; `settings` may be left out. Raises InvalidInput."""
    connector, settings = (value.get("connector"), value.get("settings")) if isinstance(value, dict) else (None, None)
    if not isinstance(connector, str) or not isinstance(settings, dict | None):
        wanted = '{"connector": "http", "settings": {...}}'
        raise InvalidInput(f"{key}: {str(value)[:80]} is no rule; wanted {wanted}: see `millrace connectors`")
    return Rule(connector, settings or {})
