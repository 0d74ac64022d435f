"""One setpoint on its way: what is left of its schedule, and what fits into a station."""

from typing import Any

from counterflow.app.dispatching.setpoint_commands import Placing, PlacingSettings, cut, place_discharge
from counterflow.domain.ids import ProfileId
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import PowerStep

NOW_S = 10_000.0
LATER = (PowerStep(from_s=NOW_S + 100.0, power_w=-2_000.0), PowerStep(from_s=NOW_S + 200.0, power_w=-6_000.0))


def placing(**changes: Any) -> Placing:
    order: dict[str, Any] = {
        "uid": 7, "station_id": "S1", "evse_id": 1, "transaction_id": "tx", "control_mode": ControlMode.SETPOINT, "max_stack_level": 9,
        "above_level": None, "max_offline_supported": True, "power_w": -5_000.0, "discharge_until_s": NOW_S + 300.0,
        "hold_until_s": NOW_S + 340.0, "fallback_power_w": 2_000.0, "dispatch_id": "d", "reason": "", "urgent": False, "later": LATER,
    }  # fmt: skip
    return Placing(**order | changes)


def test_periods_that_have_begun_make_the_first_one() -> None:
    assert placing().at(NOW_S + 99.0) == placing()
    left = placing().at(NOW_S + 150.0)
    assert (left.power_w, left.later, left.discharge_until_s) == (-2_000.0, LATER[1:], NOW_S + 300.0)
    assert placing().at(NOW_S + 250.0).later == ()
    assert placing().strongest_w == -6_000.0
    assert placing(power_w=0.0, later=()).strongest_w == 0.0


def test_a_station_that_takes_few_periods_is_told_no_more_and_does_not_run_on() -> None:
    assert cut(placing(), 2) == placing()
    shorter = cut(placing(), 1)
    assert (shorter.later, shorter.discharge_until_s, shorter.hold_until_s) == (LATER[:1], NOW_S + 200.0, NOW_S + 240.0)
    alone = cut(placing(), 0)
    assert (alone.later, alone.discharge_until_s, alone.hold_until_s) == ((), NOW_S + 100.0, NOW_S + 140.0)


def test_the_command_carries_the_periods() -> None:
    command = place_discharge(placing(), ProfileId(1), 8, PlacingSettings(), NOW_S)
    assert (command.power_w, command.later, command.watchdog_s) == (-5_000.0, LATER, None)
