"""A dispatcher whose disk loses power at any operation: what it promised stays, and every command gets its one result."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from infra.faults import FaultyDisk
from schemas.dispatch import Outcome
from schemas.errors import StorageFailed
from schemas.records import AtOnceWith, BatchWith, Cancel
from sinks.calls import InlineCalls
from tests.sinks.script import LATER, Scripted
from tests.sinks.world import Home, action

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
NAMES = [f"a{at}" for at in range(8)]
_disks = map("dispatch-disk-{}".format, itertools.count())


def make_home(path: Path, disk: FaultyDisk) -> Home:
    path.mkdir()
    home = Home(path, vfs=disk.name)
    pair = BatchWith("k", 2, 1_000_000)
    home.issue(*(action(name, f"e{at}", batch=pair) for at, name in enumerate(NAMES[:5])))
    home.issue(*(action(name, f"e{at}", concurrency=AtOnceWith("p", 1)) for at, name in enumerate(NAMES[5:], 5)))
    home.withdraw(Cancel(action="a4", execution="e4", tenant="acme", connector="http", at=0))
    home.withdraw(Cancel(action="a7", execution="e7", tenant="acme", connector="http", at=0))
    return home


def script() -> Scripted:
    """Repeat a batch, and one command; after a crash nobody knows more than that the receiver dedupes."""
    again = Outcome("unknown", retry=True, code="timeout")
    return Scripted(batch=[LATER], a5=[LATER], resolves={"batch": again, **dict.fromkeys(NAMES, again)})


def work(home: Home, told: Scripted) -> bool:
    """Work until all is done; False where the disk failed before."""
    dispatcher = None
    try:
        dispatcher = home.dispatcher(told, calls=InlineCalls())
        for _ in range(12):
            dispatcher.step()
            home.clock.us += 5_000_000
    except StorageFailed:
        return False
    finally:
        if dispatcher is not None:
            dispatcher._store.close()
    return True


def test_power_lost_at_any_operation_loses_no_command_and_ends_none_twice(tmp_path: Path) -> None:
    calm = FaultyDisk(next(_disks), 0)
    home = make_home(tmp_path / "calm", calm)
    assert work(home, script())
    operations = calm.operations
    home.close()
    assert sorted(one.action for one in home.results()) == NAMES
    for operation in range(1, operations + 1, 3):
        disk = FaultyDisk(next(_disks), operation)
        home = make_home(tmp_path / str(operation), disk)
        told = script()
        disk.crash_at = operation
        work(home, told)
        assert disk.off
        disk.power_cycle()
        assert work(home, told)
        results = home.results()
        assert Counter(one.action for one in results) == dict.fromkeys(NAMES, 1)
        assert {one.status for one in results} <= {"delivered", "cancelled", "unknown"}
        assert {one.action for one in results if one.status == "delivered"} >= {"a0", "a1", "a2", "a3", "a5", "a6"}
        home.close()
