"""Literal values in text: durations, money and timestamps, read and printed. Times are int microseconds UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from schemas.expression.findings import ExpressionError

UNITS_US = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
TIME_MAX_US = 7_258_118_400_000_000  # 2200-01-01T00:00:00Z; the first instant allowed is 1970-01-01T00:00:00Z
PLACES = 9
DECIMAL_LIMIT = Decimal(10) ** 29  # 38 digits, 9 of them behind the point

_PART = re.compile(r"(\d+)(ms|[wdhms])", re.ASCII)
_TEXT = re.compile(r"(?:\d+(?:ms|[wdhms]))+", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)(?:\.(?P<f>\d{1,6}))?S)?)?", re.ASCII
)
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_MONEY = re.compile(r"(-?\d+(?:\.\d+)?) ([A-Z]{3})", re.ASCII)
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_DIGITS = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"]
)
_THREE_DIGITS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def parse_duration_us(text: str) -> int:
    """Read `1h30m`, `0`, `-2d` or ISO 8601 without months and years (`PT1H30M`); raises ExpressionError bad-duration."""
    if text == "0":
        return 0
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text)
    total = _iso_us(body) if body.startswith("P") else _units_us(body, text)
    if total > INT_MAX:
        raise ExpressionError("bad-duration", f"'{text}' is longer than 292,000 years; write a shorter time")
    return sign * total


def _units_us(body: str, text: str) -> int:
    if not _TEXT.fullmatch(body):
        raise ExpressionError("bad-duration", _why_bad(body, text))
    parts = _PART.findall(body)
    sizes = [UNITS_US[unit] for _, unit in parts]
    if any(one <= two for one, two in pairwise(sizes)):
        raise ExpressionError("bad-duration", f"'{text}' has units out of order; write each once, falling (w d h m s ms)")
    return sum(int(count) * size for (count, _), size in zip(parts, sizes, strict=True))


def _why_bad(body: str, text: str) -> str:
    if body.isdigit():
        return f"'{text}' has no unit; write {text}s, {text}m, {text}h or {text}d"
    if re.search(r"\d(M|mo|mon|months?|y|Y|years?)$", body):
        return f"'{text}' is not a unit (w d h m s ms); months differ in length: use until: plus_months(event.time, 1, \"UTC\")"
    return f"'{text}' is not a duration; write whole numbers with units w d h m s ms, as in 1h30m"


def _iso_us(body: str) -> int:
    found = _ISO.fullmatch(body)
    if found is None or body.endswith(("P", "T")):
        raise ExpressionError(
            "bad-duration", f"'{body}' is not a duration; ISO 8601 here has weeks, days, hours, minutes, seconds: PT1H30M"
        )
    whole = sum(int(found[unit] or 0) * UNITS_US[unit] for unit in ("w", "d", "h", "m", "s"))
    return whole + int((found["f"] or "0").ljust(6, "0"))


def print_duration(us: int) -> str:
    """Write a duration as `1h30m`; ISO 8601 where it is not whole milliseconds (`PT0.000001S`)."""
    sign, rest = ("-", -us) if us < 0 else ("", us)
    if rest % 1000:
        seconds, micros = divmod(rest, 1_000_000)
        return f"{sign}PT{seconds}.{micros:06d}S"
    out = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, UNITS_US[unit])
        out += f"{count}{unit}" if count else ""
    return sign + out if out else "0s"


def parse_timestamp_us(text: str) -> int:
    """Read an RFC 3339 time between 1970 and 2200 (digits behind microseconds are cut); raises ExpressionError bad-time."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ExpressionError("bad-time", f"'{text}' is not a time; write RFC 3339 with a zone: 2026-11-21T10:00:00Z")
    try:
        local = datetime(*(int(part) for part in found.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError as error:
        raise ExpressionError("bad-time", f"'{text}' is no day or time of day ({error}); write one that exists") from error
    offset = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0)) * (-1 if found[8] == "-" else 1)
    if abs(offset) >= timedelta(days=1) or int(found[10] or 0) > 59:
        raise ExpressionError("bad-time", f"'{text}' has an offset of a day or more; write one like +02:00")
    us = (local - _EPOCH - offset) // _MICROSECOND + int((found[7] or "0").ljust(6, "0")[:6])
    if not 0 <= us <= TIME_MAX_US:
        raise ExpressionError("bad-time", f"'{text}' lies outside 1970 to 2200; times are kept between these years")
    return us


def print_timestamp(us: int) -> str:
    """Write a time as RFC 3339 in UTC ending in Z; digits behind the second only where there are any."""
    moment = (_EPOCH + us * _MICROSECOND).isoformat()[:-6]
    return (moment.rstrip("0") if "." in moment else moment) + "Z"


def parse_decimal(text: str) -> Decimal:
    """Read plain digits of at most 38 places, 9 behind the point; raises ExpressionError bad-number."""
    if not _DECIMAL.fullmatch(text):
        raise ExpressionError("bad-number", f"'{text}' is not a number; write plain digits, as in 1250 or 12.50")
    try:
        value = Decimal(text)
    except InvalidOperation as error:  # more digits than decimal can hold at all
        raise ExpressionError("bad-number", f"a number of {len(text)} digits; at most 38 are kept") from error
    if not -DECIMAL_LIMIT < value < DECIMAL_LIMIT or len(text.partition(".")[2].rstrip("0")) > PLACES:
        raise ExpressionError("bad-number", f"'{text}' has too many digits; 29 before and 9 behind the point are kept")
    return value


def print_decimal(value: Decimal) -> str:
    """Write a decimal plainly: no exponent, no trailing zeros, no negative zero."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def parse_money(text: str) -> tuple[Decimal, str]:
    """Read `12.50 GBP`; raises ExpressionError bad-money."""
    found = _MONEY.fullmatch(text)
    if found is None:
        raise ExpressionError("bad-money", f"'{text}' is not money; write an amount, one space and a currency: 12.50 GBP")
    return parse_decimal(found[1]), found[2]


def print_money(amount: Decimal, currency: str) -> str:
    """Write money with at least the currency's own digits: `12.50 GBP`, `1200 JPY`."""
    whole, _, digits = print_decimal(amount).partition(".")
    least = 0 if currency in _NO_DIGITS else 3 if currency in _THREE_DIGITS else 2
    digits = digits.ljust(least, "0")
    return f"{whole}.{digits} {currency}" if digits else f"{whole} {currency}"
