"""A contract may not take away what flows in force read."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deployment import check_files, deploy, open_ingress
from flows.versions.in_home import versions_in
from tests.flows.driving import command
from tests.laws import test_rollout_laws as rollouts
from tests.laws.rolled_out import Rolled, order, rolled

EVENTS = """
event: job.asked
fields: {job: {id: string, n: int, at: timestamp, tags: list(string), note: string?}}
---
event: job.done
fields: {job: {id: string, cost: int}}
---
action: say
params: {text: string}
---
"""
ASKED = EVENTS.partition("---")[0]
START = "trigger: {event: job.asked, conditions: [job.n == 1]}"
SAY = "steps: [{action: say, with: {text: there}}]"
DONE = "event: job.done\nfields: {job: {id: string}}\n"
FLOWS = {
    "condition": (f"{START}\n{SAY}", "job.n"),
    "step": ("trigger: {event: job.asked}\nsteps: [{action: say, with: {text: 'number {{ job.n }}'}}]", "job.n"),
    "list": ("trigger: {event: job.asked}\nsteps: [{action: say, with: {text: 'of {{ count(job.tags) }}'}}]", "job.tags"),
    "window": (
        "trigger: {event: job.asked, window: {key: job.n, sliding: 1h, measures: {many: count()}, when: window.many > 2}}\n"
        + SAY,
        "job.n",
    ),
    "absence": (
        "trigger: {event: job.asked, absence: {of: job.done, as: done, correlate: done.job.id == job.id, until: job.at}}\n" + SAY,
        "job.at",
    ),
}


def home_with(tmp_path: Path, flow: str) -> Path:
    home = tmp_path / "home"
    put(home, tmp_path / "all.yaml", f"{EVENTS}flow: reader\n{flow}\n")
    return home


def put(home: Path, file: Path, text: str) -> None:
    file.write_text(text)
    with open_ingress(home) as ingress:
        deploy(ingress, home, check_files([file], home))


def problems(home: Path, file: Path, text: str) -> list[str]:
    file.write_text(text)
    return [f"{one.line}:{one.column} {one.name}: {one.message}" for one in check_files([file], home).problems]


@pytest.mark.parametrize("kind", FLOWS)
def test_a_field_that_a_flow_in_force_reads_cannot_go(tmp_path: Path, kind: str) -> None:
    flow, path = FLOWS[kind]
    home = home_with(tmp_path, flow)
    without = ASKED.replace({"job.n": "n: int, ", "job.at": "at: timestamp, ", "job.tags": "tags: list(string), "}[path], "")
    assert problems(home, tmp_path / "new.yaml", without) == [
        f"3:9 cuts-off-flow: flow 'reader' is in force and reads {path}: the field is gone; "
        "keep it, or deploy the flow changed as well"
    ]


@pytest.mark.parametrize("gone", ["cost: int", "id: string"])
def test_what_a_wait_reads_or_is_found_by_cannot_go(tmp_path: Path, gone: str) -> None:
    wait = "wait: job.done, as: done, correlate: done.job.id == job.id, conditions: [done.job.cost > 1], timeout: 1h"
    home = home_with(tmp_path, f"trigger: {{event: job.asked}}\nsteps: [{{{wait}, on_timeout: fail}}]")
    fewer = "event: job.done\nfields: {job: {id: string, cost: int}}\n".replace(f", {gone}", "").replace(f"{gone}, ", "")
    (problem,) = problems(home, tmp_path / "new.yaml", fewer)
    assert f"reads job.{gone.partition(':')[0]}: the field is gone" in problem


def test_a_field_that_may_be_missing_from_now_on_is_told_too(tmp_path: Path) -> None:
    home = home_with(tmp_path, FLOWS["step"][0])
    (problem,) = problems(home, tmp_path / "new.yaml", ASKED.replace("n: int", "n: int?"))
    assert "reads job.n: was int and is now int?" in problem


def test_what_no_flow_reads_may_go_and_a_flow_changed_as_well_is_fine(tmp_path: Path) -> None:
    home = home_with(tmp_path, FLOWS["condition"][0])
    assert problems(home, tmp_path / "new.yaml", ASKED.replace(", note: string?", "")) == []
    both = EVENTS.replace("n: int, ", "") + f"flow: reader\ntrigger: {{event: job.asked}}\n{SAY}\n"
    assert problems(home, tmp_path / "new.yaml", both) == []
    put(home, tmp_path / "new.yaml", both)
    assert problems(home, tmp_path / "new.yaml", DONE) == []


NOTED = f"trigger: {{event: job.asked, conditions: [job.note == 'x']}}\n{SAY}\n"
PLAIN = f"trigger: {{event: job.asked}}\n{SAY}\n"
UNNOTED = EVENTS.replace(", note: string?", "")


def cut(home: Path, file: Path, text: str, tenant: str | None = None) -> list[str]:
    """Say which flows a deploy without the note would cut off."""
    file.write_text(text)
    found = check_files([file], home, tenant).problems
    assert {one.name for one in found} <= {"cuts-off-flow"}
    return [one.message.partition(";")[0] for one in found]


def short(home: Path, tenant: str = "*") -> str:
    return versions_in(home).active[tenant, "reader"].version[:12]


@pytest.mark.parametrize("rollout", ["{percent: 25}", "{shadow: true}"])
def test_a_version_that_stays_in_force_beside_the_new_one_keeps_its_fields(tmp_path: Path, rollout: str) -> None:
    home, file = home_with(tmp_path, NOTED), tmp_path / "new.yaml"
    flow = f"flow: reader\nrollout: {rollout}\n{PLAIN}"
    stays = [f"version {short(home)} of flow 'reader' stays in force and reads job.note: the field is gone"]
    assert cut(home, file, UNNOTED + flow) == stays
    put(home, file, EVENTS + flow)
    assert cut(home, file, UNNOTED + flow) == stays
    assert cut(home, file, UNNOTED + f"flow: reader\n{PLAIN}") == []
    assert cut(home, file, UNNOTED + f"flow: reader\nenabled: false\n{PLAIN}") == []


@pytest.mark.parametrize("rollout", ["{percent: 25}", "{shadow: true}"])
def test_a_version_for_a_part_or_in_shadow_keeps_its_fields(tmp_path: Path, rollout: str) -> None:
    home, file = home_with(tmp_path, PLAIN), tmp_path / "new.yaml"
    put(home, file, f"{EVENTS}flow: reader\nrollout: {rollout}\n{NOTED}")
    told = ["flow 'reader' is in force and reads job.note: the field is gone"]
    assert cut(home, file, UNNOTED.removesuffix("---\n")) == told
    assert cut(home, file, UNNOTED + f"flow: reader\n{PLAIN}") == []


def test_the_flow_of_another_tenant_keeps_its_fields(tmp_path: Path) -> None:
    home, file = home_with(tmp_path, NOTED), tmp_path / "new.yaml"
    plain = UNNOTED + f"flow: reader\n{PLAIN}"
    assert cut(home, file, plain) == []
    stays = [f"version {short(home)} of flow 'reader' stays in force and reads job.note: the field is gone"]
    assert cut(home, file, plain, "acme") == stays
    assert cut(home, file, plain.replace("flow: reader\n", "flow: reader\ntenant: acme\n")) == stays
    command("deploy", str(file), "--tenant", "acme", home=home, code=2)
    for word in ("check", "plan"):
        file.write_text(plain)
        command(word, str(file), home=home)
        command(word, str(file), "--tenant", "acme", home=home, code=2)


def test_a_flow_of_one_tenant_is_not_replaced_by_the_one_for_all(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "new.yaml"
    file.write_text(f"{EVENTS}flow: reader\n{NOTED}")
    command("deploy", str(file), "--tenant", "acme", home=home)
    whose = f"version {short(home, 'acme')} of flow 'reader' (tenant acme) stays in force and reads job.note: the field is gone"
    assert cut(home, file, UNNOTED + f"flow: reader\n{PLAIN}") == [whose]
    assert cut(home, file, UNNOTED + f"flow: reader\n{PLAIN}", "acme") == []


def test_a_rollout_that_the_deploy_will_refuse_is_checked_with_what_is_there(tmp_path: Path) -> None:
    home, file = home_with(tmp_path, NOTED), tmp_path / "new.yaml"
    assert cut(home, file, UNNOTED.removesuffix("---\n")) == ["flow 'reader' is in force and reads job.note: the field is gone"]
    put(home, file, f"{EVENTS}flow: reader\nrollout: {{percent: 25}}\n{PLAIN}")
    (problem,) = cut(home, file, f"{UNNOTED}flow: reader\nrollout: {{shadow: true}}\n{PLAIN}")
    assert "stays in force and reads job.note" in problem


def test_only_what_is_put_in_force_is_asked_what_it_does_to_others(tmp_path: Path) -> None:
    home = home_with(tmp_path, f"{START}\n{SAY}")
    new = tmp_path / "new.yaml"
    new.write_text(
        f"{ASKED.replace('n: int, ', '')}---\nflow: other\ntrigger: {{event: job.asked}}\n{SAY}\n---\n"
        'test: it says\nflow: other\nclock: "2026-01-01T00:00:00Z"\ntimeline:\n'
        '  - {at: 0s, send: job.asked, with: {job: {id: a, at: "2026-01-01T00:00:00Z", tags: []}}}\n'
        "  - {at: 1s, expect: {status: completed, actions: [{action: say}]}}\n"
    )
    assert "cuts-off-flow" in command("check", str(new), home=home, code=2).stdout
    assert "other" in command("explain", str(new), home=home).stdout
    assert "0 failed" in command("test", str(new), home=home).stderr
    told = command("diff", "deployed", str(new), home=home, code=3).stdout
    assert "job.n" in told
    assert "flow other" in told


PAID = "event: order.paid\ntopic: orders.events\nfields: {order: {id: string}, CODEby: string?}\n---\n"
WAITS = """flow: waits
trigger: {event: order.placed}
steps: [WAIT{delay: 1h, as: nap}]
"""
WAIT = "{wait: order.paid, as: paid, correlate: paid.code == order.id, timeout: 2h, on_timeout: continue}, "


def test_what_executions_in_flight_still_wait_for_is_not_taken_from_them() -> None:
    def problems(one: Rolled) -> list[str]:
        (one.home / "new.yaml").write_text(PAID.replace("CODE", "").removesuffix("---\n"))
        return [str(problem) for problem in check_files([one.home / "new.yaml"], one.home).problems]

    contracts = rollouts.CONTRACTS + PAID.replace("CODE", "code: string?, ")
    with rolled() as one:
        (old,) = one.deploy(contracts + WAITS.replace("WAIT", WAIT))
        one.hold(held=True)
        one.tell([order(1, 0, {"total": 3})])
        one.deploy(contracts + WAITS.replace("WAIT", ""))
        (told,) = problems(one)
        assert f"an execution in flight of flow 'waits' (version {old[:12]}) may wait for code: the field is gone" in told
        assert "millrace migrate" in told
        one.tell([order(2, 200, {"total": 3}), order(3, 400, {"total": 3})])
        assert problems(one) == []


def test_a_flow_of_which_two_versions_lose_a_field_is_named_once() -> None:
    contracts = rollouts.CONTRACTS + PAID.replace("CODE", "code: string?, ")
    with rolled() as one:
        one.deploy(contracts + WAITS.replace("WAIT", WAIT))
        half = WAITS.replace("WAIT", WAIT).replace("1h", "2h").replace("steps", "rollout: {percent: 50}\nsteps")
        one.deploy(contracts + half)
        (one.home / "new.yaml").write_text(PAID.replace("CODE", "").removesuffix("---\n"))
        found = [problem.message for problem in check_files([one.home / "new.yaml"], one.home).problems]
    assert found == ["flow 'waits' is in force and reads code: the field is gone; keep it, or deploy the flow changed as well"]
