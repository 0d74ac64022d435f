"""Commands as OCPP 1.6 requests (chapters 3.13, 5.16, 6 and 7): limits with one decimal, integer transaction ids, connectors as EVSEs."""

from datetime import UTC, datetime
from math import ceil, floor, isfinite
from typing import assert_never

from msgspec import UNSET, Struct
from msgspec.structs import replace

from counterflow.adapters.ocpp import messages_v16 as v16
from counterflow.adapters.ocpp.profiles import (
    MAX_INT32,
    Addressed,
    ExpiredError,
    NotInVersionError,
    PlacementError,
    reduction_limit,
    reduction_times,
    tenths,
)
from counterflow.domain.commands import (
    ClearProfile,
    MoveSetpoint,
    OfferTransfer,
    PlaceDischarge,
    PlaceFallback,
    ReadComposite,
    ReadDerLimits,
    ReadProfiles,
    ReadTransaction,
    RequestSample,
    SendSignal,
)
from counterflow.domain.resources import ControlMode


def to_request(command: Addressed, now_s: float) -> tuple[str, Struct]:
    """The action and its request. Raises `PlacementError`, also for what OCPP 1.6 cannot say."""
    match command:
        case PlaceDischarge(control_mode=ControlMode.CHARGE_ONLY):
            return "SetChargingProfile", _reduction(command, now_s)
        case PlaceDischarge():
            return "SetChargingProfile", _discharge(command, now_s)
        case PlaceFallback():
            return "SetChargingProfile", _fallback(command)
        case ClearProfile():
            return "ClearChargingProfile", v16.ClearChargingProfileRequest(id=_int32("profile_id", command.profile_id, 0))
        case RequestSample():
            return "TriggerMessage", v16.TriggerMessageRequest(requested_message="MeterValues", connector_id=command.evse_id)
        case MoveSetpoint():
            raise NotInVersionError("OCPP 1.6 has no dynamic profiles.")
        case ReadProfiles() | ReadComposite() | ReadDerLimits():
            raise NotInVersionError("OCPP 1.6 cannot tell which profiles and limits are installed.")
        case ReadTransaction():
            raise NotInVersionError("OCPP 1.6 cannot tell whether a transaction goes on.")
        case SendSignal() | OfferTransfer():
            raise NotInVersionError("OCPP 1.6 has neither AFRRSignal nor NotifyAllowedEnergyTransfer.")
        case _:
            assert_never(command)


def _discharge(order: PlaceDischarge, now_s: float) -> v16.SetChargingProfileRequest:
    """A limit below zero with an end, then 0 W until `hold_until_s`; only for models that were opted in by name."""
    if order.control_mode is not ControlMode.NEGATIVE_LIMIT or order.watchdog_s is not None:
        raise NotInVersionError("OCPP 1.6 has no setpoints: only a model that takes negative limits can be discharged.")
    if order.later:
        raise NotInVersionError("A car that is told its power by OCPP 1.6 is in no ScheduledControl: its orders have one period.")
    if not (isfinite(order.power_w) and order.power_w <= 0.0):
        raise PlacementError(f"A discharge setpoint is zero or negative, not {order.power_w} W.")
    if not order.start_s <= order.discharge_until_s <= order.hold_until_s:
        raise PlacementError("A discharge ends after it starts, and its hold after that.")
    starts_s = floor(order.start_s) if order.start_s <= now_s else ceil(order.start_s)
    discharge_s, hold_s = floor(order.discharge_until_s) - starts_s, floor(order.hold_until_s) - starts_s
    if hold_s <= 0 or order.hold_until_s <= now_s:
        raise ExpiredError("The time of this discharge is over.")
    limit_w = tenths(order.power_w)
    periods = [] if discharge_s <= 0 else [v16.ChargingSchedulePeriod(start_period=0, limit=limit_w)]
    if discharge_s <= 0 or (hold_s > discharge_s and limit_w != 0.0):
        periods.append(v16.ChargingSchedulePeriod(start_period=max(discharge_s, 0), limit=0.0))
    schedule = v16.ChargingSchedule(
        duration=_int32("duration", hold_s, 1),
        start_schedule=_instant(starts_s),
        charging_rate_unit="W",
        charging_schedule_period=periods,
    )
    return _placed(order, schedule, floor(order.hold_until_s))


def _reduction(order: PlaceDischarge, now_s: float) -> v16.SetChargingProfileRequest:
    """A limit to charging with its end (3.13.1), in W or A."""
    starts_s, duration_s = reduction_times(order, now_s)
    unit, limit = reduction_limit(order)
    schedule = v16.ChargingSchedule(
        duration=_int32("duration", duration_s, 1),
        start_schedule=_instant(starts_s),
        charging_rate_unit=unit,
        charging_schedule_period=[v16.ChargingSchedulePeriod(start_period=0, limit=limit)],
    )
    return _placed(order, schedule, floor(order.hold_until_s))


def _fallback(order: PlaceFallback) -> v16.SetChargingProfileRequest:
    if not (isfinite(order.charge_power_w) and order.charge_power_w >= 0.0):
        raise PlacementError(f"A charging limit is zero or positive, not {order.charge_power_w} W.")
    if not isfinite(order.start_s):
        raise PlacementError("A profile needs a start.")
    schedule = v16.ChargingSchedule(
        start_schedule=_instant(floor(order.start_s)),
        charging_rate_unit="W",
        charging_schedule_period=[v16.ChargingSchedulePeriod(start_period=0, limit=tenths(order.charge_power_w))],
    )
    return _placed(order, schedule, None)


def _placed(order: PlaceDischarge | PlaceFallback, schedule: v16.ChargingSchedule, valid_to_s: int | None) -> v16.SetChargingProfileRequest:
    if order.phases is not None:
        # Without a number it counts as three.
        periods = [replace(period, number_phases=order.phases) for period in schedule.charging_schedule_period]
        schedule = replace(schedule, charging_schedule_period=periods)
    return v16.SetChargingProfileRequest(
        connector_id=_int32("evse_id", order.evse_id, 1),
        cs_charging_profiles=v16.CsChargingProfiles(
            charging_profile_id=_int32("profile_id", order.profile_id, 0),
            transaction_id=_transaction_number(order.transaction_id),
            stack_level=_int32("stack_level", order.stack_level, 0),
            charging_profile_purpose="TxProfile",
            charging_profile_kind="Absolute",
            valid_to=UNSET if valid_to_s is None else _instant(valid_to_s),
            charging_schedule=schedule,
        ),
    )


def _transaction_number(transaction_id: str) -> int:
    if not (transaction_id.isascii() and transaction_id.isdigit()):
        raise PlacementError(f"A transaction of OCPP 1.6 has a number, not {transaction_id!r}.")
    return _int32("transaction_id", int(transaction_id), 0)


def _int32(name: str, value: int, at_least: int) -> int:
    if not at_least <= value <= MAX_INT32:
        raise PlacementError(f"{name} is {value}, outside {at_least} to 2^31 - 1.")
    return value


def _instant(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
