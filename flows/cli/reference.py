"""`millrace reference`: the pages of the language."""

from __future__ import annotations

from collections.abc import Sequence

from flows.cli.terminal import Terminal
from flows.language.report import near
from flows.reference.constructs import CONSTRUCTS, GROUPS
from flows.reference.page import functions_page, page, whole
from schemas.errors import InvalidInput


def reference(terminal: Terminal, *, words: Sequence[str], everything: bool) -> int:
    """Print one page, all of them, or the names of all. Raises InvalidInput for a construct that the language has not."""
    name = " ".join(words)
    text = whole() if everything else _page(name) if name else ""
    if terminal.json:
        terminal.value({"constructs": {group: list(names) for group, names in GROUPS.items()}, "text": text})
    elif text:
        terminal.print(text.rstrip())
    else:
        for group, names in GROUPS.items():
            terminal.print(f"{group}: {', '.join(names)}")
        terminal.print("functions")
    return 0


def _page(name: str) -> str:
    if name == "functions":
        return functions_page()
    found = next((one for one in CONSTRUCTS if one.name == name), None)
    if found is None:
        known = [*(one.name for one in CONSTRUCTS), "functions"]
        raise InvalidInput(f"'{name}' is no construct of the language{near(name, known) or '; `millrace reference` lists them'}")
    return page(found)
