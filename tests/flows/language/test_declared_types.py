"""Every text that is no type is told at once, at its own place: in contracts, inputs, forms and tables."""

from flows.language.definitions import Source, check_sources

TEXT = """\
event: x.y
fields: {a: {b: money(XX), c: string, d: foo, e: list(line), f: foo}}
types: {line: {q: bar}}
---
action: act
params: {a: strin, b: {c: int, d: line}}
result: {x: moneys}
types: {line: {q: bar}}
---
flow: f
inputs: {a: sting, b: {c: int, d: foo}}
trigger: {manual: {roles: [r]}}
steps:
  - {approve: q, as: a, by: {role: r}, form: {x: {y: {z: int}, w: strng}, v: foo}, timeout: 1h, on_timeout: fail}
  - {branch: [{when: a.outcome == "approved", then: continue}], else: [{fail: no}]}
---
policy: p
inputs: {a: foo, b: bar}
outputs: {c: string}
hit: first
rules: [{when: a == 1, then: {c: x}}]
otherwise: {c: x}
---
event: r.r
fields: {a: {b: t}}
types: {t: {u: t}}
"""


def test_every_text_that_is_no_type_is_told() -> None:
    problems = check_sources([Source("a.yaml", TEXT)]).problems
    assert {problem.name for problem in problems} == {"bad-type"}
    assert [(problem.line, problem.column, problem.message.partition(" ")[0]) for problem in problems] == [
        (2, 23, "'XX'"),
        (2, 42, "'foo'"),
        (2, 65, "'foo'"),
        (3, 19, "'bar'"),
        (6, 13, "'strin'"),
        (7, 13, "'moneys'"),
        (8, 19, "'bar'"),
        (11, 13, "'sting'"),
        (11, 35, "'foo'"),
        (14, 67, "'strng'"),
        (14, 78, "'foo'"),
        (18, 13, "'foo'"),
        (18, 21, "'bar'"),
        (26, 16, "type"),
    ]
