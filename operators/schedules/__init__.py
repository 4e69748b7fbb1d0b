"""Cron expressions in time zones: their slots, and which of them is due."""
