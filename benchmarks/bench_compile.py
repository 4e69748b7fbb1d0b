"""How long does `check` take for 10,000 flow files of every kind of step, and how long for one of them?

Each file holds one flow of some twelve steps: conditions, waits, approvals, loops, arms at once, awaited actions with what undoes
them. All are read from the disk and checked together against contracts and policies, as `millrace check FILES` does, in a fresh
process; `one_ms` is one file alone beside its contracts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.measure import ROOT, Options, Spread, finish, parse_options, peak_memory_mb, quantile, scratch
from flows.deployment import check_files

FULL: Final = 10_000
TINY: Final = 20
ONE: Final = 200  # files checked one by one
CONTRACTS: Final = """\
event: order.placed
fields: {order: {id: string, customer_id: string, country: string, total: money(GBP), email: string?, lines: list(line)}}
types: {line: {sku: string, quantity: int}}
---
event: payment.received
fields: {payment: {order_id: string, amount: money(GBP)}}
---
event: order.held
fields: {order: {id: string, total: money(GBP)}}
---
action: reserve_stock
params: {order: string, lines: list(any)}
result: {reservation: string}
errors: [out_of_stock]
---
{policy: approval_limit, type: money(GBP), value: 5000 GBP}
"""
FLOW: Final = """\
flow: order_NUMBER
owner: order-desk
trigger: {event: order.placed, conditions: [order.total > VALUE GBP, order.country == "COUNTRY"]}
timeout: 60d
defaults: {timeout: 10m, retry: {attempts: 4}}
limits: {concurrency: {key: order.customer_id, max: 1, over: queue}}
steps:
  - set: {deposit: "{{ round(order.total * 0.2, 2) }}", channel: "shop-{{ lower(order.country) }}"}
  - action: reserve_stock
    as: stock
    await: true
    with: {order: "{{ order.id }}", lines: "{{ order.lines }}"}
    compensate: {action: release_stock, with: {reservation: "{{ stock.reservation }}"}}
  - branch:
      - when: order.total > policies.approval_limit
        then:
          - approve: "Order {{ order.id }} of {{ order.total }}"
            as: approval
            by: {role: finance_manager}
            timeout: 3d
            on_timeout: rejected
          - branch: [{when: approval.outcome == "rejected", then: [{stop: refused, compensate: true}]}]
            else: continue
    else: continue
  - parallel:
      letter: [{action: send_email, with: {template: thanks, to: "{{ coalesce(order.email, 'desk@example.com') }}"}}]
      ledger: [{emit: order.held, key: order.id, with: {order: {id: "{{ order.id }}", total: "{{ order.total }}"}}}]
  - for_each: order.lines
    each: item
    max: 200
    as: picks
    steps: [{action: pick_item, as: picked, await: true, with: {sku: "{{ item.sku }}"}, returns: {bin: string}}]
    result: {sku: "{{ item.sku }}", bin: "{{ picked.bin }}"}
  - wait: payment.received
    as: received
    correlate: received.payment.order_id == order.id
    conditions: [received.payment.amount >= deposit]
    timeout: 14d
    on_timeout: fail
  - delay: 2h
  - action: ship_NUMBER
    with: {order: "{{ order.id }}", channel: "{{ channel }}", picked: "{{ count(picks.results) }}"}
on_error: [{action: notify_owner, with: {text: "{{ order.id }}: {{ error.code }} at {{ error.step }}"}}]
"""
COUNTRIES: Final = ("United Kingdom", "France", "EIRE", "Germany")


def write_files(folder: Path, count: int) -> None:
    """Write the contracts and n flow files, no two alike."""
    (folder / "contracts.yaml").write_text(CONTRACTS)
    for number in range(count):
        country = COUNTRIES[number % len(COUNTRIES)]
        text = FLOW.replace("NUMBER", f"{number:05d}").replace("VALUE", str(number)).replace("COUNTRY", country)
        (folder / f"order_{number:05d}.yaml").write_text(text)


def check_all(folder: Path) -> dict[str, float]:
    """Check all files of a folder together; give seconds, flows, and peak memory in MB."""
    started_s = time.perf_counter()
    found = check_files(sorted(folder.glob("*.yaml")), folder / "home")
    took_s = time.perf_counter() - started_s
    if not found.ok:
        raise AssertionError("\n".join(map(str, found.errors[:5])))
    return {"seconds": took_s, "flows": len(found.flows), "peak_mb": peak_memory_mb()}


def check_ones(folder: Path, count: int) -> list[float]:
    """Give the milliseconds of each of n files, checked alone beside the contracts; the first few warm up."""
    contracts, files = folder / "contracts.yaml", sorted(folder.glob("order_*.yaml"))[:count]
    base = _check_ms([contracts], folder)
    return [max(0.0, _check_ms([contracts, file], folder) - base) for file in [*files[:3], *files]][3:]


def _check_ms(files: list[Path], folder: Path) -> float:
    started_s = time.perf_counter()
    if not check_files(files, folder / "home").ok:
        raise AssertionError(f"{files[-1].name} has errors")
    return (time.perf_counter() - started_s) * 1000


def main() -> None:
    """Measure and print one JSON line."""
    if sys.argv[1:2] == ["--all-of"]:
        print(msgspec.json.encode(check_all(Path(sys.argv[2]))).decode())
        return
    options = parse_options(__doc__ or "")
    count = TINY if options.tiny else FULL
    with scratch() as name:
        folder = Path(name)
        write_files(folder, count)
        runs = [_in_a_fresh_process(folder) for _ in range(_rounds(options))]
        ones = check_ones(folder, min(ONE, count))
    if any(run["flows"] != count for run in runs):
        raise AssertionError(f"{runs} of {count} flows")
    seconds = Spread(tuple(run["seconds"] for run in runs))
    figures = {
        "check_s": round(seconds.median, 2),
        "one_ms": round(quantile(ones, 0.5), 2),
        "p50_ms": round(quantile(ones, 0.5), 2),
        "p99_ms": round(quantile(ones, 0.99), 2),
        "peak_mb": round(max(run["peak_mb"] for run in runs)),
        "spread": {"check_s": seconds.line()},
    }
    finish("compile", options, {"files": count, "bytes_a_file": len(FLOW)}, figures)


def _in_a_fresh_process(folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--all-of", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return dict(msgspec.json.decode(done.stdout))


def _rounds(options: Options) -> int:
    return min(options.runs, 3)  # each takes the better part of a minute


if __name__ == "__main__":
    main()
