"""A car's own plan against our orders."""

from typing import Any

import pytest

from counterflow.domain.commands import ProfileKind
from counterflow.domain.ids import EvseId, ProfileId, SessionUid, StationId, TransactionId
from counterflow.domain.records import ProfileRecord, ProfileState
from counterflow.domain.setpoints import PowerStep
from counterflow.domain.telemetry import PlannedPower
from counterflow.engine.control.ev_schedule import bounds_of, disagreement

T = 1_795_366_800.0


def record(kind: ProfileKind, power_w: float, **fields: Any) -> ProfileRecord:
    usual = {
        "station_id": StationId("A"),
        "profile_id": ProfileId(1),
        "session_uid": SessionUid(1),
        "evse_id": EvseId(1),
        "transaction_id": TransactionId("t"),
        "state": ProfileState.PLACED,
        "placed_at_s": T,
        "discharge_until_s": T + 600.0,
        "hold_until_s": T + 660.0,
    }
    return ProfileRecord(kind=kind, power_w=power_w, **(usual | fields))


ORDERS = [record(ProfileKind.DISCHARGE, -5_000.0), record(ProfileKind.FALLBACK, 7_000.0)]


def plan(*steps: tuple[float, float]) -> list[PlannedPower]:
    ends = [*(from_s for from_s, _ in steps[1:]), 3_600.0]
    return [PlannedPower(from_s=T + from_s, until_s=T + end, power_w=power_w) for (from_s, power_w), end in zip(steps, ends, strict=True)]


def says(steps: list[PlannedPower], tolerance: float = 0.0, now_s: float = T) -> str | None:
    return disagreement(steps, bounds_of(ORDERS), now_s, tolerance)


def test_k17_our_own_schedule_echoed_is_within_it() -> None:
    assert says(plan((0.0, -5_000.0), (600.0, 0.0), (660.0, 7_000.0))) is None


def test_k17_less_than_we_ask_is_within_it() -> None:
    assert says(plan((0.0, -2_000.0), (600.0, 0.0), (660.0, 3_000.0))) is None


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        (plan((0.0, -6_000.0)), "-6.0 kW"),
        (plan((0.0, 3_000.0)), "3.0 kW from 2026-11-22T17:00:00Z, where -5.0 kW to 0 W"),
        (plan((0.0, -5_000.0)), "where 0 W to 0 W"),
        (plan((0.0, -5_000.0), (600.0, 0.0), (660.0, 9_000.0)), "where 0 W to 7.0 kW"),
        (plan((0.0, -5_000.0), (600.0, 0.0), (660.0, -500.0)), "-500 W"),
    ],
)
def test_k17_what_leaves_our_schedule_is_named(steps: list[PlannedPower], named: str) -> None:
    sentence = says(steps)
    assert sentence is not None
    assert named in sentence


def test_a_tolerant_car_may_miss_by_a_little() -> None:
    steps = plan((0.0, -5_200.0), (600.0, 0.0), (660.0, 7_200.0))
    assert says(steps) is not None
    assert says(steps, tolerance=0.05) is None


def test_the_past_does_not_count() -> None:
    assert says(plan((0.0, 9_000.0), (300.0, -5_000.0), (600.0, 0.0)), now_s=T + 300.0) is None


def test_without_an_order_of_ours_charging_is_free_and_discharge_is_not() -> None:
    assert disagreement(plan((0.0, 22_000.0)), bounds_of([]), T, 0.0) is None
    sentence = disagreement(plan((0.0, -1_000.0)), bounds_of([]), T, 0.0)
    assert sentence is not None
    assert "any charging" in sentence


def test_a_profile_that_is_being_cleared_does_not_count() -> None:
    gone = [record(ProfileKind.DISCHARGE, -5_000.0, state=ProfileState.CLEARING)]
    assert disagreement(plan((0.0, 11_000.0)), bounds_of(gone), T, 0.0) is None


def test_k17_each_period_of_a_schedule_is_a_bound_of_its_own() -> None:
    later = (PowerStep(from_s=T + 200.0, power_w=-1_000.0), PowerStep(from_s=T + 400.0, power_w=-6_000.0))
    bounds = bounds_of([record(ProfileKind.DISCHARGE, -5_000.0, later=later), ORDERS[1]])
    echoed = plan((0.0, -5_000.0), (200.0, -1_000.0), (400.0, -6_000.0), (600.0, 0.0), (660.0, 7_000.0))
    assert disagreement(echoed, bounds, T, 0.0) is None
    said = disagreement(plan((0.0, -5_000.0), (400.0, -6_000.0)), bounds, T, 0.0)
    assert said is not None
    assert "-5.0 kW from 2026-11-22T17:03:20Z, where -1.0 kW to 0 W" in said
