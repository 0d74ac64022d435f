"""Connection, discovery, faults and other actors."""

from math import isnan
from typing import Any

import pytest

from counterflow.domain.conflicts import Conflict, DischargeCap
from counterflow.domain.ids import ConnectorId, EvseId, SessionUid, StationId, TransactionId
from counterflow.domain.reasons import DropOutKind
from counterflow.domain.resources import ControlMode
from counterflow.domain.telemetry import (
    Availability,
    EvseStatusChanged,
    GridFaultReported,
    PriorityChargingChanged,
)

Yard = Any
"""`conftest.Yard`; tests share code through fixtures only."""
A = StationId("A")


def status(yard: Yard, availability: Availability, evse: int = 1, connector: int = 1, at: float = 0.0) -> Any:
    event = EvseStatusChanged(station_id=A, evse_id=EvseId(evse), connector_id=ConnectorId(connector), at_s=at, availability=availability)
    return yard.state.apply(event, at)


def alarm(yard: Yard, control_type: str, ended: bool = False) -> Any:
    return yard.state.apply(GridFaultReported(station_id=A, at_s=0.0, control_type=control_type, ended=ended), 0.0)


def test_a_cut_line_takes_all_sessions_out_but_their_orders_stay(yard: Yard) -> None:
    yard.ready()
    yard.start("t2", evse=2)
    yard.state.setpoint_sent(1, -7000.0, 0.0, 900.0, 960.0)
    applied = yard.disconnect()
    assert applied.left == ((1, DropOutKind.OFFLINE), (2, DropOutKind.OFFLINE))
    assert applied.wake
    assert not yard.cell("connected")
    assert yard.cell("setpoint_w") == -7000.0
    assert isnan(yard.cell("last_sample_s"))
    assert yard.disconnect().left == ()


def test_a_station_that_is_back_needs_a_fresh_sample(yard: Yard) -> None:
    yard.ready()
    yard.disconnect()
    assert yard.connect().wake
    assert yard.cell("connected")
    assert isnan(yard.cell("last_sample_s"))
    yard.sample(at=5.0, power_w=0.0, offline=True)
    assert isnan(yard.cell("last_sample_s"))
    yard.sample(at=6.0, power_w=0.0)
    assert not isnan(yard.cell("last_sample_s"))


def test_a_station_without_sessions_wakes_nobody(yard: Yard) -> None:
    assert not yard.connect().wake
    assert not yard.discover().wake
    assert not yard.disconnect().wake


def test_discovery_says_how_an_evse_is_told_and_what_it_is_rated(yard: Yard) -> None:
    yard.start()
    assert yard.cell("control_mode") == ControlMode.UNKNOWN
    assert yard.discover(mode=ControlMode.DYNAMIC, rated_w=5000.0).wake
    assert yard.cell("control_mode") == ControlMode.DYNAMIC
    assert yard.cell("max_discharge_w") == 4500.0
    yard.needs()
    assert yard.cell("max_discharge_w") == 5000.0
    yard.needs(at=1.0, max_discharge_power_w=-3000.0)
    assert yard.cell("max_discharge_w") == 3000.0


def test_without_a_rating_the_car_s_word_counts(yard: Yard) -> None:
    yard.start()
    yard.discover(rated_w=None)
    assert isnan(yard.cell("max_discharge_w"))
    yard.needs()
    assert yard.cell("max_discharge_w") == 7000.0


@pytest.mark.parametrize("bad", [Availability.FAULTED, Availability.UNAVAILABLE])
def test_a_connector_out_of_order_takes_its_session_out(yard: Yard, bad: Availability) -> None:
    yard.start()
    assert status(yard, bad).left == ((1, DropOutKind.FAULTED),)
    assert yard.cell("evse_fault")
    assert status(yard, bad).left == ()
    assert status(yard, Availability.OCCUPIED, at=1.0).wake
    assert not yard.cell("evse_fault")


def test_the_neighbour_of_a_connector_in_use_is_unavailable_without_harm(yard: Yard) -> None:
    yard.start()
    status(yard, Availability.OCCUPIED, connector=1)
    assert status(yard, Availability.UNAVAILABLE, connector=2).left == ()
    assert status(yard, Availability.FAULTED, connector=2).left == ((1, DropOutKind.FAULTED),)


def test_status_of_evse_0_speaks_of_the_whole_station(yard: Yard) -> None:
    yard.start()
    assert status(yard, Availability.FAULTED, evse=0, connector=0).left == ((1, DropOutKind.FAULTED),)


def test_unknown_and_older_status_change_nothing(yard: Yard) -> None:
    yard.start()
    status(yard, Availability.FAULTED, at=10.0)
    status(yard, Availability.UNKNOWN, at=20.0)
    status(yard, Availability.OCCUPIED, at=5.0)
    assert yard.cell("evse_fault")


def test_a_good_status_clears_an_abnormal_condition(yard: Yard) -> None:
    yard.start()
    yard.update(at=5.0, trigger="AbnormalCondition")
    status(yard, Availability.OCCUPIED)
    assert not yard.cell("evse_fault")


def test_der_alarms_end_one_by_one(yard: Yard) -> None:
    yard.start()
    assert alarm(yard, "OverVoltage").left == ((1, DropOutKind.FAULTED),)
    assert alarm(yard, "UnderFrequency").left == ()
    alarm(yard, "OverVoltage", ended=True)
    assert yard.cell("grid_fault")
    alarm(yard, "UnderFrequency", ended=True)
    assert not yard.cell("grid_fault")


def test_a_cap_is_shown_and_one_of_zero_takes_the_session_out(yard: Yard) -> None:
    yard.start()
    uid = SessionUid(1)
    assert yard.state.judged(uid, Conflict.NONE, DischargeCap(3000.0, 1000.0, 60.0)).left == ()
    assert [yard.cell(name) for name in ("external_discharge_w", "external_ahead_w", "external_ahead_s")] == [3000.0, 1000.0, 60.0]
    assert yard.state.judged(uid, Conflict.NONE, DischargeCap(0.0)).left == ((1, DropOutKind.WITHDRAWN),)
    assert yard.state.judged(uid, Conflict.NONE, DischargeCap(0.0)).wake is False
    assert yard.state.judged(uid, Conflict.UNSEEN, DischargeCap(0.0)).left == ()
    free = yard.state.judged(uid, Conflict.NONE, DischargeCap())
    assert (free.left, free.wake) == ((), True)
    assert isnan(yard.cell("external_discharge_w"))


def test_a_conflict_takes_the_session_out_until_it_is_over(yard: Yard) -> None:
    yard.start()
    assert yard.state.judged(SessionUid(1), Conflict.FOREIGN_PROFILE, DischargeCap()).left == ((1, DropOutKind.WITHDRAWN),)
    assert yard.cell("conflict") == Conflict.FOREIGN_PROFILE
    assert yard.state.judged(SessionUid(1), Conflict.FOREIGN_PROFILE, DischargeCap()).wake is False
    yard.update(at=1.0, trigger="ChargingStateChanged")
    assert yard.cell("conflict") == Conflict.FOREIGN_PROFILE
    over = yard.state.judged(SessionUid(1), Conflict.NONE, DischargeCap())
    assert (over.left, over.wake) == ((), True)
    assert yard.cell("conflict") == Conflict.NONE
    assert yard.state.judged(SessionUid(99), Conflict.UNSEEN, DischargeCap()).wake is False


def test_priority_charging_takes_the_session_out_until_it_is_over(yard: Yard) -> None:
    yard.start()

    def pressed(activated: bool, tx: str = "t1") -> Any:
        event = PriorityChargingChanged(station_id=A, transaction_id=TransactionId(tx), at_s=0.0, activated=activated)
        return yard.state.apply(event, 0.0)

    on = pressed(True)
    assert on.left == ((1, DropOutKind.WITHDRAWN),)
    assert on.changed[0].priority_charging
    assert pressed(True).changed == ()
    assert pressed(True, "nobody").changed == ()
    off = pressed(False)
    assert (off.left, off.wake) == ((), True)
    assert not yard.cell("priority_charging")
