"""Versions of flows and contracts side by side: what differs, what it breaks, and what becomes of executions in flight."""
