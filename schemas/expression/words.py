"""The words that the expression language keeps for itself."""

from __future__ import annotations

import re

RESERVED = frozenset(["and", "or", "not", "in", "contains", "matches", "true", "false", "null"])
ROOTS = frozenset(["event", "trigger", "window", "schedule", "after", "inputs", "execution", "policies", "error", "secrets"])
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
NODES_MAX = 200
DEPTH_MAX = 20


def is_plain(name: str) -> bool:
    """Tell whether a field name can be written after a dot."""
    return NAME.fullmatch(name) is not None and name not in RESERVED
