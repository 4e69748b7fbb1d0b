"""Ready-made flows with their contracts: files of the flow language, nothing else."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable


def catalog_files() -> list[Traversable]:
    """List the files of the catalogue, contracts first, then flows by name."""
    found = [item for item in files(__name__).iterdir() if item.name.endswith((".yaml", ".yml", ".json"))]
    return sorted(found, key=lambda item: (item.name != "contracts.yaml", item.name))
