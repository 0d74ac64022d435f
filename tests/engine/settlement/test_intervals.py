"""Figures of single intervals: they add up on every grid, and say how well they are known."""

from dataclasses import replace as changed
from math import nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.delivery import LogKind
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import Quality
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.intervals import build_intervals, interval_edges_s
from counterflow.engine.settlement.settings import SettlementSettings

TENS = [float(at) for at in range(-60, 661, 10)]
GRIDS_S = (4.0, 60.0, 900.0)
WHOLE = SettlementSettings()


def intervals(stored, step_s, now_s, version=1):
    return build_intervals(stored, interval_edges_s(stored, step_s, now_s), now_s, settings=WHOLE, version=version)


def test_an_interval_has_power_energy_target_quality_and_version(world, start_s):
    world.join(1)
    world.steady(1, 7200.0, TENS)
    [first, *rest] = intervals(world.stored(), 60.0, start_s + 700.0, version=3)
    assert (first.start_s, first.duration_s, first.version) == (start_s, 60.0, 3)
    assert first.mean_power_w == pytest.approx(7200.0)
    assert (first.energy_wh, first.baseline_wh, first.delivered_wh) == (120.0, 0.0, 120.0)
    assert first.target_power_w == 7000.0
    assert {each.quality for each in (first, *rest)} == {Quality.GOOD}


def test_a_relative_dispatch_delivers_what_is_metered_less_the_baseline(make_world, start_s):
    world = make_world(mode=DispatchMode.RELATIVE)
    world.join(1)
    world.entry(-10, LogKind.BASELINE, 1, power_w=3600.0)
    world.steady(1, -1800.0, TENS)
    [minute, *_] = intervals(world.stored(), 60.0, start_s + 700.0)
    assert (minute.energy_wh, minute.baseline_wh, minute.delivered_wh) == (-30.0, -60.0, 30.0)
    assert minute.mean_power_w == pytest.approx(-1800.0)


def test_a_car_that_leaves_takes_its_baseline_along(make_world, start_s):
    world = make_world(mode=DispatchMode.RELATIVE)
    world.join(1, 2)
    for uid in (1, 2):
        world.entry(-10, LogKind.BASELINE, uid, power_w=3600.0)
        world.steady(uid, 0.0, TENS)
    world.entry(300, LogKind.LEFT, 2, text="ended", power_w=0.0)
    made = intervals(world.stored(), 60.0, start_s + 700.0)
    assert [each.baseline_wh for each in made] == [-120.0] * 5 + [-60.0] * 5


def test_what_lies_outside_the_window_holds_nothing(world, start_s):
    world.join(1)
    world.steady(1, 7200.0, TENS)
    edges_s = [start_s - 120.0, start_s - 60.0, start_s, start_s + 540.0, start_s + 660.0, start_s + 720.0]
    made = build_intervals(world.stored(), edges_s, start_s + 2000.0, settings=WHOLE, version=1)
    assert [each.energy_wh for each in made] == [0.0, 0.0, 1080.0, 120.0, 0.0]
    assert [each.target_power_w for each in made] == [0.0, 0.0, 7000.0, 3500.0, 0.0]
    assert build_intervals(world.stored(), edges_s[:1], start_s, settings=WHOLE, version=1) == ()


@pytest.mark.parametrize("edges", [[0.0, 0.0], [60.0, 0.0], [0.0, nan]])
def test_edges_that_do_not_grow_are_no_grid(world, edges):
    with pytest.raises(ValueError, match="must grow"):
        build_intervals(world.stored(), edges, 0.0, settings=WHOLE, version=1)


def test_the_quality_tells_what_is_bridged_and_what_is_missing(world, start_s):
    world.join(1, 2)
    world.steady(1, 7200.0, [at for at in TENS if not 100 < at < 400])
    for at in TENS:
        if at <= 400:
            world.sample(2, at, -3600.0)
    by_minute = [each.quality for each in intervals(world.stored(), 60.0, start_s + 700.0)]
    # Car 2 has no registers: at best an estimate. From 400 s on it is not heard of at all.
    assert by_minute[:6] == [Quality.ESTIMATED] * 6
    assert by_minute[7:] == [Quality.MISSING] * 3
    alone = changed(world, log=[entry for entry in world.log if entry.session_uid != 2])
    by_minute = [each.quality for each in intervals(alone.stored(), 60.0, start_s + 700.0)]
    assert by_minute == [Quality.GOOD] + [Quality.ESTIMATED] * 6 + [Quality.GOOD] * 3


def test_a_member_without_any_meter_value_is_missing(world, start_s):
    world.join(1)
    [only] = intervals(world.stored(), 900.0, start_s + 700.0)
    assert (only.quality, only.mean_power_w, only.energy_wh) == (Quality.MISSING, None, 0.0)


@run(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    mode=st.sampled_from(list(DispatchMode)),
    lost=st.floats(0.0, 0.3),
    repeated=st.floats(0.0, 0.5),
    interval_s=st.sampled_from([5.0, 10.0, 60.0]),
)
def test_every_grid_adds_up_to_the_same_whole_wh_in_any_order_and_with_duplicates(
    make_fleet, start_s, seed, mode, lost, repeated, interval_s
):
    stored = make_fleet(seed % 50, cars=5, duration_s=905.0, interval_s=interval_s, aligned=False).stored
    random = Random(seed)
    kept = [sample for sample in stored.samples if random.random() >= lost]
    shuffled = [*kept, *(sample for sample in kept if random.random() < repeated)]
    random.shuffle(shuffled)
    instruction = replace(stored.instruction, mode=mode)
    plain = replace(stored, samples=tuple(kept), instruction=instruction)
    mixed = replace(stored, samples=tuple(shuffled), instruction=instruction)
    now_s = start_s + 2000.0
    report = build_report(plain, now_s, settings=WHOLE, final=True, version=1)
    for step_s in GRIDS_S:
        made = intervals(plain, step_s, now_s)
        assert made == intervals(mixed, step_s, now_s)
        assert sum(each.delivered_wh for each in made) == report.delivered_energy_wh
        assert all(each.energy_wh.is_integer() and each.baseline_wh.is_integer() for each in made)
    assert sum(session.delivered_wh for session in report.sessions) == report.delivered_energy_wh
