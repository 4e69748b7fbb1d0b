"""The commands and their flags, a module a family. What a command does stands in its own module (see `flows/cli/table.py`)."""
