"""Which charging profiles a 2.1 station takes, and with which reason code it refuses the others (OCPP 2.1 part 2, K01, K28, Q01-Q03).

Two refusals are stricter than most stations, because the rules bind the CSMS and a mistake shall show here first: a
CentralSetpoint period that also carries a limit (Q03.FR.02), and a negative limit (errata 2025-06).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Final, Protocol

from msgspec import UNSET, Struct, UnsetType

from counterflow.adapters.ocpp.messages import ChargingProfileType, ChargingSchedulePeriodType, ChargingScheduleType
from counterflow.sim.settings import StationSettings


class Refusal(Struct, frozen=True):
    """`reason_code` as OCPP spells it, and a sentence."""

    reason_code: str
    text: str


class EvseView(Protocol):
    """What the rules ask of an EVSE."""

    @property
    def is_dc(self) -> bool:
        """DC power electronics."""
        ...

    @property
    def transaction_id(self) -> str | None:
        """The running transaction."""
        ...

    @property
    def needs_sent(self) -> bool:
        """NotifyEVChargingNeeds of this transaction has been answered."""
        ...


_V2X_MODES: Final = frozenset(
    {
        "Idle",
        "ChargingOnly",
        "CentralSetpoint",
        "ExternalSetpoint",
        "ExternalLimits",
        "CentralFrequency",
        "LocalFrequency",
        "LocalLoadBalancing",
    }
)
MODES_OF_PURPOSE: Final[dict[str, frozenset[str]]] = {
    "ChargingStationMaxProfile": frozenset({"ChargingOnly"}),
    "TxDefaultProfile": _V2X_MODES,
    "TxProfile": _V2X_MODES,
    "PriorityCharging": frozenset({"ChargingOnly"}),
    "LocalGeneration": frozenset({"ChargingOnly", "ExternalLimits"}),
}
_OTHER_PHASES: Final = tuple(
    f"{field}_l{phase}" for field in ("limit", "discharge_limit", "setpoint", "setpoint_reactive") for phase in (2, 3)
)
_FIELDS_OF_MODE: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    "ChargingOnly": (frozenset({"limit"}), frozenset({"limit"})),
    "CentralSetpoint": (frozenset({"setpoint"}), frozenset({"setpoint", "setpoint_reactive"})),
    "CentralFrequency": (frozenset({"setpoint"}), frozenset({"setpoint"})),
    "ExternalSetpoint": (frozenset(), frozenset({"limit", "discharge_limit"})),
    "ExternalLimits": (frozenset(), frozenset()),
    "LocalFrequency": (frozenset(), frozenset()),
    "LocalLoadBalancing": (frozenset(), frozenset()),
    "Idle": (frozenset(), frozenset()),
}
"""Per operation mode: the fields that must be there, and those that may (part 2, the table of limits and setpoints)."""


def operation_mode(period: ChargingSchedulePeriodType) -> str:
    """The period's mode; absent means ChargingOnly."""
    return "ChargingOnly" if isinstance(period.operation_mode, UnsetType) else period.operation_mode


def seconds(instant: datetime | UnsetType) -> float | None:
    """Epoch seconds, None if absent."""
    return None if isinstance(instant, UnsetType) else instant.timestamp()


def refusal(
    profile: ChargingProfileType,
    evse_id: int,
    *,
    settings: StationSettings,
    evses: Mapping[int, EvseView],
    installed: Iterable[tuple[int, ChargingProfileType]],
) -> Refusal | None:
    """Why this profile is not taken at this EVSE; None if it is. `installed` holds (EVSE id, profile)."""
    others = [(where, other) for where, other in installed if other.id != profile.id]
    return (
        _wrong_address(profile, evse_id, settings, evses)
        or _wrong_kind(profile, settings)
        or _too_much(profile, settings, len(others))
        or _wrong_schedules(profile, settings, evses.get(evse_id))
        or _wrong_transaction(profile, evse_id, evses, others)
    )


def _wrong_address(profile: ChargingProfileType, evse_id: int, settings: StationSettings, evses: Mapping[int, EvseView]) -> Refusal | None:
    purpose = profile.charging_profile_purpose
    if purpose == "ChargingStationExternalConstraints":
        return Refusal("InvalidValue", "A CSMS does not set external constraints (K01.FR.22).")
    if evse_id != 0 and evse_id not in evses:
        return Refusal("UnknownEvse", f"There is no EVSE {evse_id}.")
    if profile.id <= settings.max_external_constraints_id:
        return Refusal("InvalidProfileId", "Ids up to MaxExternalConstraintsId belong to external constraints (K01.FR.80).")
    if purpose in ("PriorityCharging", "LocalGeneration"):
        return Refusal("UnsupportedPurpose", f"{purpose} is not among SupportedAdditionalPurposes.")
    if purpose == "ChargingStationMaxProfile" and evse_id != 0:
        return Refusal("InvalidValue", "ChargingStationMaxProfile goes to EVSE 0.")
    if purpose == "TxProfile" and evse_id == 0:
        return Refusal("InvalidValue", "A TxProfile goes to one EVSE.")
    return None


def _wrong_kind(profile: ChargingProfileType, settings: StationSettings) -> Refusal | None:
    kind, schedules = profile.charging_profile_kind, profile.charging_schedule
    started = [schedule.start_schedule is not UNSET for schedule in schedules]
    if kind == "Dynamic":
        if not settings.dynamic_profiles:
            return Refusal("UnsupportedKind", "Dynamic profiles are not supported.")
        if len(schedules) != 1 or len(schedules[0].charging_schedule_period) != 1:
            return Refusal("InvalidSchedule", "A Dynamic profile has one schedule with one period (K28.FR.02).")
        return None
    if profile.dyn_update_interval is not UNSET or profile.dyn_update_time is not UNSET:
        return Refusal("InvalidProfile", "dynUpdate fields belong to Dynamic profiles.")
    if kind in ("Absolute", "Recurring") and not all(started):
        return Refusal("InvalidSchedule", f"{kind} schedules need startSchedule.")
    if kind == "Recurring" and profile.recurrency_kind is UNSET:
        return Refusal("MissingParam", "Recurring needs recurrencyKind.")
    if kind == "Relative" and any(started):
        return Refusal("InvalidSchedule", "Relative schedules have no startSchedule.")
    if kind == "Relative" and profile.charging_profile_purpose == "ChargingStationMaxProfile":
        return Refusal("UnsupportedKind", "ChargingStationMaxProfile cannot be Relative.")
    return None


def _too_much(profile: ChargingProfileType, settings: StationSettings, others: int) -> Refusal | None:
    if profile.stack_level > settings.max_stack_level:
        return Refusal("InvalidStackLevel", f"ProfileStackLevel is {settings.max_stack_level}.")
    if any(len(schedule.charging_schedule_period) > settings.max_periods for schedule in profile.charging_schedule):
        return Refusal("TooManyElements", f"PeriodsPerSchedule is {settings.max_periods}.")
    if others >= settings.max_profiles:
        return Refusal("TooManyElements", f"{settings.max_profiles} profiles is the most (Entries[ChargingProfiles]).")
    if profile.max_offline_duration is not UNSET and not settings.max_offline_duration:
        return Refusal("UnsupportedParam", "maxOfflineDuration is not supported.")
    return None


def _wrong_schedules(profile: ChargingProfileType, settings: StationSettings, evse: EvseView | None) -> Refusal | None:
    allowed = MODES_OF_PURPOSE[profile.charging_profile_purpose]
    is_dc = evse is not None and evse.is_dc
    for schedule in profile.charging_schedule:
        wrong = _wrong_schedule(schedule, settings)
        if wrong is not None:
            return wrong
        for period in schedule.charging_schedule_period:
            wrong = _wrong_period(period, allowed, settings, schedule.charging_rate_unit, is_dc=is_dc)
            if wrong is not None:
                return wrong
    return None


def _wrong_schedule(schedule: ChargingScheduleType, settings: StationSettings) -> Refusal | None:
    if schedule.charging_rate_unit not in settings.rate_units:
        return Refusal("UnsupportedRateUnit", f"RateUnit is {','.join(settings.rate_units)}.")
    for name in ("randomized_delay", "use_local_time", "limit_at_soc"):
        if getattr(schedule, name) is not UNSET:
            return Refusal("UnsupportedParam", f"{name} is not supported (K01.FR.123).")
    starts = [period.start_period for period in schedule.charging_schedule_period]
    if starts[0] != 0 or any(later <= earlier for earlier, later in pairwise(starts)):
        return Refusal("InvalidSchedule", "startPeriod starts at 0 and rises.")
    if not isinstance(schedule.duration, UnsetType) and schedule.duration < 0:
        return Refusal("InvalidValue", "A duration is not negative.")
    return None


def _wrong_period(
    period: ChargingSchedulePeriodType, allowed: frozenset[str], settings: StationSettings, rate_unit: str, *, is_dc: bool
) -> Refusal | None:
    mode = operation_mode(period)
    if mode not in allowed or mode not in settings.operation_modes:
        return Refusal("InvalidOperationMode", f"{mode} is not possible here (K01.FR.101).")
    if any(getattr(period, name) is not UNSET for name in _OTHER_PHASES):
        return Refusal("PhaseConflict", "The car has named no limits per phase (V2X.08).")
    if is_dc and (period.number_phases is not UNSET or period.phase_to_use is not UNSET):
        return Refusal("NoPhaseForDC", "A DC EVSE has no phases (K01.FR.44).")
    if mode == "LocalFrequency" and (isinstance(period.v2x_freq_watt_curve, UnsetType) or len(period.v2x_freq_watt_curve) < 2):
        return Refusal("NoFreqWattCurve", "LocalFrequency needs a curve of two points and a baseline.")
    if mode == "LocalFrequency" and period.v2x_baseline is UNSET:
        return Refusal("MissingParam", "LocalFrequency needs v2xBaseline.")
    if mode == "LocalFrequency" and rate_unit == "A":
        return Refusal("UnsupportedRateUnit", "LocalFrequency is in W.")
    if period.evse_sleep is not UNSET and mode != "Idle":
        return Refusal("InvalidSchedule", "evseSleep belongs to Idle.")
    needed, possible = _FIELDS_OF_MODE[mode]
    present = {name for name in ("limit", "discharge_limit", "setpoint", "setpoint_reactive") if getattr(period, name) is not UNSET}
    if not needed <= present <= possible:
        return Refusal("InvalidSchedule", f"{mode} does not go with {', '.join(sorted(present)) or 'nothing'} (Q03.FR.02).")
    if not isinstance(period.limit, UnsetType) and period.limit < 0 and not settings.negative_limits:
        return Refusal("ValueTooLow", "A limit is zero or positive (errata 2025-06).")
    return None


def _wrong_transaction(
    profile: ChargingProfileType, evse_id: int, evses: Mapping[int, EvseView], others: list[tuple[int, ChargingProfileType]]
) -> Refusal | None:
    if profile.charging_profile_purpose != "TxProfile":
        if any(_collides(profile, evse_id, other, where) for where, other in others):
            return Refusal("DuplicateProfile", "Another profile has this purpose, stack level and EVSE (K01.FR.06).")
        return None
    if isinstance(profile.transaction_id, UnsetType):
        return Refusal("MissingParam", "A TxProfile needs transactionId (K01.FR.03).")
    evse = evses[evse_id]
    if evse.transaction_id != profile.transaction_id:
        return Refusal("TxNotFound", "This EVSE has no such transaction (K01.FR.33).")
    if not evse.needs_sent:
        return Refusal("InvalidMessageSeq", "NotifyEVChargingNeeds has not been answered yet (K18.FR.17).")
    for _, other in others:
        if other.transaction_id == profile.transaction_id and other.stack_level == profile.stack_level:
            return Refusal("InvalidStackLevel", f"Profile {other.id} has this stack level and transaction (K01.FR.39).")
    return None


def _collides(profile: ChargingProfileType, evse_id: int, other: ChargingProfileType, where: int) -> bool:
    same_place = where == evse_id or 0 in (where, evse_id)
    same_purpose = other.charging_profile_purpose == profile.charging_profile_purpose
    if not (same_place and same_purpose and other.stack_level == profile.stack_level):
        return False
    starts = [seconds(one.valid_from) for one in (profile, other)]
    ends = [seconds(one.valid_to) for one in (profile, other)]
    apart = (ends[0] is not None and starts[1] is not None and ends[0] <= starts[1]) or (
        ends[1] is not None and starts[0] is not None and ends[1] <= starts[0]
    )
    return not apart
