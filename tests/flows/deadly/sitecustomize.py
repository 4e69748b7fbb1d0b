"""On PYTHONPATH, this lets each Python process die that decodes a record with KILLER in it, as by a fault in compiled code.

The signal cannot be caught, so nothing of the process hears of it; all else is the shipped code.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DEADLY = "schemas.json_route"


class _Deadly(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        del target
        if fullname != DEADLY:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_deadly(module: ModuleType) -> None:
            load(module)
            _make_deadly(module.JsonReader)

        spec.loader.exec_module = load_deadly  # type: ignore[method-assign]
        return spec


def _make_deadly(reader: Any) -> None:
    read = reader.read

    def deadly(self: Any, records: Sequence[bytes]) -> Any:
        if any(b"KILLER" in record for record in records):
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, records)

    reader.read = deadly


sys.meta_path.insert(0, _Deadly())
