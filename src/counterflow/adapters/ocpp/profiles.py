"""Commands as OCPP requests (the way down). Strict in sending: what comes out is valid against the official schemas.

Whole seconds and the sixth decimal are rounded so that a discharge is never longer and never stronger than ordered.
"""

from datetime import UTC, datetime
from functools import lru_cache
from math import ceil, copysign, floor, isfinite, trunc
from typing import Final, Literal, assert_never, cast

import msgspec
from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp import messages as ocpp
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
from counterflow.domain.setpoints import WattCurves

MAX_INT32: Final = 2**31 - 1
DECIMALS: Final = 6
NOMINAL_V: Final = 230.0
"""Between a phase and neutral: what a limit in A is reckoned with."""
SCHEDULE_ID: Final = 1
MAX_TRANSACTION_ID_LENGTH: Final = 36
LIMIT_SOURCES: Final = ("CSO", "EMS", "SO", "Other")
"""Everybody who can place a profile (ChargingLimitSourceEnumStringType)."""

Request = (
    ocpp.SetChargingProfileRequest
    | ocpp.UpdateDynamicScheduleRequest
    | ocpp.ClearChargingProfileRequest
    | ocpp.TriggerMessageRequest
    | ocpp.GetTransactionStatusRequest
    | ocpp.GetChargingProfilesRequest
    | ocpp.GetCompositeScheduleRequest
    | ocpp.GetDERControlRequest
    | ocpp.AFRRSignalRequest
    | ocpp.NotifyAllowedEnergyTransferRequest
)
Addressed = (
    PlaceDischarge
    | MoveSetpoint
    | PlaceFallback
    | ClearProfile
    | RequestSample
    | ReadTransaction
    | ReadProfiles
    | ReadComposite
    | ReadDerLimits
    | SendSignal
    | OfferTransfer
)


class PlacementError(ValueError):
    """A command that cannot be said in OCPP, in a sentence."""


class NotInVersionError(PlacementError):
    """The station's version of OCPP has no words for it."""


class ExpiredError(PlacementError):
    """The time of the order is over (or under a second): there is nothing left to place."""


def to_request(command: Addressed, now_s: float) -> tuple[str, Request]:
    """The action and its request. Raises `PlacementError`."""
    match command:
        case PlaceDischarge():
            if command.control_mode is ControlMode.CHARGE_ONLY:
                profile = reduction_profile
            else:
                profile = discharge_profile if command.watchdog_s is None else dynamic_profile
            return "SetChargingProfile", on_phases(profile(command, now_s), command.phases)
        case PlaceFallback():
            return "SetChargingProfile", on_phases(fallback_profile(command), command.phases)
        case MoveSetpoint():
            return "UpdateDynamicSchedule", setpoint_update(command, now_s)
        case ClearProfile():
            _check_int32("profile_id", command.profile_id, at_least=0)
            return "ClearChargingProfile", ocpp.ClearChargingProfileRequest(charging_profile_id=command.profile_id)
        case RequestSample() | ReadTransaction() | ReadProfiles() | ReadComposite() | ReadDerLimits():
            return _question(command)
        case SendSignal():
            return "AFRRSignal", ocpp.AFRRSignalRequest(timestamp=_instant(floor(command.at_s)), signal=command.signal)
        case OfferTransfer():
            transfers = cast("list[ocpp.EnergyTransferModeEnumType]", list(command.transfers))
            return "NotifyAllowedEnergyTransfer", ocpp.NotifyAllowedEnergyTransferRequest(
                transaction_id=command.transaction_id, allowed_energy_transfer=transfers
            )
        case _:
            assert_never(command)


def _question(command: RequestSample | ReadTransaction | ReadProfiles | ReadComposite | ReadDerLimits) -> tuple[str, Request]:
    """What changes nothing at the station."""
    match command:
        case RequestSample():
            evse = ocpp.EVSEType(id=command.evse_id)
            return "TriggerMessage", ocpp.TriggerMessageRequest(requested_message="TransactionEvent", evse=evse)
        case ReadTransaction():
            return "GetTransactionStatus", ocpp.GetTransactionStatusRequest(transaction_id=command.transaction_id)
        case ReadProfiles():
            # Every source, which is everything; an empty criterion is not allowed (K09.FR.03).
            criterion = ocpp.ChargingProfileCriterionType(charging_limit_source=list(LIMIT_SOURCES))
            return "GetChargingProfiles", ocpp.GetChargingProfilesRequest(request_id=command.request_id, charging_profile=criterion)
        case ReadComposite():
            return "GetCompositeSchedule", ocpp.GetCompositeScheduleRequest(
                evse_id=command.evse_id, duration=_check_int32("duration_s", command.duration_s, at_least=1), charging_rate_unit="W"
            )
        case ReadDerLimits():
            return "GetDERControl", ocpp.GetDERControlRequest(request_id=command.request_id, control_type="LimitMaxDischarge")
        case _:
            assert_never(command)


def discharge_profile(order: PlaceDischarge, now_s: float) -> ocpp.SetChargingProfileRequest:
    """A TxProfile with an end: `power_w` and its later periods, then 0 W until `hold_until_s` (K01, Q03.FR.02).

    Raises `PlacementError`, `ExpiredError`. A start that is over by `now_s` may be written a fraction of a second earlier, since nothing
    happens in the past; one to come is never written earlier than ordered.
    """
    _check_target(order)
    _check_setpoint(order.power_w)
    if not order.start_s <= order.discharge_until_s <= order.hold_until_s:
        raise PlacementError("A discharge ends after it starts, and its hold after that.")
    starts_s = floor(order.start_s) if order.start_s <= now_s else ceil(order.start_s)
    discharge_s = floor(order.discharge_until_s) - starts_s
    hold_s = floor(order.hold_until_s) - starts_s
    if hold_s <= 0 or order.hold_until_s <= now_s:
        raise ExpiredError("The time of this discharge is over.")
    setpoint = toward_zero(order.power_w)
    periods = []
    if discharge_s > 0:
        curves = order.curves
        periods.append(_period(0, setpoint, order.control_mode) if curves is None else _curve_period(curves, order.power_w))
        if order.later:
            for at_s, power_w in _later(order, starts_s, discharge_s):
                setpoint = toward_zero(power_w)
                periods.append(_period(at_s, setpoint, order.control_mode))
    if discharge_s <= 0 or (hold_s > discharge_s and setpoint != 0.0):
        periods.append(_period(max(discharge_s, 0), 0.0, order.control_mode))
    schedule = ocpp.ChargingScheduleType(
        id=SCHEDULE_ID,
        charging_rate_unit="W",
        charging_schedule_period=periods,
        start_schedule=_instant(starts_s),
        duration=_check_int32("duration", hold_s, at_least=1),
    )
    return _bounded(order, "Absolute", schedule, floor(order.hold_until_s))


def reduction_profile(order: PlaceDischarge, now_s: float) -> ocpp.SetChargingProfileRequest:
    """A TxProfile, ChargingOnly, that limits charging to `power_w` until `hold_until_s` and then ends: one period (K01, Q02).

    Raises `PlacementError`, `ExpiredError`.
    """
    _check_target(order)
    starts_s, duration_s = reduction_times(order, now_s)
    unit, limit = reduction_limit(order)
    period = ocpp.ChargingSchedulePeriodType(start_period=0, operation_mode="ChargingOnly", limit=limit)
    schedule = ocpp.ChargingScheduleType(
        id=SCHEDULE_ID,
        charging_rate_unit=unit,
        charging_schedule_period=[period],
        start_schedule=_instant(starts_s),
        duration=_check_int32("duration", duration_s, at_least=1),
    )
    return _bounded(order, "Absolute", schedule, floor(order.hold_until_s))


def reduction_times(order: PlaceDischarge, now_s: float) -> tuple[int, int]:
    """Start, epoch seconds, and length of a limit to charging, s. Raises `PlacementError`, `ExpiredError`."""
    if order.watchdog_s is not None or order.curves is not None:
        raise PlacementError("A limit to charging has one end, and neither a watchdog nor curves.")
    if not order.start_s <= order.hold_until_s:
        raise PlacementError("A limit to charging ends after it starts.")
    starts_s = floor(order.start_s) if order.start_s <= now_s else ceil(order.start_s)
    duration_s = floor(order.hold_until_s) - starts_s
    if duration_s <= 0 or order.hold_until_s <= now_s:
        raise ExpiredError("The time of this limit is over.")
    return starts_s, duration_s


def reduction_limit(order: PlaceDischarge) -> tuple[Literal["W", "A"], float]:
    """Unit and limit, to a tenth and never above what was ordered. Raises `PlacementError`."""
    if not (isfinite(order.power_w) and order.power_w >= 0.0):
        raise PlacementError(f"A charging limit is zero or positive, not {order.power_w} W.")
    if order.ampere_phases is None:
        return "W", tenths(order.power_w)
    return "A", tenths(order.power_w / (NOMINAL_V * (order.phases or order.ampere_phases)))


def tenths(value: float) -> float:
    """Toward zero, so never stronger than ordered."""
    return trunc(value * 10.0) / 10.0 + 0.0


def _later(order: PlaceDischarge, starts_s: int, discharge_s: int) -> list[tuple[int, float]]:
    """(startPeriod, setpoint) of the periods after the first, ascending (K01.FR.35). A stronger one begins no earlier than it was
    ordered, a weaker one no later."""
    found: list[tuple[int, float]] = []
    before_w, before_s = order.power_w, 0
    for step in order.later:
        _check_setpoint(step.power_w)
        at_s = (ceil if step.power_w < before_w else floor)(step.from_s) - starts_s
        if at_s >= discharge_s:
            break
        if at_s <= before_s:
            raise PlacementError("Periods of a schedule follow each other, a second apart at least.")
        found.append((at_s, step.power_w))
        before_w, before_s = step.power_w, at_s
    return found


def dynamic_profile(order: PlaceDischarge, now_s: float) -> ocpp.SetChargingProfileRequest:
    """A Dynamic TxProfile: one period, `duration` as the dead-man, validTo as the end that no update moves (K28.FR.02, FR.13 to 15).

    Raises `PlacementError`, `ExpiredError`.
    """
    _check_target(order)
    _check_setpoint(order.power_w)
    valid_to_s = floor(order.discharge_until_s)
    if order.watchdog_s is None or order.later or order.hold_until_s != order.discharge_until_s:
        raise PlacementError("A dynamic profile has one period, a watchdog and a single end.")
    if valid_to_s <= now_s:
        raise ExpiredError("The time of this discharge is over.")
    schedule = ocpp.ChargingScheduleType(
        id=SCHEDULE_ID,
        charging_rate_unit="W",
        charging_schedule_period=[_period(0, toward_zero(order.power_w), order.control_mode)],
        duration=_check_int32("watchdog_s", order.watchdog_s, at_least=1),
    )
    pull: int | UnsetType = UNSET
    if order.pull_every_s is not None:
        pull = _check_int32("pull_every_s", order.pull_every_s, at_least=1)
    return _bounded(order, "Dynamic", schedule, valid_to_s, pull)


def setpoint_update(order: MoveSetpoint, now_s: float) -> ocpp.UpdateDynamicScheduleRequest:
    """New power for a Dynamic profile (K28, Q04). Raises `PlacementError`, and `ExpiredError` once its end has passed."""
    _check_setpoint(order.power_w)
    if order.discharge_until_s <= now_s:
        raise ExpiredError("The time of this discharge is over.")
    return ocpp.UpdateDynamicScheduleRequest(
        charging_profile_id=_check_int32("profile_id", order.profile_id, at_least=0),
        schedule_update=ocpp.ChargingScheduleUpdateType(setpoint=toward_zero(order.power_w)),
    )


def _bounded(
    order: PlaceDischarge,
    kind: ocpp.ChargingProfileKindEnumType,
    schedule: ocpp.ChargingScheduleType,
    valid_to_s: int,
    pull_every_s: int | UnsetType = UNSET,
) -> ocpp.SetChargingProfileRequest:
    """A TxProfile with validTo and, where it is supported, maxOfflineDuration."""
    offline: int | UnsetType = UNSET
    if order.max_offline_s is not None:
        offline = _check_int32("max_offline_s", order.max_offline_s, at_least=0)
    return ocpp.SetChargingProfileRequest(
        evse_id=order.evse_id,
        charging_profile=ocpp.ChargingProfileType(
            id=order.profile_id,
            stack_level=order.stack_level,
            charging_profile_purpose="TxProfile",
            charging_profile_kind=kind,
            transaction_id=order.transaction_id,
            valid_to=_instant(valid_to_s),
            max_offline_duration=offline,
            invalid_after_offline_duration=UNSET if offline is UNSET else True,
            dyn_update_interval=pull_every_s,
            charging_schedule=[schedule],
        ),
    )


def fallback_profile(order: PlaceFallback) -> ocpp.SetChargingProfileRequest:
    """A TxProfile without an end, ChargingOnly, at `charge_power_w` (K01; decisions 4). Raises `PlacementError`."""
    _check_target(order)
    if not (isfinite(order.charge_power_w) and order.charge_power_w >= 0.0):
        raise PlacementError(f"A charging limit is zero or positive, not {order.charge_power_w} W.")
    schedule = ocpp.ChargingScheduleType(
        id=SCHEDULE_ID,
        charging_rate_unit="W",
        charging_schedule_period=[
            ocpp.ChargingSchedulePeriodType(start_period=0, operation_mode="ChargingOnly", limit=toward_zero(order.charge_power_w))
        ],
        start_schedule=_instant(floor(order.start_s)),
    )
    return ocpp.SetChargingProfileRequest(
        evse_id=order.evse_id,
        charging_profile=ocpp.ChargingProfileType(
            id=order.profile_id,
            stack_level=order.stack_level,
            charging_profile_purpose="TxProfile",
            charging_profile_kind="Absolute",
            transaction_id=order.transaction_id,
            charging_schedule=[schedule],
        ),
    )


def on_phases(request: ocpp.SetChargingProfileRequest, phases: int | None) -> ocpp.SetChargingProfileRequest:
    """The same for a car on fewer phases than a station takes for granted: without `numberPhases` it spreads W over three (4.1)."""
    if phases is None:
        return request
    profile = request.charging_profile
    schedules = [
        msgspec.structs.replace(
            schedule,
            charging_schedule_period=[msgspec.structs.replace(one, number_phases=phases) for one in schedule.charging_schedule_period],
        )
        for schedule in profile.charging_schedule
    ]
    return msgspec.structs.replace(request, charging_profile=msgspec.structs.replace(profile, charging_schedule=schedules))


def toward_zero(value: float) -> float:
    """`value` with at most six decimals (OCPP 2.1 part 2, datatypes), never larger in size, never a negative zero."""
    rounded = round(value, DECIMALS)
    if rounded == value:
        return rounded + 0.0
    if abs(rounded) > abs(value):
        rounded = round(rounded - copysign(10.0**-DECIMALS, value), DECIMALS)
    return rounded + 0.0


def _period(start_s: int, power_w: float, mode: ControlMode) -> ocpp.ChargingSchedulePeriodType:
    match mode:
        case ControlMode.SETPOINT | ControlMode.DYNAMIC:
            return ocpp.ChargingSchedulePeriodType(start_period=start_s, operation_mode="CentralSetpoint", setpoint=power_w)
        case ControlMode.NEGATIVE_LIMIT:
            return ocpp.ChargingSchedulePeriodType(start_period=start_s, limit=power_w)
        case ControlMode.NONE | ControlMode.UNKNOWN | ControlMode.CHARGE_ONLY:
            raise PlacementError("This EVSE cannot be told to discharge.")
        case _:
            assert_never(mode)


def _curve_period(curves: WattCurves, worst_w: float) -> ocpp.ChargingSchedulePeriodType:
    """A LocalFrequency period: baseline, two or more points of frequency, no limit and no setpoint (Q08)."""
    if len(curves.frequency) < 2 or curves.worst_w < worst_w - 1e-3:
        raise PlacementError("Curves need two points of frequency, and may not ask for more than their order's power.")
    frequency = [ocpp.V2XFreqWattPointType(frequency=at_hz, power=toward_zero(power_w)) for at_hz, power_w in curves.frequency]
    signal = [ocpp.V2XSignalWattPointType(signal=number, power=toward_zero(power_w)) for number, power_w in curves.signal]
    return ocpp.ChargingSchedulePeriodType(
        start_period=0,
        operation_mode="LocalFrequency",
        v2x_baseline=toward_zero(curves.baseline_w),
        v2x_freq_watt_curve=frequency,
        v2x_signal_watt_curve=signal or UNSET,
    )


def _check_target(order: PlaceDischarge | PlaceFallback) -> None:
    if order.evse_id < 1 or (order.evse_id | order.profile_id | order.stack_level) >> 31:  # all at once: each on its own took twice as long
        _check_int32("evse_id", order.evse_id, at_least=1)
        _check_int32("profile_id", order.profile_id, at_least=0)
        _check_int32("stack_level", order.stack_level, at_least=0)
    if not 1 <= len(order.transaction_id) <= MAX_TRANSACTION_ID_LENGTH:
        raise PlacementError("A transaction profile needs a transaction id of 1 to 36 characters (K01.FR.03).")
    if not isfinite(order.start_s):
        raise PlacementError("A profile needs a start.")


def _check_setpoint(power_w: float) -> None:
    if not (isfinite(power_w) and power_w <= 0.0):
        raise PlacementError(f"A discharge setpoint is zero or negative, not {power_w} W.")


def _check_int32(name: str, value: int, *, at_least: int) -> int:
    if not at_least <= value <= MAX_INT32:
        raise PlacementError(f"{name} is {value}, outside {at_least} to 2^31 - 1.")
    return value


@lru_cache(maxsize=256)
def _instant(at_s: int) -> datetime:
    """Cached, since the profiles of a whole fan-out begin and end in the same few seconds."""
    return datetime.fromtimestamp(at_s, UTC)
