"""The demo: generated business events, an oracle that knows what must come of them, and a recorder that sees what did."""
