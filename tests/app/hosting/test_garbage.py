"""The cycle collector looks at what is new often, and at everything only when nobody waits."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from counterflow.app.hosting.garbage import FULL_AT_LATEST_S, FULL_EVERY_S, TRIM_EVERY_S, YOUNG_EVERY_S, Garbage, starting


class Node:
    """Something that can be part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def garbage(frozen: None) -> Iterator[Garbage]:
    busy = [False]
    given: list[int] = []
    garbage = Garbage(lambda: busy[0], lambda: given.append(1))
    garbage.busy = busy  # type: ignore[attr-defined]
    garbage.given = given  # type: ignore[attr-defined]
    garbage.begin(0.0)
    yield garbage
    garbage.end()
    assert gc.isenabled()


def test_a_young_cycle_is_gone_within_a_second(garbage: Garbage) -> None:
    assert not gc.isenabled()
    seen = weakref.ref(Node())
    garbage.beat(YOUNG_EVERY_S / 2.0)
    assert seen() is not None
    garbage.beat(YOUNG_EVERY_S)
    assert seen() is None


def test_an_old_cycle_waits_for_a_calm_hour(garbage: Garbage) -> None:
    node = Node()
    garbage.beat(YOUNG_EVERY_S)
    seen = weakref.ref(node)
    del node
    garbage.busy[0] = True  # type: ignore[attr-defined]
    garbage.beat(FULL_EVERY_S)
    assert seen() is not None
    garbage.busy[0] = False  # type: ignore[attr-defined]
    garbage.beat(FULL_EVERY_S + 1.0)
    assert seen() is None
    assert garbage.full_collections == 2


def test_where_no_hour_is_calm_an_old_cycle_is_gone_within_a_day(garbage: Garbage) -> None:
    garbage.busy[0] = True  # type: ignore[attr-defined]
    node = Node()
    garbage.beat(YOUNG_EVERY_S)
    seen = weakref.ref(node)
    del node
    garbage.beat(FULL_AT_LATEST_S - 1.0)
    assert seen() is not None
    garbage.beat(FULL_AT_LATEST_S)
    assert seen() is None


def test_a_burst_of_objects_brings_the_look_forward(garbage: Garbage) -> None:
    seen = weakref.ref(Node())
    burst = [[] for _ in range(110_000)]  # type: ignore[var-annotated]
    garbage.beat(0.1)
    assert seen() is None
    assert len(burst) == 110_000


def test_empty_pages_are_given_back_once_a_minute_when_nobody_waits(garbage: Garbage) -> None:
    given, busy = garbage.given, garbage.busy  # type: ignore[attr-defined]
    for second in range(1, int(TRIM_EVERY_S)):
        garbage.beat(float(second))
    assert given == []
    busy[0] = True
    garbage.beat(TRIM_EVERY_S)
    assert given == []
    busy[0] = False
    garbage.beat(TRIM_EVERY_S + 0.1)
    garbage.beat(TRIM_EVERY_S + 1.2)
    assert given == [1]


def test_a_start_is_not_held_up_and_the_collector_is_given_back_however_it_ends() -> None:
    seen: list[bool] = []

    def fail() -> None:
        with starting():
            seen.append(gc.isenabled())
            raise OSError("no port")

    with pytest.raises(OSError, match="no port"):
        fail()
    assert (seen, gc.isenabled()) == ([False], True)
