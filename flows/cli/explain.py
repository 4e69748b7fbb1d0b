"""`millrace explain`: what flows do, in words or as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.cli.terminal import Terminal
from flows.deployment import read_files
from flows.explain.flow_text import explain as explain_flow
from flows.explain.mermaid import mermaid as drawn
from flows.settings import load_settings
from schemas.errors import InvalidFlow


def explain(terminal: Terminal, *, files: Sequence[Path], mermaid: bool, tenant: str | None, home: Path | None) -> int:
    """Explain the flows of files; with a tenant, those that serve it. Raises InvalidFlow with every problem."""
    settings = load_settings(home=home, tenant=tenant)
    definitions = read_files(files, settings.home)
    if not definitions.ok:
        raise InvalidFlow(definitions.problems)
    flows = [flow for flow in definitions.flows if settings.tenant is None or not flow.tenants or settings.tenant in flow.tenants]
    topics = {contract.event: contract.topic for contract in definitions.contracts}
    if mermaid:
        texts = [f"%% flow {flow.name}, version {flow.version}\n{drawn(flow.program)}" for flow in flows]
    else:
        texts = [explain_flow(flow.document, topics, title=flow.title, version=flow.version) for flow in flows]
    if terminal.json:
        terminal.value(
            [
                {"flow": flow.name, "version": flow.version, "tenants": flow.tenants, "text": text}
                for flow, text in zip(flows, texts, strict=True)
            ]
        )
    else:
        terminal.print("\n".join(texts))
    return 0
