"""The flows that the demo runs: plain ones, whose outcome an oracle can say without knowing the engine."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from flows.catalog import catalog_file


def demo_files() -> list[Traversable]:
    """List the demo's files, contracts first, then flows by name."""
    own = sorted((item for item in files(__name__).iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    return [catalog_file("contracts.yaml"), *own, catalog_file("onboarding.json")]
