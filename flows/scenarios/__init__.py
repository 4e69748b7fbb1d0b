"""Test documents beside flows: a story told with a clock of its own, run in memory, and what was expected of it."""
