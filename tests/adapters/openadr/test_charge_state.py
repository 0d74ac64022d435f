"""Plans for a state of charge: made when the interval begins, again and again, kept over restarts; what was refused stays so."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.openadr.charge_state import CLOSE_FRAC, EFFICIENCY, REPLAN_S, ChargePlan, ChargePlans, ChargeTarget, planned
from counterflow.domain.grid import PoolTelemetry
from counterflow.domain.ids import ALL_SITES

T0 = 1_800_000_000.0
HOUR = ChargeTarget(T0, T0 + 3600.0, share=0.4)


def holding(stored_wh: float, at_s: float = T0, **more: Any) -> PoolTelemetry:
    known: dict[str, Any] = {
        "pool": ALL_SITES, "storage_at_s": at_s, "stored_energy_wh": stored_wh, "storage_capacity_wh": 100e3, "usable_energy_wh": 50e3,
        "max_discharge_power_w": 60e3, "max_charge_power_w": 60e3,
    }  # fmt: skip
    return PoolTelemetry(**dict.fromkeys(PoolTelemetry.__struct_fields__) | known | more)  # type: ignore[arg-type]


def plan(now_s: float, kept: dict[str, ChargePlan], stored_wh: float | None, target: ChargeTarget = HOUR) -> dict[str, ChargePlan]:
    """One round; what was kept is read from its document."""
    pools = {} if stored_wh is None else {ALL_SITES: holding(stored_wh, now_s)}
    plans = ChargePlans(now_s, pools, {key: msgspec.convert(msgspec.to_builtins(one), ChargePlan) for key, one in kept.items()})
    plans.of("e-1", ALL_SITES, target)
    return plans.made


def test_a_plan_holds_for_five_minutes_and_is_made_anew_from_what_the_pool_holds_then() -> None:
    first = plan(T0, {}, 60e3)
    (made,) = first.values()
    assert made.discharge_power_w == pytest.approx(EFFICIENCY * 20e3)
    assert plan(T0 + REPLAN_S - 1.0, first, 50e3) == first
    (behind,) = plan(T0 + REPLAN_S, first, 60e3).values()
    assert behind.discharge_power_w == made.discharge_power_w, "not much more than before"
    (far_behind,) = plan(T0 + 1800.0, first, 60e3).values()
    assert far_behind.discharge_power_w == pytest.approx(2.0 * made.discharge_power_w)
    (there,) = plan(T0 + 1800.0, first, 40.5e3).values()
    assert (there.discharge_power_w, there.refused) == (0.0, "")


def test_what_was_refused_stays_refused_and_what_was_begun_goes_on() -> None:
    refused = plan(T0, {}, 95e3)  # 55 kWh, and drivers agreed to 50
    assert [one.refused[:23] for one in refused.values()] == ["40 % cannot be reached:"]
    assert plan(T0 + 600.0, refused, 60e3) == refused
    begun = plan(T0, {}, 60e3)
    for stored_wh in (None, 95e3):
        (goes_on,) = plan(T0 + 600.0, begun, stored_wh).values()
        assert (goes_on.discharge_power_w, goes_on.refused) == (next(iter(begun.values())).discharge_power_w, "")


def test_another_target_is_another_plan_and_what_is_not_known_is_asked_again() -> None:
    refused = plan(T0, {}, 95e3)
    (other,) = plan(T0 + 1.0, refused, 95e3, ChargeTarget(T0, T0 + 3600.0, energy_wh=60e3)).values()
    assert other.discharge_power_w > 0.0
    assert plan(T0, {}, None) == {}
    assert plan(T0 + 3600.0, refused, 60e3) == {}, "over: it is forgotten"


@given(
    stored=st.floats(0.0, 100e3),
    share=st.floats(0.0, 1.0),
    hours=st.floats(0.05, 5.0),
    usable=st.floats(0.0, 100e3),
    most=st.floats(0.0, 200e3),
    takes=st.floats(0.0, 200e3),
)
def test_a_plan_keeps_inside_what_drivers_agreed_and_the_pool_can_give(
    stored: float, share: float, hours: float, usable: float, most: float, takes: float
) -> None:
    seen = holding(stored, usable_energy_wh=usable, max_discharge_power_w=most, max_charge_power_w=takes)
    made = planned(ChargeTarget(T0, T0 + hours * 3600.0, share=share), seen, T0)
    assert 0.0 <= made.discharge_power_w <= most
    assert made.discharge_power_w * hours <= usable + 1e-6
    if made.refused:
        assert made.discharge_power_w == 0.0
    elif made.discharge_power_w == 0.0:
        assert share * 100e3 <= stored + EFFICIENCY * takes * hours + CLOSE_FRAC * 100e3 + 1e-6
        assert stored - share * 100e3 <= CLOSE_FRAC * 100e3 + 1e-6
    else:
        assert stored - made.discharge_power_w * hours / EFFICIENCY == pytest.approx(share * 100e3, abs=1e-3)
