"""Ready-made flows with their contracts, policies and tests: files of the flow language, nothing else."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

ENDINGS = (".yaml", ".yml", ".json")
FIRST = ("contracts.yaml", "policies.yaml")


def catalog_files() -> list[Traversable]:
    """List the files of the catalogue without its tests: contracts and policies first, then flows by name."""
    found = [item for item in files(__name__).iterdir() if item.name.endswith(ENDINGS) and ".test." not in item.name]
    return sorted(found, key=lambda item: (item.name not in FIRST, item.name))


def catalog_tests() -> list[Traversable]:
    """List the files of the catalogue's tests."""
    return sorted((item for item in files(__name__).iterdir() if ".test." in item.name), key=lambda item: item.name)


def catalog_file(name: str) -> Traversable:
    """Give one file of the catalogue."""
    return files(__name__) / name
