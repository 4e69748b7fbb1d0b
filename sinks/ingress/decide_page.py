"""The page behind a decision link: what is asked, the values it is about, the form, and what became of it.

Opening it decides nothing (mail programs open links); its two buttons post. It needs no script, and everything shown is escaped:
titles and values come from events. It loads nothing from anywhere, and no other page may frame it.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

import msgspec

from schemas.asked import Asked
from schemas.expression.literals import print_timestamp
from schemas.records import Json
from sinks.ingress.form_fields import fields_of
from sinks.links import Claim

GUARD: Final = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)
_STYLE: Final = (
    "body{font-family:sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem;line-height:1.5}"
    "th{text-align:left;vertical-align:top;padding-right:1.5rem;font-weight:normal;color:#555}"
    "label{display:block;margin-top:.8rem}input,select,textarea{font:inherit;padding:.3rem;min-width:16rem}"
    ".wrong{color:#a00;margin:.2rem 0}.about{color:#555}button{font:inherit;padding:.5rem 1.5rem;margin:1.2rem 1rem 0 0}"
)
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{rest}<p class="about">{about}</p></body></html>
"""
_BUTTONS: Final = """<button disabled hidden></button><button name="outcome" value="approved">Approve</button>
<button name="outcome" value="rejected" formnovalidate>Reject</button>"""
_AGAIN: Final = '<p><a href="">See how it stands</a></p>\n'
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


def asked_page(
    claim: Claim, asked: Asked | None, given: Mapping[str, str] | None = None, wrong: Mapping[str, str] | None = None
) -> str:
    """Ask for a decision, or say how it was decided; `wrong` tells by field what did not fit the last time."""
    if asked is not None and asked.standing != "open":
        return closed_page(claim, asked)
    given, wrong = given or {}, wrong or {}
    why = "" if asked is None else refused_for(claim.by, asked)
    rest = "" if asked is None else _question(asked)
    if why:
        return _page(_title(claim, asked), f"{rest}<p>{escape(why)}</p>\n", claim, asked)
    blame = f'<p class="wrong">{escape(wrong[""])}</p>\n' if "" in wrong else ""
    form = fields_of(None if asked is None else asked.form, given, wrong)
    return _page(
        _title(claim, asked), f'{rest}{blame}<form method="post">{_who(claim, given)}{form}{_BUTTONS}</form>\n', claim, asked
    )


def told_page(claim: Claim, asked: Asked | None, outcome: str) -> str:
    """Say that a decision was taken in; whether it counts is decided by the execution."""
    rest = "<p>It counts if the question is still open and you may decide it.</p>\n"
    return _page(f"Taken in: {outcome}", rest + _AGAIN, claim, asked)


def closed_page(claim: Claim, asked: Asked, *, sent: bool = False) -> str:
    """Say that nothing is to be decided any more, and how it ended."""
    if asked.standing == "over":
        since = f" Its execution has ended since: {asked.ended}." if asked.ended else ""
        said = f"This question is closed: it was decided, its time was over, or it was withdrawn.{since}"
    elif asked.by:
        at = f" at {print_timestamp(asked.at_us)}" if asked.at_us else ""
        said = f"It was {asked.standing} by {asked.by}{at}."
    else:
        said = f"Nobody decided in time: it counts as {asked.standing}."
    without = "<p>What you have sent is written down, and changes nothing.</p>\n" if sent else ""
    return _page("Decided already", f"<p>{escape(said)}</p>\n{without}", claim, asked)


def forged_page(message: str) -> str:
    """Say that a link is none of ours; nothing of what it pretends is shown."""
    return _PAGE.format(title="This link is not good", style=_STYLE, rest=f"<p>{escape(message)}</p>\n", about="")


def not_counted_page(claim: Claim, asked: Asked, why: str) -> str:
    """Say why a decision will not count."""
    return _page("This does not count", f"<p>{escape(why)}</p>\n{_AGAIN}", claim, asked)


def refused_for(by: str, asked: Asked) -> str:
    """Say why somebody cannot decide what is asked; empty if nothing is known against it."""
    if by and by in asked.excluded:
        return f"{by} may not decide this: somebody else has to."
    if by and by in asked.votes:
        return f"{by} has approved already; {asked.need - len(asked.votes)} more must."
    return ""


def _page(title: str, rest: str, claim: Claim, asked: Asked | None) -> str:
    flow = f"Flow {asked.flow}: " if asked is not None and asked.flow else ""
    about = f"{flow}step {claim.step} of execution {claim.execution} of {claim.tenant}."
    return _PAGE.format(title=escape(title), style=_STYLE, rest=rest, about=escape(about))


def _title(claim: Claim, asked: Asked | None) -> str:
    return asked.title if asked is not None and asked.title else f"Decide on {claim.step}"


def _question(asked: Asked) -> str:
    """Show what it is about, until when, and who has approved so far."""
    shown = asked.show if isinstance(asked.show, dict) else {} if asked.show is None else {"": asked.show}
    lines = "".join(f"<tr><th>{escape(str(name))}</th><td>{escape(_text(value))}</td></tr>\n" for name, value in shown.items())
    need = f" {asked.need} people must approve; so far {', '.join(asked.votes) or 'nobody'}." if asked.need > 1 else ""
    until = f"<p>Open until {print_timestamp(asked.until_us)}.{escape(need)}</p>\n"
    return f"<table>{lines}</table>\n{until}" if lines else until


def _text(value: Json) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else _JSON.encode(value).decode()


def _who(claim: Claim, given: Mapping[str, str]) -> str:
    if claim.by:
        return f"<p>You decide as {escape(claim.by)}.</p>\n"
    name = escape(given.get("by", ""))
    return f'<div><label for="by">your name</label><input id="by" name="by" required value="{name}"></div>\n'
