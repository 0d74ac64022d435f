"""Cars in ISO 15118-20 ScheduledControl are the base of a dispatch and are changed seldom: each change is a renegotiation (5.5)."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.reasons import ChangeReason
from counterflow.domain.setpoints import SetpointState

NOW_S = 1_800_000_000.0
SCHEDULED = [True, True, False, False, False, False]


def levels(decision: Any) -> dict[int, float]:
    return {change.row: -change.power_w for change in decision.changes}


def running(levels_w: list[float], **columns: Any) -> dict[str, Any]:
    level = np.asarray(levels_w)
    return {
        "setpoint_w": -level,
        "setpoint_at_s": NOW_S,
        "previous_setpoint_w": -level,
        "discharge_until_s": NOW_S + 900.0,
        "hold_until_s": NOW_S + 950.0,
        "setpoint_state": SetpointState.ACCEPTED,
        "power_w": -0.95 * level,
        "scheduled_control": SCHEDULED,
    } | columns


def test_they_are_taken_first(desk: Any, image: Any) -> None:
    decision = desk(target_w=18_000.0).look(image(6, power_w=0.0, scheduled_control=SCHEDULED))
    asked = levels(decision)
    assert asked[0] == asked[1] == 7_000.0
    assert sum(power_w > 0.0 for power_w in asked.values()) == 3


@pytest.mark.parametrize("target_w", [7_000.0, 26_000.0])
def test_a_new_target_moves_the_others_only_until_they_have_rested(desk: Any, image: Any, target_w: float) -> None:
    at_work = desk(target_w=18_000.0)
    first = levels(at_work.look(image(6, power_w=0.0, scheduled_control=SCHEDULED)))
    now = [first.get(row, 0.0) for row in range(6)]
    at_work.target_w = target_w
    soon = at_work.look(image(6, now_s=NOW_S + 60.0, **running(now)))
    assert soon.changes
    assert {change.row for change in soon.changes}.isdisjoint({0, 1})


def test_after_their_rest_they_follow_too(desk: Any, image: Any) -> None:
    at_work = desk(target_w=18_000.0)
    first = levels(at_work.look(image(6, power_w=0.0, scheduled_control=SCHEDULED)))
    at_work.target_w = 3_000.0
    late = at_work.look(image(6, now_s=NOW_S + 301.0, **running([first.get(row, 0.0) for row in range(6)])))
    assert {0, 1} & {change.row for change in late.changes}


def test_safety_waits_for_nobody(desk: Any, image: Any) -> None:
    at_work = desk(target_w=18_000.0)
    first = levels(at_work.look(image(6, power_w=0.0, scheduled_control=SCHEDULED)))
    now = running([first.get(row, 0.0) for row in range(6)])
    capped = at_work.look(image(6, now_s=NOW_S + 10.0, external_discharge_w=[3_000.0, *[np.nan] * 5], **now))
    assert levels(capped)[0] == 3_000.0
    assert next(change.reason for change in capped.changes if change.row == 0) is ChangeReason.FLOOR_OR_DEPARTURE
