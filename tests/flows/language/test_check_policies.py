"""What `check` says of policies, and what it makes of them."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

from decimal import Decimal

import pytest

from flows.language.canonical import canonical_bytes
from flows.language.check_policy import CompiledPolicy
from flows.language.definitions import Source, check_sources
from schemas.expression.keyed import Keyed
from schemas.policy import KeyedPolicy, PolicyType, TablePolicy, ValuePolicy, policy_type, policy_value


def messages(text: str) -> list[str]:
    return [str(problem).removeprefix("a.yaml:") for problem in check_sources([Source("a.yaml", text)]).problems]


WRONG: list[tuple[str, list[str]]] = [
    (
        "policy: p\ntype: money(GBP)\nvalue: 5000\n",
        [
            "3:8: error[needs-currency]: 5000 has no currency and money(GBP) is wanted; write 5000 GBP",
        ],
    ),
    (
        "policy: p\ntype: money(GBP)\nvalue: 5 EUR\nvalu: 3\n",
        [
            "4:1: error[unknown-key]: policy has no key 'valu' (language, policy, type, value, key, values, default, inputs, outputs, hit, rules, otherwise, owner, title, description, valid_from); did you mean 'value'?",
        ],
    ),
    (
        "policy: p\ntype: money\nvalue: 5\n",
        [
            "2:12: error[bad-type]: 'money' is no type; write one like string, money(GBP) or list(int)",
        ],
    ),
    (
        "policy: p\ntype: duration\n",
        [
            "1:1: error[missing-key]: a policy with a value has no 'value' and needs one; add it",
        ],
    ),
    (
        "policy: p\ntype: {a: int}\nvalue: {a: 3}\n",
        [
            "2:7: error[want-string]: a mapping stands at 'type' where a string was wanted; write one text",
        ],
    ),
    (
        "policy: p\ntype: int?\nvalue: 3\n",
        [
            "2:7: error[bad-type]: int? cannot be the type of a policy; one value or a list of such, always there is wanted",
        ],
    ),
    (
        "policy: p\ntype: list(string)\nvalue: [a, 3]\n",
        [
            '3:12: error[type-mismatch]: 3 is int and string is wanted; quote it: "..."',
        ],
    ),
    (
        "policy: p\ntype: duration\nkey: decimal\nvalues: {a: 4h}\ndefault: 1\n",
        [
            "3:6: error[bad-type]: decimal cannot be the key of a policy; a string, one_of, int or bool is wanted",
        ],
    ),
    (
        'policy: p\ntype: duration\nkey: \'one_of("UK", "DE")\'\nvalues: {UK: 4h, FR: 5h, DE: 5}\ndefault: 1d\n',
        [
            "4:18: error[type-mismatch]: 'FR' is none of UK, DE; write one of these",
            "4:30: error[bad-duration]: '5' has no unit; write 5s, 5m, 5h or 5d",
        ],
    ),
    (
        "policy: p\ntype: duration\nkey: int\nvalues: {a: 4h}\n",
        [
            "1:1: error[missing-key]: a policy with a key has no 'default' and needs one; add it",
        ],
    ),
    (
        "policy: p\ntype: int\nvalue: 3\nvalid_from: tomorrow\n",
        [
            "4:13: error[bad-time]: 'tomorrow' is not a time; write RFC 3339 with a zone: 2026-11-21T10:00:00Z",
        ],
    ),
    (
        "policy: p\ntype: int\nvalue: 3\nrules: []\n",
        [
            "4:8: error[empty-list]: 'rules' is empty; write at least one, or take the key away",
        ],
    ),
    (
        'policy: p\ninputs: {total: money(GBP), band: \'one_of("low", "high")\', paid: \'bool?\'}\noutputs: {route: \'one_of("auto", "person")\', share: decimal?}\nhit: first\nrules:\n  - {when: total > 5, then: {route: auto}}\n  - {when: bnd == "low", then: {route: manual}}\n',
        [
            "6:20: error[needs-currency]: 'total' is money(GBP) and 5 has no currency; write 5 GBP",
            "7:12: error[unknown-field]: field 'bnd' is not in the inputs of p (band, paid, total); did you mean 'band'?",
            "7:40: error[type-mismatch]: 'manual' is none of auto, person; write one of these",
        ],
    ),
    (
        'policy: p\ninputs: {total: money(GBP), band: \'one_of("low", "high")\', paid: \'bool?\'}\noutputs: {route: \'one_of("auto", "person")\', share: decimal?}\nhit: first\nrules:\n  - {when: total > 5 GBP, then: {route: auto}}\n  - {when: band == "low", then: {route: person}}\n',
        [
            '1:1: error[missing-otherwise]: the rules do not hold for every input (not for total = 4 GBP and band = "high"); add otherwise',
        ],
    ),
    (
        'policy: p\ninputs: {total: money(GBP), band: \'one_of("low", "high")\', paid: \'bool?\'}\noutputs: {route: \'one_of("auto", "person")\', share: decimal?}\nhit: unique\nrules:\n  - {when: total > 5 GBP, then: {route: auto}}\n  - {when: total <= 6 GBP, then: {route: person, share: 0.5}}\n',
        [
            "7:5: error[overlapping-rules]: rules 1 and 2 may both hold (total = 5.000000001 GBP) and hit is unique; make them exclude each other, or write hit: first",
        ],
    ),
    (
        'policy: p\ninputs: {total: money(GBP), band: \'one_of("low", "high")\', paid: \'bool?\'}\noutputs: {route: \'one_of("auto", "person")\', share: decimal?}\nhit: first\nrules:\n  - {when: total > 5 GBP, then: {route: auto}}\n  - {when: total >= 9 GBP and paid, then: {route: person}}\n  - {when: total <= 5 GBP, then: {route: person}}\n',
        [
            "7:5: warning[always-false]: rule 2 is never reached, those before it hold first; move or remove it",
            "7:31: warning[maybe-missing-branch]: 'paid' may be missing, then this is false; ask with exists(paid), or say coalesce(paid, ...)",
        ],
    ),
    (
        'policy: p\ninputs: {total: money(GBP), band: \'one_of("low", "high")\', paid: \'bool?\'}\noutputs: {route: \'one_of("auto", "person")\', share: decimal?}\nhit: first\nrules:\n  - {when: event.time > execution.started_at, then: {route: auto, shar: 3}}\notherwise: {share: "{{ total }}"}\n',
        [
            "6:25: error[not-yet-bound]: 'execution.started_at': there is no execution before the trigger; use event",
            "6:73: error[unknown-field]: field 'shar' is not in {route: one_of(\"auto\", \"person\"), share: decimal?}; did you mean 'share'?",
            '7:12: error[missing-field]: \'route\' is not given and one_of("auto", "person") is wanted; add it',
            "7:24: error[type-mismatch]: 'total' is money(GBP); a decimal is wanted here",
        ],
    ),
    (
        'policy: p\ninputs: {total: money(GBP), band: \'one_of("low", "high")\', paid: \'bool?\'}\noutputs: {route: \'one_of("auto", "person")\', share: decimal?}\nhit: some\nrules:\n  - {when: paid, thn: {route: auto}}\n',
        [
            "4:6: error[bad-word]: 'some' is no word for 'hit'; write 'first', 'unique' or 'collect'",
            "6:18: error[unknown-key]: a rule has no key 'thn' (when, then); did you mean 'then'?",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_policy_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert messages(text) == expected


RIGHT = """\
{policy: approval_limit, type: money(GBP), value: 5000 GBP, owner: finance, description: what nobody must ask for}
---
{policy: sla, key: string, type: duration, values: {1 - Critical: PT4H, 2 - High: 480m}, default: 10d, valid_from: "2026-12-01T00:00:00Z"}
---
{policy: fee, key: int, type: decimal, values: {"1": 0.10, "12": 2}, default: 0}
---
{policy: countries, type: list(string), value: [UK, DE]}
---
policy: route
inputs: {total: money(GBP), band: 'one_of("low", "high")', tags: list(string)}
outputs: {to: string, until: duration?, share: decimal}
hit: unique
rules:
  - {when: [total > policies.approval_limit, band == "low"], then: {to: "{{ band }} desk", share: 0.5}}
  - {when: total <= policies.approval_limit or band == "high", then: {to: auto, until: 4h, share: 1}}
otherwise: {to: person, share: "{{ decimal(count(tags)) }}"}
"""


def compiled(text: str = RIGHT) -> dict[str, CompiledPolicy]:
    found = check_sources([Source("a.yaml", text)])
    assert not found.problems, found.problems
    return {one.policy.name: one for one in found.policies}


def test_a_value_is_kept_as_its_type_reads_it() -> None:
    found = compiled()
    limit, sla, fee, countries = (found[name].policy for name in ("approval_limit", "sla", "fee", "countries"))
    assert isinstance(limit, ValuePolicy)
    assert isinstance(sla, KeyedPolicy)
    assert isinstance(fee, KeyedPolicy)
    assert isinstance(countries, ValuePolicy)
    assert policy_value(limit) == Decimal(5000)
    assert policy_value(sla) == Keyed({"1 - Critical": 14_400_000_000, "2 - High": 28_800_000_000}, 864_000_000_000)
    assert policy_value(fee) == Keyed({1: Decimal("0.10"), 12: Decimal(2)}, Decimal(0))
    assert policy_value(countries) == ["UK", "DE"]
    assert sla.valid_from_us == 1_796_083_200_000_000
    assert limit.valid_from_us == -1


def test_a_table_names_the_policies_that_it_reads() -> None:
    table = compiled()["route"].policy
    assert isinstance(table, TablePolicy)
    assert table.policies == ("approval_limit",)
    assert [name for name, _ in table.inputs.fields] == ["band", "tags", "total"]


def test_a_canonical_policy_is_a_document_of_the_same_version() -> None:
    found = compiled()
    written = "[" + ",".join(canonical_bytes(dict(one.document)).decode() for one in found.values()) + "]"
    again = check_sources([Source("a.json", written)])
    assert not again.problems
    assert [one.policy for one in again.policies] == [one.policy for one in found.values()]


def test_what_does_not_count_leaves_the_version_alone_and_what_counts_does_not() -> None:
    def version(text: str) -> str:
        return compiled(text)["p"].policy.version

    same = {
        version("policy: p\ntype: duration\nvalue: 90m\n"),
        version("# why\nvalue: 1h30m\ntype: duration\ntitle: t\ndescription: d\npolicy: p\nlanguage: 1\n"),
        version('{"policy": "p", "type": "duration", "value": "PT1H30M"}'),
    }
    assert len(same) == 1
    assert version("policy: p\ntype: duration\nvalue: 91m\n") not in same


def test_a_policy_in_force_keeps_its_type() -> None:
    limit = compiled()["approval_limit"].policy
    sources = [Source("a.yaml", "policy: approval_limit\ntype: money(EUR)\nvalue: 3 EUR\n")]
    found = check_sources(sources, known_policies=[policy_type(limit)])
    assert [str(problem) for problem in found.problems] == [
        "a.yaml:2:7: error[incompatible]: policy 'approval_limit' is in force as money(GBP) and is now money(EUR); choose another name"
    ]


def test_a_flow_reads_policies_of_its_files_and_those_in_force() -> None:
    contract = "event: order.placed\nfields: {order: {total: money(GBP), country: string}}\n---\n"
    flow = "flow: f\ntrigger: {event: order.placed, conditions: ['order.total > policies.limits[order.country]']}\nsteps: [{delay: policies.pause}]\n"
    money = compiled()["approval_limit"].policy
    assert isinstance(money, ValuePolicy)
    limits = PolicyType("limits", value=money.type, key=compiled()["sla"].policy.key)  # type: ignore[union-attr]
    policy = "---\npolicy: pause\ntype: duration\nvalue: 1h\n"
    found = check_sources([Source("a.yaml", contract + flow + policy)], known_policies=[limits])
    assert not found.problems
    assert found.flows[0].program.policies == ("limits", "pause")
