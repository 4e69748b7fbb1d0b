"""Approve: who is asked, by when, and what their silence means."""

from __future__ import annotations

from typing import Final

from flows.language.literals import positive
from flows.language.names import Names, optional
from flows.language.nodes import Node, Sequence, inner
from flows.language.report import Report
from flows.language.steps.check_wait import deadline_of
from flows.language.steps.form import read_types
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.fit import type_of
from schemas.expression.literals import print_duration
from schemas.expression.print import print_tree
from schemas.expression.template import Items, Template, Value, Whole, value_of
from schemas.expression.tree import Constant, Tree
from schemas.expression.types import STRING, TIMESTAMP, Type
from schemas.flow.parts import People
from schemas.flow.step import ApproveStep
from schemas.program import END, Approve, Deciders

OUTCOME: Final = Type("one_of", options=("approved", "rejected"))
_WAYS: Final = ("role", "person", "people")


def check_approve(walk: Walk, step: ApproveStep, node: Node, names: Names) -> Ran:
    """Bind what is decided."""
    form = read_types(step.form, inner(node, "form"), walk.report) if step.form else None
    deciders = _deciders(walk, step.by, inner(node, "by"), names)
    _check_need(step, node, deciders, walk.report)
    reminders = _reminders(step, inner(node, "remind"), walk.report)
    escalation = inner(node, "escalate")
    approve = Approve(
        name=walk.step_names.of(step, "approve"),
        title=_text(walk, node, "approve", names),
        by=deciders,
        timeout=deadline_of(walk, step.timeout, node, names, f"approve '{step.as_ or 'without a name'}'"),
        next=END,
        on_timeout=step.on_timeout or "rejected",
        need=step.need,
        excluded=_excluded(walk, node, names) if step.not_ is not None else None,
        show=walk.template(inner(node, "show"), names) if step.show else None,
        form=form,
        remind_us=tuple(sorted(after_us for after_us, _ in reminders)),
        escalate_us=positive(step.escalate.after, inner(escalation, "after"), "after", walk.report) if step.escalate else 0,
        escalate_to=_deciders(walk, step.escalate.to, inner(escalation, "to"), names) if step.escalate else None,
        bind=str(step.as_ or ""),
    )
    _tell(walk, step, node)
    said = [*reminders, *([(approve.escalate_us, inner(escalation, "after"))] if step.escalate else [])]
    _warn_too_late(approve.timeout, said, walk.report)
    return Ran((TypedStep(approve),), walk.bind_result(step, node, _decided(step, form), names))


def _decided(step: ApproveStep, form: Type | None) -> Type:
    """Give what is bound: nobody has decided where the time was over."""
    by = STRING if step.on_timeout == "fail" else optional(STRING)
    fields = tuple((name, optional(kind)) for name, kind in (form.fields if form is not None else ()))
    filled = Type("record", optional=True, fields=fields)
    return Type("record", fields=(("outcome", OUTCOME), ("by", by), ("at", TIMESTAMP), ("form", filled)))


def _tell(walk: Walk, step: ApproveStep, node: Node) -> None:
    if step.timeout is not None and step.on_timeout is None:
        what = f"approve '{step.as_ or 'without a name'}'"
        message = f"{what} does not say what its timeout means; add on_timeout: approved, rejected or fail"
        walk.report.add(node, "no-deadline", message)
    if step.as_:
        walk.approvals.append((str(step.as_), inner(node, "as")))
        return
    message = "an approval has no name: after an edit its executions would not find it again; add as"
    walk.report.warn(node, "unnamed-wait", message)
    walk.approvals.append(("", node))


def _warn_too_late(timeout: Tree, said: list[tuple[int, Node]], report: Report) -> None:
    """Tell of what would come when the question is over: nobody is reminded of it, or asked as well."""
    if not isinstance(timeout, Constant) or not timeout.value:
        return
    for after_us, place in said:
        if after_us >= int(timeout.value):
            over = f"after {print_duration(after_us)} the question is over, its timeout is {print_duration(int(timeout.value))}"
            report.warn(place, "never-reached", f"{over}; write less, or nobody hears of it")


def _deciders(walk: Walk, people: People, node: Node, names: Names) -> Deciders:
    given = [way for way in _WAYS if getattr(people, way) is not None]
    if len(given) != 1:
        shown = " and ".join(f"'{way}'" for way in given) or "nobody"
        walk.report.add(node, "bad-people", f"{shown} stands where one of role, person, people was wanted; say one of them")
        return Deciders()
    if given[0] == "role":
        return Deciders(role=_text(walk, node, "role", names))
    if given[0] == "person":
        return Deciders(people=_text(walk, node, "person", names))
    return Deciders(people=_texts(walk, inner(node, "people"), names))


def _excluded(walk: Walk, node: Node, names: Names) -> Template:
    place = inner(node, "not")
    if isinstance(place, Sequence):
        return _texts(walk, place, names)
    found = walk.elaborator.template(place, names)
    if found is None:
        return Value("[]")
    if found.type.name not in ("string", "one_of", "list", "any"):
        walk.report.add(place, "type-mismatch", "'not' wants people: a text, or a list of texts")
    return found.template


def _texts(walk: Walk, place: Node, names: Names) -> Template:
    found = walk.template(place, names, Type("list", item=STRING))
    for item, at in zip(found.items if isinstance(found, Items) else (), getattr(place, "items", ()), strict=False):
        _refuse_absent(item, at, "a person", walk.report)
    return found


def _text(walk: Walk, node: Node, key: str, names: Names) -> Template:
    found = walk.template(inner(node, key), names, STRING)
    _refuse_absent(found, inner(node, key), f"'{key}'", walk.report)
    return found


def _refuse_absent(template: Template, place: Node, what: str, report: Report) -> None:
    if isinstance(template, Whole) and type_of(template.tree).optional:
        text = print_tree(template.tree)
        report.add(
            place, "maybe-missing", f"'{text}' may be missing and {what} must be there; write {{{{ coalesce({text}, ...) }}}}"
        )


def _check_need(step: ApproveStep, node: Node, deciders: Deciders, report: Report) -> None:
    people = deciders.people
    count = len(value_of(people)) if isinstance(people, Value) and step.by.people else 0
    count = len(people.items) if isinstance(people, Items) else count or (1 if step.by.person else 0)
    if people is not None and count and step.need > count:
        message = f"{step.need} of {count} are needed; nobody else may decide: name more people, or a role"
        report.add(inner(node, "need"), "cannot-be-met", message)


def _reminders(step: ApproveStep, place: Node, report: Report) -> list[tuple[int, Node]]:
    places = place.items if isinstance(place, Sequence) else ()
    return [(positive(text, at, "remind", report), at) for text, at in zip(step.remind, places, strict=True)]
