"""The trackers that ours is measured against: selectable, and no more than what they are said to be."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.domain.resources import Site
from counterflow.engine.control.settings import ControlSettings, Tracker


def levels_w(decision: Any) -> dict[int, float]:
    return {change.row: -change.power_w for change in decision.changes}


def played(loop: Any, tracker: Tracker, seconds: int = 200, share: float = 0.6, **options: Any) -> Any:
    at_work = loop(cars=100, seed=1, settings=ControlSettings(tracker=tracker), **options)
    at_work.order([(0.0, share * float(at_work.plant.cap_w.sum()))], float(seconds))
    return at_work, at_work.play(seconds)


@pytest.mark.parametrize("tracker", [Tracker.OPEN_LOOP, Tracker.OPEN_LOOP_REPLAN, Tracker.PI])
def test_a_baseline_asks_every_car_for_the_same_share(loop: Any, tracker: Tracker) -> None:
    at_work, run = played(loop, tracker, seconds=8)
    first = levels_w(run.decisions[0][1])
    shares = np.array([level / at_work.plant.cap_w[row] for row, level in first.items()])
    assert len(first) == 100
    assert np.ptp(shares) < 1e-9


def test_the_open_loop_asks_once_and_never_corrects(loop: Any) -> None:
    _, run = played(loop, Tracker.OPEN_LOOP)
    assert sum(len(decision.changes) for _, decision in run.decisions[1:]) <= 3  # orders that got lost are sent again
    assert run.error(100, 200).mean() < -0.04


def test_pi_closes_the_gap_by_moving_everybody(loop: Any) -> None:
    _, run = played(loop, Tracker.PI, seconds=400)
    assert abs(float(run.error(200, 400).mean())) < 0.02
    assert run.messages() > 300


def test_pi_does_not_wind_up_where_no_more_can_be_asked(loop: Any) -> None:
    at_work = loop(cars=100, seed=1, settings=ControlSettings(tracker=Tracker.PI))
    most_w = float(at_work.plant.cap_w.sum())
    at_work.order([(0.0, 1.5 * most_w), (200.0, 0.5 * most_w)], 400.0)
    run = at_work.play(400)
    assert abs(float(run.error(340, 395).mean())) < 0.03


def test_baselines_keep_site_limits(loop: Any) -> None:
    sites = (Site(site_id="s0", max_export_power_w=100_000.0), Site(site_id="s1"))
    at_work, _ = played(loop, Tracker.PI, share=0.8, sites=sites)
    asked_w = np.bincount(at_work.plant.columns["site"], weights=np.nan_to_num(-at_work.plant.columns["setpoint_w"]), minlength=3)
    assert asked_w[1] <= 100_000.0 + 1.0


def test_the_tracker_is_a_setting() -> None:
    assert ControlSettings().tracker is Tracker.LEARNED
    assert replace(ControlSettings(), tracker=Tracker.PI).tracker is Tracker.PI
