"""Wiring: each role is one process that connects rooms through the ports and works until it is told to stop."""
