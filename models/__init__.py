"""Models: registry, exporter and scorer."""
