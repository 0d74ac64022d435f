"""What each car may be asked."""

from collections.abc import Callable
from math import inf, nan, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.domain.conflicts import Conflict
from counterflow.domain.reasons import Reason
from counterflow.domain.resources import ControlMode
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.fleet.capability import Capability, CapabilitySettings, capability
from counterflow.engine.fleet.eligibility import CONFLICT_REASONS
from counterflow.engine.fleet.snapshot import FleetImage

Cars = Callable[..., FleetImage]
PLAIN = CapabilitySettings()
WINDOW_S = 900.0


def of(image: FleetImage, t0: float, window_s: float = WINDOW_S, **more: Any) -> Capability:
    return capability(image, t0, t0 + window_s, PLAIN, **more)


def reason(image: FleetImage, t0: float, **more: Any) -> Reason:
    return Reason(of(image, t0, **more).reason[0])


def test_a_ready_car_can_give_its_power_for_a_short_window(cars: Cars, t0: float) -> None:
    cap = of(cars(), t0)
    assert cap.reason[0] == Reason.READY
    assert (cap.max_power_w[0], cap.min_power_w[0], cap.sustained_power_w[0]) == (7000.0, 500.0, 7000.0)
    assert cap.at_s == t0


def test_the_buffer_is_that_of_control_1_2(cars: Cars, t0: float) -> None:
    cap = of(cars(), t0)
    sigma = sqrt(0.015**2 + 0.01**2 / 12.0)
    assert cap.buffer_frac[0] == pytest.approx(3.6 * sigma + 0.005 + 7000.0 * 20.0 / (3600.0 * 0.9 * 60_000.0))
    assert cap.energy_wh[0] == pytest.approx(0.9 * 60_000.0 * (0.6 - 0.3 - cap.buffer_frac[0]))


def test_energy_reckoned_from_the_meter_widens_the_buffer(cars: Cars, t0: float) -> None:
    assert of(cars(import_wh=25_000.0), t0).buffer_frac[0] > of(cars(), t0).buffer_frac[0]


def test_laxity_is_time_less_recharging_less_margin(cars: Cars, t0: float) -> None:
    cap = of(cars(), t0)
    assert cap.recharge_s[0] == pytest.approx(12_000.0 / 9900.0 * 3600.0)
    assert cap.laxity_s[0] == pytest.approx(8 * 3600.0 - cap.recharge_s[0] - 1200.0)
    assert cap.guard_s[0] == pytest.approx(20.0 * (1.0 + 7000.0 / (0.9 * 0.9 * 11_000.0)))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"uid": 0}, Reason.NO_SESSION),
        ({"connected": False}, Reason.STATION_OFFLINE),
        ({"evse_fault": True}, Reason.EVSE_FAULTED),
        ({"consent": False}, Reason.NO_CONSENT),
        ({"control_mode": ControlMode.UNKNOWN}, Reason.CAPABILITY_UNKNOWN),
        ({"control_mode": ControlMode.NONE}, Reason.NO_V2X_CONTROL),
        ({"control_mode": ControlMode.DYNAMIC}, Reason.READY),
        ({"control_mode": ControlMode.NEGATIVE_LIMIT}, Reason.READY),
        ({"bidirectional": False}, Reason.NO_CHARGING_NEEDS),
        ({"bidirectional": False, "needs_at_s": 1_800_000_000.0}, Reason.NOT_ISO15118_20),
        ({"bidirectional": False, "needs_at_s": 1_800_000_000.0, "iso15118_20": True}, Reason.NO_BIDIRECTIONAL_TRANSFER),
        *(({"conflict": conflict}, reason) for conflict, reason in CONFLICT_REASONS.items()),
        ({"priority_charging": True}, Reason.PRIORITY_CHARGING),
        ({"external_discharge_w": 0.0}, Reason.EXTERNAL_LIMIT),
        ({"grid_fault": True}, Reason.GRID_FAULT),
        ({"phase": TransactionPhase.SUSPENDED_EV}, Reason.EV_NOT_READY),
        ({"phase": TransactionPhase.UNKNOWN}, Reason.READY),
        ({"phase": TransactionPhase.SUSPENDED_EVSE}, Reason.READY),
        ({"power_at_s": 1_799_999_900.0, "misdated_at_s": 1_799_999_900.0}, Reason.CLOCK_OFF),
        ({"power_at_s": 1_800_000_000.0, "misdated_at_s": 1_799_999_900.0}, Reason.READY),
        ({"last_sample_s": nan}, Reason.SILENT),
        ({"soc_frac": nan}, Reason.SOC_UNKNOWN),
        ({"capacity_wh": nan}, Reason.SOC_UNKNOWN),
        ({"capacity_wh": nan, "v2x_floor_wh": 9000.0}, Reason.SOC_UNKNOWN),
        ({"capacity_wh": nan, "v2x_floor_wh": 9000.0, "target_request_wh": 5000.0}, Reason.READY),
        ({"soc_frac": nan, "v2x_floor_wh": 9000.0, "target_request_wh": 5000.0}, Reason.READY),
        ({"capacity_wh": nan, "v2x_floor_wh": 9000.0, "target_request_wh": 5000.0, "soc_frac": 0.34}, Reason.BELOW_FLOOR),
        ({"max_discharge_w": nan}, Reason.POWER_UNKNOWN),
        ({"max_charge_w": nan}, Reason.POWER_UNKNOWN),
        ({"soc_frac": 0.35}, Reason.BELOW_FLOOR),
        ({"v2x_floor_wh": -100.0}, Reason.BELOW_FLOOR),
        ({"v2x_floor_wh": 40.0}, Reason.BELOW_FLOOR),
        ({"departure_s": 1_800_000_000.0 + 5000.0}, Reason.MUST_CHARGE),
        ({"max_charge_w": 0.0}, Reason.MUST_CHARGE),
        ({"max_discharge_w": 400.0}, Reason.BELOW_MIN_POWER),
        ({"max_discharge_w": 0.0, "min_discharge_w": nan}, Reason.BELOW_MIN_POWER),
        ({"external_discharge_w": 300.0}, Reason.BELOW_MIN_POWER),
        ({"v2x_floor_wh": 46.0}, Reason.BELOW_MIN_POWER),
        ({"excluded_until_s": 1_800_000_001.0}, Reason.COOLING_DOWN),
        ({"excluded_until_s": 1_800_000_000.0}, Reason.READY),
    ],
)
def test_each_reason_stands_for_one_thing(cars: Cars, t0: float, columns: dict[str, Any], expected: Reason) -> None:
    cap = of(cars(**columns), t0)
    assert Reason(cap.reason[0]) is expected
    if expected is not Reason.READY:
        assert (cap.max_power_w[0], cap.sustained_power_w[0]) == (0.0, 0.0)


def test_i11_the_emergency_stop_bars_everyone(cars: Cars, t0: float) -> None:
    assert reason(cars(), t0, emergency_stop=True) is Reason.EMERGENCY_STOP


def test_the_smaller_of_two_ways_to_know_the_energy_counts(cars: Cars, t0: float) -> None:
    by_soc = of(cars(), t0).energy_wh[0]
    known = {"needs_export_wh": 1000.0, "needs_import_wh": 5000.0, "needs_at_s": t0}
    assert of(cars(**known, v2x_floor_wh=50_000.0), t0).energy_wh[0] == by_soc
    assert of(cars(**known, v2x_floor_wh=5000.0), t0).energy_wh[0] == pytest.approx(0.9 * (5000.0 - 7000.0 * 20.0 / 3600.0 / 0.9))


def test_a_local_limit_caps_power(cars: Cars, t0: float) -> None:
    assert of(cars(external_discharge_w=3000.0), t0).max_power_w[0] == 3000.0
    assert of(cars(external_discharge_w=9000.0), t0).max_power_w[0] == 7000.0


def test_a_car_that_must_charge_stays_so_until_it_has_won_enough_time(cars: Cars, t0: float) -> None:
    edge_s = t0 + 12_000.0 / 9900.0 * 3600.0 + 1200.0 + 20.0 * (1.0 + 7000.0 / 8910.0)
    inside, little, enough = (cars(departure_s=edge_s + more) for more in (-1.0, 600.0, 1201.0))
    first = of(inside, t0)
    assert first.must_charge.tolist() == [True]
    assert of(little, t0).must_charge.tolist() == [False]
    assert of(little, t0, must_charge_before=first.must_charge).must_charge.tolist() == [True]
    assert of(enough, t0, must_charge_before=first.must_charge).must_charge.tolist() == [False]


def test_the_mask_of_before_may_be_shorter_or_longer_than_the_fleet_now(cars: Cars, t0: float) -> None:
    for before in (np.zeros(0, dtype=np.bool_), np.ones(5, dtype=np.bool_)):
        assert of(cars(2), t0, must_charge_before=before).reason.tolist() == [Reason.READY, Reason.READY]


def test_sustained_power_is_limited_by_energy(cars: Cars, t0: float) -> None:
    cap = of(cars(), t0, window_s=4 * 3600.0)
    # At that power the standing loss weighs more than the careful efficiency allows for.
    assert cap.sustained_power_w[0] == pytest.approx(cap.energy_wh[0] / 4.0 * 0.92 / 0.9 - 150.0)


def test_sustained_power_is_limited_by_departure(cars: Cars, t0: float) -> None:
    cap = of(cars(departure_s=t0 + 4 * 3600.0, soc_frac=0.75), t0, window_s=2 * 3600.0)
    by_departure = 0.9 * 0.9 * 11_000.0 * ((cap.laxity_s[0] - cap.guard_s[0]) / 7200.0 - 1.0)
    assert cap.sustained_power_w[0] == pytest.approx(by_departure * 0.92 / 0.9 - 150.0)
    assert by_departure < cap.energy_wh[0] / 2.0


def test_a_car_that_leaves_inside_the_window_sustains_nothing_but_can_be_asked(cars: Cars, t0: float) -> None:
    cap = of(cars(departure_s=t0 + 2 * 3600.0), t0, window_s=3 * 3600.0)
    assert cap.sustained_power_w[0] == 0.0
    assert cap.max_power_w[0] == 7000.0
    assert t0 < cap.useful_until_s[0] < t0 + 2 * 3600.0


def test_sustained_power_below_the_minimum_is_none(cars: Cars, t0: float) -> None:
    assert of(cars(min_discharge_w=6000.0), t0, window_s=4 * 3600.0).sustained_power_w[0] == 0.0


def test_without_a_window_the_power_of_the_moment_counts(cars: Cars, t0: float) -> None:
    assert of(cars(), t0, window_s=0.0).sustained_power_w[0] == 7000.0
    assert of(cars(soc_frac=0.3), t0, window_s=0.0).sustained_power_w[0] == 0.0


def test_useful_until_leaves_time_to_recharge_all_that_is_given(cars: Cars, t0: float) -> None:
    cap = of(cars(), t0)
    given_back_s = cap.energy_wh[0] / (0.9 * 0.9 * 11_000.0) * 3600.0
    assert cap.useful_until_s[0] == pytest.approx(t0 + cap.laxity_s[0] - cap.guard_s[0] - given_back_s)


def test_an_empty_fleet_is_no_special_case(cars: Cars, t0: float) -> None:
    assert len(of(cars(0), t0).reason) == 0


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.one_of(st.just(nan), st.floats(low, high))


T = 1_800_000_000.0
ANY_CAR = st.fixed_dictionaries(
    {
        "uid": st.sampled_from([0, 1, 1, 1]), "connected": st.booleans(), "consent": st.booleans(), "bidirectional": st.booleans(),
        "evse_fault": st.booleans(), "grid_fault": st.booleans(), "priority_charging": st.booleans(),
        "conflict": st.one_of(st.just(Conflict.NONE), st.sampled_from(Conflict)),
        "control_mode": st.sampled_from(list(ControlMode)), "phase": st.sampled_from(list(TransactionPhase)),
        "departure_s": number(T - 3600.0, T + 40_000.0), "last_sample_s": number(T - 100.0, T + 5.0), "power_w": number(-2e4, 2e4),
        "export_wh": number(0.0, 1e4), "import_wh": number(0.0, 1e4), "soc_frac": number(0.0, 1.0), "capacity_wh": number(1e4, 1e5),
        "soc_floor_frac": st.floats(0.0, 1.0), "soc_target_frac": st.floats(0.0, 1.0), "v2x_floor_wh": number(-1e4, 5e4),
        "target_request_wh": number(-1e4, 5e4), "max_discharge_w": number(0.0, 2e4), "min_discharge_w": number(0.0, 1e4),
        "max_charge_w": number(0.0, 2e4), "external_discharge_w": number(0.0, 2e4), "setpoint_w": number(-2e4, 0.0),
        "setpoint_at_s": number(T - 100.0, T), "discharge_until_s": number(T - 50.0, T + 900.0),
        "excluded_until_s": number(T - 9.0, T + 9.0),
    }
)  # fmt: skip


@settings(max_examples=150)
@given(car=ANY_CAR, window_s=st.floats(-10.0, 20_000.0))
def test_i4_i5_whatever_is_known_the_answers_are_sound(cars: Cars, car: dict[str, Any], window_s: float) -> None:
    image = cars(**car)
    cap = of(image, T, window_s=window_s)
    ready = cap.reason[0] == Reason.READY
    most_w, least_w = cap.max_power_w[0], cap.min_power_w[0]
    assert 0.0 <= most_w < inf
    assert (most_w > 0.0) == ready
    assert cap.sustained_power_w[0] == 0.0 or least_w <= cap.sustained_power_w[0] <= most_w
    assert np.isfinite(cap.useful_until_s[0])
    assert cap.useful_until_s[0] >= T
    if ready:
        assert car["uid"] == 1
        assert car["consent"]
        assert car["connected"]
        assert car["bidirectional"]
        assert car["control_mode"] in (ControlMode.SETPOINT, ControlMode.DYNAMIC, ControlMode.NEGATIVE_LIMIT)
        assert not any(car[bar] for bar in ("evse_fault", "grid_fault", "conflict", "priority_charging"))
        assert most_w <= car["max_discharge_w"]
        assert not most_w > car["external_discharge_w"]
        assert cap.energy_wh[0] > 0.0
        assert cap.laxity_s[0] > cap.guard_s[0]
        assert not cap.soc_frac[0] <= car["soc_floor_frac"] + cap.buffer_frac[0]


def test_every_row_is_judged_alone(cars: Cars, t0: float) -> None:
    socs = [0.2, 0.4, 0.6, 0.85, nan]
    together = of(cars(5, soc_frac=socs), t0)
    for row, one in enumerate(socs):
        alone = of(cars(soc_frac=one), t0)
        for name in ("energy_wh", "laxity_s", "sustained_power_w", "useful_until_s", "reason"):
            np.testing.assert_equal(getattr(together, name)[row], getattr(alone, name)[0])
