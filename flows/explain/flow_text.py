"""Says in words what a flow does: what starts it, its steps, its waits and its actions. Reads the canonical form alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.explain.data_text import Document, listed, record_text
from flows.explain.steps import step_lines
from flows.explain.triggers import trigger_lines
from schemas.records import Json


def explain(document: Document, topics: Mapping[str, str] | None = None, *, title: str | None = None, version: str = "") -> str:
    """Explain a flow by its canonical form; `topics` gives the topic of each event type where a contract says."""
    lines = [
        f"flow {document['flow']}" + (f", version {version}" if version else ""),
        *([f"  {title}"] if title else []),
        f"  {_around(document)}",
        *(f"  {line}" for line in _limits(document)),
        *trigger_lines(document["trigger"], topics or {}),
        "then:",
        *step_lines(document["steps"]),
        *_also("if it fails, after what is done is undone:", document.get("on_error")),
        *_also("if what started it is taken back:", document.get("on_retract")),
        *([f"gives: {record_text(document['output'])}"] if document.get("output") else []),
    ]
    return "\n".join(lines) + "\n"


def _also(head: str, steps: Json) -> Iterator[str]:
    if steps:
        yield head
        yield from step_lines(steps)


def _around(document: Document) -> str:
    tenants = document.get("tenant")
    parts = [
        f"for {'tenant ' + ', '.join(tenants) if tenants else 'all tenants'}",
        f"priority {document.get('priority', 'by what starts it')}",
        f"ends after {document['timeout']} at the latest",
    ]
    parts += [f"owner {document['owner']}"] if document.get("owner") else []
    parts += [", ".join(f"{key} {value}" for key, value in sorted(document["labels"].items()))] if document.get("labels") else []
    parts += [] if document.get("enabled", True) else ["switched off"]
    return "; ".join(parts)


def _limits(document: Document) -> Iterator[str]:
    if document.get("inputs"):
        yield f"asks for {', '.join(f'{name} ({kind})' for name, kind in document['inputs'].items())}"
    for kind, limit in (document.get("limits") or {}).items():
        yield _limit(kind, limit)
    yield from _rollout(document.get("rollout") or {})
    yield from _kept(document)


def _rollout(rollout: Document) -> Iterator[str]:
    if rollout.get("shadow"):
        part = "" if rollout.get("percent", 100) == 100 else f" for {rollout['percent']} %"
        part += f" by {rollout['by']}" if part and rollout.get("by") else ""
        yield f"runs as a shadow{part} beside the previous version: its actions are muted, differences are shown"
    elif rollout.get("percent", 100) != 100:
        by = f" by {rollout['by']}" if rollout.get("by") else ""
        yield f"takes {rollout['percent']} %{by}; the rest runs the previous version"


def _kept(document: Document) -> Iterator[str]:
    objectives, retention = document.get("objectives") or {}, document.get("retention") or {}
    if objectives:
        yield f"should complete within {objectives['complete']}, {objectives.get('share', 1)} of all"
    if retention:
        yield f"kept: {', '.join(f'{what} for {time}' for what, time in retention.items())}"
    if document.get("privacy"):
        yield f"privacy: {', '.join(f'{field} {how}' for field, how in document['privacy'].items())}"
    if document.get("views"):
        yield f"keeps the view {listed(str(view['view']) for view in document['views'])}"


def _limit(kind: str, limit: Document) -> str:
    key = f" per {limit['key']}" if limit.get("key") else ""
    over = {"queue": "the others wait", "drop": "the others are set aside", "cancel_running": "the oldest is cancelled"}
    count = (
        f"at most {limit['max']} at a time{key}" if kind == "concurrency" else f"at most {limit['max']} in {limit['per']}{key}"
    )
    return f"{count}; {over[limit.get('over', 'queue')]}"
