"""GetCompositeSchedule: what the EVSE would do over the next while, by its profiles (OCPP 2.1 part 2, K08). Indicative only."""

from math import inf

from msgspec import UNSET

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.messages import (
    ChargingSchedulePeriodType,
    CompositeScheduleType,
    GetCompositeScheduleRequest,
    GetCompositeScheduleResponse,
    StatusInfoType,
)
from counterflow.sim.evse import SimEvse
from counterflow.sim.profiles import Effective, ProfileStore


def composite_schedule(
    request: GetCompositeScheduleRequest, evse: SimEvse, profiles: ProfileStore, now_s: float
) -> GetCompositeScheduleResponse:
    """The schedule in W, one period per change."""
    if request.charging_rate_unit == "A":
        return GetCompositeScheduleResponse(status="Rejected", status_info=StatusInfoType(reason_code="UnsupportedRateUnit"))
    most_w = float(evse.plant.max_power_w[evse.row])
    periods: list[ChargingSchedulePeriodType] = []
    before: Effective | None = None
    at_s = now_s
    while at_s < now_s + max(request.duration, 1):
        effective = profiles.effective(evse.evse_id, evse.transaction_id, at_s, tx_started_s=evse.started_charging_s)
        if before is None or (effective.order, effective.operation_mode) != (before.order, before.operation_mode):
            periods.append(_period(round(at_s - now_s), effective, most_w))
        before = effective
        at_s = profiles.next_change_s(evse.evse_id, at_s, tx_started_s=evse.started_charging_s)
        if at_s == inf:
            break
    schedule = CompositeScheduleType(
        evse_id=request.evse_id,
        duration=request.duration,
        schedule_start=rpc.instant(now_s),
        charging_rate_unit="W",
        charging_schedule_period=periods,
    )
    return GetCompositeScheduleResponse(status="Accepted", schedule=schedule)


def _period(start: int, effective: Effective, most_w: float) -> ChargingSchedulePeriodType:
    order = effective.order
    return ChargingSchedulePeriodType(
        start_period=start,
        limit=min(order.power_w, most_w) if order.is_limit else UNSET,
        setpoint=UNSET if order.is_limit or effective.operation_mode == "Idle" else order.power_w,
        operation_mode=effective.operation_mode,  # type: ignore[arg-type]  # came from the enum
    )
