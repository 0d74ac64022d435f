"""What is kept of an event, session by session: orders, readings until one at rest, and no more than there is room for."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.identification import identify
from counterflow.engine.control.response import ResponseMemory, observe
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.control.traces import MOST_ON_WAY, ORDERS, PATIENCE_S, SAMPLES, Trace, Traces

NOW_S = 1_800_000_000.0
SETTINGS = ResponseSettings()


class Road:
    """One car, told a level now and then, that follows after 4 s by 1 kW/s; a tick every 4 s, a reading every `every_s`."""

    def __init__(self, image: Any, every_s: float = 10.0) -> None:
        self.picture, self.every_s = image, every_s
        self.traces, self.response = Traces(), ResponseMemory.fresh(1, SETTINGS)
        self.now_s, self.power_w, self.net_wh = NOW_S, 0.0, 0.0
        self.level_w, self.since_s, self.heard_w = np.nan, np.nan, 0.0
        self.read: tuple[float, float, float] = (NOW_S - 1.0, 0.0, 0.0)
        self.columns: dict[str, Any] = {"uid": [7]}

    def told(self, level_w: float, for_s: float, **columns: Any) -> "Road":
        """Tell the car (NaN: hand it back), and let time pass."""
        self.columns |= columns
        self.level_w, self.since_s = level_w, self.now_s
        for _ in range(round(for_s)):
            self._second()
        return self

    def _second(self) -> None:
        if (self.now_s - NOW_S) % 4.0 == 0.0:
            self._tick()
        self.now_s += 1.0
        if self.now_s - self.since_s > 4.0:
            self.heard_w = float(np.nan_to_num(self.level_w))
        before_w = self.power_w
        self.power_w += min(max(self.heard_w - self.power_w, -1_000.0), 1_000.0)
        self.net_wh += (self.power_w + before_w) / 7_200.0
        if (self.now_s - NOW_S + 3.0) % self.every_s == 0.0:
            self.read = self.now_s, self.power_w, self.net_wh

    def _tick(self, rows: int = 1) -> None:
        told = not np.isnan(self.level_w)
        at_s, power_w, net_wh = self.read
        seen = self.picture(
            rows,
            self.now_s,
            **{
                "power_w": -power_w,
                "power_at_s": at_s,
                "register_at_s": at_s,
                "export_wh": 1_000.0 + net_wh,
                "import_wh": 0.0,
                "setpoint_w": -self.level_w if told else np.nan,
                "setpoint_at_s": self.since_s if told else np.nan,
                "discharge_until_s": NOW_S + 1e5 if told else np.nan,
                "hold_until_s": NOW_S + 1e5 if told else np.nan,
                "setpoint_state": SetpointState.ACCEPTED if told else SetpointState.NONE,
            }
            | self.columns,
        )
        self.response = observe(seen, self.response, self.now_s, SETTINGS)
        self.traces.take(seen, self.response, SETTINGS)

    def cut(self) -> Any:
        return self.traces.cut(np.array([0]), self.response)

    def due(self, later_s: float = 0.0) -> list[int]:
        return self.traces.due(self.now_s + later_s, self.response).tolist()


@pytest.fixture
def road(image: Any) -> Road:
    return Road(image)


def known(row: Any) -> list[float]:
    return [float(one) for one in row if not np.isnan(one)]


def test_of_an_order_the_readings_until_one_at_rest_are_kept_with_the_last_before_it(road: Road) -> None:
    road.told(np.nan, 40.0).told(7_000.0, 200.0)
    trace = road.cut()
    assert known(trace.order_s[0]) == [0.0]
    assert known(trace.level_w[0]) == [7_000.0]
    # Told at 40 s, read at 37, 47, 57 and 67: at rest after 12 + 0.6 * 14 s.
    assert known(trace.at_s[0]) == [-3.0, 7.0, 17.0, 27.0]
    assert known(trace.power_w[0]) == [0.0, 3_000.0, 7_000.0, 7_000.0]
    assert trace.net_wh[0, 0] == 0.0
    assert trace.net_wh[0, 3] == pytest.approx(7.0 * (27.0 - 4.0 - 3.5) / 3.6, rel=0.02)
    assert trace.rest_s[0, 0] == pytest.approx(12.0 + 0.6 * 14.0)
    assert not trace.void.any()
    assert not trace.lost.any()


def test_what_was_kept_tells_the_car_and_is_gone_then(road: Road) -> None:
    road.told(np.nan, 40.0)
    for place in range(6):
        road.told((9_000.0, 1_000.0)[place % 2], 94.0)
    trace = road.cut()
    count, half_w, half_w2, lag_s, lag_half = identify(trace)[0]
    delay_s, s_per_w = np.linalg.solve([[count, half_w], [half_w, half_w2]], [lag_s, lag_half])
    assert delay_s == pytest.approx(4.0, abs=0.4)
    assert s_per_w == pytest.approx(1e-3, rel=0.1)
    assert not road.traces.holds(0, 7)
    assert np.isnan(road.cut().at_s).all()


def test_only_the_newest_are_kept_however_long_an_event_lasts(road: Road) -> None:
    road.told(np.nan, 40.0)
    for place in range(3 * ORDERS):
        road.told((9_000.0, 1_000.0)[place % 2], 64.0)
    trace = road.cut()
    assert trace.lost[0]
    assert np.count_nonzero(~np.isnan(trace.at_s)) == SAMPLES
    assert known(trace.order_s[0]) == [64.0 * place for place in range(2 * ORDERS, 3 * ORDERS)]
    assert np.diff(trace.at_s[0]).min() > 0.0, "oldest first"
    assert identify(trace)[0, 0] > 1.0


def test_a_dense_meter_leaves_room_for_other_orders(image: Any) -> None:
    road = Road(image, every_s=1.0)
    road.told(np.nan, 40.0).told(20_000.0, 20.0).told(1_000.0, 200.0)
    trace = road.cut()
    assert np.count_nonzero(trace.at_s[0] > 20.0) <= MOST_ON_WAY
    road.told(20_000.0, 100.0, power_w=np.nan)
    assert known(road.cut().power_w[0]) == []


def test_an_event_is_over_for_a_car_that_was_handed_back_and_has_settled_or_had_its_time(road: Road) -> None:
    assert road.due() == []
    road.told(np.nan, 40.0).told(7_000.0, 60.0)
    assert road.due(1e4) == [], "an order is in force"
    assert road.due(1e6) == [0], "it has ended by itself, and no tick has come since"
    road.told(np.nan, 8.0)
    assert road.due() == []
    assert road.due(PATIENCE_S + 8.0) == [0]
    road.told(np.nan, 60.0)
    assert road.due() == [0]
    assert road.traces.holds(0, 7)
    assert not road.traces.holds(0, 8)
    assert not road.traces.holds(1, 7)


def test_a_car_that_nothing_was_asked_of_leaves_nothing(road: Road) -> None:
    road.told(np.nan, 200.0)
    assert not road.traces.holds(0, 7)
    road.told(7_000.0, 60.0, self_steered=True)
    assert not road.traces.holds(0, 7), "its station moves it by a curve"


def test_an_order_that_moves_nothing_is_left_out(road: Road) -> None:
    road.told(np.nan, 40.0).told(0.0, 100.0)
    assert not road.traces.holds(0, 7), "a car of the reserve, all the time"
    road.told(7_000.0, 100.0).told(7_100.0, 100.0)
    assert known(road.cut().level_w[0]) == [7_000.0]


def test_another_session_in_the_row_begins_anew(road: Road) -> None:
    road.told(np.nan, 40.0).told(7_000.0, 60.0)
    road.told(1_000.0, 60.0, uid=[8])
    assert not road.traces.holds(0, 7)
    trace = road.cut()
    assert trace.uid.tolist() == [8]
    assert len(known(trace.order_s[0])) == 1


def test_an_order_of_unknown_outcome_is_marked(road: Road) -> None:
    road.told(np.nan, 40.0).told(7_000.0, 60.0, setpoint_state=SetpointState.UNKNOWN)
    assert road.cut().void[0].tolist() == [True] + [False] * (ORDERS - 1)


def test_registers_of_another_time_say_nothing(road: Road) -> None:
    road.told(np.nan, 40.0).told(7_000.0, 100.0, register_at_s=NOW_S)
    trace = road.cut()
    assert len(known(trace.power_w[0])) == 4
    assert known(trace.net_wh[0]) == []


def test_a_reading_long_before_an_order_is_no_reading_before_it(road: Road) -> None:
    road.told(np.nan, 40.0).told(7_000.0, 60.0, power_at_s=NOW_S - 600.0, register_at_s=NOW_S - 600.0)
    assert known(road.cut().at_s[0]) == []


def test_rows_that_come_later_have_room_and_the_others_keep_theirs(image: Any) -> None:
    road = Road(image)
    road.told(np.nan, 40.0).told(7_000.0, 8.0)
    seen = image(3, road.now_s, uid=[7, 8, 0], power_at_s=road.now_s)
    response = observe(seen, road.response, road.now_s, SETTINGS)
    road.traces.take(seen, response, SETTINGS)
    assert road.traces.holds(0, 7)
    assert len(road.traces.cut(np.array([0, 1, 2]), response)) == 3


def test_a_reading_that_is_looked_at_again_because_rows_came_counts_once(image: Any) -> None:
    road = Road(image)
    road.told(np.nan, 40.0).told(7_000.0, 8.0)
    for rows in range(2, 3 + MOST_ON_WAY):
        road.columns["uid"] = [7, *range(8, 7 + rows)]
        road._tick(rows)
    assert road.traces._left[0] == MOST_ON_WAY - 1, "more readings are wanted of this order"


def test_room_for_rows_that_come_is_made_for_many_at_once(image: Any) -> None:
    traces, response, rooms = Traces(), ResponseMemory.fresh(0, SETTINGS), set()
    for rows in range(800, 900):
        seen = image(rows, NOW_S, uid=np.arange(1, rows + 1))
        response = observe(seen, response, NOW_S, SETTINGS)
        traces.take(seen, response, SETTINGS)
        rooms.add(len(traces._uid))
    assert len(rooms) <= 3, "to copy all that is kept at each tick would take longer than the tick"


def test_energies_are_told_to_the_watt_hour_whatever_the_register_stood_at_before_the_first_order(road: Road) -> None:
    # The last reading before the order has registers of another time, and so no energy to count from.
    road.net_wh = 80e6
    road.told(np.nan, 38.0, register_at_s=NOW_S - 100.0)
    del road.columns["register_at_s"]
    road.columns["power_at_s"] = road.columns["register_at_s"] = NOW_S + 37.0
    road.columns["register_at_s"] = NOW_S + 30.0
    road.told(7_000.0, 6.0)
    del road.columns["power_at_s"], road.columns["register_at_s"]
    road.told(7_000.0, 100.0)
    energies = known(road.cut().net_wh[0])
    assert energies[0] == 0.0
    assert np.diff(energies).max() < 30.0
    assert len(set(energies)) > 2


def test_records_of_several_are_joined_in_their_order(image: Any) -> None:
    roads = [Road(image).told(np.nan, 40.0).told(level_w, 100.0) for level_w in (3_000.0, 7_000.0)]
    joined = Trace.joined([one.cut() for one in roads])
    assert len(joined) == 2
    assert [known(row) for row in joined.level_w] == [[3_000.0], [7_000.0]]
    assert joined.some(np.array([1])).level_w[0, 0] == 7_000.0
