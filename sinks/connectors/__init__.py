"""Doors to the outside: each carries out commands, all pass one law suite (tests/laws/test_connectors.py)."""
