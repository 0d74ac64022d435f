"""Another actor's charging schedules, in our words: what they allow of discharge, stretch by stretch (OCPP 2.1 K12, 3.5).

Where a schedule does not say exactly when or how much, the careful reading is taken: it holds always, and at its least.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.domain.commands import ReadComposite
from counterflow.domain.conflicts import CompositePeriod, LimitPeriod
from counterflow.domain.telemetry import CompositeReported, StationEvent

EXTERNAL_CONSTRAINTS: Final = "ChargingStationExternalConstraints"
LEAST_VOLTAGE_V: Final = 207.0
"""230 V less 10 %, one phase: what an ampere is worth at least where the schedule does not say."""


def limits_told(schedules: Iterable[ocpp.ChargingScheduleType], now_s: float) -> tuple[LimitPeriod, ...]:
    """The schedules of a NotifyChargingLimit; one without a start begins now."""
    return tuple(
        period
        for schedule in schedules
        for period in _stretches(schedule, now_s if schedule.start_schedule is UNSET else schedule.start_schedule.timestamp())
    )


def limits_installed(profile: ocpp.ChargingProfileType) -> tuple[LimitPeriod, ...]:
    """What an installed profile forbids; only external constraints forbid discharge (3.5: a limit never restrains it)."""
    if profile.charging_profile_purpose != EXTERNAL_CONSTRAINTS:
        return ()
    from_s = None if profile.valid_from is UNSET else profile.valid_from.timestamp()
    to_s = None if profile.valid_to is UNSET else profile.valid_to.timestamp()
    found: list[LimitPeriod] = []
    for schedule in profile.charging_schedule:
        if profile.charging_profile_kind == "Absolute" and schedule.start_schedule is not UNSET:
            found += _stretches(schedule, schedule.start_schedule.timestamp())
        else:
            # Recurring, relative and dynamic schedules move; each of their periods counts as if it held now.
            found += (_limit(period, schedule.charging_rate_unit, None, None) for period in schedule.charging_schedule_period)
    return tuple(clipped for one in found if (clipped := _clipped(one, from_s, to_s)) is not None)


def composite_told(command: ReadComposite, answer: ocpp.GetCompositeScheduleResponse, now_s: float) -> list[StationEvent]:
    """The schedule of an accepted answer (K08), as an event; none where it has no schedule in W."""
    schedule = answer.schedule
    if answer.status != "Accepted" or schedule is UNSET or schedule.charging_rate_unit != "W":
        return []
    start_s, periods = schedule.schedule_start.timestamp(), schedule.charging_schedule_period
    ends = [later.start_period for later in periods[1:]] + [schedule.duration]
    told = tuple(
        CompositePeriod(
            from_s=start_s + period.start_period,
            to_s=start_s + end,
            mode="ChargingOnly" if period.operation_mode is UNSET else period.operation_mode,
            setpoint_w=_total(period.setpoint, period.setpoint_l2, period.setpoint_l3),
            charge_limit_w=_total(period.limit, period.limit_l2, period.limit_l3),
            discharge_limit_w=_limit(period, "W", None, None).discharge_w,
        )
        for period, end in zip(periods, ends, strict=True)
        if end > period.start_period
    )
    return [CompositeReported(station_id=command.station_id, evse_id=command.evse_id, at_s=now_s, periods=told)]


def _total(*phases: float | int | UnsetType) -> float | None:
    return None if phases[0] is UNSET else float(sum(power for power in phases if power is not UNSET))


def _stretches(schedule: ocpp.ChargingScheduleType, start_s: float) -> list[LimitPeriod]:
    periods: Sequence[ocpp.ChargingSchedulePeriodType] = schedule.charging_schedule_period
    end_s = None if schedule.duration is UNSET else start_s + schedule.duration
    ends = [start_s + later.start_period for later in periods[1:]]
    stretches = []
    for period, to_s in zip(periods, [*ends, end_s], strict=True):
        from_s = start_s + period.start_period
        if end_s is not None:
            to_s = end_s if to_s is None else min(to_s, end_s)  # the schedule ends its periods
        if to_s is None or to_s > from_s:
            stretches.append(_limit(period, schedule.charging_rate_unit, from_s, to_s))
    return stretches


def _limit(period: ocpp.ChargingSchedulePeriodType, unit: str, from_s: float | None, to_s: float | None) -> LimitPeriod:
    phases = (period.discharge_limit, period.discharge_limit_l2, period.discharge_limit_l3)
    said = [abs(float(one)) for one in phases if one is not UNSET]
    discharge_w: float | None = None
    if said and period.discharge_limit is not UNSET:
        discharge_w = sum(said) * (1.0 if unit == "W" else LEAST_VOLTAGE_V * _phases(period.number_phases, len(said)))
    return LimitPeriod(from_s=from_s, to_s=to_s, discharge_w=discharge_w, external_setpoint=period.operation_mode == "ExternalSetpoint")


def _phases(named: int | UnsetType, said: int) -> int:
    """Phases that a value in ampere counts for, when each is not told by itself."""
    return 1 if said > 1 or named is UNSET or named == 0 else named


def _clipped(one: LimitPeriod, from_s: float | None, to_s: float | None) -> LimitPeriod | None:
    begin = one.from_s if from_s is None else from_s if one.from_s is None else max(one.from_s, from_s)
    end = one.to_s if to_s is None else to_s if one.to_s is None else min(one.to_s, to_s)
    if begin is not None and end is not None and end <= begin:
        return None
    return LimitPeriod(from_s=begin, to_s=end, discharge_w=one.discharge_w, external_setpoint=one.external_setpoint)
