"""What keeps a JSON value from being a literal is told one by one: who wants a few does not wait for a million."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from schemas.expression.literal_fit import literal_misfits
from schemas.expression.types import STRING, Type


class Long(list[int]):
    """A list of which only the beginning may be looked at."""

    def __iter__(self) -> Iterator[int]:
        yield from range(3)
        raise AssertionError("it was read behind what was asked for")


def test_what_is_wrong_is_told_one_by_one() -> None:
    wanted = Type("record", fields=(("names", Type("list", item=STRING)),))
    found = islice(literal_misfits({"names": Long()}, wanted), 3)
    assert [one.path for one in found] == [("names", 0), ("names", 1), ("names", 2)]


def test_all_that_is_wrong_is_told_unknown_names_first() -> None:
    wanted = Type("record", fields=(("name", STRING), ("inner", Type("record", fields=(("a", STRING), ("b", STRING))))))
    found = literal_misfits({"inner": {"b": 1}, "nmae": "x"}, wanted)
    assert [one.path for one in found] == [("nmae",), ("name",), ("inner", "a"), ("inner", "b")]
