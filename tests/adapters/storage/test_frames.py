"""The ring of raw frames."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterflow.adapters.storage.frames import Frame, FrameRing, Hiding, segment_paths
from counterflow.domain.ids import StationId

T0 = 1_795_000_000.0
ONE = StationId("CS-1")
OTHER = StationId("CS-11")


def size_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def test_the_newest_frames_of_a_station_come_back_in_order(tmp_path: Path) -> None:
    with FrameRing(tmp_path, 1_000_000) as ring:
        for number in range(30):
            ring.record(ONE, "in", T0 + number, f'[2,"{number}","Heartbeat",{{}}]\n')
            ring.record(OTHER, "out", T0 + number, '"station_id":"CS-1"')
        assert ring.newest(ONE, 3) == tuple(Frame(ONE, "in", T0 + n, f'[2,"{n}","Heartbeat",{{}}]\n') for n in (27, 28, 29))
        assert len(ring.newest(OTHER, 100)) == 30
        assert ring.newest(StationId("CS"), 5) == ()
        assert ring.newest(ONE, 0) == ()
        assert (ring.dropped, ring.failed) == (0, None)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 3000), max_size=60), max_bytes=st.integers(1, 20_000), segments=st.integers(1, 8))
def test_the_ring_never_takes_more_than_its_bound_and_ends_with_the_newest(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], max_bytes: int, segments: int
) -> None:
    directory = tmp_path_factory.mktemp("ring")
    with FrameRing(directory, max_bytes, segments) as ring:
        for number, length in enumerate(lengths):
            ring.record(ONE, "in", T0 + number, "x" * length)
            if number % 7 == 0:
                ring.write_out()
                assert size_bytes(directory) <= max_bytes
        ring.write_out()
        assert size_bytes(directory) <= max_bytes
        fitting = [T0 + n for n, length in enumerate(lengths) if length + 150 <= max_bytes // segments]
        found = [frame.received_s for frame in ring.newest(ONE, 1)]
        assert not fitting or (found and found[0] >= fitting[-1])


def test_a_full_ring_uses_most_of_its_bound_and_not_a_byte_more(tmp_path: Path) -> None:
    with FrameRing(tmp_path, 20_000) as ring:
        for number in range(1000):
            ring.record(ONE, "in", T0 + number, "x" * 100)
            ring.write_out()
            assert size_bytes(tmp_path) <= 20_000
        assert size_bytes(tmp_path) > 15_000
        assert ring.dropped == 0


def test_a_ring_opened_again_goes_on_and_a_smaller_bound_holds(tmp_path: Path) -> None:
    with FrameRing(tmp_path, 80_000) as ring:
        for number in range(500):
            ring.record(ONE, "in", T0 + number, "x" * 100)
    before = size_bytes(tmp_path)
    with FrameRing(tmp_path, 20_000) as ring:
        ring.record(ONE, "in", T0 + 500, "new")
        ring.write_out()
        assert before > 20_000 >= size_bytes(tmp_path)
        assert [frame.text for frame in ring.newest(ONE, 2)] == ["x" * 100, "new"]


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    with FrameRing(tmp_path, 100_000) as ring:
        ring.record(ONE, "in", T0, "a")
        ring.write_out()
        with segment_paths(tmp_path)[-1].open("ab") as file:
            file.write(b'{"station_id":"CS-1","direction":"in","rec\n\xff\xfe "station_id":"CS-1"\n')
        (tmp_path / "frames-notes.jsonl").write_text("mine")
        ring.record(ONE, "in", T0 + 1, "half a pair \ud83d")
        assert [frame.text for frame in ring.newest(ONE, 5)] == ["a", "half a pair ?"]


def test_a_disk_that_refuses_costs_frames_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.write_text("a file where the directory should be")
    with FrameRing(place, 100_000) as ring:
        ring.record(ONE, "in", T0, "a")
        ring.write_out()
        assert ring.dropped == 1
        assert ring.failed is not None
        assert ring.failed.startswith(f"Raw frames cannot be kept in {place}: ")
        place.unlink()
        ring.record(ONE, "in", T0, "b")
        assert [frame.text for frame in ring.newest(ONE, 5)] == ["b"]
        assert ring.failed is None


def test_frames_that_come_faster_than_the_disk_are_counted_as_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterflow.adapters.storage.frames._WAITING_MAX", 3)
    monkeypatch.setattr("counterflow.adapters.storage.frames._WRITE_EVERY_S", 3600.0)
    ring = FrameRing(tmp_path, 100_000)
    for number in range(5):
        ring.record(ONE, "in", T0, str(number))
    assert ring.dropped == 2
    assert [frame.text for frame in ring.newest(ONE, 5)] == ["0", "1", "2"]
    ring.record_all([(ONE, "out", T0, str(number), True) for number in range(5)])
    ring.record_all([(ONE, "out", T0, "late", True)])
    assert ring.dropped == 5
    assert [frame.text for frame in ring.newest(ONE, 9)] == ["0", "1", "2", "0", "1", "2"]
    ring.close()


def test_only_what_may_have_something_to_hide_is_searched(tmp_path: Path) -> None:
    asked: list[str] = []
    hiding = Hiding(("secret",), lambda text: asked.append(text) or "hidden")  # type: ignore[func-returns-value]
    with FrameRing(tmp_path, 100_000, hidings=[hiding]) as ring:
        ring.record(ONE, "in", T0, "a secret")
        ring.record(ONE, "in", T0, "nothing", False)
        ring.record(ONE, "in", T0, "a secret, said to be plain", True)
        ring.record_all([(ONE, "out", T0, b"another SECRET", False), (ONE, "out", T0, b'[3,"17",{}]', True)])
        assert [frame.text for frame in ring.newest(ONE, 9)] == [
            "hidden", "nothing", "a secret, said to be plain", "hidden", '[3,"17",{}]',
        ]  # fmt: skip
    assert asked == ["a secret", "another SECRET"]


def test_a_size_of_0_turns_the_ring_off(tmp_path: Path) -> None:
    with FrameRing(tmp_path / "frames", 0) as ring:
        ring.record(ONE, "in", T0, "a")
        ring.record_all([(ONE, "out", T0, "a", True)])
        assert ring.newest(ONE, 5) == ()
        assert ring.dropped == 0
    assert not (tmp_path / "frames").exists()


def test_frames_are_written_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterflow.adapters.storage.frames._WRITE_EVERY_S", 0.001)
    with FrameRing(tmp_path, 100_000) as ring:
        ring.record(ONE, "in", T0, "a")
        while not segment_paths(tmp_path) or size_bytes(tmp_path) == 0:
            pass
