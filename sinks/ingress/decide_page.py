"""The page behind a decision link. Opening it decides nothing (mail programs open links); its two buttons post."""

from __future__ import annotations

from html import escape
from typing import Final

from sinks.links import Claim

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><body style="font-family: sans-serif; max-width: 32rem; margin: 3rem auto">
<h1>{title}</h1><p>{about}</p>{rest}</body></html>
"""
_FORM: Final = """<form method="post">{who}
<button name="outcome" value="approved">Approve</button> <button name="outcome" value="rejected">Reject</button></form>"""
_WHO: Final = '<p><label>Your name <input name="by" required></label></p>'


def asked_page(claim: Claim) -> str:
    """Ask for a decision."""
    return _PAGE.format(
        title=f"Decide on {escape(claim.step)}", about=_about(claim), rest=_FORM.format(who="" if claim.by else _WHO)
    )


def told_page(claim: Claim, outcome: str) -> str:
    """Say that a decision was taken in; whether it counts is decided by the execution."""
    rest = "<p>It counts if the question is still open and you may decide it.</p>"
    return _PAGE.format(title=f"Taken in: {escape(outcome)}", about=_about(claim), rest=rest)


def _about(claim: Claim) -> str:
    return escape(f"Step {claim.step} of execution {claim.execution} of {claim.tenant}.")
