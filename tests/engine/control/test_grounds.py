"""The figures behind each change of a tick."""

from typing import Any

import pytest

from counterflow.domain.instructions import DispatchMode
from counterflow.domain.reasons import Bound, EndedBy, Reason
from counterflow.domain.resources import ControlMode
from counterflow.engine.control import grounds

START_S = 1_800_000_000.0


def whys(decision: Any) -> list[Any]:
    return list(decision.grounds.of(decision.changes))


def test_at_the_start_each_change_tells_target_gap_size_and_end(desk: Any, image: Any) -> None:
    decision = desk(target_w=9_000.0).look(image(4, power_w=0.0))
    given = [(change, why) for change, why in zip(decision.changes, whys(decision), strict=True) if change.power_w < 0.0]
    assert given
    assert {(why.target_w, why.gap_w, why.reason) for _, why in given} == {(9_000, 9_000, Reason.READY)}
    bounds = [why.bound for _, why in given]
    assert bounds.count(Bound.TARGET) <= 1
    assert set(bounds) <= {Bound.TARGET, Bound.OWN_POWER, Bound.LEAST_POWER}
    assert {why.ended_by for _, why in given} == {EndedBy.WINDOW}
    assert {why.was_w for _, why in given} == {None}


def test_whoever_runs_out_of_energy_before_the_window_ends_is_told_so(desk: Any, image: Any) -> None:
    decision = desk(target_w=7_000.0, duration_s=7_200.0).look(image(1, power_w=0.0, soc_frac=0.45))
    assert decision.changes[0].discharge_until_s < START_S + 7_000.0
    assert [why.ended_by for why in whys(decision)] == [EndedBy.ENERGY]


def test_a_limit_to_charging_says_that_it_is_one(desk: Any, image: Any) -> None:
    cars = image(3, control_mode=ControlMode.CHARGE_ONLY, pausing=True, power_w=11_000.0, max_charge_w=11_000.0)
    decision = desk(mode=DispatchMode.RELATIVE, target_w=17_000.0).look(cars)
    assert {why.bound for why in whys(decision)} == {Bound.CHARGING}


def test_nothing_changed_has_no_figures(desk: Any, image: Any) -> None:
    decision = desk(target_w=0.0).look(image(2, power_w=0.0))
    assert decision.changes == ()
    assert whys(decision) == []


def test_the_place_in_the_order_of_merit_is_the_same_however_it_is_found(desk: Any, image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk(target_w=20_000.0)
    at.look(image(30, power_w=0.0))
    at.target_w = 90_000.0
    decision = at.look(image(30, power_w=0.0))
    counted = [(why.place, why.ranked) for why in whys(decision)]
    monkeypatch.setattr(grounds, "_COUNTED_EACH", 0)
    assert [(why.place, why.ranked) for why in whys(decision)] == counted
    assert {ranked for _, ranked in counted} == {30}
    assert min(place for place, _ in counted) >= 1
