"""Who is in the group, who dropped out and how."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.instructions import DispatchMode
from counterflow.domain.reasons import ChangeReason, DropOutKind
from counterflow.domain.resources import Site
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.telemetry import TransactionPhase

NOW_S = 1_800_000_000.0
RUNNING: dict[str, Any] = {
    "setpoint_w": -7_000.0,
    "setpoint_at_s": NOW_S,
    "discharge_until_s": NOW_S + 900.0,
    "hold_until_s": NOW_S + 950.0,
    "setpoint_state": SetpointState.ACCEPTED,
    "power_w": -6_650.0,
}


def started(desk: Any, image: Any, **given: Any) -> Any:
    """A desk that has dispatched two cars at full power."""
    at_work = desk(target_w=13_300.0, **given)
    assert len(at_work.look(image(2, power_w=0.0)).joined) == 2
    return at_work


def test_the_ready_sessions_of_the_pool_join_at_the_start(desk: Any, image: Any) -> None:
    decision = desk().look(image(4, consent=[True, True, False, True], uid=[1, 2, 3, 0]))
    assert decision.joined == ((0, 1), (1, 2))
    assert decision.memory.members() == (1, 2)


def test_sessions_of_other_dispatches_and_pools_are_left_alone(desk: Any, image: Any) -> None:
    at_work = desk(busy=np.array([True, False, False]), sites=(Site(site_id="north"),))
    assert [row for row, _ in at_work.look(image(3)).joined] == [1, 2]


def test_a_session_that_becomes_ready_later_joins_as_reserve(desk: Any, image: Any) -> None:
    at_work = started(desk, image)
    decision = at_work.look(image(3, now_s=NOW_S + 4.0, **RUNNING | {"setpoint_w": [-7_000.0, -7_000.0, np.nan]}))
    assert decision.joined == ((2, 3),)
    assert [(change.row, change.power_w, change.reason) for change in decision.changes] == [(2, 0.0, ChangeReason.RESERVE)]


@pytest.mark.parametrize(
    ("columns", "kind", "released"),
    [
        ({"phase": TransactionPhase.SUSPENDED_EV}, DropOutKind.SUSPENDED, ChangeReason.DROP_OUT),
        ({"phase": TransactionPhase.IDLE}, DropOutKind.EV_GONE, ChangeReason.DROP_OUT),
        ({"evse_fault": True}, DropOutKind.FAULTED, ChangeReason.DROP_OUT),
        ({"grid_fault": True}, DropOutKind.FAULTED, ChangeReason.DROP_OUT),
        ({"consent": False}, DropOutKind.WITHDRAWN, ChangeReason.WITHDRAWN),
        ({"priority_charging": True}, DropOutKind.WITHDRAWN, ChangeReason.WITHDRAWN),
        ({"external_discharge_w": 0.0}, DropOutKind.WITHDRAWN, ChangeReason.WITHDRAWN),
        ({"last_sample_s": NOW_S - 60.0}, DropOutKind.SILENT, None),
        ({"excluded_until_s": NOW_S + 600.0}, DropOutKind.REFUSED, None),
        ({"departure_s": NOW_S + 1_000.0}, DropOutKind.MUST_CHARGE, ChangeReason.FLOOR_OR_DEPARTURE),
        ({"connected": False, "last_sample_s": NOW_S - 60.0}, DropOutKind.OFFLINE, None),
        ({"connected": False, "discharge_until_s": NOW_S + 1.0, "hold_until_s": NOW_S + 2.0}, DropOutKind.OFFLINE, None),
    ],
)
def test_a_member_that_cannot_be_steered_leaves_once(
    desk: Any, image: Any, columns: dict[str, Any], kind: DropOutKind, released: ChangeReason | None
) -> None:
    at_work = started(desk, image)
    changed = {name: np.array([value, RUNNING.get(name, getattr(image(1), name)[0])]) for name, value in columns.items()}
    picture = image(2, now_s=NOW_S + 4.0, **RUNNING | {"last_sample_s": NOW_S + 3.0} | changed)
    if "last_sample_s" in columns:
        picture = image(2, now_s=NOW_S + 4.0, **RUNNING | changed | {"last_sample_s": [columns["last_sample_s"], NOW_S + 3.0]})
    decision = at_work.look(picture)
    assert [(departure.uid, departure.kind, departure.counted) for departure in decision.left] == [(1, kind, True)]
    assert decision.left[0].lost_w == pytest.approx(0.95 * 7_000.0)
    assert [(release.row, release.reason) for release in decision.releases] == ([] if released is None else [(0, released)])
    again = at_work.look(picture)
    assert again.left == ()
    assert again.releases == ()
    assert again.figures.members == 2


def test_a_session_that_ended_is_gone_for_good(desk: Any, image: Any) -> None:
    at_work = started(desk, image)
    decision = at_work.look(image(2, now_s=NOW_S + 4.0, uid=[0, 2], **RUNNING))
    assert [(departure.uid, departure.kind, departure.counted) for departure in decision.left] == [(1, DropOutKind.ENDED, False)]
    assert decision.memory.members() == (2,)


def test_a_row_taken_by_another_session_is_a_departure_and_a_newcomer(desk: Any, image: Any) -> None:
    at_work = started(desk, image)
    columns = RUNNING | {"setpoint_w": [np.nan, -7_000.0]}
    decision = at_work.look(image(2, now_s=NOW_S + 4.0, uid=[9, 2], **columns))
    assert [(departure.uid, departure.kind) for departure in decision.left] == [(1, DropOutKind.ENDED)]
    assert decision.joined == ((0, 9),)


def test_a_lost_socket_alone_is_no_loss_of_power(desk: Any, image: Any) -> None:
    at_work = started(desk, image)
    decision = at_work.look(image(2, now_s=NOW_S + 4.0, connected=[False, True], **RUNNING))
    assert decision.left == ()
    assert decision.changes == ()
    assert decision.figures.expected_w == pytest.approx(2 * 0.95 * 7_000.0)


def test_a_car_at_its_floor_is_held_but_stays(desk: Any, image: Any) -> None:
    at_work = started(desk, image)
    decision = at_work.look(image(2, now_s=NOW_S + 4.0, soc_frac=[0.31, 0.85], **RUNNING))
    assert decision.left == ()
    change = decision.changes[0]
    assert (change.row, change.power_w, change.reason, change.urgent) == (0, 0.0, ChangeReason.FLOOR_OR_DEPARTURE, True)


def test_a_silent_member_that_is_heard_again_counts_at_once(desk: Any, image: Any) -> None:
    at_work = started(desk, image)
    silent = at_work.look(image(2, now_s=NOW_S + 40.0, last_sample_s=[NOW_S, NOW_S + 39.0], **RUNNING))
    assert [departure.kind for departure in silent.left] == [DropOutKind.SILENT]
    assert silent.figures.measured_w == pytest.approx(6_650.0)
    back = at_work.look(image(2, now_s=NOW_S + 44.0, last_sample_s=NOW_S + 43.0, **RUNNING))
    assert back.joined == ((0, 1),)
    assert back.figures.measured_w == pytest.approx(13_300.0)


def test_members_that_must_charge_belong_to_a_net_export_from_the_start(desk: Any, image: Any) -> None:
    columns = {"departure_s": [NOW_S + 1_000.0, NOW_S + 36_000.0, NOW_S + 36_000.0], "power_w": [5_000.0, 0.0, 0.0]}
    net = desk(target_w=6_650.0).look(image(3, **columns))
    assert net.figures.members == 3
    assert net.figures.expected_w == pytest.approx(6_650.0, abs=500.0)
    assert sum(-change.power_w for change in net.changes) == pytest.approx((6_650.0 + 5_000.0) / 0.95, rel=0.01)
    gross = desk(target_w=6_650.0, mode=DispatchMode.GROSS_EXPORT).look(image(3, **columns))
    assert gross.figures.members == 2
