"""A record that kills the process is found in four deaths and set aside; its neighbours are not."""

from pathlib import Path

from flows.engine.careful import CALM_TURNS, FEW_ROWS, Careful
from schemas.ports import Chunk, Slot

SLOT = Slot("ingress.db", "crm.events", 3)


def _chunk(base: int, *records: bytes) -> Chunk:
    return Chunk(*SLOT, base, 0, records)


def _dies(path: Path, turn: int, end: int = 5) -> int:
    """Start, take what comes, and die; give how many rows it would take."""
    careful = Careful(path, turn)
    careful.note(turn, {SLOT: end})
    return careful.rows


def test_two_deaths_without_a_turn_make_it_careful(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    assert [_dies(path, 7) for _ in range(4)] == [0, 0, FEW_ROWS, 1]


def test_a_turn_in_between_is_no_reason_to_be_careful(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    _dies(path, 7)
    _dies(path, 7)
    assert Careful(path, turn=8).rows == 0


def test_stopping_in_order_is_not_a_death(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    for _ in range(5):
        careful = Careful(path, turn=7)
        assert careful.rows == 0
        careful.close()


def test_the_row_it_dies_on_alone_becomes_poison_and_its_neighbours_stay(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    for _ in range(4):
        assert _dies(path, 7) in (0, FEW_ROWS, 1)
    risen = Careful(path, turn=7)
    kept, letters = risen.sift([_chunk(3, b"a", b"killer", b"c")], now_us=9)
    assert [(chunk.base, list(chunk.records)) for chunk in kept] == [(3, [b"a"]), (5, [b"c"])]
    assert [(one.kind, one.position, one.payload) for one in letters] == [("poison", 4, b"killer")]
    assert risen.sift([_chunk(6, b"d")], now_us=9) == ([_chunk(6, b"d")], ())


def test_a_death_among_several_rows_blames_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    for _ in range(3):
        _dies(path, 7)
    chunks = [_chunk(0, *(b"x" for _ in range(10)))]
    assert Careful(path, turn=7).sift(chunks, now_us=9) == (chunks, ())


def test_after_enough_careful_turns_it_is_calm_again(tmp_path: Path) -> None:
    path = tmp_path / "starts"
    _dies(path, 0)
    _dies(path, 0)
    careful = Careful(path, turn=0)
    for turn in range(CALM_TURNS):
        assert careful.rows == FEW_ROWS
        careful.note(turn, {SLOT: turn + 1})
        careful.done()
    assert careful.rows == 0
    assert Careful(path, turn=CALM_TURNS).rows == 0
