"""Draws the steps of a flow, with every construct of the language, as documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

Step = dict[str, Any]
DEPTH: Final = 3
DELAYS: Final = ("0s", "90s", "20m", "1h", "5h", "1d")
TIMEOUTS: Final = ("10m", "1h", "3h", "2d")
PEOPLE: Final = ("ann", "bob", "cid", "dee", "mallory")
NOT_HIM: Final = "mallory"
ROLES: Final = {"ann": ["boss"], "bob": ["boss", "clerk"], "cid": ["clerk"], "dee": [], "mallory": ["boss", "clerk"]}


@dataclass(slots=True)
class StepDrawer:
    """Draws one flow's steps. `ref` is an expression for the job that it is about, `calls` the flows that it may call."""

    rng: Random
    ref: str
    calls: tuple[str, ...] = ()
    may_tell: bool = True  # events that start flows: only from flows that are not started by them
    has_event: bool = True
    _names: dict[str, int] = field(default_factory=dict)
    _left: int = 14

    def steps(self, depth: int = 0, *, loop: bool = False) -> list[Step]:
        """Draw a list of steps; it may end with one that ends the flow."""
        found: list[Step] = [self.wait()] if not depth and self.rng.random() < 0.15 else []  # it waits from the very start
        for _ in range(self.rng.choice((1, 1, 2, 3) if depth else (2, 3, 4, 5))):
            if self._left <= 0:
                break
            self._left -= 1
            found.append(self._step(depth, loop))
        if not found:
            found.append(self.plain())
        return found

    def _step(self, depth: int, loop: bool) -> Step:
        leaves = [
            self.plain,
            self.awaited,
            self.awaited,
            self.awaited,
            self.delay,
            self.wait,
            self.wait,
            self.approve,
            self.approve,
        ]
        leaves += [self.until, self.setting, self.decide, self.tell]
        if self.calls:
            leaves += [self.call, self.call]
        if depth < DEPTH and self.rng.random() < 0.45:
            return self.rng.choice((self.branch, self.parallel, self.parallel, self.for_each))(depth + 1, loop)
        return self.rng.choice(leaves)()

    def name(self, kind: str) -> str:
        """Give a name that no other step of the flow has."""
        self._names[kind] = self._names.get(kind, 0) + 1
        return f"{kind}_{self._names[kind]}"

    # --- leaves

    def plain(self) -> Step:
        """Draw an action that nobody waits for."""
        step: Step = {
            "action": self.rng.choice(("note", "send_note", "create_task")),
            "as": self.name("note"),
            "with": self._job(),
        }
        if self.rng.random() < 0.2:
            step["order_key"] = self.ref
        if self.rng.random() < 0.2:
            step["concurrency"] = {"key": self.ref, "max": 1}
        if self.rng.random() < 0.25:
            step["batch"] = {"key": self.rng.choice((self.ref, "'lot'")), "max": self.rng.choice((2, 5)), "wait": "10m"}
        return step

    def awaited(self) -> Step:
        """Draw an action whose outcome is waited for, often with what undoes it."""
        rng, name = self.rng, self.name("act")
        action = rng.choice(("send_book", "send_book", "create_book", "book"))
        step: Step = {"action": action, "as": name, "await": True, "timeout": rng.choice(TIMEOUTS), "with": self._job()}
        undo: Step = {"action": rng.choice(("send_unbook", "create_unbook", "create_unbook")), "with": self._job()}
        if action == "send_book" or rng.random() < 0.08:
            step["returns"] = {"receipt": "string?"}
            undo["with"] = self._job() | {"receipt": f"{{{{ coalesce({name}.receipt, 'none') }}}}"}
        if rng.random() < 0.3:
            step["retry"] = {"attempts": rng.choice((1, 2, 8)), "wait": "1s"}
        if rng.random() < 0.65:
            step["compensate"] = undo
        if rng.random() < 0.5:
            ways = ("ask", "look_up", "compensate") if "compensate" in step else ("ask", "look_up")
            step["on_unknown"] = rng.choice(ways)
        self._tolerant(step)
        return step

    def delay(self) -> Step:
        """Draw a delay."""
        return {"delay": self.rng.choice(DELAYS), "as": self.name("delay")}

    def until(self) -> Step:
        """Draw a wait up to a time."""
        if not self.has_event:
            return self.delay()
        return {"until": f"event.time + {self.rng.choice(('10m', '2h', '1d'))}", "as": self.name("until")}

    def setting(self) -> Step:
        """Draw a binding."""
        return {"set": {self.name("value"): f"{{{{ {self.ref} }}}}"}}

    def decide(self) -> Step:
        """Draw a question to a table."""
        return {"decide": "route", "as": self.name("route"), "with": {"worth": self.rng.choice((1, 40, 90))}}

    def tell(self) -> Step:
        """Draw an event of ours."""
        event = "job.told" if self.may_tell and self.rng.random() < 0.7 else "job.echoed"
        return {
            "emit": event,
            "as": self.name("told"),
            "key": self.ref,
            "with": {"job": {"id": f"{{{{ {self.ref} }}}}", "amount": 7}},
        }

    def wait(self) -> Step:
        """Draw a wait for an event."""
        rng, name = self.rng, self.name("met")
        step: Step = {
            "wait": rng.choice(("job.paid", "job.paid", "job.done", "job.echoed")),
            "as": name,
            "correlate": f"{name}.job.id == {self.ref}",
            "timeout": rng.choice(TIMEOUTS),
            "on_timeout": rng.choice(("continue", "continue", "fail")),
        }
        if rng.random() < 0.4 and step["wait"] == "job.paid":
            step["conditions"] = [f"{name}.job.amount >= {rng.choice((3, 6))}"]
        if rng.random() < 0.5:
            step["look_back"] = rng.choice(("20m", "5h", "2d"))
        if rng.random() < 0.15:
            step["on_timeout"] = [self.plain()]
        elif step["on_timeout"] == "fail":
            self._tolerant(step)
        return step

    def approve(self) -> Step:
        """Draw a question to people."""
        rng, name = self.rng, self.name("ask")
        by = rng.choice(({"role": "boss"}, {"role": "clerk"}, {"person": "ann"}, {"people": ["bob", "cid", "mallory"]}))
        step: Step = {"approve": f"May {{{{ {self.ref} }}}} go on?", "as": name, "by": by}
        step |= {"timeout": rng.choice(TIMEOUTS), "on_timeout": rng.choice(("approved", "rejected", "fail"))}
        if rng.random() < 0.55 and "person" not in by:
            step["need"] = 2
        if rng.random() < 0.5:
            step["not"] = [NOT_HIM]
        if rng.random() < 0.4:
            step["remind"] = rng.choice((["5m"], ["5m", "30m"], ["2h"]))
        if rng.random() < 0.4:
            step["escalate"] = {"after": rng.choice(("8m", "1h")), "to": {"people": ["dee"]}}
        if rng.random() < 0.3:
            step["form"] = {"reason": "string", "limit": "int?"}
        return step

    def call(self) -> Step:
        """Draw a call of another flow."""
        rng = self.rng
        number = self.name("call")
        step: Step = {"call": rng.choice(self.calls), "as": number, "with": {"id": f"{{{{ {self.ref} }}}}"}}
        if rng.random() < 0.3:
            step["await"] = False
            return step
        step["timeout"] = rng.choice(("1h", "5h", "10d"))
        if rng.random() < 0.5:
            step["compensate"] = {"action": "send_uncall", "with": self._job()}
        self._tolerant(step)
        return step

    # --- blocks

    def branch(self, depth: int, loop: bool) -> Step:
        """Draw a branch; an arm may end the flow."""
        rng = self.rng
        when = rng.choice((f"length({self.ref}) > 7", "policies.ceiling > 50", f"ends_with({self.ref}, '1')"))
        ends: list[Step] = [
            {"fail": rng.choice(("no_way", "not_now")), "message": f"{{{{ {self.ref} }}}} cannot go on"},
            {"stop": "enough", "as": self.name("stop")},
            {"stop": "all_back", "as": self.name("stop"), "compensate": True},
        ]
        then = self.steps(depth, loop=loop)
        if rng.random() < 0.6:
            then.append(rng.choice(ends))
        otherwise: Any = "continue" if rng.random() < 0.5 else self.steps(depth, loop=loop)
        return {"branch": [{"when": when, "then": then}], "else": otherwise, "as": self.name("branch")}

    def parallel(self, depth: int, loop: bool) -> Step:
        """Draw arms; perhaps not all of them are needed."""
        arms = {f"arm{at}": self.steps(depth, loop=loop) for at in range(self.rng.choice((2, 2, 3)))}
        step: Step = {"parallel": arms, "as": self.name("race"), "join": self.rng.choice(("all", "any", "any", 2))}
        if self.rng.random() < 0.25:
            step["on_error"] = "continue"
        return step

    def for_each(self, depth: int, loop: bool) -> Step:
        """Draw a loop."""
        rng, name = self.rng, self.name("each")
        listed = "job.items" if self.has_event and rng.random() < 0.5 else ["'x'", "'y'", "'z'"]
        step: Step = {"for_each": listed, "each": self.name("item"), "as": name, "steps": self.steps(depth, loop=True)}
        if listed == "job.items":
            step["max"] = rng.choice((2, 20, 20))
        if rng.random() < 0.6:
            step["concurrency"] = rng.choice((2, 10))
        if rng.random() < 0.5:
            step["failures"] = "collect"
        if rng.random() < 0.4:
            step["result"] = {"of": f"{{{{ {step['each']} }}}}"}
        return step

    # --- parts

    def _job(self) -> Step:
        return {"job": f"{{{{ {self.ref} }}}}"}

    def _tolerant(self, step: Step) -> None:
        lot = self.rng.random()
        if lot < 0.2:
            step["on_error"] = "continue"
        elif lot < 0.35:
            step["on_error"] = [self.plain()]


def all_steps(steps: list[Step]) -> list[Step]:
    """Give all steps of a list, with those within."""
    found: list[Step] = []
    for step in steps:
        found.append(step)
        for inner in _within(step):
            found += all_steps(inner)
    return found


def _within(step: Step) -> list[list[Step]]:
    lists = [arm["then"] for arm in step.get("branch", ())]
    lists += list(step.get("parallel", {}).values())
    lists += [step[key] for key in ("else", "on_timeout", "on_error", "steps") if key in step]
    return [one for one in lists if isinstance(one, list)]
