"""Names of tenants and action types as names of files: one to one, and never a path."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final
from urllib.parse import quote

_LONGEST: Final = 120  # a file name may have 255 bytes; room for a suffix


def safe_name(name: str) -> str:
    """Give a file name for a name: letters, digits, `_`, `-` and inner dots stay, everything else becomes %XX.

    A long one is cut and ends in a hash, so that two names never meet.

    >>> safe_name("send_email"), safe_name("../etc"), safe_name("Zürich AG")
    ('send_email', '%2E.%2Fetc', 'Z%C3%BCrich%20AG')
    """
    quoted = quote(name, safe="").replace("~", "%7E") or "%"
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if len(quoted) <= _LONGEST:
        return quoted
    return f"{quoted[:80]}%{blake2b(name.encode(), digest_size=12).hexdigest()}"
