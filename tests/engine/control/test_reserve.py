"""Who holds how much of a band that stations follow by curves of their own (aFRR, local frequency)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from counterflow.domain.ids import ALL_SITES, DispatchId
from counterflow.domain.instructions import AllocationPolicy, ControlPath, DispatchInstruction, DispatchMode, TargetStep
from counterflow.domain.reasons import ChangeReason, DropOutKind
from counterflow.domain.resources import ControlMode, Site
from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.decision import Decision, DispatchTask, TaskMemory
from counterflow.engine.control.reserve import reserve
from counterflow.engine.control.response import ResponseMemory
from counterflow.engine.control.settings import ControlSettings, ResponseSettings
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.endurance import Stamina, endurance_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.fleet.topology import Topology

NOW_S = 1_800_000_000.0
GAIN = 0.95
"""Assumed before anything is learned."""
PLAIN = CapabilitySettings()


@dataclass
class Pool:
    """One dispatch with a band, look by look."""

    band_w: float = GAIN * 14_000.0
    path: ControlPath = ControlPath.AFRR
    mode: DispatchMode = DispatchMode.GROSS_EXPORT
    duration_s: float = 900.0
    sites: tuple[Site, ...] = ()
    busy: Any = False
    memory: TaskMemory = field(default_factory=TaskMemory.fresh)

    def look(self, image: FleetImage, steered: Any = True, share: float = 1.0) -> Decision:
        """Decide at the image's own time."""
        topology = Topology(self.sites)
        end_s = NOW_S + self.duration_s
        instruction = DispatchInstruction(
            dispatch_id=DispatchId("d"),
            start_s=NOW_S,
            end_s=end_s,
            steps=(TargetStep(from_s=NOW_S, discharge_power_w=self.band_w),),
            pool=ALL_SITES,
            policy=AllocationPolicy.HYBRID,
            mode=self.mode,
            priority=0,
            accepted_at_s=NOW_S,
            control_path=self.path,
        )
        rows = len(image)
        decision = reserve(
            image,
            DispatchTask(instruction=instruction, busy=np.zeros(rows, dtype=bool) | self.busy, other_export_w=np.zeros(topology.groups)),
            self.memory,
            ResponseMemory.fresh(rows, ResponseSettings()),
            image.at_s,
            topology,
            PLAIN,
            ControlSettings(),
            able=capability(image, image.at_s, end_s, PLAIN),
            steered=np.zeros(rows, dtype=bool) | steered,
            share=share,
        )
        self.memory = decision.memory
        return decision


def held(told_w: list[float], **columns: Any) -> dict[str, Any]:
    """Cars whose stations have accepted these powers (NaN = nothing), by curve."""
    told = np.asarray(told_w)
    runs = ~np.isnan(told)
    return {
        "setpoint_w": -told, "previous_setpoint_w": -told, "setpoint_at_s": np.where(runs, NOW_S, np.nan),
        "discharge_until_s": np.where(runs, NOW_S + 900.0, np.nan), "hold_until_s": np.where(runs, NOW_S + 950.0, np.nan),
        "setpoint_state": np.where(runs, SetpointState.ACCEPTED, SetpointState.NONE), "self_steered": runs, "power_w": 0.0,
    } | columns  # fmt: skip


def told(decision: Decision) -> dict[int, float]:
    return {change.row: -change.power_w for change in decision.changes}


def test_the_band_is_filled_by_those_that_hold_most_and_the_last_one_with_what_is_missing(image: Any) -> None:
    pool = Pool(band_w=GAIN * 12_000.0)
    decision = pool.look(image(4, power_w=0.0, max_discharge_w=[3_000.0, 7_000.0, 4_000.0, 6_000.0]))
    assert told(decision) == pytest.approx({1: 7_000.0, 3: 5_000.0})
    assert all(change.by_curve and change.reason is ChangeReason.START for change in decision.changes)
    assert decision.figures.shortfall_w == pytest.approx(0.0, abs=1e-6)
    assert decision.figures.discharging == 2


def test_the_last_part_is_at_least_what_its_car_can_do(image: Any) -> None:
    decision = Pool(band_w=GAIN * 7_500.0).look(image(2, power_w=0.0, min_discharge_w=2_000.0))
    assert told(decision) == pytest.approx({0: 7_000.0, 1: 2_000.0})


def test_a_car_holds_what_it_could_keep_up_until_the_end(image: Any) -> None:
    capped = image(2, power_w=0.0, export_limit_wh=[np.inf, 600.0])
    decision = Pool(band_w=1e6).look(capped)
    until_s = {change.row: change.discharge_until_s for change in decision.changes}
    assert told(decision)[0] == 7_000.0
    assert 1_000.0 < told(decision)[1] < 2_400.0
    assert until_s[1] == pytest.approx(NOW_S + 900.0, abs=1.0)
    assert decision.figures.shortfall_w == pytest.approx(1e6 - GAIN * sum(told(decision).values()))


def test_cars_that_find_their_power_by_themselves_come_first_and_others_follow_by_setpoints(image: Any) -> None:
    decision = Pool(band_w=GAIN * 9_000.0).look(image(2, power_w=0.0, max_discharge_w=[7_000.0, 4_000.0]), [False, True], share=0.5)
    assert told(decision) == pytest.approx({1: 4_000.0, 0: 2_500.0})
    assert {change.row: change.by_curve for change in decision.changes} == {0: False, 1: True}
    assert decision.figures.target_w == pytest.approx(0.5 * GAIN * 9_000.0)
    assert decision.figures.expected_w == pytest.approx(0.5 * GAIN * 9_000.0)
    assert decision.figures.headroom_w == pytest.approx(0.5 * GAIN * 9_000.0)


def test_local_frequency_takes_only_cars_that_find_their_power_by_themselves(image: Any) -> None:
    decision = Pool(path=ControlPath.LOCAL_FREQUENCY).look(image(3, power_w=0.0), [True, False, False])
    assert told(decision) == {0: 7_000.0}
    assert decision.figures.shortfall_w == pytest.approx(GAIN * 7_000.0)


def test_local_frequency_gives_back_a_car_that_does_not_follow_a_curve_any_more_and_replaces_it(image: Any) -> None:
    pool = Pool(path=ControlPath.LOCAL_FREQUENCY)
    pool.look(image(3, power_w=0.0))
    decision = pool.look(image(3, now_s=NOW_S + 20.0, **held([7_000.0, 7_000.0, np.nan])), [False, True, True])
    assert [(release.row, release.reason) for release in decision.releases] == [(0, ChangeReason.WITHDRAWN)]
    assert told(decision) == {2: 7_000.0}


def test_afrr_keeps_such_a_car_by_setpoints(image: Any) -> None:
    pool = Pool()
    pool.look(image(2, power_w=0.0))
    decision = pool.look(image(2, now_s=NOW_S + 20.0, **held([7_000.0, 7_000.0])), [False, True], share=0.4)
    assert decision.releases == ()
    assert told(decision) == pytest.approx({0: 2_800.0})
    assert not decision.changes[0].by_curve


def test_who_holds_his_part_is_left_alone(image: Any) -> None:
    pool = Pool()
    pool.look(image(3, power_w=0.0))
    for share in (0.1, 1.0, 0.0):
        assert pool.look(image(3, now_s=NOW_S + 60.0, **held([7_000.0, 7_000.0, np.nan])), share=share).changes == ()


def test_a_car_that_is_lost_is_made_good(image: Any) -> None:
    pool = Pool()
    pool.look(image(3, power_w=0.0))
    decision = pool.look(image(3, now_s=NOW_S + 20.0, **held([7_000.0, 7_000.0, np.nan]), evse_fault=[True, False, False]))
    assert [gone.kind for gone in decision.left] == [DropOutKind.FAULTED]
    assert told(decision) == {2: 7_000.0}
    assert decision.changes[0].reason is ChangeReason.TARGET_CHANGED


def test_a_cap_makes_a_part_smaller_and_another_car_makes_it_good(image: Any) -> None:
    pool = Pool()
    pool.look(image(3, power_w=0.0))
    capped = held([7_000.0, 7_000.0, np.nan], external_discharge_w=[3_000.0, np.nan, np.nan])
    assert told(pool.look(image(3, now_s=NOW_S + 20.0, **capped))) == pytest.approx({0: 3_000.0, 2: 4_000.0})


@pytest.mark.parametrize("state", [SetpointState.UNKNOWN, SetpointState.REJECTED])
def test_an_order_of_unknown_fate_is_sent_again_but_not_at_once(image: Any, state: SetpointState) -> None:
    pool = Pool()
    pool.look(image(2, power_w=0.0))
    doubtful = held([7_000.0, 7_000.0], setpoint_state=[state, SetpointState.ACCEPTED])
    assert pool.look(image(2, now_s=NOW_S + 5.0, **doubtful)).changes == ()
    assert told(pool.look(image(2, now_s=NOW_S + 15.0, **doubtful))) == {0: 7_000.0}


def test_an_order_that_would_outlast_an_amended_window_is_sent_again(image: Any) -> None:
    pool = Pool()
    pool.look(image(2, power_w=0.0))
    pool.duration_s = 300.0
    decision = pool.look(image(2, now_s=NOW_S + 20.0, **held([7_000.0, 7_000.0])))
    assert {change.discharge_until_s for change in decision.changes} == {NOW_S + 300.0}
    assert len(decision.changes) == 2


def test_nothing_is_sent_to_a_station_that_is_away_nor_after_the_end(image: Any) -> None:
    pool = Pool()
    pool.look(image(2, power_w=0.0))
    pool.duration_s = 300.0
    away = held([7_000.0, 7_000.0], connected=[False, True])
    assert set(told(pool.look(image(2, now_s=NOW_S + 20.0, **away)))) == {1}
    assert pool.look(image(2, now_s=NOW_S + 301.0, **held([7_000.0, 7_000.0]))).changes == ()


def test_cars_that_others_hold_and_cars_that_are_not_ready_take_no_part(image: Any) -> None:
    pool = Pool(band_w=1e6, busy=[True, False, False])
    assert set(told(pool.look(image(3, power_w=0.0, consent=[True, False, True])))) == {2}


def test_i3_the_band_keeps_to_a_sites_limit_at_its_worst(image: Any) -> None:
    pool = Pool(band_w=1e6, sites=(Site(site_id="default", max_export_power_w=10_000.0),))
    decision = pool.look(image(4, power_w=0.0), share=0.0)
    assert sum(told(decision).values()) <= 10_000.0
    assert sum(told(decision).values()) >= 9_999.0
    full = held([7_000.0, 3_000.0, np.nan, np.nan])
    assert pool.look(image(4, now_s=NOW_S + 20.0, **full), share=0.0).changes == ()


def test_decision_3_a_weaker_power_that_is_asked_now_makes_no_end_later(image: Any) -> None:
    """The end is that of the whole band: a car without a curve may be told all of it before the next look."""
    pool = Pool(band_w=GAIN * 7_000.0, duration_s=3 * 3_600.0)
    begins = {"export_limit_wh": np.inf, "departure_s": NOW_S + 12 * 3_600.0}
    first = pool.look(image(1, power_w=0.0, soc_frac=0.9, **begins), False, share=1.0)
    band_w = told(first)[0]
    later = image(1, now_s=NOW_S + 60.0, soc_frac=0.45, **held([band_w], self_steered=False), **begins)
    [change] = pool.look(later, False, share=0.1).changes
    assert -change.power_w == pytest.approx(0.1 * band_w)
    able = capability(later, later.at_s, NOW_S + pool.duration_s, PLAIN)
    whole_s, weak_s = (float(endurance_s(Stamina.of(later, able), np.array([w]), later.at_s, PLAIN)[0]) for w in (band_w, 0.1 * band_w))
    assert change.discharge_until_s == pytest.approx(later.at_s + whole_s)
    assert whole_s < 0.5 * weak_s


def test_figures_speak_of_meters_that_speak(image: Any) -> None:
    pool = Pool()
    pool.look(image(2, power_w=0.0))
    measured = held([7_000.0, 7_000.0], power_w=[-3_000.0, np.nan])
    figures = pool.look(image(2, now_s=NOW_S + 20.0, **measured), share=0.5).figures
    assert figures.measured_w == 3_000.0
    assert figures.unmeasured == 1
    assert (figures.members, figures.discharging, figures.reserve) == (2, 2, 0)


def test_a_curve_is_replaced_by_a_setpoint_of_the_same_power_where_it_is_not_followed_any_more(image: Any) -> None:
    pool = Pool()
    pool.look(image(2, power_w=0.0))
    [change] = pool.look(image(2, now_s=NOW_S + 20.0, **held([7_000.0, 7_000.0])), [False, True]).changes
    assert (change.row, change.power_w, change.by_curve) == (0, -7_000.0, False)


@pytest.mark.parametrize("path", [ControlPath.AFRR, ControlPath.LOCAL_FREQUENCY])
def test_a_car_that_can_only_charge_less_has_no_part_in_a_band(image: Any, path: ControlPath) -> None:
    post = {"pausing": True, "control_mode": [ControlMode.CHARGE_ONLY, ControlMode.SETPOINT], "power_w": 7_000.0}
    decision = Pool(path=path, mode=DispatchMode.RELATIVE).look(image(2, **post))
    assert [row for row, _ in decision.joined] == [1]
    assert [change.row for change in decision.changes] == [1]
