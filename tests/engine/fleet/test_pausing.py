"""How long a car's charging may be slowed or paused: what counts, what is known of it after a restart, and when it may not be at all."""

from typing import Any

import msgspec
import numpy as np
import pytest

from counterflow.domain.drivers import AgreedTerms
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.reasons import REASON_WORDS, Reason
from counterflow.domain.records import SessionRecord
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import Accepted
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.fleet.capability import Capability, capability
from counterflow.engine.fleet.eligibility import CONFLICT_REASONS
from counterflow.engine.fleet.settings import CapabilitySettings

TERMS = AgreedTerms(pausing=True, max_pause_s=600.0)
POST: dict[str, Any] = {
    "control_mode": ControlMode.CHARGE_ONLY,
    "consent": False,
    "bidirectional": False,
    "pausing": True,
    "power_w": 11_000.0,
}
UNKNOWN: dict[str, Any] = POST | {"soc_frac": np.nan, "capacity_wh": np.nan, "max_charge_w": np.nan}


def of(image: Any, t0: float, **more: Any) -> Capability:
    return capability(image, t0, t0 + 900.0, CapabilitySettings(), **more)


def charging(yard: Any) -> Any:
    """A car at a post, whose driver lets it be paused for ten minutes."""
    yard.terms["T"] = TERMS
    yard.connect()
    yard.discover(mode=ControlMode.CHARGE_ONLY, rated_w=None)
    yard.start(id_token="T")
    yard.sample(at=1.0, power_w=11_000.0, import_wh=5_000.0)
    return yard


def pause(yard: Any, t0: float, at: float, until: float, power_w: float = 0.0) -> None:
    yard.state.setpoint_sent(yard.uid(), power_w, t0 + at, t0 + until, t0 + until, False, True)
    yard.state.setpoint_done(yard.uid(), Accepted(), t0 + at)


def test_the_time_of_orders_counts_once_however_often_they_change(yard: Any, t0: float) -> None:
    charging(yard)
    pause(yard, t0, 10.0, 400.0)
    assert (yard.cell("pause_left_s"), yard.cell("pause_from_s") - t0, yard.cell("reduced")) == (600.0, 10.0, True)
    pause(yard, t0, 110.0, 400.0, 5_000.0)
    assert (yard.cell("pause_left_s"), yard.cell("pause_from_s") - t0) == (500.0, 110.0)
    yard.state.snapshot(t0 + 210.0)
    yard.state.setpoint_gone(yard.uid())
    assert yard.cell("pause_left_s") == 400.0
    assert np.isnan(yard.cell("pause_from_s"))
    assert yard.cell("reduced") is False


def test_an_order_that_ran_out_by_itself_counts_to_its_end(yard: Any, t0: float) -> None:
    charging(yard)
    pause(yard, t0, 10.0, 110.0)
    left_s = of(yard.state.snapshot(t0 + 500.0), t0 + 500.0).pause_s[0]
    assert left_s == pytest.approx(600.0 - 100.0 - 20.0)
    pause(yard, t0, 600.0, 700.0)
    assert yard.cell("pause_left_s") == 500.0


def test_after_a_restart_the_order_that_was_out_counts_as_a_whole(yard: Any, new_yard: Any, t0: float) -> None:
    charging(yard)
    pause(yard, t0, 10.0, 310.0)
    record = msgspec.json.decode(msgspec.json.encode(yard.state.record_of(yard.uid())), type=SessionRecord)
    assert record.paused_s == 300.0
    again = new_yard()
    again.terms["T"] = TERMS
    again.state.restore([record], [], [], [], t0 + 60.0)
    assert again.cell("pause_left_s") == 300.0


def test_a_record_of_an_older_release_was_never_paused(yard: Any) -> None:
    stored = msgspec.to_builtins(charging(yard).state.record_of(yard.uid()))
    del stored["paused_s"]
    assert msgspec.convert(stored, SessionRecord).paused_s == 0.0


def test_a_bound_that_becomes_tighter_is_noticed(yard: Any, t0: float) -> None:
    charging(yard)
    pause(yard, t0, 10.0, 400.0)
    before_s = yard.cell("bounds_at_s")
    yard.terms["T"] = msgspec.structs.replace(TERMS, max_pause_s=900.0)
    yard.state.terms_changed(t0 + 50.0)
    assert yard.cell("bounds_at_s") == pytest.approx(before_s, nan_ok=True)
    yard.terms["T"] = msgspec.structs.replace(TERMS, max_pause_s=120.0)
    yard.state.terms_changed(t0 + 60.0)
    assert yard.cell("bounds_at_s") == t0 + 60.0


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, Reason.READY),
        ({"uid": 0}, Reason.NO_SESSION),
        ({"connected": False}, Reason.STATION_OFFLINE),
        ({"evse_fault": True}, Reason.EVSE_FAULTED),
        ({"pausing": [False, True]}, Reason.NO_PAUSE_CONSENT),
        ({"driver_stop": True}, Reason.DRIVER_STOP),
        ({"control_mode": ControlMode.UNKNOWN}, Reason.CAPABILITY_UNKNOWN),
        ({"control_mode": ControlMode.NONE}, Reason.NO_CHARGING_CONTROL),
        ({"control_mode": ControlMode.DYNAMIC}, Reason.READY),
        *(({"conflict": conflict}, reason) for conflict, reason in CONFLICT_REASONS.items()),
        ({"priority_charging": True}, Reason.PRIORITY_CHARGING),
        ({"external_discharge_w": 0.0}, Reason.READY),
        ({"grid_fault": True}, Reason.GRID_FAULT),
        ({"phase": TransactionPhase.SUSPENDED_EV}, Reason.EV_NOT_READY),
        ({"phase": TransactionPhase.SUSPENDED_EV, "reduced": True, "setpoint_w": 0.0}, Reason.READY),
        ({"phase": TransactionPhase.SUSPENDED_EV, "reduced": True, "setpoint_w": 5_000.0}, Reason.EV_NOT_READY),
        ({"phase": TransactionPhase.SUSPENDED_EVSE}, Reason.READY),
        ({"last_sample_s": np.nan}, Reason.SILENT),
        ({"departure_s": 1_800_000_000.0 + 3_600.0}, Reason.MUST_CHARGE),
        ({"pause_left_s": 20.0}, Reason.PAUSED_ENOUGH),
        ({"excluded_until_s": 1_800_000_000.0 + 60.0}, Reason.COOLING_DOWN),
        (UNKNOWN, Reason.NEED_UNKNOWN),
        (UNKNOWN | {"pause_left_s": 600.0}, Reason.READY),
        (UNKNOWN | {"pause_left_s": 20.0}, Reason.PAUSED_ENOUGH),
    ],
)
def test_whether_a_car_that_is_not_discharged_may_be_paused(cars: Any, t0: float, columns: dict[str, Any], expected: Reason) -> None:
    cap = of(cars(2, **(POST | columns)), t0)
    assert Reason(cap.reduction[0]) is expected
    assert expected in REASON_WORDS


def test_with_nobodys_consent_the_reason_is_the_same_at_less_cost(cars: Any, t0: float) -> None:
    cap = of(cars(2, **POST | {"uid": [1, 0], "pausing": False}), t0)
    assert cap.reduction.tolist() == [Reason.NO_PAUSE_CONSENT, Reason.NO_SESSION]
    assert not cap.reduces(DispatchMode.RELATIVE).any()


@pytest.mark.parametrize("columns", [{"soc_frac": 0.35}, {"blackout_from_s": 1.0, "blackout_until_s": 2e9}, {"driver_stop": True}])
def test_what_keeps_a_car_that_could_be_discharged_from_it_keeps_it_charging(cars: Any, t0: float, columns: dict[str, Any]) -> None:
    cap = of(cars(pausing=True, power_w=11_000.0, **columns), t0)
    assert cap.reason[0] != Reason.READY
    assert not cap.reduces(DispatchMode.RELATIVE)[0]


def test_the_pause_of_a_car_whose_need_is_known_is_its_laxity(cars: Any, t0: float) -> None:
    cap = of(cars(**POST), t0)
    assert cap.pause_s[0] == pytest.approx(cap.laxity_s[0] - cap.guard_s[0])
    assert of(cars(**POST | {"pause_left_s": 100.0}), t0).pause_s[0] == pytest.approx(80.0)
    on = of(cars(**POST | {"pause_left_s": 100.0, "pause_from_s": t0 - 30.0, "hold_until_s": t0 + 60.0}), t0)
    assert on.pause_s[0] == pytest.approx(50.0)


def test_a_paused_car_is_reckoned_to_charge_as_fast_as_it_did(cars: Any, t0: float) -> None:
    held = {"reduced": True, "setpoint_w": 0.0, "power_w": 0.0, "hold_until_s": t0 + 600.0, "pause_from_s": t0 - 10.0}
    fast, slow, unknown = of(cars(3, **POST | held | {"drew_w": [11_000.0, 3_700.0, np.nan]}), t0).pause_s.tolist()
    need_wh = 12_000.0
    assert fast - slow == pytest.approx(need_wh / 0.9 * 3_600.0 * (1.0 / 3_700.0 - 1.0 / 11_000.0))
    assert unknown == 0.0


def test_what_it_drew_is_that_before_the_first_of_several_orders(yard: Any, t0: float) -> None:
    charging(yard)
    pause(yard, t0, 10.0, 400.0, 5_000.0)
    yard.sample(at=60.0, power_w=5_000.0, import_wh=5_100.0)
    pause(yard, t0, 100.0, 400.0)
    assert yard.cell("drew_w") == 11_000.0
    assert yard.state.record_of(yard.uid()).drew_w == 11_000.0
    yard.sample(at=500.0, power_w=7_000.0, import_wh=5_400.0)
    pause(yard, t0, 510.0, 600.0)
    assert yard.cell("drew_w") == 7_000.0, "the order before had run out"


def test_only_a_relative_order_counts_it(cars: Any, t0: float) -> None:
    cap = of(cars(**POST), t0)
    assert [bool(cap.reduces(mode)[0]) for mode in DispatchMode] == [mode is DispatchMode.RELATIVE for mode in DispatchMode]
    assert cap.reason_in(DispatchMode.NET_EXPORT)[0] == Reason.NO_CONSENT
    assert cap.reason_in(DispatchMode.RELATIVE)[0] == Reason.READY
    assert (cap.max_power_w[0], cap.sustained_power_w[0]) == (0.0, 0.0), "never discharged"
