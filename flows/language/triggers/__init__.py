"""The check of each sort of trigger: one file a sort, and what they leave to the steps (started.py)."""
