"""The reference: flows over a list of events in memory, record by record and without an engine."""
