"""The demo's seeded records: business events of twenty tenants over weeks, with what real input brings with it.

Bursts, exact duplicates (the same id again, later), late events, and malformed records. The same seed and count give the same
records in the same order; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal

from flows.demo.stories import DAY_US, SECOND_US, START_US, STORIES, TENANTS, Happening, Scene, order

Form = Literal["json", "avro"]
Kind = Literal["good", "duplicate", "malformed"]
Flaw = Literal[
    "broken-json", "not-an-object", "no-tenant", "unknown-event", "not-a-number", "before-1970", "wrong-type",
    "avro-truncated", "avro-unknown-schema", "avro-garbage",
]  # fmt: skip
JSON_FLAWS: Final[tuple[Flaw, ...]] = (
    "broken-json", "not-an-object", "no-tenant", "unknown-event", "not-a-number", "before-1970", "wrong-type"
)  # fmt: skip
AVRO_FLAWS: Final[tuple[Flaw, ...]] = ("avro-truncated", "avro-unknown-schema", "avro-garbage")

DAYS: Final = 60
DUPLICATES: Final = 0.02
MALFORMED: Final = 0.004
LATE: Final = 0.02
LATE_BY_MOST: Final = 400  # records
AGAIN_AFTER_MOST: Final = 4_000  # records
BURST_EVERY: Final = 400  # stories: one in so many is a burst of orders
BURST_SIZE: Final = 25


@dataclass(frozen=True, slots=True)
class Made:
    """One record to append: what happened, in which form it is written, and what is wrong with it, if anything is."""

    kind: Kind
    form: Form
    happening: Happening
    flaw: Flaw | None = None


def generate(count: int, seed: int) -> list[Made]:
    """Make exactly `count` records in the order in which they are appended."""
    dice = Random(seed)  # noqa: S311  the same business for the same seed, no secret
    malformed, again = int(count * MALFORMED), int(count * DUPLICATES)
    told = tell(count - malformed - again, dice)
    records = [Made("good", _form(happening), happening) for happening in _delayed(told, dice)]
    return _with_malformed(_with_duplicates(records, again, dice), malformed, dice)


def tell(count: int, dice: Random) -> list[Happening]:
    """Tell stories until there are `count` events, and give the first so many of them by time."""
    told: list[Happening] = []
    number = 0
    weights = [genre.weight for genre in STORIES]
    while len(told) < count + count // 10:  # the tenth more makes the end of the span as full as its middle
        number += 1
        genre = dice.choices(STORIES, weights)[0]
        scene = Scene(number, _tenant(dice), START_US + dice.randrange(int(genre.part * DAYS * DAY_US)), dice)
        told += _burst(scene) if number % BURST_EVERY == 0 else genre.tell(scene)
    told.sort(key=lambda happening: (happening.time_us, happening.tenant, happening.id))
    return told[:count]


def _tenant(dice: Random) -> str:
    """Choose a tenant; the first ones have much more business than the last."""
    return TENANTS[min(int(dice.expovariate(0.2)), len(TENANTS) - 1)]


def _burst(scene: Scene) -> list[Happening]:
    """Tell many orders of one tenant within a minute."""
    return [
        happening
        for at in range(BURST_SIZE)
        for happening in order(
            Scene(1_000_000 + scene.number * BURST_SIZE + at, scene.tenant, scene.at_us + at * SECOND_US, scene.dice)
        )
    ]


def _form(happening: Happening) -> Form:
    """Choose Avro for two tenants of three, JSON lines for the third, on every topic."""
    return "json" if TENANTS.index(happening.tenant) % 3 == 0 else "avro"


def _delayed(told: Sequence[Happening], dice: Random) -> list[Happening]:
    """Let some events arrive late: their time stays, their place moves back."""
    places = [at + (dice.randrange(1, LATE_BY_MOST) if dice.random() < LATE else 0) for at in range(len(told))]
    order_of = sorted(range(len(told)), key=lambda at: (places[at], at))
    return [told[at] for at in order_of]


def _with_duplicates(records: Sequence[Made], again: int, dice: Random) -> list[Made]:
    """Append some records a second time, later, now and then in the other form; the id says that it is the same event."""
    repeated = sorted(dice.sample(range(len(records)), min(again, len(records))))
    copies = [(at + dice.randrange(1, AGAIN_AFTER_MOST), _copy(records[at], dice)) for at in repeated]
    return list(_merged(records, copies))


def _copy(record: Made, dice: Random) -> Made:
    other: Form = "json" if record.form == "avro" else "avro"
    return replace(record, kind="duplicate", form=other if dice.random() < 0.1 else record.form)


def _with_malformed(records: Sequence[Made], count: int, dice: Random) -> list[Made]:
    """Put broken records between the others; each is a copy of its neighbour under an id of its own."""
    copies = []
    for number in range(count):
        at = dice.randrange(len(records))
        form: Form = "avro" if dice.random() < 0.4 else "json"
        flaw = dice.choice(AVRO_FLAWS if form == "avro" else JSON_FLAWS)
        near = records[at].happening
        copies.append((at, Made("malformed", form, replace(near, id=f"bad-{number}", subject=f"bad-{number}"), flaw)))
    return list(_merged(records, copies))


def _merged(records: Sequence[Made], extra: Sequence[tuple[int, Made]]) -> Iterator[Made]:
    """Put each extra record behind the place it names, or at the end."""
    waiting = sorted(extra, key=lambda item: item[0], reverse=True)
    for at, record in enumerate(records):
        yield record
        while waiting and waiting[-1][0] <= at:
            yield waiting.pop()[1]
    while waiting:
        yield waiting.pop()[1]
