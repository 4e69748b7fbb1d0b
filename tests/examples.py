"""How many examples a law is asked: all of them in a full run, a part where the slow tests are left out."""

from __future__ import annotations

import os
from typing import Final

QUICK: Final = "MILLRACE_QUICK"  # set where `-m "not slow"` is asked for (conftest.py), before laws are read
PART: Final = 0.2
LEAST: Final = 3


def examples(full: int) -> int:
    """Give how many of a law's examples are drawn in this run."""
    return max(min(full, LEAST), round(full * PART)) if os.environ.get(QUICK) else full
