"""Keys of a home: files of random bytes that only their owner may read, made once and never sent anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from schemas.errors import StorageFailed

KEY_BYTES: Final = 32
Draw = Callable[[int], bytes]


def made_key(path: Path, draw: Draw = os.urandom) -> bytes:
    """Give the key of a file, made if there is none. Raises StorageFailed, also for one that others may read."""
    fresh = path.with_name(path.name + ".new")
    if not path.exists():
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(draw(KEY_BYTES).hex().encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        except OSError as error:
            raise StorageFailed(f"{path}: the key cannot be written ({error.strerror}); the home must be writable") from error
    return read_key(path)


def read_key(path: Path) -> bytes:
    """Give the key of a file. Raises StorageFailed where there is none, or others may read it."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        raise StorageFailed(f"{path}: there is no key ({error}); the server role makes it: start `millrace up`") from error
    if mode & 0o077:
        raise StorageFailed(f"{path}: others may read this key (mode {mode & 0o777:o}); take that away: chmod 600 {path}")
    if len(key) < KEY_BYTES:
        raise StorageFailed(f"{path}: the key has {len(key)} bytes, wanted {KEY_BYTES}; remove the file, a new one is made")
    return key
