"""What other actors' limits leave of a discharge: now, later, proved, and of the inverter's rating."""

from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.conflicts import (
    CompositePeriod,
    DerLimit,
    DischargeCap,
    ForeignProfile,
    InstalledProfile,
    KnownProfiles,
    LimitPeriod,
)
from counterflow.domain.ids import EvseId, ProfileId, StationId, TransactionId
from counterflow.engine.conflicts.composite import OrderInForce, shown_impossible
from counterflow.engine.conflicts.limits import allowed_w, discharge_cap, external_setpoint, next_edge_s
from counterflow.engine.conflicts.register import (
    COMPOSITE_SOURCE,
    periods_on,
    transaction_over,
    with_der_limits,
    with_limit,
    without_der_limits,
)

ONE, TWO, ALL = EvseId(1), EvseId(2), EvseId(0)
NOTHING = KnownProfiles(station_id=StationId("S"))


def limit(discharge_w: float | None, from_s: float | None = None, to_s: float | None = None, **more: Any) -> LimitPeriod:
    return LimitPeriod(from_s=from_s, to_s=to_s, discharge_w=discharge_w, **more)


@pytest.mark.parametrize(
    ("periods", "cap"),
    [
        ([], DischargeCap(nan, nan, nan)),
        ([limit(None)], DischargeCap(nan, nan, nan)),
        ([limit(3000.0), limit(2000.0, to_s=200.0)], DischargeCap(2000.0, nan, nan)),
        ([limit(3000.0), limit(1000.0, 150.0, 160.0)], DischargeCap(3000.0, 1000.0, 150.0)),
        ([limit(0.0, 300.0), limit(500.0, 200.0)], DischargeCap(nan, 0.0, 200.0)),
        ([limit(0.0, 100.0 + 3601.0)], DischargeCap(nan, nan, nan)),
        ([limit(0.0, to_s=100.0)], DischargeCap(nan, nan, nan)),
    ],
)
def test_now_and_the_least_ahead(periods: list[LimitPeriod], cap: DischargeCap) -> None:
    assert discharge_cap(periods, 100.0) == pytest.approx(cap, nan_ok=True)


def test_a_setpoint_of_others_that_will_bind_leaves_nothing_ahead() -> None:
    periods = [limit(None, 200.0, external_setpoint=True)]
    assert discharge_cap(periods, 100.0, setpoints_bind=True) == pytest.approx(DischargeCap(nan, 0.0, 200.0), nan_ok=True)
    assert isnan(discharge_cap(periods, 100.0).ahead_w)
    assert (external_setpoint(periods, 199.0), external_setpoint(periods, 200.0)) == (False, True)


INSTANTS = st.one_of(st.none(), st.integers(0, 4000).map(float))
PERIODS = st.lists(st.builds(limit, st.one_of(st.none(), st.floats(0.0, 1e4)), INSTANTS, INSTANTS), max_size=6)


@given(PERIODS, st.integers(0, 4000).map(float))
def test_the_cap_is_what_a_look_at_each_second_would_find(periods: list[LimitPeriod], now_s: float) -> None:
    cap = discharge_cap(periods, now_s)
    now_w = inf if isnan(cap.now_w) else cap.now_w
    assert now_w == allowed_w(periods, now_s)
    later = [allowed_w(periods, now_s + second) for second in range(1, 3601)]
    least = min(later)
    if least < now_w:
        assert cap.ahead_w == least
        assert later[int(cap.ahead_s - now_s) - 1] < now_w
        assert all(power_w >= now_w for power_w in later[: int(cap.ahead_s - now_s) - 1])
    else:
        assert isnan(cap.ahead_w)


@given(PERIODS, PERIODS, st.integers(0, 4000).map(float))
def test_one_more_limit_never_allows_more(some: list[LimitPeriod], more: list[LimitPeriod], now_s: float) -> None:
    assert allowed_w([*some, *more], now_s) <= allowed_w(some, now_s)


@given(PERIODS, st.integers(0, 4000).map(float))
def test_between_now_and_the_next_edge_nothing_changes(periods: list[LimitPeriod], now_s: float) -> None:
    edge_s = next_edge_s(periods, now_s)
    assert edge_s > now_s
    until_s = int(min(edge_s, now_s + 100))
    assert len({allowed_w(periods, float(at_s)) for at_s in range(int(now_s), until_s)}) <= 1


def test_the_newest_word_of_a_source_counts_and_what_is_over_is_forgotten() -> None:
    known = with_limit(NOTHING, ONE, "EMS", (limit(1000.0),), 0.0)
    known = with_limit(known, ONE, "SO", (limit(2000.0, to_s=50.0),), 0.0)
    known = with_limit(known, ONE, "EMS", (limit(3000.0),), 10.0)
    assert [one.source for one in known.limits] == ["SO", "EMS"]
    assert allowed_w(periods_on(known, ONE, 1), 20.0) == 2000.0
    known = with_limit(known, ONE, "EMS", (), 60.0)
    assert known.limits == ()


def test_a_limit_on_the_whole_station_is_shared_and_one_on_another_evse_is_not_ours() -> None:
    known = with_limit(with_limit(NOTHING, ALL, "EMS", (limit(6000.0),), 0.0), TWO, "EMS", (limit(1.0),), 0.0)
    assert allowed_w(periods_on(known, ONE, 1), 0.0) == 6000.0
    assert allowed_w(periods_on(known, ONE, 2), 0.0) == 3000.0
    assert allowed_w(periods_on(known, TWO, 2), 0.0) == 1.0
    assert allowed_w(periods_on(known, ALL, 0), 0.0) == 6000.0


def test_an_installed_profile_of_others_limits_like_a_word_of_theirs() -> None:
    purpose, forbids = "ChargingStationExternalConstraints", (limit(500.0),)
    profile = InstalledProfile(profile_id=ProfileId(-5), purpose=purpose, stack_level=1, limits=forbids)
    known = KnownProfiles(station_id=StationId("S"), foreign=(ForeignProfile(evse_id=ONE, profile=profile, source="EMS", seen_at_s=0.0),))
    assert allowed_w(periods_on(known, ONE, 1), 0.0) == 500.0
    assert allowed_w(periods_on(known, TWO, 1), 0.0) == inf


def test_r02_the_inverters_limit_is_a_share_of_each_rating_and_of_an_unknown_one_nothing() -> None:
    limits = [DerLimit(control_id="a", share=0.4), DerLimit(control_id="b", share=1.0), DerLimit(control_id="c", share=0.5, from_s=100.0)]
    known = with_der_limits(NOTHING, limits, {ONE: 10_000.0, TWO: None}, 0.0)
    assert allowed_w(periods_on(known, ONE, 2), 0.0) == 4000.0
    assert allowed_w(periods_on(known, TWO, 2), 0.0) == 0.0
    assert allowed_w(periods_on(without_der_limits(known, ["a"]), ONE, 2), 50.0) == inf
    assert allowed_w(periods_on(without_der_limits(known, ["a"]), ONE, 2), 100.0) == 5000.0
    assert with_der_limits(known, [], {ONE: 10_000.0}, 0.0).limits == ()


def test_what_was_proved_of_a_transaction_is_over_with_it() -> None:
    known = with_limit(with_limit(NOTHING, ONE, COMPOSITE_SOURCE, (limit(0.0),), 0.0), ONE, "EMS", (limit(9.0),), 0.0)
    assert [one.source for one in transaction_over(known, TransactionId("t"), ONE).limits] == ["EMS"]
    assert len(transaction_over(known, TransactionId("t"), TWO).limits) == 2


OURS = OrderInForce(power_w=-7000.0, until_s=600.0)


def shown(mode: str = "CentralSetpoint", **fields: Any) -> CompositePeriod:
    return CompositePeriod(from_s=0.0, to_s=900.0, mode=mode, **fields)


@pytest.mark.parametrize(
    ("period", "order", "proved"),
    [
        (shown(setpoint_w=-7000.0), OURS, ()),
        (shown(setpoint_w=-6900.0), OURS, ()),
        (shown(setpoint_w=-5000.0), OURS, (limit(5000.0, 0.0, 600.0),)),
        (shown("ChargingOnly"), OURS, (limit(0.0, 0.0, 600.0),)),
        (shown("ChargingOnly"), None, ()),
        (shown("ChargingOnly", discharge_limit_w=3000.0), None, (limit(3000.0, 0.0, 900.0),)),
        (shown(setpoint_w=-3000.0, discharge_limit_w=3000.0), OURS, (limit(3000.0, 0.0, 900.0),)),
        (shown("ExternalSetpoint", setpoint_w=2000.0), None, (limit(None, 0.0, 900.0, external_setpoint=True),)),
        (CompositePeriod(from_s=600.0, to_s=900.0, mode="ChargingOnly"), OURS, ()),
    ],
)
def test_k08_a_composite_schedule_only_ever_speaks_against_us(
    period: CompositePeriod, order: OrderInForce | None, proved: tuple[LimitPeriod, ...]
) -> None:
    assert shown_impossible([period], order) == proved


DYNAMIC = OrderInForce(power_w=-3700.0, until_s=3600.0, lapses_s=73.0, fallback_w=500.0)
"""A Dynamic profile with 73 s of its watchdog left, above a fallback of 500 W."""
WHOLE = CompositePeriod(from_s=0.0, to_s=73.0, mode="CentralSetpoint", setpoint_w=-3700.0)
OUR_FALLBACK = CompositePeriod(from_s=73.0, to_s=900.0, mode="ChargingOnly", charge_limit_w=500.0)


@pytest.mark.parametrize("lapses_s", [73.0, 75.5, 100.0])
def test_k08_our_own_watchdog_and_our_own_fallback_are_nobody_elses_limit(lapses_s: float) -> None:
    """The end of our Dynamic profile, then what we placed beneath: by the end itself, or by what follows where clocks disagree."""
    assert shown_impossible([WHOLE, OUR_FALLBACK], replace(DYNAMIC, lapses_s=lapses_s)) == ()


def test_k08_what_follows_our_watchdog_is_not_held_against_our_order() -> None:
    assert shown_impossible([WHOLE, replace(OUR_FALLBACK, charge_limit_w=300.0)], DYNAMIC) == ()
    assert shown_impossible([replace(OUR_FALLBACK, from_s=0.0)], replace(DYNAMIC, lapses_s=-1.0)) == ()


@pytest.mark.parametrize(
    ("periods", "proved"),
    [
        ([replace(WHOLE, to_s=40.0), replace(OUR_FALLBACK, from_s=40.0, charge_limit_w=300.0)], (limit(0.0, 40.0, 900.0),)),
        ([replace(OUR_FALLBACK, from_s=0.0)], (limit(0.0, 0.0, 900.0),)),
        ([replace(WHOLE, setpoint_w=-2000.0), OUR_FALLBACK], (limit(2000.0, 0.0, 900.0),)),
        ([WHOLE, replace(OUR_FALLBACK, discharge_limit_w=0.0)], (limit(0.0, 73.0, 900.0),)),
    ],
)
def test_k08_a_cap_of_others_on_a_dynamic_profile_is_still_seen(periods: list[CompositePeriod], proved: tuple[LimitPeriod, ...]) -> None:
    """Before our end, instead of our order, in part (and then for longer than the watchdog), or said outright."""
    assert shown_impossible(periods, DYNAMIC) == proved
