"""The steps of a flow, one a file."""
