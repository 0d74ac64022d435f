"""What a session begins with, and what it leaves behind."""

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.records import LearnedResponse
from counterflow.domain.resources import Site
from counterflow.engine.control.lead import ScheduledStartSettings
from counterflow.engine.control.priors import PriorSettings, Start, begin, for_model, learned_of, merged, start_of, taught
from counterflow.engine.control.response import ResponseMemory
from counterflow.engine.control.settings import ResponseSettings

NOW_S = 1_800_000_000.0
SETTINGS = PriorSettings(model_readings=100.0)
RESPONSE = ResponseSettings(prior_gain=0.95)


def known(gain: float = 0.8, readings: float = 10.0, **more: Any) -> LearnedResponse:
    return LearnedResponse(subject="vehicle:a", at_s=NOW_S - 3600.0, gain=gain, gain_readings=readings, **more)


def start(own: LearnedResponse | None = None, model: LearnedResponse | None = None, *, same_car: bool = True) -> Start:
    return start_of(own, model, NOW_S, SETTINGS, RESPONSE, same_car=same_car)


def test_a_car_is_shrunk_to_its_model_of_evse_and_that_to_the_default_by_their_readings() -> None:
    assert start().gain == RESPONSE.prior_gain
    assert not start().known
    model = known(0.85, 60.0)
    of_model = (60.0 * 0.85 + 20.0 * 0.95) / 80.0
    assert start(None, model).gain == pytest.approx(of_model)
    assert start(known(0.7, 6.0), model).gain == pytest.approx((6.0 * 0.7 + 2.0 * of_model) / 8.0)
    assert start(known(0.7, 6.0)).gain == pytest.approx((6.0 * 0.7 + 2.0 * 0.95) / 8.0)
    assert abs(start(known(0.7, 1.0), model).gain - of_model) < abs(start(known(0.7, 30.0), model).gain - of_model)


def test_what_cars_of_its_model_do_says_more_than_what_cars_at_its_model_of_evse_do() -> None:
    at_evse, of_cars = known(0.85, 60.0), known(0.7, 60.0, transitions=(30.0, 1.05e5, 3.7e8, 60.0, 2.1e5))
    shrunk = (60.0 * 0.85 + 20.0 * 0.95) / 80.0
    begun = start_of(None, at_evse, NOW_S, SETTINGS, RESPONSE, same_car=True, vehicles=of_cars)
    assert begun.gain == pytest.approx((60.0 * 0.7 + 20.0 * shrunk) / 80.0)
    assert begun.known
    assert begun.readings == 0, "others' readings are not this car's"
    # Their lag of 2 s is what it begins with, whatever is known of the EVSE's model.
    slow = replace(at_evse, transitions=(60.0, 2.1e5, 7.4e8, 600.0, 2.1e6))
    count, _, _, lag_s, _ = start_of(None, slow, NOW_S, SETTINGS, RESPONSE, same_car=True, vehicles=of_cars).transitions
    assert 2.0 < lag_s / count < 6.0
    assert start_of(None, slow, NOW_S, SETTINGS, RESPONSE, same_car=True).transitions[3] / count == pytest.approx(10.0)
    own = start_of(known(0.6, 30.0), at_evse, NOW_S, SETTINGS, RESPONSE, same_car=True, vehicles=of_cars)
    assert own.gain == pytest.approx((30.0 * 0.6 + 2.0 * begun.gain) / 32.0)


def test_only_the_same_car_counts_against_readings_to_come_and_a_model_little_seen_leaves_it_to_the_fleet_of_now() -> None:
    assert start(known()).readings == SETTINGS.start_readings
    assert start(known(), same_car=False).readings == 0
    assert start(known(), same_car=False).known
    assert not start(None, known(readings=SETTINGS.model_weight - 1.0)).known
    assert start(None, known(readings=SETTINGS.model_weight)).known


def test_a_car_that_did_not_follow_stays_out_no_longer_than_it_was_to_and_never_longer_than_a_conviction_of_now() -> None:
    assert start(known(out_until_s=NOW_S + 60.0)).out_until_s == NOW_S + 60.0
    assert start(known(out_until_s=NOW_S + 1e9)).out_until_s == NOW_S + RESPONSE.reprobe_s
    assert start(known(out_until_s=NOW_S - 1.0)).out_until_s == -inf
    assert start(known(out_until_s=NOW_S + 60.0), same_car=False).out_until_s == -inf


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
COUNTS = st.floats(0.0, 1e6)
RECORDS = st.builds(
    LearnedResponse,
    subject=st.just("x"),
    at_s=st.just(NOW_S),
    gain=NUMBERS,
    gain_readings=COUNTS,
    idle_w=NUMBERS,
    idle_readings=COUNTS,
    transitions=st.tuples(COUNTS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    out_until_s=st.none() | st.floats(0.0, 1e12),
)


@given(own=st.none() | RECORDS, model=st.none() | RECORDS, vehicles=st.none() | RECORDS, same_car=st.booleans())
def test_whatever_is_on_disk_a_session_begins_within_the_bounds_of_what_can_be_learned(
    own: LearnedResponse | None, model: LearnedResponse | None, vehicles: LearnedResponse | None, same_car: bool
) -> None:
    begun = start_of(own, model, NOW_S, SETTINGS, RESPONSE, same_car=same_car, vehicles=vehicles)
    assert RESPONSE.gain_min <= begun.gain <= RESPONSE.gain_max
    assert 0 <= begun.readings <= SETTINGS.start_readings
    assert -RESPONSE.idle_import_w <= begun.idle_w <= 1_000.0
    assert begun.out_until_s <= NOW_S + RESPONSE.reprobe_s
    assert np.isfinite(begun.transitions).all()


def test_merging_forgets_the_oldest_and_a_session_that_ended_badly_forgets_all() -> None:
    both = merged(known(0.8, 30.0), known(0.9, 20.0), 40.0)
    assert (both.gain, both.gain_readings) == (pytest.approx((20.0 * 0.8 + 20.0 * 0.9) / 40.0), 40.0)
    assert merged(known(0.8, 30.0), known(0.9, 500.0), 40.0).gain == pytest.approx(0.9)
    out = merged(known(0.8, 30.0), known(0.95, 0.0, out_until_s=NOW_S), 40.0)
    assert (out.gain_readings, out.out_until_s) == (0.0, NOW_S)
    assert merged(out, known(0.9, 5.0), 40.0).out_until_s is None
    sums = merged(known(transitions=(30.0, 30.0, 30.0, 30.0, 30.0)), known(transitions=(20.0, 40.0, 0.0, 0.0, 0.0)), 40.0).transitions
    assert sums == pytest.approx((40.0, 60.0, 20.0, 20.0, 20.0))


def test_one_session_counts_for_its_model_with_few_readings_and_a_deaf_car_with_none() -> None:
    of_model = for_model(known(0.9, 90.0), "model:V/M", known(0.5, 1_000.0), SETTINGS)
    assert (of_model.subject, of_model.gain_readings) == ("model:V/M", 100.0)
    assert of_model.gain == pytest.approx((90.0 * 0.9 + 10.0 * 0.5) / 100.0)
    deaf = for_model(known(0.9, 90.0), "model:V/M", known(0.95, 0.0, out_until_s=NOW_S), SETTINGS)
    assert (deaf.gain, deaf.gain_readings, deaf.out_until_s) == (pytest.approx(0.9), 90.0, None)


def test_a_session_leaves_what_it_taught_and_not_what_it_began_with(image: Any) -> None:
    picture = image(3, now_s=NOW_S)
    begun = start(known(idle_w=-50.0, idle_readings=9.0, transitions=(2.0, 7e3, 2.5e7, 14.0, 5e4)))
    response = begin(picture, ResponseMemory.fresh(0, RESPONSE), {1: begun}, RESPONSE)
    assert response.gains()[1] == begun.gain
    assert response.gains()[0] == RESPONSE.prior_gain
    slow = response.lag(np.ones(3, dtype=bool), np.full(3, 7_000.0)).car_s
    assert slow[1] != slow[0] == slow[2]
    assert not response.well_known(picture).any()
    lead = ScheduledStartSettings()
    lags = response.lags
    assert lags.lead_s(1, int(picture.uid[1]), 7_000.0, lead) != lags.lead_s(0, int(picture.uid[0]), 7_000.0, lead)
    assert not taught(learned_of("vehicle:a", NOW_S, response, 1, begun))


def step(loop: Any, seed: int, starts: dict[int, Start] | None = None, **plant: Any) -> Any:
    at_work = loop(cars=400, seed=seed, smallest_w=3_700.0, largest_w=22_000.0, **plant)
    if starts is not None:
        at_work.response = begin(at_work.plant.image(), at_work.response, starts, at_work.response_settings)
    at_work.order([(0.0, 0.75 * float(at_work.plant.cap_w.sum()))], 300.0)
    return at_work, at_work.play(300)


def within_after_s(run: Any, tolerance: float) -> int:
    outside = np.flatnonzero(np.abs(run.error(0, 180)) > tolerance)
    return 0 if outside.size == 0 else int(outside[-1]) + 1


def left_by(at_work: Any) -> list[LearnedResponse]:
    none = start_of(None, None, 0.0, PriorSettings(), at_work.response_settings, same_car=True)
    rows = range(len(at_work.plant.cap_w))
    return [learned_of(f"vehicle:{row}", at_work.plant.now_s, at_work.response, row, none) for row in rows]


def starts_of(at_work: Any) -> dict[int, Start]:
    one = PriorSettings()
    return {
        row: start_of(merged(None, left, one.car_readings), None, at_work.plant.now_s + 86_400.0, one, RESPONSE, same_car=True)
        for row, left in enumerate(left_by(at_work))
        if taught(left)
    }


@pytest.mark.parametrize(
    ("plant", "share"), [({"derated_share": 0.2}, 0.85), ({"modern": True}, 0.75), ({"modern": True, "deaf_share": 0.0}, 0.3)]
)
def test_the_second_step_of_the_same_fleet_is_within_2_percent_clearly_sooner_than_the_first(
    loop: Any, plant: dict[str, Any], share: float
) -> None:
    """On the reference plant the slowest ramps set the time; quick cars show what knowing is worth; deaf ones are tried again."""
    first_s, second_s = [], []
    for seed in range(1, 9):
        at_work, run = step(loop, seed, **plant)
        first_s.append(within_after_s(run, 0.02))
        second_s.append(within_after_s(step(loop, seed, starts_of(at_work), **plant)[1], 0.02))
    assert np.mean(second_s) <= share * np.mean(first_s), (first_s, second_s)


def test_no_prior_lifts_an_export_limit_and_nobody_is_left_out_for_ever(loop: Any) -> None:
    sites = tuple(Site(site_id=f"s{row}", max_export_power_w=25_000.0 if row % 3 == 0 else None) for row in range(40))
    at_work = loop(cars=240, seed=3, sites=sites)
    plant = at_work.plant
    poor = known(0.2, 1e6, out_until_s=plant.now_s + 1e9)
    starts = {row: start_of(poor, None, plant.now_s, PriorSettings(), RESPONSE, same_car=row % 10 == 0) for row in range(240)}
    at_work.response = begin(plant.image(), at_work.response, starts, at_work.response_settings)
    assert at_work.response.not_responding(plant.now_s).sum() == 24
    assert not at_work.response.not_responding(plant.now_s + RESPONSE.reprobe_s).any()
    worst_w, one_second = [0.0], plant.step

    def watched() -> None:
        one_second()
        export_w = np.bincount(plant.columns["site"], weights=plant.true_w, minlength=41)
        worst_w.append(float((export_w - plant.topology.max_export_w).max()))

    plant.step = watched
    at_work.order([(0.0, 0.5 * float(plant.cap_w.sum()))], 200.0)
    run = at_work.play(200)
    assert max(worst_w) <= 0.0
    assert np.abs(run.error(90, 195, 10)).max() <= 0.04, "its own readings correct a prior that is far off"
