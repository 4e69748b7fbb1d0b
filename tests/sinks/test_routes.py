"""What the door knows of flows that two versions share: the ways in of both."""

from __future__ import annotations

from base64 import b64encode

from schemas.program import Manual, Program, Webhook, pack
from schemas.records import Control, Json, encode
from schemas.start_inputs import manual_of
from sinks.ingress.routes import Routes
from tests.sinks.door_world import CONTRACT


def learn(routes: Routes, key: str, value: Json) -> None:
    routes.learn(encode(Control(key=key, value=value)))


def test_both_versions_of_a_rollout_have_their_ways_in_and_one_in_shadow_has_none() -> None:
    routes = Routes()
    for version, path, role in (("v1", "old", "desk"), ("v2", "new", "lead")):
        triggers = (Webhook(path, CONTRACT.event), Manual((role,)))
        program = Program("returns", version, (), triggers, (), ())
        learn(routes, f"version/*/returns/{version}", {"program": b64encode(pack(program)).decode()})

    def ways() -> tuple[list[str], list[str]]:
        found = [one.path for path in ("old", "new") for one in routes.webhooks("acme", path)]
        return found, [role for one in map(manual_of, routes.by_hand("acme", "returns") or []) if one for role in one.roles]

    learn(routes, "active/*/returns", {"version": "v2", "rest": "v1", "share": {"percent": 25}})
    assert ways() == (["old", "new"], ["lead", "desk"])
    learn(routes, "active/*/returns", {"version": "v2", "rest": "v9"})
    assert ways() == (["old", "new"], ["lead", "desk"])
    learn(routes, "version/*/returns/v1", None)  # the engine refuses it while it is in force
    assert ways() == (["old", "new"], ["lead", "desk"])
    learn(routes, "active/*/returns", {"version": "v1", "shadow": "v2"})
    assert ways() == (["old"], ["desk"])
    learn(routes, "active/*/returns", None)
    assert ways() == ([], [])
