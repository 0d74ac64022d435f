"""What one address may ask of the door, and what is remembered of it."""

from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.ocpp.limits import AddressBook, AddressSettings, Bucket
from counterflow.adapters.ocpp.pace import SLICE_MESSAGES, Pace
from counterflow.adapters.ocpp.transport import GatewaySettings


@given(st.lists(st.floats(0.0, 0.5), max_size=200), st.floats(1.0, 50.0), st.floats(1.0, 20.0))
def test_a_bucket_gives_no_more_than_its_burst_and_what_came_in_since(steps: list[float], rate_per_s: float, burst: float) -> None:
    bucket, now_s, taken = Bucket(rate_per_s, burst, 0.0), 0.0, 0
    for step_s in steps:
        now_s += step_s
        if bucket.take(now_s):
            taken += 1
        else:
            wait_s = bucket.wait_s(now_s)
            assert wait_s > 0.0
            now_s += wait_s + 1e-6
            assert bucket.take(now_s)
            taken += 1
        assert taken <= burst + rate_per_s * now_s + 1.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(1.0, 1.0, 100.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)


def test_what_an_address_owes_is_not_forgotten_when_its_stations_go() -> None:
    book = AddressBook(AddressSettings(messages_per_s=10.0, message_burst=100.0, receive_bytes_per_s=1024.0, receive_burst_bytes=4096.0))
    assert book.enter("10.0.0.1", 0.0) is None
    assert book.spend("10.0.0.1", 100.0, 0.0, 0.0) == 0.0
    assert book.spend("10.0.0.1", 50.0, 0.0, 0.0) == 5.0
    assert book.spend("10.0.0.1", 0.0, 4096.0 + 10_240.0, 0.0) == 10.0
    assert book.spend("127.0.0.1", 1e9, 1e9, 0.0) == 0.0
    book.leave("10.0.0.1", finished=False)
    book.sweep(10.0)
    assert len(book) == 1
    book.sweep(15.0)
    assert len(book) == 0


def test_an_address_is_forgotten_once_it_holds_nothing_and_used_nothing_lately() -> None:
    book = AddressBook(AddressSettings(handshakes_per_s=1.0, handshake_burst=2.0, exempt=("10.0.0.9",)))
    assert book.enter("10.0.0.1", 0.0) is None
    assert book.enter("10.0.0.9", 0.0) is None
    book.finished("10.0.0.1")
    book.sweep(100.0)
    assert len(book) == 1
    book.leave("10.0.0.1", finished=True)
    assert book.enter("10.0.0.1", 100.0) is None
    book.leave("10.0.0.1", finished=False)
    book.sweep(100.0)
    assert len(book) == 1
    book.sweep(102.0)
    assert len(book) == 0
    book.leave("10.0.0.9", finished=True)
    assert len(book) == 0


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(1, 5000)), max_size=200))
def test_a_station_that_waits_as_long_as_it_is_told_stays_within_both_rates(frames: list[tuple[float, int]]) -> None:
    settings = GatewaySettings(messages_per_s=10.0, message_burst=16, receive_bytes_per_s=2048.0, receive_burst_bytes=4096)
    pace, now_s, size_bytes = Pace(settings, 0.0), 0.0, 0
    for messages, (quiet_s, frame_bytes) in enumerate(frames, start=1):
        now_s += quiet_s
        pace.messages_left -= 1
        pace.bytes_left -= frame_bytes
        size_bytes += frame_bytes
        if pace.messages_left < 0 or pace.bytes_left < 0:
            now_s += pace.wait_s(settings, now_s)
            assert pace.wait_s(settings, now_s) < 1e-6
        assert messages <= 16 + 10.0 * now_s + 1
        assert size_bytes <= 4096 + 2048.0 * now_s + 1


def test_only_a_slice_that_is_spent_in_no_time_was_spent_in_a_hurry() -> None:
    settings = GatewaySettings()
    pace, now_s = Pace(settings, 0.0), 0.0
    for slice_s, hurried in ((0.04, True), (0.06, False), (50.0, False), (0.0, True)):
        now_s += slice_s
        pace.messages_left -= SLICE_MESSAGES + 1.0
        assert pace.hurried(now_s) is hurried
        assert pace.wait_s(settings, now_s) == 0.0
        assert pace.messages_left == SLICE_MESSAGES
