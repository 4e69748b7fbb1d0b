"""What a called flow gives back has one type, for who calls it as for its own history."""

from flows.language.definitions import Source, check_sources

TEXT = """\
flow: inner
inputs: {a: string}
trigger: {manual: {roles: [desk]}}
steps: [{delay: 1m}]
output: {ids: ["{{ inputs.a }}", "b"]}
---
flow: outer
inputs: {a: string}
trigger: {manual: {roles: [desk]}}
steps:
  - {call: inner, as: found, with: {a: "{{ inputs.a }}"}, timeout: 1d}
  - {fail: no, message: "{{ join(found.ids, ', ') }} and {{ sum(found.ids) }}"}
"""


def test_items_of_a_list_that_a_called_flow_gives_back_have_their_type() -> None:
    (problem,) = check_sources([Source("a.yaml", TEXT)]).problems
    assert (problem.line, problem.name) == (12, "type-mismatch")
    assert "found.ids" in problem.message and "list(string)" in problem.message
