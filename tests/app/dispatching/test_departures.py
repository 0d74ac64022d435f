"""What may leave, and on which line."""

from counterflow.adapters.ocpp.csms import Outgoing
from counterflow.app.dispatching.departures import LATE_S, Departures
from counterflow.domain.ids import StationId

ONE = StationId("CS-1")
CALL = Outgoing(ONE, b'[2,"a","Reset",{}]', True)
ANSWER = Outgoing(ONE, b'[3,"b",{}]', False)


def departures(late: list[tuple[StationId, float]] | None = None) -> Departures[str]:
    told = [] if late is None else late
    held: Departures[str] = Departures(30.0, lambda station_id, now_s: told.append((station_id, now_s)))
    held.opened(ONE, "first")
    return held


def leaving(held: Departures[str], durable: int, now_s: float) -> list[bytes]:
    return [item.text for _, item in held.take_ready(durable, now_s)]


def test_nothing_leaves_before_its_position_is_durable_and_each_leaves_once() -> None:
    held = departures()
    held.hold(5, [CALL, ANSWER], 0.0)
    assert leaving(held, 4, 0.0) == []
    assert held.waiting
    assert leaving(held, 5, 0.0) == [CALL.text, ANSWER.text]
    assert leaving(held, 9, 0.0) == []


def test_what_was_written_for_a_line_is_not_said_on_the_next() -> None:
    held = departures()
    held.hold(5, [CALL, ANSWER], 0.0)
    held.opened(ONE, "second")
    held.hold(6, [ANSWER], 0.0)
    assert [(line, item.text) for line, item in held.take_ready(6, 0.0)] == [("second", ANSWER.text)]
    assert held.void == 2


def test_an_older_line_does_not_speak_for_its_station() -> None:
    held = departures()
    held.opened(ONE, "second")
    assert not held.closed(ONE, "first")
    assert held.line_of(ONE) == "second"
    assert held.closed(ONE, "second")
    assert held.line_of(ONE) is None


def test_a_call_that_waited_longer_than_its_answer_is_awaited_never_leaves_but_an_answer_does() -> None:
    held = departures()
    held.hold(5, [CALL, ANSWER], 0.0)
    assert leaving(held, 5, 30.0) == [ANSWER.text]
    assert held.void == 1


def test_ocppj_4_1_1_a_call_that_left_late_is_awaited_from_then_on() -> None:
    late: list[tuple[StationId, float]] = []
    held = departures(late)
    held.hold(5, [CALL, ANSWER], 0.0)
    held.hold(6, [CALL], 10.0)
    assert len(leaving(held, 6, 10.0 + LATE_S / 2)) == 3
    assert late == [(ONE, 10.0 + LATE_S / 2)], "the first waited long, the second did not"
