"""The engine: stages of one turn over its ports, the same for every runner."""
