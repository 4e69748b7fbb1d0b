"""Doors to machines: SQLite, the embedded log, the state store, locks and clocks."""
