"""A pool's record adds up, says what it does not know, and how far it can be trusted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.grid import PoolTelemetry, Quality
from counterflow.domain.ids import PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.engine.fleet.meters import Meters
from counterflow.engine.grid.telemetry import Firm, Part, PoolState, TelemetrySettings, pool_telemetry

NOW_S = 1_800_000_000.0
EVERYWHERE = np.array([True, True])


def meters(*power_w: float, age_s: float = 2.0, site: tuple[int, ...] | None = None) -> Meters:
    rows = len(power_w)
    return Meters(
        at_s=NOW_S,
        uid=np.arange(1, rows + 1),
        site=np.array(site or (0,) * rows, dtype=np.int32),
        power_w=np.array(power_w),
        power_at_s=np.full(rows, NOW_S - age_s),
        last_sample_s=np.full(rows, NOW_S - age_s),
        meter_interval_s=np.full(rows, 10.0),
    )


def part(*rows: int, of: int, mode: DispatchMode = DispatchMode.NET_EXPORT, baseline_w: float = 0.0, **more: Any) -> Part:
    group = np.array([row + 1 if row in rows else 0 for row in range(of)])
    fields: dict[str, Any] = {"target_w": 10_000.0, "committed_w": 9_000.0, "expected_w": 10_000.0}
    return Part(mode=mode, group_uid=group, baseline_w=np.where(group != 0, baseline_w, 0.0), **(fields | more))


def record(picture: Meters, *parts: Part, known: Any = None, sites: Any = EVERYWHERE, **more: Any) -> PoolTelemetry:
    fields: dict[str, Any] = {"firm": None, "lag_s": 8.0, "sessions_ready": 0, "available": True, "fault": False}
    state = PoolState(pool=PoolId("all"), sites=sites, parts=parts, **(fields | more))
    known = ~np.isnan(picture.power_w) if known is None else np.array(known, dtype=np.bool_)
    return pool_telemetry(picture, known, state, TelemetrySettings(), 7)


def test_sums_are_net_discharge_positive_and_of_this_pool_only() -> None:
    told = record(meters(-5_000.0, 3_000.0, -8_000.0, site=(0, 1, 1)), sites=np.array([False, True]))
    assert (told.measured_power_w, told.sessions, told.unmeasured_sessions) == (5_000.0, 2, 0)
    assert (told.sequence, told.at_s, told.pool, told.quality) == (7, NOW_S, "all", Quality.GOOD)


def test_without_a_dispatch_nothing_is_said_of_target_baseline_or_delivery() -> None:
    told = record(meters(-5_000.0))
    assert (told.target_power_w, told.baseline_power_w, told.delivered_power_w, told.committed_power_w) == (None, None, None, None)
    assert not told.following


def test_what_is_not_known_is_none_and_never_zero() -> None:
    told = record(meters(np.nan, np.nan), part(0, 1, of=2))
    assert (told.measured_power_w, told.delivered_power_w, told.meter_age_s) == (None, None, None)
    assert (told.quality, told.unmeasured_sessions, told.following) == (Quality.MISSING, 2, False)
    assert (told.up_power_w, told.up_energy_wh, told.down_power_w, told.ramp_w_per_s) == (None, None, None, None)


def test_a_pool_without_cars_gives_nothing_and_that_is_known() -> None:
    told = record(meters())
    assert (told.measured_power_w, told.sessions, told.quality, told.meter_age_s) == (0.0, 0, Quality.GOOD, None)


def test_a_relative_dispatch_is_measured_against_what_was_frozen_and_a_car_that_left_takes_its_baseline_along() -> None:
    relative = part(0, 1, of=3, mode=DispatchMode.RELATIVE, baseline_w=7_000.0)
    told = record(meters(-2_000.0, 1_000.0, 5_000.0), relative)
    assert (told.baseline_power_w, told.delivered_power_w) == (-14_000.0, 15_000.0)
    gone = replace(meters(-2_000.0, 0.0, 5_000.0), uid=np.array([1, 0, 3]))
    told = record(gone, relative)
    assert (told.baseline_power_w, told.delivered_power_w) == (-7_000.0, 9_000.0)


def test_a_row_that_another_session_has_taken_is_not_in_the_balance() -> None:
    picture = replace(meters(-2_000.0, -9_000.0), uid=np.array([1, 99]))
    assert record(picture, part(0, 1, of=2)).delivered_power_w == 2_000.0


def test_gross_export_leaves_out_who_charges() -> None:
    told = record(meters(-2_000.0, 4_000.0), part(0, 1, of=2, mode=DispatchMode.GROSS_EXPORT))
    assert (told.delivered_power_w, told.measured_power_w, told.baseline_power_w) == (2_000.0, -2_000.0, 0.0)


def test_two_dispatches_of_a_pool_are_added_and_one_that_is_blind_makes_the_sum_unknown() -> None:
    told = record(meters(-2_000.0, -3_000.0), part(0, of=2, target_w=2_500.0), part(1, of=2, target_w=3_000.0))
    assert (told.target_power_w, told.delivered_power_w, told.committed_power_w) == (5_500.0, 5_000.0, 18_000.0)
    told = record(meters(-2_000.0, np.nan), part(0, of=2), part(1, of=2, committed_w=None))
    assert (told.delivered_power_w, told.committed_power_w) == (None, None)


@pytest.mark.parametrize(
    ("unmeasured", "stale", "quality"),
    [(0, 0, "good"), (1, 0, "good"), (2, 0, "estimated"), (0, 2, "stale"), (2, 3, "stale"), (100, 0, "missing")],
)
def test_the_quality_is_the_worst_that_applies_to_more_than_a_tolerated_share(unmeasured: int, stale: int, quality: str) -> None:
    picture = meters(*([-1_000.0] * 100))
    at_s = picture.power_at_s.copy()
    at_s[100 - stale :] = NOW_S - 61.0
    known = np.arange(100) >= unmeasured
    told = record(replace(picture, power_at_s=at_s), known=known)
    assert told.quality == quality
    assert told.meter_age_s == (None if unmeasured == 100 else 61.0 if stale else 2.0)


def test_following_means_met_or_on_its_way() -> None:
    at_target, short = meters(-9_600.0), meters(-5_000.0)
    assert record(at_target, part(0, of=1, expected_w=None)).following
    assert record(short, part(0, of=1, expected_w=9_900.0)).following
    assert not record(short, part(0, of=1, expected_w=6_000.0)).following
    assert not record(short, part(0, of=1, expected_w=None)).following


def test_up_is_what_is_firm_beyond_what_is_asked_and_down_is_what_is_given() -> None:
    firm = Firm(power_w=40_000.0, window_s=900.0)
    idle = record(meters(-6_000.0, 7_000.0), firm=firm)
    assert (idle.up_power_w, idle.up_energy_wh, idle.down_power_w, idle.ramp_w_per_s) == (40_000.0, 10_000.0, 6_000.0, 2_500.0)
    asked = record(meters(-9_000.0, -1_000.0), part(0, 1, of=2), firm=firm)
    assert (asked.up_power_w, asked.up_energy_wh, asked.down_power_w) == (30_000.0, 7_500.0, 10_000.0)
    beyond = record(meters(-48_000.0), part(0, of=1, target_w=50_000.0), firm=firm)
    assert (beyond.up_power_w, beyond.up_energy_wh, beyond.down_power_w, beyond.ramp_w_per_s) == (0.0, 0.0, 48_000.0, 3_000.0)


def test_without_an_offer_up_is_not_known_and_down_is() -> None:
    told = record(meters(-16_000.0))
    assert (told.up_power_w, told.up_energy_wh, told.down_power_w, told.ramp_w_per_s) == (None, None, 16_000.0, 1_000.0)


@given(st.lists(st.tuples(st.floats(-11_000.0, 11_000.0), st.integers(0, 1), st.booleans()), max_size=30))
def test_pools_that_share_no_site_add_up_to_all(cars: list[tuple[float, int, bool]]) -> None:
    picture = meters(*(power_w for power_w, _, _ in cars), site=tuple(site for _, site, _ in cars))
    known = [seen for _, _, seen in cars]
    whole = record(picture, known=known)
    halves = [record(picture, known=known, sites=np.array(sites)) for sites in ((True, False), (False, True))]
    assert sum(half.sessions for half in halves) == whole.sessions
    assert sum(half.unmeasured_sessions for half in halves) == whole.unmeasured_sessions
    assert (whole.measured_power_w is None) == (bool(cars) and not any(known))
    assert sum(half.measured_power_w or 0.0 for half in halves) == pytest.approx(whole.measured_power_w or 0.0, abs=1e-6)
