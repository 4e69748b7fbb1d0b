"""What an event's attributes must be (contracts.md sections 4, 7 and 9), over whole columns.

Reads: frames with the envelope's columns. Emits: the same with defaults filled in, and the checks that a row can fail.
State: none. Cost: about 0.1 µs a row. The event clock runs inside a batch: only rows far ahead of its start are looked at singly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.contracts import EventContract
from schemas.frames import holds_any, type_at
from schemas.records import HOPS_MAX
from schemas.values import TIME_MAX_US, Check, are_bounded, sound, value_checks

DAY_US: Final = 86_400_000_000
AHEAD_WALL_US: Final = DAY_US
AHEAD_EVENTS_US: Final = 400 * DAY_US
BEGUN_US: Final = 5 * 365 * DAY_US  # an event clock before it was moved by timers of hand starts: no event has begun it yet
NAME_BYTES_MAX: Final = 1024
TENANT_BYTES_MAX: Final = 256
CONTROL: Final = r"\p{Cc}"
TENANT_REFUSED: Final = r"\p{Cc}|[/\\]|^(\*|-|\.\.?)$"  # control keys and file names are made of tenants


REQUIRED: Final = ("id", "source")
OPTIONAL: Final = ("subject", "correlationid", "causationid")
FEW: Final = 64  # rows
C1_LEAD: Final = 0xC2  # UTF-8 of U+0080 to U+00BF, half of which are control characters: worth a closer look


@dataclass(frozen=True, slots=True)
class DecodeRules:
    """What decides over good and bad besides the contract. `now_us` is the event clock at the turn's start.

    Under the event clock a `now_us` of 0 means that no event was read yet: the first good one sets the clock.
    """

    now_us: int
    clock: Literal["wall", "events"] = "wall"
    default_tenant: str | None = None
    ahead: Literal["refuse", "keep"] = "refuse"  # keep: what is ahead of the clock is somebody else's to judge
    few: bool = False  # wall clock: few rows may stay records, for who hardly asks for columns


def filled(frame: pl.DataFrame, appended_us: NDArray[np.int64], event: str, rules: DecodeRules) -> pl.DataFrame:
    """Fill in what may be left out: the time of append, no hops, the type, the default tenant."""
    fillers: dict[str, pl.Expr] = {}
    if rules.default_tenant is not None:
        tenant = pl.col("tenant")
        fillers["tenant"] = pl.when(tenant == "").then(None).otherwise(tenant).fill_null(pl.lit(rules.default_tenant))
    if frame.get_column("time").null_count():
        fillers["time"] = pl.col("time").fill_null(pl.Series(appended_us))
    for name, value in (("hops", 0), ("type", event)):
        if frame.get_column(name).null_count():
            fillers[name] = pl.col(name).fill_null(pl.lit(value))
    return frame.with_columns(**fillers) if fillers else frame


def time_path(contract: EventContract) -> Sequence[str]:
    """Give where an event's time stands in its data; () where its attribute says it."""
    path = contract.time.split(".") if contract.time else ()
    kind = type_at(contract.data, path) if path else None
    return path if kind is not None and kind.name == "timestamp" else ()


def envelope_checks(event: str) -> Iterator[Check]:
    """Give the checks of the attributes, the most telling first."""
    yield Check("wrong-schema", f"the type attribute is not {event}, whose schema this is", pl.col("type") != event)
    for name, reason in (("id", "no-id"), ("source", "no-source"), ("tenant", "no-tenant")):
        yield Check(reason, f"{name} is missing or empty", pl.col(name).is_null() | (pl.col(name) == ""))
    yield Check(
        "bad-name",
        "tenant holds control characters or one of / \\, or is one of * - . ..",
        pl.col("tenant").str.contains(TENANT_REFUSED),
    )
    yield Check(
        "bad-name", f"tenant is longer than {TENANT_BYTES_MAX} bytes", pl.col("tenant").str.len_bytes() > TENANT_BYTES_MAX
    )
    for name in (*REQUIRED, *OPTIONAL):
        yield Check("bad-name", f"{name} holds control characters", pl.col(name).str.contains(CONTROL))
        yield Check("bad-name", f"{name} is longer than {NAME_BYTES_MAX} bytes", pl.col(name).str.len_bytes() > NAME_BYTES_MAX)
    yield Check(
        "hops", f"hops is not between 0 and {HOPS_MAX}: events start flows in a circle", ~pl.col("hops").is_between(0, HOPS_MAX)
    )
    yield Check("bad-time", "time lies outside 1970 to 2200", ~pl.col("time").is_between(0, TIME_MAX_US))


def _are_names(column: pl.Series, least: int) -> bool:
    """Tell whether no name is too short or long, nor holds what may be a control character; looks at all bytes at once."""
    if column.null_count() == len(column):
        return least == 0
    if len(column) <= FEW:
        return not any(_is_no_name(name, least) for name in column.to_list())
    array = column.to_arrow(compat_level=pl.CompatLevel.oldest())  # offsets and bytes
    _, ends, content = array.buffers()
    lengths = np.diff(np.frombuffer(ends, dtype=np.int64)[array.offset : array.offset + len(array) + 1])
    letters = np.frombuffer(content, dtype=np.uint8)
    if lengths.min() < least or lengths.max() > NAME_BYTES_MAX:
        return False
    return not ((letters < 0x20) | (letters == 0x7F) | (letters == C1_LEAD)).any()


def _is_no_name(name: str | None, least: int) -> bool:
    return least > 0 if not name else len(name.encode()) > NAME_BYTES_MAX or _control.search(name) is not None


def _distinct(column: pl.Series) -> list[str | None]:
    return list(dict.fromkeys(column.to_list())) if len(column) <= FEW else column.unique().to_list()


def is_tenant(name: str | None) -> bool:
    """Tell whether a tenant may be named so."""
    return name is not None and 0 < len(name.encode()) <= TENANT_BYTES_MAX and _refused.search(name) is None


_control = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")
_refused = re.compile("[\\x00-\\x1f\\x7f-\\x9f/\\\\]|^(?:\\*|-|\\.\\.?)$")


class EventChecks:
    """All checks that rows of one contract can fail, made once; `presence`: the schema may lack what the contract requires.

    A batch is looked at as a whole first, by its extremes and by all names in one text: six times faster than row by row. Of a
    few rows the names are read one by one: a call of polars takes as long as fifty of them.
    """

    def __init__(self, contract: EventContract, *, presence: bool) -> None:
        self.contract = contract
        self.presence = presence
        values = list(value_checks(pl.col("data"), contract.data, "data", presence=presence))
        self._all = [*envelope_checks(contract.event), *values]
        self._any = pl.any_horizontal([check.fails for check in self._all]).fill_null(value=False).alias("fails")
        self._each = [check.fails.fill_null(value=False).alias(str(at)) for at, check in enumerate(self._all)]
        rest = [check.fails.any() for check in values if not check.bounded]
        self._rest = pl.any_horizontal(rest).alias("fails") if rest else None
        self._bounded = any(check.bounded for check in values)
        self.any_text = holds_any(contract.data)
        self._sound = sound(contract.data)

    def are_fine(self, frame: pl.DataFrame) -> bool:
        """Tell whether no row fails any check. A polars query costs 0.3 ms, on a busy machine 3: hence whole series."""
        hops, times = frame.get_column("hops"), frame.get_column("time")
        if hops.min() < 0 or hops.max() > HOPS_MAX or times.min() < 0 or times.max() > TIME_MAX_US:  # type: ignore[operator]
            return False
        if _distinct(frame.get_column("type")) != [self.contract.event]:
            return False
        if not all(map(is_tenant, _distinct(frame.get_column("tenant")))):
            return False
        if not all(_are_names(frame.get_column(name), int(name in REQUIRED)) for name in (*REQUIRED, *OPTIONAL)):
            return False
        if self._bounded and not are_bounded(frame.get_column("data"), self.contract.data):
            return False
        return self._rest is None or not frame.select(self._rest).item()

    def is_fine(self, record: Mapping[str, Any]) -> bool:
        """Tell the same of one record, which lacks nothing that is required."""
        if not (0 <= record["hops"] <= HOPS_MAX and 0 <= record["time"] <= TIME_MAX_US):
            return False
        if record["type"] != self.contract.event or not is_tenant(record["tenant"]):
            return False
        if any(_is_no_name(record[name], 1) for name in REQUIRED) or any(_is_no_name(record[name], 0) for name in OPTIONAL):
            return False
        return self._sound is None or self._sound(record["data"])

    def failing(self, frame: pl.DataFrame) -> pl.Series:
        """Tell for each row whether any check fails."""
        return frame.select(self._any).to_series()

    def reasons(self, frame: pl.DataFrame) -> list[tuple[str, str]]:
        """Give reason and detail of rows that all fail."""
        first = (flags.index(True) for flags in frame.select(self._each).rows())
        return [(self._all[at].reason, self._all[at].detail) for at in first]


def ahead_of_events(rows: NDArray[np.int64], times: NDArray[np.int64], now_us: int) -> NDArray[np.int64]:
    """Give those of the rows (otherwise good, in any order) whose time is too far ahead of the event clock at their place."""
    if not len(rows) or (now_us >= BEGUN_US and int(np.max(times)) <= now_us + AHEAD_EVENTS_US):
        return rows[:0]
    order = np.argsort(rows, kind="stable")
    return _ahead_of_events(rows[order], times[order], now_us)


def _ahead_of_events(rows: NDArray[np.int64], times: NDArray[np.int64], now_us: int) -> NDArray[np.int64]:
    if now_us < BEGUN_US:
        begun = times >= BEGUN_US
        first = int(np.argmax(begun))
        return _ahead_of_events(rows[first:], times[first:], int(times[first])) if begun.any() else rows[:0]
    start_us = now_us
    far = times > start_us + AHEAD_EVENTS_US
    near_us = np.maximum.accumulate(np.where(far, start_us, times))
    refused, clock_us = [], start_us
    for place in np.flatnonzero(far):
        clock_us = max(clock_us, int(near_us[place]))
        if times[place] > clock_us + AHEAD_EVENTS_US:
            refused.append(place)
        else:
            clock_us = max(clock_us, int(times[place]))
    return rows[np.array(refused, dtype=np.int64)]
