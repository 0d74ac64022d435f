"""How long an order may run, and that floor and departure hold when it ran exactly so long and everything else died."""

from collections.abc import Callable
from math import nan

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from counterflow.domain.reasons import Reason
from counterflow.engine.fleet.capability import Capability, CapabilitySettings, capability
from counterflow.engine.fleet.endurance import Course, Stamina, course_endurance_s, endurance_s, hold_endurance_s
from counterflow.engine.fleet.snapshot import FleetImage

Cars = Callable[..., FleetImage]
PLAIN = CapabilitySettings()
T = 1_800_000_000.0
LAG_S = 20.0
"""Meter interval and command latency of the cars here."""


def of(image: FleetImage) -> Capability:
    return capability(image, T, T + 900.0, PLAIN)


def run(image: FleetImage, power_w: float, now_s: float = T) -> float:
    return float(endurance_s(Stamina.of(image, of(image)), np.array([power_w]), now_s, PLAIN)[0])


def hold(image: FleetImage, power_w: float, run_s: float) -> float:
    return float(hold_endurance_s(Stamina.of(image, of(image)), np.array([power_w]), np.array([run_s]), T, PLAIN)[0])


def test_the_floor_ends_a_run(cars: Cars) -> None:
    image = cars()
    assert run(image, 7000.0) == pytest.approx(of(image).energy_wh[0] / 7000.0 * 3600.0)


def test_the_departure_ends_a_run(cars: Cars) -> None:
    image = cars(departure_s=T + 2 * 3600.0)
    cap = of(image)
    assert run(image, 7000.0) == pytest.approx((cap.laxity_s[0] - cap.guard_s[0]) / (1.0 + 7000.0 / 8910.0))
    assert run(image, 7000.0) < cap.energy_wh[0] / 7000.0 * 3600.0


def test_holding_costs_a_second_each_second(cars: Cars) -> None:
    image = cars()
    cap = of(image)
    budget_s = cap.laxity_s[0] - cap.guard_s[0]
    assert run(image, 0.0) == pytest.approx(budget_s)
    assert hold(image, 0.0, 0.0) == pytest.approx(budget_s)
    assert hold(image, 8910.0, 100.0) == pytest.approx(budget_s - 200.0)


@pytest.mark.parametrize("unknown", ["soc_frac", "max_charge_w", "departure_s"])
def test_what_is_unknown_endures_nothing(cars: Cars, unknown: str) -> None:
    image = cars(**{unknown: nan})
    assert run(image, 7000.0) == 0.0
    assert hold(image, 7000.0, 10.0) == 0.0


def test_an_empty_row_endures_nothing(cars: Cars) -> None:
    assert run(cars(uid=0), 0.0) == 0.0


def test_time_that_passed_since_the_capability_is_taken_off(cars: Cars) -> None:
    image = cars()
    assert run(image, 7000.0, T + 5.0) == pytest.approx(run(image, 7000.0) - 5.0)
    assert run(image, 7000.0, T - 5.0) == pytest.approx(run(image, 7000.0))


def charge_until_s(soc_frac: float, capacity_wh: float, power_w: float, eta: float, from_s: float, target_frac: float) -> float:
    """A car that charges by the tapered curve, step by step: when it has its target."""
    at_s, step_s = from_s, 5.0
    while soc_frac < target_frac - 1e-9:
        share = 1.0 if soc_frac <= 0.8 else max(0.25, 1.0 - 3.75 * (soc_frac - 0.8))
        gain = eta * power_w * share / 3600.0 / capacity_wh
        used_s = min(step_s, (target_frac - soc_frac) / gain)
        soc_frac += gain * used_s
        at_s += used_s
    return at_s


CAR = {
    "soc": st.floats(0.35, 1.0), "floor": st.floats(0.1, 0.5), "target": st.floats(0.4, 1.0), "capacity_wh": st.floats(20_000.0, 100_000.0),
    "departure_s": st.floats(1800.0, 36_000.0), "charge_w": st.floats(3000.0, 22_000.0), "rated_w": st.floats(1000.0, 22_000.0),
    "share": st.floats(0.05, 1.0),
}  # fmt: skip


@settings(max_examples=80)
@given(eta=st.floats(0.9, 1.0), hold_share=st.floats(0.0, 1.0), **CAR)
def test_decision_3_floor_and_departure_hold_when_everything_dies_after_the_message(
    cars: Cars, eta: float, hold_share: float, soc: float, floor: float, target: float, capacity_wh: float, departure_s: float,
    charge_w: float, rated_w: float, share: float,
) -> None:  # fmt: skip
    image = cars(
        soc_frac=soc, soc_floor_frac=floor, soc_target_frac=target, capacity_wh=capacity_wh, departure_s=T + departure_s,
        max_charge_w=charge_w, max_discharge_w=rated_w, min_discharge_w=nan,
    )  # fmt: skip
    power_w = share * rated_w
    run_s = run(image, power_w)
    assume(of(image).reason[0] == Reason.READY)
    hold_s = hold(image, power_w, run_s)
    assert run_s > 0.0
    really_s = run_s + LAG_S
    soc_then = soc - power_w * really_s / 3600.0 / eta / capacity_wh
    assert soc_then >= floor + 3.0 * PLAIN.sigma_bms
    ready_s = charge_until_s(soc_then, capacity_wh, charge_w, eta, really_s + hold_share * hold_s, target)
    assert ready_s <= departure_s - PLAIN.laxity_margin_s + 5.0


@settings(max_examples=80)
@given(
    cap_wh=st.floats(0.0, 20_000.0), blackout_in_s=st.floats(-600.0, 7_200.0), unseen_s=st.floats(0.0, 30.0), share=st.floats(0.05, 1.0),
    unseen_w=st.floats(0.0, 7_000.0),
)  # fmt: skip
def test_decision_3_caps_and_blackouts_hold_when_everything_dies_after_the_message(
    cars: Cars, cap_wh: float, blackout_in_s: float, unseen_s: float, share: float, unseen_w: float
) -> None:
    image = cars(
        export_wh=1_000.0, export_limit_wh=1_000.0 + cap_wh, register_at_s=T - unseen_s, power_w=-unseen_w,
        blackout_from_s=T + blackout_in_s, blackout_until_s=T + blackout_in_s + 900.0,
    )  # fmt: skip
    power_w = share * 7_000.0
    run_s = run(image, power_w)
    if of(image).reason[0] != Reason.READY:
        assert of(image).max_power_w[0] == 0.0
        return
    assert run_s > 0.0
    assert (unseen_w * unseen_s + power_w * (run_s + LAG_S)) / 3600.0 <= cap_wh + 1e-6
    assert run_s + PLAIN.command_latency_s <= blackout_in_s + 1e-6 or blackout_in_s + 900.0 <= 0.0


def test_a_cap_is_kept_apart_from_the_floor_and_named(cars: Cars) -> None:
    free, capped = cars(), cars(export_limit_wh=1_000.0 + 500.0)
    assert run(capped, 7000.0) < run(free, 7000.0)
    assert of(capped).reason[0] == Reason.READY
    assert of(cars(export_limit_wh=1_000.0)).reason[0] == Reason.DISCHARGE_CAP
    assert of(cars(export_limit_wh=nan)).reason[0] == Reason.DISCHARGE_CAP
    assert of(cars(export_limit_wh=5_000.0, export_wh=nan)).reason[0] == Reason.DISCHARGE_CAP
    assert of(cars(export_limit_wh=1_000.0, soc_frac=0.3)).reason[0] == Reason.BELOW_FLOOR


def test_a_blackout_bars_and_one_that_begins_in_the_window_ends_it(cars: Cars) -> None:
    on = of(cars(blackout_from_s=T - 60.0, blackout_until_s=T + 60.0))
    assert (on.reason[0], on.max_power_w[0]) == (Reason.BLACKOUT, 0.0)
    over = of(cars(blackout_from_s=T - 60.0, blackout_until_s=T))
    assert (over.reason[0], over.sustained_power_w[0] > 0.0) == (Reason.READY, True)
    soon = of(cars(blackout_from_s=T + 300.0, blackout_until_s=T + 600.0))
    assert (soon.reason[0], soon.sustained_power_w[0]) == (Reason.READY, 0.0)
    assert soon.useful_until_s[0] == T + 300.0 - PLAIN.command_latency_s
    assert of(cars(driver_stop=True)).reason[0] == Reason.DRIVER_STOP


@settings(max_examples=60)
@given(**CAR)
def test_a_stronger_discharge_never_runs_longer_and_a_run_leaves_no_negative_hold(
    cars: Cars,
    soc: float,
    floor: float,
    target: float,
    capacity_wh: float,
    departure_s: float,
    charge_w: float,
    rated_w: float,
    share: float,
) -> None:
    image = cars(
        soc_frac=soc, soc_floor_frac=floor, soc_target_frac=target, capacity_wh=capacity_wh, departure_s=T + departure_s,
        max_charge_w=charge_w, max_discharge_w=rated_w, min_discharge_w=nan,
    )  # fmt: skip
    assert run(image, rated_w) <= run(image, share * rated_w) * (1.0 + 1e-2) + 1.0
    assert hold(image, rated_w, run(image, rated_w)) >= 0.0


def course(image: FleetImage, *steps: tuple[float, float], window_s: float = 1e9) -> tuple[float, float]:
    """(run, hold) of one car that goes through (seconds from now, W)."""
    from_s, power_w = (np.array([column]) for column in zip(*steps, strict=True))
    run_s, hold_s = course_endurance_s(Stamina.of(image, of(image)), Course(from_s=from_s, power_w=power_w), T, window_s, PLAIN)
    return float(run_s[0]), float(hold_s[0])


@settings(max_examples=60)
@given(share=st.floats(0.0, 1.0), parts=st.integers(1, 4), soc=st.floats(0.35, 1.0), departure_s=st.floats(1800.0, 36_000.0))
def test_a_course_of_equal_steps_ends_as_one_power_does(cars: Cars, share: float, parts: int, soc: float, departure_s: float) -> None:
    image = cars(soc_frac=soc, departure_s=T + departure_s)
    power_w = share * 7_000.0
    steps = [(400.0 * number, power_w) for number in range(parts)]
    run_s, hold_s = course(image, *steps)
    assert run_s == pytest.approx(min(run(image, power_w), 1e9), rel=1e-3, abs=1.0)
    assert hold_s == pytest.approx(hold(image, power_w, run_s), abs=max(3.0, 1e-3 * run_s))


def test_the_window_ends_a_course_and_the_first_step_that_is_too_long_does(cars: Cars) -> None:
    image = cars()
    assert course(image, (0.0, 1_000.0), (300.0, 0.0), (600.0, 7_000.0), window_s=900.0)[0] == 900.0
    energy_wh = float(of(image).energy_wh[0])
    until_s = 600.0 + (energy_wh - 300.0 * 7_000.0 / 3600.0) / 3_000.0 * 3600.0
    assert course(image, (0.0, 7_000.0), (300.0, 0.0), (600.0, 3_000.0))[0] == pytest.approx(min(until_s, run(image, 0.0)), rel=0.2)
    assert course(cars(uid=0), (0.0, 0.0)) == (0.0, 0.0)


def test_a_blackout_ends_a_course_at_the_step_that_it_is_in(cars: Cars) -> None:
    image = cars(blackout_from_s=T + 400.0, blackout_until_s=T + 1_000.0)
    assert course(image, (0.0, 5_000.0), (300.0, 0.0), (600.0, 5_000.0), window_s=900.0)[0] == 600.0
    assert course(image, (0.0, 5_000.0), (300.0, 4_000.0), window_s=900.0)[0] == pytest.approx(400.0 - PLAIN.command_latency_s)


@settings(max_examples=80)
@given(
    eta=st.floats(0.9, 1.0),
    hold_share=st.floats(0.0, 1.0),
    shares=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5),
    lengths_s=st.lists(st.floats(30.0, 3_600.0), min_size=4, max_size=4),
    **{name: values for name, values in CAR.items() if name != "share"},
)
def test_decision_3_floor_and_departure_hold_for_every_period_of_a_schedule(
    cars: Cars, eta: float, hold_share: float, shares: list[float], lengths_s: list[float], soc: float, floor: float, target: float,
    capacity_wh: float, departure_s: float, charge_w: float, rated_w: float,
) -> None:  # fmt: skip
    image = cars(
        soc_frac=soc, soc_floor_frac=floor, soc_target_frac=target, capacity_wh=capacity_wh, departure_s=T + departure_s,
        max_charge_w=charge_w, max_discharge_w=rated_w, min_discharge_w=nan,
    )  # fmt: skip
    assume(of(image).reason[0] == Reason.READY)
    begins_s = [0.0, *np.cumsum(lengths_s[: len(shares) - 1]).tolist()]
    run_s, hold_s = course(image, *((at_s, share * rated_w) for at_s, share in zip(begins_s, shares, strict=True)), window_s=14_400.0)
    # The latency at the strongest power comes on top.
    given_wh = rated_w * LAG_S / 3600.0
    for number, share in enumerate(shares):
        until_s = begins_s[number + 1] if number + 1 < len(shares) else 14_400.0
        given_wh += share * rated_w * max(0.0, min(until_s, run_s) - begins_s[number]) / 3600.0
    soc_then = soc - given_wh / eta / capacity_wh
    if any(share > 0.0 and begins_s[number] < run_s for number, share in enumerate(shares)):
        assert soc_then >= floor + 3.0 * PLAIN.sigma_bms - 1e-6
    ready_s = charge_until_s(soc_then, capacity_wh, charge_w, eta, run_s + LAG_S + hold_share * hold_s, target)
    assert ready_s <= departure_s - PLAIN.laxity_margin_s + 5.0
