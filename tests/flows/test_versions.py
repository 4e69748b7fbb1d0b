"""Versions of a flow in a home: what plan says of executions in flight, what migrate moves, how far rollback goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli.plan import tell_fates
from flows.cli.terminal import Terminal
from flows.deployment import check_files
from flows.versions.in_home import versions_in
from flows.versions.plan import Fate, fates_of
from schemas.pointer import Pointer
from tests.flows.driving import command, process, value
from tests.laws import test_rollout_laws as rollouts
from tests.laws.rolled_out import order, rolled

EVENT = "event: deal.closed\nfields: {deal: {id: string, value: int}}\ntopic: crm.events\n---\n"
FLOW = """flow: f
trigger: {event: deal.closed}
steps:
  - {action: one, as: first, with: {a: "{{ deal.id }}"}}
  - {delay: 2h, as: nap}
  - {action: two, as: second, with: {a: "{{ deal.id }}"}}
"""
RENAMED = FLOW.replace("as: nap", "as: sleep")
OTHER = FLOW.replace("action: two", "action: three")


def written(folder: Path, text: str) -> str:
    file = folder / "f.yaml"
    file.write_text(EVENT + text)
    return str(file)


def active(home: Path) -> str:
    return versions_in(home).active["*", "f"].version


def test_rollback_goes_back_version_by_version_and_never_forth(tmp_path: Path) -> None:
    home = tmp_path / "home"
    deployed = []
    for text in (FLOW, RENAMED, OTHER):
        command("deploy", written(tmp_path, text), home=home)
        deployed.append(active(home))
    assert value("rollback", "f", home=home) == {"flow": "f", "tenant": "*", "version": deployed[1], "was": deployed[2]}
    command("rollback", "f", home=home)
    assert active(home) == deployed[0]
    assert "no version before" in command("rollback", "f", home=home, code=2).stderr
    command("deploy", written(tmp_path, OTHER), home=home)
    command("rollback", "f", home=home)
    assert active(home) == deployed[0]
    assert "no flow 'g' is in force; `millrace flows list`" in command("rollback", "g", home=home, code=2).stderr
    assert "that is for all, and has none of its own" in command("rollback", "f", "--tenant", "zen", home=home, code=2).stderr
    assert "did you mean 'f'?" in command("migrate", "ff", home=home, code=2).stderr


def test_a_rollout_goes_on_from_the_version_before_it_and_back_to_that(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def deploy(text: str, rollout: str, code: int = 0) -> str:
        return command(
            "deploy", written(tmp_path, text.replace("steps:", f"rollout: {rollout}\nsteps:")), home=home, code=code
        ).stderr

    def told() -> Pointer:
        return versions_in(home).active["*", "f"].told

    command("deploy", written(tmp_path, FLOW), home=home)
    first = active(home)
    deploy(RENAMED, "{percent: 10}")
    second = active(home)
    assert (told().rest, told().share.percent) == (first, 10)
    assert "a shadow would be compared with two versions" in deploy(OTHER, "{shadow: true}", code=2)
    assert "is in force already, with no other beside it" in deploy(FLOW, "{percent: 10}", code=2)
    deploy(OTHER, "{percent: 30}")
    third = active(home)
    assert (told().rest, len({first, second, third})) == (first, 3)
    assert value("rollback", "f", home=home) == {"flow": "f", "tenant": "*", "version": first, "was": third}
    assert "no version before" in command("rollback", "f", home=home, code=2).stderr
    command("deploy", written(tmp_path, RENAMED), "--tenant", "zen", home=home)
    deploy(OTHER, "{shadow: true, percent: 50}")
    assert (told().version, told().shadow, told().share.percent) == (first, third, 50)
    assert "runs in shadow no more" in command("rollback", "f", home=home).stderr
    assert told() == Pointer(first)


def test_a_version_that_never_ran_for_all_is_not_gone_back_to(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def deploy(text: str, percent: int = 100, *more: str) -> str:
        text = text.replace("steps:", f"rollout: {{percent: {percent}}}\nsteps:")
        (flow,) = value("deploy", written(tmp_path, text), *more, home=home)["flows"]
        return str(flow["version"])

    first = deploy(FLOW)
    deploy(RENAMED, 25)
    assert deploy(FLOW) == first
    assert versions_in(home).active["*", "f"].before == ()
    assert "no version before" in command("rollback", "f", home=home, code=2).stderr
    deploy(RENAMED, 25)
    third = deploy(OTHER)
    assert versions_in(home).active["*", "f"].before == (first,)
    deploy(RENAMED, 25)
    deploy(FLOW, 50, "--tenant", "zen")
    second = deploy(RENAMED)
    assert versions_in(home).active["*", "f"].before == (third, first)
    command("rollback", "f", home=home)
    assert active(home) == third
    deploy(FLOW, 100, "--tenant", "zen")
    assert value("rollback", "f", "--tenant", "zen", home=home)["version"] == third != second


def test_a_tenant_with_a_version_of_its_own_shares_it_with_the_one_for_all(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command("deploy", written(tmp_path, FLOW), home=home)
    first = active(home)
    command("deploy", written(tmp_path, OTHER.replace("steps:", "rollout: {percent: 10}\nsteps:")), "--tenant", "zen", home=home)
    found = versions_in(home).active
    assert (found["*", "f"].told, found["zen", "f"].told.rest) == (Pointer(first), first)


def test_windows_that_may_be_taken_back_are_not_shared(tmp_path: Path) -> None:
    home = tmp_path / "home"
    window = "window: {key: deal.id, tumbling: 1h, fire: close, retract: 2d, measures: {n: count()}, when: window.n > 1}"
    command("deploy", written(tmp_path, FLOW.replace("{event: deal.closed}", f"{{event: deal.closed, {window}}}")), home=home)
    text = FLOW.replace("steps:", "rollout: {percent: 10}\nsteps:")
    assert "has a window whose verdict may be taken back" in command("deploy", written(tmp_path, text), home=home, code=2).stderr


def test_a_flow_that_is_new_or_unchanged_concerns_nothing_in_flight(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "event.yaml").write_text(EVENT.removesuffix("---\n"))
    assert "there is nothing to plan" in command("plan", str(tmp_path / "event.yaml"), home=home).stderr
    (new,) = value("plan", written(tmp_path, FLOW), home=home)
    assert (new["old"], new["fates"], new["changes"]) == ("", [], [])
    command("deploy", written(tmp_path, FLOW), home=home)
    (same,) = value("plan", written(tmp_path, FLOW), home=home)
    assert same["old"] == same["new"]


def deal(number: int, tenant: str) -> dict[str, Any]:
    data = {"deal": {"id": f"D{number}", "value": 3}}
    event = {"id": str(number), "source": "t", "type": "deal.closed", "time": f"2026-01-05T10:00:0{number}Z"}
    return {**event, "tenant": tenant, "data": data}


@pytest.mark.slow
def test_executions_in_flight_are_planned_moved_and_end_on_the_version_they_were_moved_to(tmp_path: Path) -> None:
    home, events = tmp_path / "home", tmp_path / "events.jsonl"
    command("deploy", written(tmp_path, FLOW), home=home)
    first = active(home)
    events.write_text("".join(json.dumps(deal(number, tenant)) + "\n" for number, tenant in ((1, "acme"), (2, "zen"))))
    command("send", "--topic", "crm.events", str(events), home=home)
    process("up", "--until-idle", home=home)

    (told,) = value("plan", written(tmp_path, RENAMED), home=home, code=3)
    assert told["counts"] == {"pinned": 0, "migrates": 0, "strands": 2}
    assert {tuple(fate["why"]) for fate in told["fates"]} == {("it waits at 'nap', which is gone",)}
    (told,) = value("plan", written(tmp_path, OTHER), home=home)
    assert told["counts"] == {"pinned": 0, "migrates": 2, "strands": 0}

    command("deploy", written(tmp_path, OTHER), home=home)
    assert value("migrate", "f", "--dry-run", home=home)["moved"] == 0
    assert value("migrate", "f", "--tenant", "zen", "--by", "ann", home=home)["moved"] == 1
    process("up", "--until-idle", home=home)
    listed = value("query", "select tenant, version from executions order by tenant", home=home)
    assert [(row["tenant"], row["version"]) for row in listed] == [("acme", first), ("zen", active(home))]
    assert [fate["tenant"] for fate in value("migrate", "f", "--dry-run", home=home)["fates"]] == ["acme"]
    command("deploy", written(tmp_path, RENAMED), home=home)
    assert value("migrate", "f", home=home, code=3)["moved"] == 0


NAPS = """flow: NAME
TENANTtrigger: {event: order.placed}
steps: [{delay: 2h, as: nap}, {action: tell, as: told, with: {n: NUMBER}}]
"""


def naps(number: int, tenant: str = "") -> str:
    texts = [NAPS.replace("NAME", name).replace("NUMBER", str(number)) for name in ("one", "two")]
    return rollouts.CONTRACTS + "---\n".join(text.replace("TENANT", f"tenant: {tenant}\n" if tenant else "") for text in texts)


def test_many_flows_are_planned_in_one_pass_each_with_its_own_executions() -> None:
    with rolled() as one:
        one.deploy(naps(1))
        one.deploy(naps(2, "zen"))
        one.hold(held=True)
        one.tell([order(number, 0, {"total": 3}, tenant) for number, tenant in ((1, "acme"), (2, "zen"), (3, "ann"), (4, "ann"))])
        (one.home / "new.yaml").write_text(naps(3))
        flows = check_files([one.home / "new.yaml"], one.home).flows
        versions = versions_in(one.home)
        wanted = {(tenant, flow.name): flow.program for flow in flows for tenant in ("*", "zen")}
        found = fates_of(wanted, one.home, versions)
        alone = {key: fates_of({key: program}, one.home, versions)[key] for key, program in wanted.items()}
    assert found == alone
    assert {key: [fate.tenant for fate in fates] for key, fates in found.items()} == {
        ("*", "one"): ["ann", "ann", "acme"],
        ("*", "two"): ["ann", "ann", "acme"],
        ("zen", "one"): ["zen"],
        ("zen", "two"): ["zen"],
    }
    assert {fate.outcome for fates in found.values() for fate in fates} == {"migrates"}


def test_many_executions_are_told_by_what_becomes_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    def fate(number: int, why: str) -> Fate:
        return Fate("acme", f"{number:032x}", "v" * 32, "strands" if why else "migrates", ("nap",), (why,) if why else ())

    few = [fate(number, "") for number in range(20)]
    tell_fates(Terminal(json=False), few)
    assert len([line for line in capsys.readouterr().out.splitlines() if "migrates" in line]) == 20
    tell_fates(Terminal(json=False), [*few, fate(20, "it waits at 'nap', which is gone")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "nap" in line]
    assert [line[:2] for line in lines] == [["20", "migrates"], ["1", "strands"]]
