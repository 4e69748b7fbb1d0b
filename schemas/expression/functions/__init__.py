"""The closed list of functions: one record each, in files by the kind of value."""
