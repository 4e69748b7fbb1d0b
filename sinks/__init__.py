"""Doors out: dispatcher and connectors, projection, ingress."""
