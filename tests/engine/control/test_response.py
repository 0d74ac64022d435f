"""What is learned of a car, and what it is expected to do."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.control.conftest import picture

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.lags import LagMemory
from counterflow.engine.control.response import ResponseMemory, expected_w, level_in_force_w, observe
from counterflow.engine.control.settings import ResponseSettings

NOW_S = 1_800_000_000.0
SETTINGS = ResponseSettings()


def ordered(image: Any, at_s: float, *, level_w: Any = 7_000.0, **columns: Any) -> Any:
    """An image at `at_s` of cars that were ordered to `level_w` at NOW_S; what is not given is on its way and accepted."""
    given = {
        "setpoint_w": -np.asarray(level_w),
        "setpoint_at_s": NOW_S,
        "discharge_until_s": NOW_S + 900.0,
        "hold_until_s": NOW_S + 950.0,
        "setpoint_state": SetpointState.ACCEPTED,
        "power_at_s": at_s - 1.0,
        **columns,
    }
    return image(given.pop("cars", 1), now_s=at_s, **given)


def after(image: Any, readings: list[tuple[float, float]], **columns: Any) -> ResponseMemory:
    """The memory after looking at (age of the order, power) readings, one a look."""
    memory = observe(ordered(image, NOW_S, power_w=0.0, **columns), ResponseMemory.fresh(1, SETTINGS), NOW_S, SETTINGS)
    for age_s, power_w in readings:
        memory = observe(ordered(image, NOW_S + age_s, power_w=power_w, **columns), memory, NOW_S + age_s, SETTINGS)
    return memory


def test_the_level_in_force_ends_with_the_order(image: Any) -> None:
    picture = ordered(image, NOW_S)
    at_s = [NOW_S, NOW_S + 899.0, NOW_S + 900.0, NOW_S + 950.0]
    np.testing.assert_equal([float(level_in_force_w(picture, when_s)[0]) for when_s in at_s], [7_000.0, 7_000.0, 0.0, np.nan])


def test_after_a_refusal_the_meter_counts(image: Any) -> None:
    picture = ordered(image, NOW_S, setpoint_state=SetpointState.REJECTED, power_w=-1_234.0)
    assert expected_w(picture, ResponseMemory.fresh(1, SETTINGS), NOW_S)[0] == 1_234.0


@pytest.mark.parametrize("state", [SetpointState.PENDING, SetpointState.UNKNOWN, SetpointState.ACCEPTED])
def test_what_is_under_way_counts_at_its_settled_value(image: Any, state: SetpointState) -> None:
    picture = ordered(image, NOW_S, setpoint_state=state, power_w=7_000.0)
    memory = observe(picture, ResponseMemory.fresh(1, SETTINGS), NOW_S, SETTINGS)
    assert expected_w(picture, memory, NOW_S)[0] == pytest.approx(0.95 * 7_000.0)


def test_only_settled_samples_teach(image: Any) -> None:
    # 7 kW from 0: 12 + 0.6 * 14 = 20.4 s, by the sample's own timestamp.
    assert after(image, [(21.3, -5_000.0)]).readings[0] == 0
    memory = after(image, [(21.5, -6_300.0)])
    assert memory.readings[0] == 1
    assert memory.gain[0] == pytest.approx(0.9)


def test_a_swing_from_charging_takes_longer_to_settle(image: Any) -> None:
    memory = observe(image(1, now_s=NOW_S - 5.0, power_w=7_000.0), ResponseMemory.fresh(1, SETTINGS), NOW_S - 5.0, SETTINGS)
    for age_s, power_w in ((1.0, 7_000.0), (21.5, -2_000.0), (29.0, -2_000.0)):
        memory = observe(ordered(image, NOW_S + age_s, power_w=power_w), memory, NOW_S + age_s, SETTINGS)
        assert memory.readings[0] == 0
    memory = observe(ordered(image, NOW_S + 30.0, power_w=-6_300.0), memory, NOW_S + 30.0, SETTINGS)
    assert memory.gain[0] == pytest.approx(0.9)


def test_readings_are_averaged_over_the_last_few(image: Any) -> None:
    memory = after(image, [(30.0, -7_000.0), (40.0, -6_300.0), (50.0, -6_650.0)])
    assert memory.gain[0] == pytest.approx(0.95)
    assert memory.readings[0] == 3


def test_the_same_reading_seen_twice_is_one_reading(image: Any) -> None:
    memory = after(image, [(30.0, -6_300.0)])
    picture = ordered(image, NOW_S + 34.0, power_w=-6_300.0, power_at_s=NOW_S + 29.0)
    assert observe(picture, memory, NOW_S + 34.0, SETTINGS).readings[0] == 1


def test_gains_are_clipped(image: Any) -> None:
    assert after(image, [(30.0, -70_000.0)]).gain[0] == SETTINGS.gain_max
    assert after(image, [(30.0, -70.0)]).gain[0] == SETTINGS.gain_min


def test_two_readings_without_response_make_a_non_responder_and_one_does_not(image: Any) -> None:
    assert not after(image, [(30.0, -100.0)]).not_responding(NOW_S + 30.0)[0]
    memory = after(image, [(30.0, -100.0), (40.0, -100.0)])
    assert memory.not_responding(NOW_S + 40.0)[0]
    assert not memory.not_responding(NOW_S + 40.0 + SETTINGS.reprobe_s)[0]
    assert not after(image, [(30.0, -100.0), (40.0, -6_500.0), (50.0, -100.0)]).not_responding(NOW_S + 50.0)[0]


def test_a_small_setpoint_convicts_nobody_and_hardly_moves_the_gain(image: Any) -> None:
    memory = after(image, [(30.0, -100.0), (40.0, -100.0)], level_w=500.0)
    assert not memory.not_responding(NOW_S + 40.0)[0]
    assert memory.gain[0] > 0.5
    assert memory.readings[0] == 0


def test_a_held_car_that_keeps_charging_does_not_respond_either(image: Any) -> None:
    memory = after(image, [(40.0, 7_000.0), (50.0, 7_000.0)], level_w=0.0)
    assert memory.not_responding(NOW_S + 50.0)[0]


def test_what_a_held_car_draws_is_counted(image: Any) -> None:
    memory = after(image, [(30.0, 400.0)], level_w=0.0)
    assert expected_w(ordered(image, NOW_S + 31.0, level_w=0.0), memory, NOW_S + 31.0)[0] == -400.0


def test_an_unconfirmed_order_teaches_nothing_but_the_meter_decides_what_counts(image: Any) -> None:
    memory = after(image, [(30.0, -100.0), (40.0, -100.0)], setpoint_state=SetpointState.UNKNOWN)
    assert memory.readings[0] == 0
    assert not memory.not_responding(NOW_S + 40.0)[0]
    picture = ordered(image, NOW_S + 41.0, setpoint_state=SetpointState.UNKNOWN)
    assert expected_w(picture, memory, NOW_S + 41.0)[0] == 100.0
    assert memory.astray(picture)[0]


def test_an_order_repeated_after_doubt_starts_anew(image: Any) -> None:
    memory = after(image, [(35.0, -100.0)], setpoint_state=SetpointState.UNKNOWN)
    again = ordered(image, NOW_S + 40.0, setpoint_at_s=NOW_S + 40.0, power_w=-100.0, power_at_s=NOW_S + 39.0)
    memory = observe(again, memory, NOW_S + 40.0, SETTINGS)
    early = ordered(image, NOW_S + 50.0, setpoint_at_s=NOW_S + 40.0, power_w=-100.0)
    memory = observe(early, memory, NOW_S + 50.0, SETTINGS)
    assert memory.readings[0] == 0
    assert expected_w(early, memory, NOW_S + 50.0)[0] == pytest.approx(0.95 * 7_000.0)


def test_a_renewed_order_of_the_same_power_stays_settled(image: Any) -> None:
    memory = after(image, [(30.0, -6_300.0)])
    renewed = ordered(image, NOW_S + 40.0, setpoint_at_s=NOW_S + 36.0, power_w=-6_300.0)
    assert observe(renewed, memory, NOW_S + 40.0, SETTINGS).readings[0] == 2


def test_a_row_with_another_session_starts_from_nothing(image: Any) -> None:
    memory = after(image, [(30.0, -100.0), (40.0, -100.0)])
    memory = observe(ordered(image, NOW_S + 44.0, uid=99, setpoint_w=np.nan), memory, NOW_S + 44.0, SETTINGS)
    assert memory.uid[0] == 99
    assert memory.readings[0] == 0
    assert not memory.not_responding(NOW_S + 44.0)[0]


def test_unlearned_cars_get_what_the_fleet_taught(image: Any) -> None:
    n = 200
    memory = ResponseMemory.fresh(n, SETTINGS)
    level_w = np.where(np.arange(n) < 100, 7_000.0, 0.0)
    for age_s in (0.0, 30.0):
        memory = observe(ordered(image, NOW_S + age_s, cars=n, level_w=level_w, power_w=-0.8 * level_w), memory, NOW_S + age_s, SETTINGS)
    assert memory.gains()[0] == pytest.approx(0.8)
    assert memory.gains()[150] == pytest.approx((20 * 0.95 + 100 * 0.8) / 120)


def test_the_memory_grows_with_the_image(image: Any) -> None:
    memory = after(image, [(30.0, -6_300.0)])
    wider = ordered(image, NOW_S + 34.0, cars=3, power_at_s=NOW_S + 10.0, power_w=-6_300.0)
    memory = observe(wider, memory, NOW_S + 34.0, SETTINGS)
    assert memory.uid.tolist() == [1, 2, 3]
    assert memory.gain[0] == pytest.approx(0.9)
    assert memory.readings.tolist() == [1, 0, 0]


@given(
    looks=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([np.nan, 0.0, -3_000.0, -6_500.0, 7_000.0]),
                st.sampled_from([0.0, 4.0, 40.0]),
                st.sampled_from([7_000.0, 0.0, np.nan]),
                st.sampled_from(list(SetpointState)),
            ),
            min_size=3,
            max_size=3,
        ),
        min_size=2,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_look_changes_what_was_remembered_or_seen_before_it(looks: list[list[tuple[float, float, float, SetpointState]]]) -> None:
    """What is remembered shares columns with images and with the memory before it, so nobody may write into either."""
    memory, kept = ResponseMemory.fresh(3, SETTINGS), []
    for number, cars in enumerate(looks):
        at_s = NOW_S + 20.0 * (1 + number)
        power_w, age_s, level_w, state = (np.array(column) for column in zip(*cars, strict=True))
        seen = {"power_w": power_w, "power_at_s": at_s - age_s, "setpoint_w": -level_w, "setpoint_state": state}
        until = {"setpoint_at_s": NOW_S + number, "discharge_until_s": NOW_S + 900.0, "hold_until_s": NOW_S + 950.0}
        image = picture(3, now_s=at_s, **seen, **until)
        kept.append((memory, written(memory), image, written(image)))
        memory = observe(image, memory, at_s, SETTINGS)
    assert [(written(before), written(image)) for before, _, image, _ in kept] == [(was, shown) for _, was, _, shown in kept]


def written(columns: Any) -> list[bytes]:
    """Every array of a struct of columns, as bytes."""
    values = [getattr(columns, name) for name in columns.__struct_fields__]
    return [value.tobytes() for value in values if isinstance(value, np.ndarray)] + [
        part for value in values if isinstance(value, LagMemory) for part in written(value)
    ]


@pytest.mark.parametrize(
    ("readings", "counted_w"),
    [
        ([(10.0, 0.0)], 6_650.0),  # still inside the longest delay
        ([(15.0, 0.0)], 6_650.0),  # 1.5 kW behind its setpoint's ramp at most: within the margin of the slowest car
        ([(18.0, 0.0)], 0.0),  # not even the slowest car would show nothing after 18 s
        ([(18.0, -2_500.0)], 6_650.0),  # the slowest car's ramp
        ([(13.0, -2_000.0), (20.0, -2_000.0)], 2_000.0),  # it began to move and stands still
        ([(13.0, -2_000.0), (20.0, -5_700.0)], 6_650.0),  # nearly there: what is missing is the gain's business
        ([(18.0, 0.0), (20.0, -4_700.0)], 6_650.0),  # it moves after all
    ],
)
def test_a_car_that_stands_still_on_its_way_is_counted_at_its_meter(
    image: Any, readings: list[tuple[float, float]], counted_w: float
) -> None:
    memory = after(image, readings)
    age_s, power_w = readings[-1]
    picture = ordered(image, NOW_S + age_s, power_w=power_w)
    assert memory.readings[0] == 0
    assert expected_w(picture, memory, NOW_S + age_s)[0] == pytest.approx(counted_w)


def test_a_car_that_goes_on_charging_is_counted_against_the_group(image: Any) -> None:
    charging = {"level_w": 22_000.0}
    memory = observe(ordered(image, NOW_S, power_w=22_000.0, **charging), ResponseMemory.fresh(1, SETTINGS), NOW_S, SETTINGS)
    picture = ordered(image, NOW_S + 20.0, power_w=22_000.0, **charging)
    memory = observe(picture, memory, NOW_S + 20.0, SETTINGS)
    assert expected_w(picture, memory, NOW_S + 20.0)[0] == -22_000.0


def test_a_low_settled_reading_counts_as_it_is_until_the_next_one_decides(image: Any) -> None:
    memory = after(image, [(30.0, -100.0)])
    picture = ordered(image, NOW_S + 30.0, power_w=-100.0)
    assert memory.low_count[0] == 1
    assert expected_w(picture, memory, NOW_S + 30.0)[0] == pytest.approx(100.0)


def test_a_car_that_did_not_follow_starts_its_next_order_from_what_it_delivers(image: Any) -> None:
    memory = after(image, [(20.0, 0.0)])
    picture = ordered(image, NOW_S + 24.0, level_w=6_000.0, setpoint_at_s=NOW_S + 24.0, power_w=0.0)
    assert observe(picture, memory, NOW_S + 24.0, SETTINGS).from_w[0] == 0.0


def test_a_car_that_begins_to_charge_while_its_order_is_on_its_way_is_no_stuck_car(image: Any) -> None:
    """Control.md 4.1: up to 12 s pass before a car moves; what it does until then says nothing about what it will do."""
    picture = ordered(image, NOW_S + 10.0, power_w=11_000.0)
    memory = after(image, [(10.0, 11_000.0)])
    assert expected_w(picture, memory, NOW_S + 10.0)[0] == pytest.approx(0.95 * 7_000.0)


def test_a_car_that_stands_still_when_the_slowest_would_move_is_counted_at_its_meter(image: Any) -> None:
    readings = [(11.0, 7_000.0), (16.0, 7_000.0)]
    picture = ordered(image, NOW_S + 16.0, power_w=7_000.0)
    assert expected_w(picture, after(image, readings), NOW_S + 16.0)[0] == -7_000.0
    moves = [*readings, (19.0, -1_000.0)]
    picture = ordered(image, NOW_S + 19.0, power_w=-1_000.0)
    assert expected_w(picture, after(image, moves), NOW_S + 19.0)[0] == pytest.approx(0.95 * 7_000.0)


def test_a_held_car_that_goes_on_discharging_counts_at_its_meter_at_once(image: Any) -> None:
    quiet = after(image, [(30.0, -20.0), (40.0, -30.0), (50.0, -20.0)], level_w=0.0)
    assert expected_w(ordered(image, NOW_S + 50.0, level_w=0.0, power_w=-20.0), quiet, NOW_S + 50.0)[0] < 40.0
    deaf = after(image, [(30.0, -20.0), (40.0, -30.0), (50.0, -20.0), (60.0, -7_000.0)], level_w=0.0)
    assert deaf.idle_w[0] < 2_000.0
    assert expected_w(ordered(image, NOW_S + 60.0, level_w=0.0, power_w=-7_000.0), deaf, NOW_S + 60.0)[0] == 7_000.0
