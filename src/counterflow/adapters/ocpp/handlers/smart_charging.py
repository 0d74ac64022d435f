"""Block K, smart charging, and block Q's needs of a bidirectional car."""

from math import inf
from typing import Final

from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.foreign_limits import limits_installed, limits_told
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, WarningKind
from counterflow.adapters.ocpp.profiles import NOMINAL_V, toward_zero
from counterflow.domain.conflicts import InstalledProfile
from counterflow.domain.ids import EvseId, ProfileId, TransactionId
from counterflow.domain.telemetry import (
    ChargingNeedsReported,
    ExternalLimitChanged,
    PlannedPower,
    PriorityChargingChanged,
    ProfilesReported,
    StationWarned,
)

BIDIRECTIONAL: Final = frozenset({"AC_BPT", "AC_BPT_DER", "DC_BPT", "DC_ACDP_BPT"})
"""Energy transfer modes that can discharge (EnergyTransferModeEnumType)."""

_PHASES: Final = {"AC_single_phase": 1, "AC_two_phase": 2, "AC_three_phase": 3}

_PLAN_TAKEN: Final = ocpp.NotifyEVChargingScheduleResponse(status="Accepted")
_PLAN_REFUSED: Final = ocpp.NotifyEVChargingScheduleResponse(
    status="Rejected", status_info=ocpp.StatusInfoType(reason_code="InvalidSchedule")
)
_LIMIT_TAKEN: Final = ocpp.NotifyChargingLimitResponse()
_CLEARED_TAKEN: Final = ocpp.ClearedChargingLimitResponse()
_PRIORITY_TAKEN: Final = ocpp.NotifyPriorityChargingResponse()
_PROFILES_TAKEN: Final = ocpp.ReportChargingProfilesResponse()
_NO_SUCH_PROFILE: Final = ocpp.PullDynamicScheduleUpdateResponse(
    status="Rejected", status_info=ocpp.StatusInfoType(reason_code="InvalidProfile")
)

PHASES: Final = {"AC_single_phase": 1, "AC_two_phase": 2, "AC_three_phase": 3}
"""Of the transfers that ISO 15118-2 has."""
_Number = float | int | UnsetType


def notify_ev_charging_needs(request: ocpp.NotifyEVChargingNeedsRequest, station: StationContext, now_s: float) -> Answer:
    """K15, K18, K19, Q01: the policy says whether a profile follows; never Rejected, which would end the session."""
    event = _needs(request, station, now_s)
    answer = station.policy.needs(event, now_s)
    return ocpp.NotifyEVChargingNeedsResponse(status=answer.value), [event]


def _needs(request: ocpp.NotifyEVChargingNeedsRequest, station: StationContext, now_s: float) -> ChargingNeedsReported:
    needs = request.charging_needs
    v2x, dc, ac = needs.v2x_charging_parameters, needs.dc_charging_parameters, needs.ac_charging_parameters
    limits = ocpp.V2XChargingParametersType() if v2x is UNSET else v2x
    bidirectional = needs.requested_energy_transfer in BIDIRECTIONAL
    offered = () if needs.available_energy_transfer is UNSET else needs.available_energy_transfer
    can_upgrade = not bidirectional and any(mode in BIDIRECTIONAL for mode in offered)
    max_charge_power_w = _power(limits.max_charge_power, limits.max_charge_power_l2, limits.max_charge_power_l3)
    target_wh = _number(limits.ev_target_energy_request)
    min_charge_power_w = _power(limits.min_charge_power, limits.min_charge_power_l2, limits.min_charge_power_l3)
    if max_charge_power_w is None and dc is not UNSET:
        max_charge_power_w = _power(dc.ev_max_power)
    if max_charge_power_w is None and ac is not UNSET:
        # ISO 15118-2 tells currents of each phase, and the highest voltage that the car could bear.
        phase_w = PHASES.get(needs.requested_energy_transfer, 1) * NOMINAL_V
        max_charge_power_w, min_charge_power_w = ac.ev_max_current * phase_w, ac.ev_min_current * phase_w
    if target_wh is None:
        older = dc if dc is not UNSET else ac
        target_wh = None if older is UNSET else _number(older.energy_amount)
    return ChargingNeedsReported(
        station_id=station.station_id,
        evse_id=EvseId(request.evse_id),
        at_s=now_s if request.timestamp is UNSET else request.timestamp.timestamp(),
        received_s=now_s,
        bidirectional=bidirectional,
        ac=needs.requested_energy_transfer.startswith("AC_"),
        phases=_PHASES.get(needs.requested_energy_transfer),
        can_upgrade=can_upgrade,
        dynamic_control=needs.control_mode == "DynamicControl",
        iso15118_20=bidirectional or can_upgrade or v2x is not UNSET or needs.control_mode is not UNSET,
        max_schedule_tuples=None if request.max_schedule_tuples is UNSET else request.max_schedule_tuples,
        departure_s=None if needs.departure_time is UNSET else needs.departure_time.timestamp(),
        min_charge_power_w=min_charge_power_w,
        max_charge_power_w=max_charge_power_w,
        min_discharge_power_w=_power(limits.min_discharge_power, limits.min_discharge_power_l2, limits.min_discharge_power_l3),
        max_discharge_power_w=_power(limits.max_discharge_power, limits.max_discharge_power_l2, limits.max_discharge_power_l3),
        target_energy_request_wh=target_wh,
        min_energy_request_wh=_number(limits.ev_min_energy_request),
        max_energy_request_wh=_number(limits.ev_max_energy_request),
        min_v2x_energy_request_wh=_number(limits.ev_min_v2x_energy_request),
        max_v2x_energy_request_wh=_number(limits.ev_max_v2x_energy_request),
        target_soc_frac=_fraction(limits.target_soc),
        soc_frac=None if dc is UNSET else _fraction(dc.state_of_charge),
        capacity_wh=None if dc is UNSET else _number(dc.ev_energy_capacity),
    )


def _number(value: _Number) -> float | None:
    return None if value is UNSET else float(value)


def _fraction(percent: int | UnsetType) -> float | None:
    return None if percent is UNSET else percent / 100.0


def _power(*phases: _Number) -> float | None:
    """The magnitude of a power: the first is the total, or phase L1 when the others are there. Some cars sign discharge powers."""
    said = [abs(float(power)) for power in phases if power is not UNSET]
    return sum(said) if said and phases[0] is not UNSET else None


def notify_ev_charging_schedule(request: ocpp.NotifyEVChargingScheduleRequest, station: StationContext, now_s: float) -> Answer:
    """K17: the car's own plan is Accepted within our schedule, else Rejected with the reason in the station's history.

    A plan in ampere cannot be compared with watts and is taken as it is: the meter tells what the car does.
    """
    plan = _plan(request)
    wrong = station.policy.ev_plan(station.station_id, EvseId(request.evse_id), plan, request.power_tolerance_acceptance is True, now_s)
    if wrong is None:
        return _PLAN_TAKEN, []
    warning = StationWarned(station_id=station.station_id, at_s=now_s, kind=WarningKind.PLAN, text=f"EVSE {request.evse_id}: {wrong}")
    return _PLAN_REFUSED, [warning]


def _plan(request: ocpp.NotifyEVChargingScheduleRequest) -> list[PlannedPower]:
    schedule = request.charging_schedule
    if schedule.charging_rate_unit != "W":
        return []
    begins_s = request.time_base.timestamp()
    periods = schedule.charging_schedule_period
    ends_s = [period.start_period for period in periods[1:]] + [inf if schedule.duration is UNSET else schedule.duration]
    plan = []
    for period, end_s in zip(periods, ends_s, strict=True):
        power_w = next((power for name in ("setpoint", "limit", "discharge_limit") if (power := _sum(period, name)) is not None), None)
        if power_w is not None:
            plan.append(PlannedPower(from_s=begins_s + period.start_period, until_s=begins_s + end_s, power_w=power_w))
    return plan


def _sum(period: ocpp.ChargingSchedulePeriodType, name: str) -> float | None:
    """All phases of one of a period's powers; None where it names none."""
    phases = (getattr(period, name), getattr(period, f"{name}_l2"), getattr(period, f"{name}_l3"))
    said = [float(power) for power in phases if power is not UNSET]
    return sum(said) if said else None


def notify_charging_limit(request: ocpp.NotifyChargingLimitRequest, station: StationContext, now_s: float) -> Answer:
    """K12: another actor limits the station, now and over time."""
    event = ExternalLimitChanged(
        station_id=station.station_id,
        evse_id=EvseId(0 if request.evse_id is UNSET else request.evse_id),
        at_s=now_s,
        source=request.charging_limit.charging_limit_source,
        active=True,
        periods=() if request.charging_schedule is UNSET else limits_told(request.charging_schedule, now_s),
    )
    return _LIMIT_TAKEN, [event]


def cleared_charging_limit(request: ocpp.ClearedChargingLimitRequest, station: StationContext, now_s: float) -> Answer:
    """K13: the other actor let go."""
    event = ExternalLimitChanged(
        station_id=station.station_id,
        evse_id=EvseId(0 if request.evse_id is UNSET else request.evse_id),
        at_s=now_s,
        source=request.charging_limit_source,
        active=False,
    )
    return _CLEARED_TAKEN, [event]


def notify_priority_charging(request: ocpp.NotifyPriorityChargingRequest, station: StationContext, now_s: float) -> Answer:
    """K22: the driver asked for full power, or no longer does."""
    event = PriorityChargingChanged(
        station_id=station.station_id,
        transaction_id=TransactionId(request.transaction_id),
        at_s=now_s,
        activated=request.activated,
    )
    return _PRIORITY_TAKEN, [event]


def report_charging_profiles(request: ocpp.ReportChargingProfilesRequest, station: StationContext, now_s: float) -> Answer:
    """K09: what is installed at an EVSE, as asked for by `ReadProfiles`; `tbc` = more is to come for the same request."""
    event = ProfilesReported(
        station_id=station.station_id,
        evse_id=EvseId(request.evse_id),
        at_s=now_s,
        request_id=request.request_id,
        source=request.charging_limit_source,
        profiles=tuple(_installed(profile) for profile in request.charging_profile),
        last=request.tbc is not True,
    )
    return _PROFILES_TAKEN, [event]


def _installed(profile: ocpp.ChargingProfileType) -> InstalledProfile:
    return InstalledProfile(
        profile_id=ProfileId(profile.id),
        purpose=str(profile.charging_profile_purpose),
        stack_level=profile.stack_level,
        kind=str(profile.charging_profile_kind),
        transaction_id=TransactionId("" if profile.transaction_id is UNSET else profile.transaction_id),
        limits=limits_installed(profile),
    )


def pull_dynamic_schedule_update(request: ocpp.PullDynamicScheduleUpdateRequest, station: StationContext, now_s: float) -> Answer:
    """K28: the setpoint of a dynamic profile of ours, or Rejected InvalidProfile (K28.FR.05)."""
    setpoint_w = station.policy.pull_setpoint(station.station_id, ProfileId(request.charging_profile_id), now_s)
    if setpoint_w is None:
        return _NO_SUCH_PROFILE, []
    update = ocpp.ChargingScheduleUpdateType(setpoint=toward_zero(setpoint_w))
    return ocpp.PullDynamicScheduleUpdateResponse(status="Accepted", schedule_update=update), []
