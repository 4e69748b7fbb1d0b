"""How fast are counts and sums over sliding windows? 100,000 keys of 500 tenants, 10,000 flows with thresholds of their own.

Each event moves the window of its key; twenty flows of its tenant ask it. `events_per_s` is the operator alone, from decoded
columns to verdicts and the blocks that it stores. `engine_events_per_s` is all of an engine process: bytes in the log, decoding,
windows, starts, commit, until the last command is seen in the log by another process. The windows hold an hour, and are full
before anything is measured. The peer is Bytewax's own window operators (benchmarks/peers/bytewax_windows.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks import workload
from benchmarks.home import Home
from benchmarks.measure import Options, Spread, finish, parse_options, peak_memory_mb, run_peer, scratch, significant
from benchmarks.running import Commands, running, wait_commands
from operators.windows.tables import feed_of
from operators.windows.windows import Events, Watcher, Windows
from schemas.expression.tree import And, Compare, Constant, Field, Tree
from schemas.expression.types import INT, STRING, Type
from schemas.frames import ENVELOPE
from schemas.program import Measure, Window
from schemas.topics import INGRESS_FILE

EVENT: Final = "order.placed"
CONTRACT: Final = {
    "event": EVENT,
    "fields": {"order": {"id": "string", "customer": "string", "total": "money(GBP)"}},
    "topic": workload.TOPIC,
}
HOUR_US: Final = 3_600_000_000
MONEY: Final = Type("money", currency="GBP")
RECORD: Final = Type("record", fields=(("id", STRING), ("customer", STRING), ("total", MONEY)))
DATA: Final = Type("record", fields=(("order", RECORD),))
ROW: Final = pl.Struct({"id": pl.String(), "customer": pl.String(), "total": pl.Decimal(38, 9)})
SCHEMA: Final = {"row": pl.UInt32(), **ENVELOPE, "data": pl.Struct({"order": ROW})}
MEASURES: Final = (
    Measure("orders", "count", None, INT),
    Measure("spend", "sum", Field("order.total", (), MONEY), MONEY),
)
BATCH: Final = 65_536
FIRST_US: Final = workload.FIRST_TIME_US


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is. Each key has ten events in its window."""

    keys: int
    flows: int
    tenants: int
    batches: int  # measured, each of BATCH events
    engine_events: int

    @property
    def filling(self) -> int:
        """Give how many events fill the windows."""
        return 10 * self.keys

    @property
    def apart_us(self) -> int:
        """Give the event time between two events."""
        return HOUR_US // self.filling


def threshold(load: Load, flow: int) -> tuple[int, int | None]:
    """Give the least count of a flow, and its least sum: about one event in a hundred brings some window over some threshold."""
    step = flow // load.tenants
    return 21 + step % 8, 1_500 + 50 * step if flow % 2 else None


def tenant_of(load: Load, key: int) -> str:
    """Give the tenant of a key, or of a flow."""
    return f"tenant{key % load.tenants:04d}"


def watchers(load: Load) -> list[Watcher]:
    """Give the flows as the operator sees them."""
    made = []
    for flow in range(load.flows):
        count, total = threshold(load, flow)
        least: Tree = Compare(">=", Field("window.orders", (), INT), Constant(count, INT))
        if total is not None:
            spend = Compare(">=", Field("window.spend", (), MONEY), Constant(str(total), MONEY))
            least = And((least, spend))
        window = Window(Field("order.customer", (), STRING), "sliding", HOUR_US, MEASURES, least)
        made.append(Watcher(flow, tenant_of(load, flow), f"burst_{flow:05d}", 0, feed_of(None), None, window, least))
    return made


def documents(load: Load) -> Iterator[dict[str, Any]]:
    """Give the same flows as a person writes them."""
    for flow in range(load.flows):
        count, total = threshold(load, flow)
        when = f"window.orders >= {count}" + ("" if total is None else f" and window.spend >= {total} GBP")
        measures = {"orders": "count()", "spend": "sum(order.total)"}
        window = {"key": "order.customer", "sliding": "1h", "measures": measures, "when": when}
        step = {"action": "hold", "with": {"customer": "{{ order.customer }}"}}
        trigger = {"event": EVENT, "window": window}
        yield {"flow": f"burst_{flow:05d}", "tenant": tenant_of(load, flow), "trigger": trigger, "steps": [step]}


class Feed:
    """The events, one after the other: evenly over the keys, at an even pace."""

    def __init__(self, load: Load, seed: int) -> None:
        self._load = load
        self._rng = np.random.default_rng(seed)
        self._next = 0

    def frame(self, count: int) -> pl.DataFrame:
        """Give the next events as the decoder does."""
        first, load = self._next, self._load
        self._next += count
        keys = self._rng.integers(0, load.keys, count)
        numbers = np.arange(first, first + count)
        totals = pl.Series(self._rng.integers(1, 200, count)).cast(pl.Decimal(38, 9))
        ids = pl.Series(numbers).cast(pl.String)
        order = pl.DataFrame({"id": ids, "customer": [f"c{key}" for key in keys.tolist()], "total": totals}).to_struct()
        columns = {
            "row": np.arange(count, dtype=np.uint32),
            "id": "e" + ids,
            "source": pl.repeat(workload.SOURCE, count, eager=True),
            "type": pl.repeat(EVENT, count, eager=True),
            "subject": pl.repeat(None, count, dtype=pl.String, eager=True),
            "time": FIRST_US + numbers * load.apart_us,
            "tenant": [tenant_of(load, key) for key in keys.tolist()],
            "correlationid": pl.repeat(None, count, dtype=pl.String, eager=True),
            "causationid": pl.repeat(None, count, dtype=pl.String, eager=True),
            "hops": pl.repeat(0, count, dtype=pl.Int32, eager=True),
            "data": pl.DataFrame({"order": order}).to_struct(),
        }
        return pl.DataFrame(columns, schema_overrides=SCHEMA)

    def rows(self, count: int, first_us: int) -> Iterator[dict[str, Any]]:
        """Give the next events as records; `first_us` is the time of the very first of all."""
        for row in self.frame(count).iter_rows(named=True):
            names = ("id", "source", "type", "tenant", "data")
            time_us = first_us + row["time"] - FIRST_US
            yield {**{name: row[name] for name in names}, "subject": None, "time": time_us}


def operator(load: Load, options: Options) -> tuple[Spread, int]:
    """Measure the operator: give the events a second of each batch, and how many verdicts there were."""
    windows = Windows()
    windows.deploy(EVENT, watchers(load), [])
    feed = Feed(load, options.seed)
    size = min(BATCH, load.filling)
    rates, verdicts = [], 0
    filling = load.filling // size + 1
    for batch in range(filling + load.batches):
        frame = feed.frame(size)
        clock = frame["time"].to_numpy()
        started_s = time.perf_counter()
        found = windows.take(Events(EVENT, frame, DATA, clock, clock - 1))
        windows.take_changes()
        seconds = time.perf_counter() - started_s
        if batch >= filling:
            rates.append(size / seconds)
            verdicts += sum(said.pairs.height for one in found for said in one.outcome.verdicts)
    return Spread(tuple(rates)), verdicts


def engine(load: Load, options: Options) -> tuple[Spread, float]:
    """Measure an engine process: give the events a second of each run, and its peak memory in MB."""
    with scratch() as folder, Home(Path(folder), workload.TINY, contracts=[CONTRACT]) as home:
        home.deploy_documents([{"action": "hold", "params": {"customer": "string"}}, *documents(load)])
        feed = Feed(load, options.seed)
        filling = load.filling // load.engine_events + 1  # runs that only fill the windows
        all_us = (filling + options.runs) * load.engine_events * load.apart_us
        first_us = time.time_ns() // 1000 - all_us
        rates = []
        with running(home.path, "engine") as roles:
            commands = Commands(home.path)
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            for run in range(filling + options.runs):
                frames = home.encode_rows(feed.rows(load.engine_events, first_us))
                started_s = home.append(frames)
                roles.wait_idle("engine", INGRESS_FILE, home.seq())
                if run >= filling:
                    rates.append(load.engine_events / (time.monotonic() - started_s))
            wait_commands(roles, commands, 1)
            peak_mb = roles.peak_mb("engine")
            commands.close()
    return Spread(tuple(rates)), peak_mb


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    load = Load(200, 40, 4, 2, 3_000) if options.tiny else Load(100_000, 10_000, 500, 24, 400_000)
    rates, verdicts = operator(load, options)
    operator_mb = peak_memory_mb()
    whole, peak_mb = engine(load, options)
    arguments = ("--keys", str(load.keys), "--events", "2000" if options.tiny else "100000", "--seed", str(options.seed))
    peers = {"bytewax_windows_events_per_s": run_peer("bytewax_windows", *arguments)["events_per_s"]} if options.peers else {}
    figures = {
        "events_per_s": significant(rates.median),
        "engine_events_per_s": significant(whole.median),
        "times_bytewax_windows": significant(rates.median / peers["bytewax_windows_events_per_s"]) if peers else None,
        "verdicts": verdicts,
        "operator_mb": round(operator_mb),
        "p50_ms": None,
        "p99_ms": None,
        "peak_mb": round(peak_mb),
        "spread": {"events_per_s": rates.line(), "engine_events_per_s": whole.line()},
        "peers": {name: significant(rate) for name, rate in peers.items()},
    }
    words = {"keys": load.keys, "flows": load.flows, "tenants": load.tenants, "batch": BATCH, "engine_events": load.engine_events}
    finish("windows", options, words, figures)


if __name__ == "__main__":
    main()
