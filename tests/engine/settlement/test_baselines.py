"""What the members would have drawn: each method on cars of which the truth is known."""

from itertools import pairwise
from math import nan

import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.domain.delivery import LogKind, Sample
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import BaselineMethod, CarState, PastSession, Quality
from counterflow.engine.fleet.frozen import Frozen
from counterflow.engine.settlement.baselines import WORDS, baseline_of
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.forward import forward_plans
from counterflow.engine.settlement.settings import BaselineSettings, SettlementSettings

TENS = [float(at) for at in range(-1200, 1801, 10)]
DAY_S = 86_400.0
UNKNOWN = CarState(None, None, None, None, None)


@pytest.fixture
def relative(make_world):
    """A relative order of ten minutes: car 1 drew 7.2 kW before, gives 3.6 kW inside and draws 7.2 kW again after."""

    def make(method=None, settings=None, now=2000.0, **changes):
        world = make_world(mode=DispatchMode.RELATIVE)
        world.join(1)
        world.entry(-5, LogKind.BASELINE, 1, power_w=7000.0)
        world.entry(-5, LogKind.CAR, 1, car=changes.get("car", CarState(7200.0, 0.5, 60_000.0, 11_000.0, 0.8)))
        world.entry(0, LogKind.SETPOINT, 1, power_w=-3600.0)
        out = into = 0.0
        for before, at in pairwise([TENS[0] - 10.0, *TENS]):
            inside = before >= 0.0 and at <= 600.0
            out += 3600.0 * (at - before) / 3600.0 if inside else 0.0
            into += 0.0 if inside else 7200.0 * (at - before) / 3600.0
            world.sample(1, at, -3600.0 if inside else 7200.0, 1000.0 + out, 500.0 + into)
        stored = world.stored()
        kept = {name: value for name, value in changes.items() if name != "car"}
        stored = replace(stored, instruction=replace(stored.instruction, baseline=method), **kept)
        return build_report(stored, stored.instruction.start_s + now, settings=settings or SettlementSettings(), final=True, version=1)

    return make


@pytest.mark.parametrize(
    ("method", "drawn_wh"),
    [
        (None, 7000.0 / 6.0),
        (BaselineMethod.DECLARED, 7000.0 / 6.0),
        (BaselineMethod.FORWARD, 1200.0),
        (BaselineMethod.METER_BEFORE_AFTER, 1200.0),
        (BaselineMethod.ZERO, 0.0),
    ],
)
def test_delivered_is_measured_less_the_baseline(relative, method, drawn_wh):
    made = relative(method)
    statement = made.baseline
    assert statement.method is (method or BaselineMethod.DECLARED)
    assert (statement.description, statement.known_error) == WORDS[statement.method]
    assert statement.energy_wh == round(drawn_wh)
    assert made.delivered_energy_wh == round(drawn_wh) + 600.0
    [session] = made.sessions
    assert session.baseline_wh == -round(drawn_wh)
    assert sum(point.baseline_energy_wh for point in made.series) == session.baseline_wh
    assert made.quality is Quality.GOOD


def test_only_a_relative_dispatch_counts_from_anything_but_zero(world):
    stored = world.stored()
    assert baseline_of(replace(stored, instruction=replace(stored.instruction, baseline=BaselineMethod.FORWARD))) is BaselineMethod.ZERO


def test_the_meter_after_is_complete_only_when_its_window_has_been(relative):
    assert relative(BaselineMethod.METER_BEFORE_AFTER, now=2000.0).baseline.complete
    early = relative(BaselineMethod.METER_BEFORE_AFTER, now=700.0)
    assert not early.baseline.complete
    assert early.baseline.energy_wh == 1200.0


def test_a_meter_that_was_not_heard_around_the_dispatch_tells_no_baseline(make_world):
    world = make_world(mode=DispatchMode.RELATIVE)
    world.join(1, 2)
    world.steady(1, 0.0, [float(at) for at in range(0, 601, 10)])
    stored = world.stored()
    stored = replace(stored, instruction=replace(stored.instruction, baseline=BaselineMethod.METER_BEFORE_AFTER))
    made = build_report(stored, stored.instruction.start_s + 2000.0, settings=SettlementSettings(), final=True, version=1)
    assert made.baseline.energy_wh == 0.0
    assert sum("no plan by the method meter_before_after" in note for note in made.notes) == 1
    assert any("CS2 T2: no meter values" in note for note in made.notes)


# --- forward --------------------------------------------------------------------------------------------------------------------


def drawn_wh(plan, seconds, since=0.0):
    return float(np.ptp(plan.integrals(np.array([since, since + seconds]))[0])) / 3600.0


def forward(*states, until_s=3600.0):
    return forward_plans([None if state is None else Frozen(0.0, state) for state in states], 0.0, until_s, BaselineSettings())


def test_a_car_stops_at_its_target_and_never_draws_more_than_fits():
    [plan] = forward(CarState(7000.0, 0.70, 50_000.0, None, 0.75))
    assert drawn_wh(plan, 3600.0) == pytest.approx(0.05 * 50_000.0 / 0.92)
    assert plan.value[0] == pytest.approx(7000.0)
    assert plan.value[-1] == 0.0


def test_a_car_charges_slower_as_it_fills_and_its_full_rate_is_no_more_than_its_maximum():
    [empty, half_full] = forward(CarState(7000.0, 0.5, 50_000.0, 7000.0, 1.0), CarState(7000.0, 0.85, 50_000.0, 7000.0, 1.0))
    assert drawn_wh(empty, 3600.0) == pytest.approx(7000.0)
    assert np.all(np.diff(half_full.value) <= 1e-9)
    assert drawn_wh(half_full, 3600.0) < 5500.0
    [tapered] = forward(CarState(3500.0, 0.9333, 50_000.0, 7000.0, 1.0))
    assert tapered.value[0] == pytest.approx(3500.0, rel=0.01)


def test_of_a_car_whose_battery_is_not_known_the_power_is_held():
    plans = forward(CarState(6000.0, None, 50_000.0, None, None), CarState(6000.0, 0.5, None, None, None), UNKNOWN, None)
    assert [None if plan is None else drawn_wh(plan, 3600.0) for plan in plans] == [6000.0, 6000.0, 0.0, None]
    assert forward_plans([], 0.0, 0.0, BaselineSettings()) == ()


def test_a_car_that_stands_by_or_gives_would_have_drawn_nothing():
    plans = forward(CarState(40.0, 0.5, 50_000.0, None, None), CarState(-5000.0, 0.5, 50_000.0, None, None))
    assert [drawn_wh(plan, 3600.0) for plan in plans] == [0.0, 0.0]


# --- history --------------------------------------------------------------------------------------------------------------------


def earlier(start_s, days, *, evse=0, station="CS1"):
    """On day k back a session `100 + k` drew `days[k-1]` W from 20 min before the window's time of day to 20 min after it."""
    history, past = [], []
    for back, power_w in enumerate(days, start=1):
        day_s, uid = start_s - back * DAY_S, SessionUid(100 + back)
        past.append(PastSession(session_uid=uid, station_id=station, evse_id=evse, day_start_s=day_s))
        history += [Sample(uid, day_s + at, power_w, nan, 5000.0 + power_w * (at + 1500) / 3600.0, nan) for at in range(-1500, 1801, 300)]
    return {
        "history": tuple(history),
        "past": tuple(past),
        "past_days_s": tuple(start_s - back * DAY_S for back in range(1, len(days) + 1)),
    }


def test_ten_of_ten_is_the_mean_of_the_days_shifted_by_what_today_was_like(relative, start_s):
    made = relative(BaselineMethod.TEN_OF_TEN, **earlier(start_s, [6000.0, 8000.0] * 5))
    # The days have a mean of 7 kW, and today drew 7.2 kW in the quarter of an hour before.
    assert made.baseline.energy_wh == pytest.approx(7200.0 / 6.0, abs=8.0)
    assert not any("earlier days" in note for note in made.notes)


def test_the_same_day_adjustment_is_bounded(relative, start_s):
    made = relative(BaselineMethod.TEN_OF_TEN, **earlier(start_s, [3000.0] * 10))
    assert made.baseline.energy_wh == pytest.approx(1.2 * 3000.0 / 6.0, abs=1.0)


def test_high_five_of_ten_takes_the_five_days_on_which_most_was_drawn(relative, start_s):
    made = relative(BaselineMethod.HIGH_FIVE_OF_TEN, **earlier(start_s, [1000.0] * 5 + [9000.0] * 5))
    assert made.baseline.energy_wh == pytest.approx(1500.0, abs=1.0)


def test_a_day_on_which_nobody_was_there_counts_as_nothing_and_few_days_are_told(relative, start_s):
    kept = earlier(start_s, [6000.0, 6000.0])
    kept |= {"past": kept["past"][:1], "past_days_s": (*kept["past_days_s"], start_s - 3 * DAY_S)}
    made = relative(BaselineMethod.HIGH_FIVE_OF_TEN, **kept)
    assert made.baseline.energy_wh == pytest.approx(6000.0 / 6.0 / 3.0, abs=1.0)
    assert "Of the 10 earlier days that the baseline is made from, 3 are kept." in made.notes


def test_history_of_other_evses_other_days_or_without_samples_is_left_out(relative, start_s):
    for strange in (
        earlier(start_s, [6000.0], station="CS9"),
        earlier(start_s, [6000.0]) | {"history": ()},
        earlier(start_s, [6000.0]) | {"past_days_s": (start_s - 5 * DAY_S,)},
    ):
        assert relative(BaselineMethod.TEN_OF_TEN, **strange).baseline.energy_wh == 0.0
    far = earlier(start_s, [6000.0])
    far["history"] = tuple(replace(sample, at_s=sample.at_s - 40_000.0) for sample in far["history"])
    assert relative(BaselineMethod.TEN_OF_TEN, **far).baseline.energy_wh == 0.0


def test_without_any_earlier_day_there_is_no_plan(relative):
    made = relative(BaselineMethod.TEN_OF_TEN)
    assert made.baseline.energy_wh == 0.0
    assert "Of the 10 earlier days that the baseline is made from, 0 are kept." in made.notes
    assert any("no plan by the method ten_of_ten" in note for note in made.notes)
