"""The check of each step: one file a construct, each a rule of the walk (walk.py)."""
