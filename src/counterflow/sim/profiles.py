"""The charging profiles that a station holds, and what they mean at an instant (OCPP 2.1 part 2, K08, SC.01-04, V2X.03-04).

One leading profile per purpose (highest stack level with a period that covers now), TxProfile over TxDefaultProfile, then capped by
ChargingStationMaxProfile. When nothing is left the station charges without restriction (K02.FR.08).
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.messages import (
    ChargingProfileCriterionType,
    ChargingProfileType,
    ChargingSchedulePeriodType,
    ChargingScheduleType,
    ChargingScheduleUpdateType,
    ClearChargingProfileType,
)
from counterflow.sim.curves import NOMINAL_HZ, curve_power_w, has_signal_curve, worst_power_w
from counterflow.sim.profile_rules import EvseView, Refusal, operation_mode, refusal, seconds
from counterflow.sim.settings import StationSettings
from counterflow.sim.vehicle import Order

NOMINAL_VOLTAGE: Final = 230.0
_PERIOD_OF_RECURRENCE: Final = {"Daily": 86_400.0, "Weekly": 604_800.0}


class Installed(Struct):
    """One profile at one EVSE (0 = the whole station). `updated_s` is the last update of a Dynamic profile."""

    profile: ChargingProfileType
    evse_id: int
    updated_s: float
    source: str = "CSO"
    """Who placed it; CSO = the CSMS."""
    dead: bool = False
    """invalidAfterOfflineDuration has struck: it stays invalid until it is sent again."""


class Effective(Struct, frozen=True):
    """What applies at an EVSE now: the order for the car, its operation mode, and the leading profile (None = nothing applies)."""

    order: Order
    operation_mode: str
    profile_id: int | None = None


class ProfileStore:
    """All profiles of one station, by id (an id is unique per station, not per EVSE: K01.FR.05)."""

    def __init__(self, settings: StationSettings) -> None:
        self._settings = settings
        self._by_id: dict[int, Installed] = {}
        self._offline_since_s: float | None = None
        self.frequency_hz = NOMINAL_HZ
        """The grid's, as the station measures it."""
        self.csms_leads = settings.setpoint_priority == "CSMS"
        self.signal: int | None = None
        """The aFRR signal in force."""

    # ---- in and out

    def install(self, profile: ChargingProfileType, evse_id: int, evses: Mapping[int, EvseView], now_s: float) -> Refusal | None:
        """Take a profile, replacing the one with its id wherever it is, or say why not."""
        installed = ((one.evse_id, one.profile) for one in self._by_id.values())
        wrong = refusal(profile, evse_id, settings=self._settings, evses=evses, installed=installed)
        if wrong is None:
            self._by_id[profile.id] = Installed(profile, evse_id, now_s)
        return wrong

    def place_locally(self, profile: ChargingProfileType, evse_id: int, source: str, now_s: float) -> None:
        """Another actor than the CSMS places a profile; what it may place is its own business."""
        self._by_id[profile.id] = Installed(profile, evse_id, now_s, source)

    def update_dynamic(self, profile_id: int, update: ChargingScheduleUpdateType, now_s: float) -> Refusal | None:
        """UpdateDynamicSchedule: new values for the one period of a Dynamic profile; restarts its watchdog (K28)."""
        installed = self._by_id.get(profile_id)
        if installed is None:
            return Refusal("InvalidProfile", "ProfileNotFound")
        if installed.profile.charging_profile_kind != "Dynamic":
            return Refusal("InvalidProfile", "ProfileNotDynamic")
        schedule = installed.profile.charging_schedule[0]
        values = {
            name: value for name in update.__struct_fields__ if (value := getattr(update, name)) is not UNSET and name != "custom_data"
        }
        period = msgspec.structs.replace(schedule.charging_schedule_period[0], **values)
        changed = msgspec.structs.replace(schedule, charging_schedule_period=[period])
        profile = msgspec.structs.replace(installed.profile, charging_schedule=[changed], dyn_update_time=rpc.instant(now_s))
        self._by_id[profile_id] = Installed(profile, installed.evse_id, now_s, installed.source)
        return None

    def clear(self, profile_id: int) -> Installed | None:
        """ClearChargingProfile by id: the profile that was there."""
        return self._by_id.pop(profile_id, None)

    def clear_by(self, criteria: ClearChargingProfileType) -> list[Installed]:
        """ClearChargingProfile by criteria, all of which must hold (K10). No criteria match nothing."""
        wanted = (criteria.evse_id, criteria.charging_profile_purpose, criteria.stack_level)
        if all(isinstance(one, UnsetType) for one in wanted):
            return []
        hits = [
            one
            for one in self._by_id.values()
            if all(
                isinstance(want, UnsetType) or want == have
                for want, have in zip(wanted, (one.evse_id, one.profile.charging_profile_purpose, one.profile.stack_level), strict=True)
            )
        ]
        for one in hits:
            del self._by_id[one.profile.id]
        return hits

    def forget_transaction(self, transaction_id: str) -> None:
        """TxProfiles die with their transaction (K02.FR.06)."""
        self._by_id = {key: one for key, one in self._by_id.items() if one.profile.transaction_id != transaction_id}

    def forget_tx_profiles(self) -> None:
        """A reboot: TxProfiles are not persistent here."""
        self._by_id = {key: one for key, one in self._by_id.items() if one.profile.charging_profile_purpose != "TxProfile"}

    def matching(self, evse_id: int | None, criterion: ChargingProfileCriterionType) -> list[Installed]:
        """GetChargingProfiles: all criteria must hold; `evse_id` None = any."""
        ids, sources = criterion.charging_profile_id, criterion.charging_limit_source
        purpose, level = criterion.charging_profile_purpose, criterion.stack_level
        return [
            one
            for one in self._by_id.values()
            if (evse_id is None or one.evse_id == evse_id)
            and (isinstance(ids, UnsetType) or one.profile.id in ids)
            and (isinstance(sources, UnsetType) or one.source in sources)
            and (isinstance(purpose, UnsetType) or one.profile.charging_profile_purpose == purpose)
            and (isinstance(level, UnsetType) or one.profile.stack_level == level)
        ]

    def holds(self, profile_id: int) -> bool:
        """There is a profile of this id."""
        return profile_id in self._by_id

    def __iter__(self) -> Iterator[Installed]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    # ---- offline

    def went_offline(self, now_s: float) -> None:
        """The station notices that the CSMS is gone."""
        if self._offline_since_s is None:
            self._offline_since_s = now_s

    def came_online(self, now_s: float) -> None:
        """Back: profiles past maxOfflineDuration are valid again unless invalidAfterOfflineDuration says otherwise."""
        for one in self._by_id.values():
            if self._past_offline_limit(one, now_s) and one.profile.invalid_after_offline_duration is True:
                one.dead = True
        self._offline_since_s = None

    def _past_offline_limit(self, one: Installed, now_s: float) -> bool:
        limit_s, since_s = one.profile.max_offline_duration, self._offline_since_s
        return since_s is not None and not isinstance(limit_s, UnsetType) and now_s - since_s >= limit_s

    # ---- meaning

    def effective(self, evse_id: int, transaction_id: str | None, now_s: float, *, tx_started_s: float) -> Effective:
        """What applies at an EVSE at this instant of the station's clock."""
        leading = self._leading("TxProfile", evse_id, transaction_id, now_s, tx_started_s)
        if leading is None:
            leading = self._leading("TxDefaultProfile", evse_id, None, now_s, tx_started_s)
        cap = self._leading("ChargingStationMaxProfile", 0, None, now_s, tx_started_s)
        cap_w = _limit_w(*cap[1:]) if cap is not None else inf
        others = self._leading("ChargingStationExternalConstraints", evse_id, None, now_s, tx_started_s)
        if others is not None:
            cap_w = min(cap_w, _limit_w(*others[1:]))
        local_w = self._settings.local_limit_w
        if local_w is not None:
            cap_w = min(cap_w, local_w)
        if others is not None and operation_mode(others[1]) == "ExternalSetpoint" and not (self.csms_leads and leading is not None):
            # The local system's own setpoint beats ours unless SetpointPriority says CSMS (3.5); it is what its profile carries.
            return Effective(_order(others[1], others[2], cap_w), "ExternalSetpoint", others[0].profile.id)
        if leading is None:
            return Effective(Order(cap_w, True), "ChargingOnly", None)
        one, period, unit = leading
        curved = operation_mode(period) == "LocalFrequency"
        order = Order(min(curve_power_w(period, self.frequency_hz, self.signal), cap_w), False) if curved else _order(period, unit, cap_w)
        if others is not None and not isinstance(others[1].discharge_limit, UnsetType) and not order.is_limit:
            order = Order(max(order.power_w, -abs(_watts(others[1].discharge_limit, others[2], others[1]))), False)
        return Effective(order, operation_mode(period), one.profile.id)

    def takes_signals(self, evse_id: int, transaction_id: str | None, now_s: float, *, tx_started_s: float) -> bool:
        """An aFRR signal would mean something at this EVSE now (Q08)."""
        leading = self._leading("TxProfile", evse_id, transaction_id, now_s, tx_started_s)
        return leading is not None and operation_mode(leading[1]) == "LocalFrequency" and has_signal_curve(leading[1])

    def leaders_below(self, profile: ChargingProfileType, evse_id: int, now_s: float, tx_started_s: float) -> list[Installed]:
        """Charging-only profiles that would take over at this instant if `profile` were gone (decision 4: what lies beneath)."""
        found = []
        for one in self._by_id.values():
            if one.profile.id == profile.id or one.evse_id not in (0, evse_id) or one.dead:
                continue
            same = one.profile.charging_profile_purpose == "TxProfile" and one.profile.transaction_id == profile.transaction_id
            lower = same and one.profile.stack_level < profile.stack_level
            if not (lower or one.profile.charging_profile_purpose == "TxDefaultProfile"):
                continue
            hit = self._period_now(one, now_s, tx_started_s)
            if hit is not None and operation_mode(hit[0]) == "ChargingOnly":
                found.append(one)
        return found

    def next_change_s(self, evse_id: int, now_s: float, *, tx_started_s: float) -> float:
        """The next instant at which something may change by itself; inf if never."""
        return min(
            (
                edge
                for one in self._by_id.values()
                if one.evse_id in (0, evse_id)
                for edge in self._edges(one, now_s, tx_started_s)
                if edge > now_s
            ),
            default=inf,
        )

    def _leading(
        self, purpose: str, evse_id: int, transaction_id: str | None, now_s: float, tx_started_s: float
    ) -> tuple[Installed, ChargingSchedulePeriodType, str] | None:
        best: tuple[Installed, ChargingSchedulePeriodType, str] | None = None
        for one in self._by_id.values():
            profile = one.profile
            if profile.charging_profile_purpose != purpose or one.evse_id not in (0, evse_id):
                continue
            if transaction_id is not None and profile.transaction_id != transaction_id:
                continue
            if best is not None and best[0].profile.stack_level >= profile.stack_level:
                continue
            hit = self._period_now(one, now_s, tx_started_s)
            if hit is not None:
                best = (one, *hit)
        return best

    def _period_now(self, one: Installed, now_s: float, tx_started_s: float) -> tuple[ChargingSchedulePeriodType, str] | None:
        """The period of a profile that covers now, and its unit."""
        valid_from_s, valid_to_s = seconds(one.profile.valid_from), seconds(one.profile.valid_to)
        if one.dead or self._past_offline_limit(one, now_s):
            return None
        if (valid_from_s is not None and now_s < valid_from_s) or (valid_to_s is not None and now_s >= valid_to_s):
            return None
        for schedule in one.profile.charging_schedule:
            elapsed_s = now_s - _start_s(one, schedule, now_s, tx_started_s)
            if elapsed_s < 0 or (not isinstance(schedule.duration, UnsetType) and elapsed_s >= schedule.duration):
                continue
            period = [one for one in schedule.charging_schedule_period if one.start_period <= elapsed_s][-1]
            return period, schedule.charging_rate_unit
        return None

    def _edges(self, one: Installed, now_s: float, tx_started_s: float) -> Iterator[float]:
        for instant in (one.profile.valid_from, one.profile.valid_to):
            edge_s = seconds(instant)
            if edge_s is not None:
                yield edge_s
        limit_s = one.profile.max_offline_duration
        if self._offline_since_s is not None and not isinstance(limit_s, UnsetType):
            yield self._offline_since_s + limit_s
        for schedule in one.profile.charging_schedule:
            start_s = _start_s(one, schedule, now_s, tx_started_s)
            yield from (start_s + period.start_period for period in schedule.charging_schedule_period)
            if not isinstance(schedule.duration, UnsetType):
                yield start_s + schedule.duration
            if one.profile.charging_profile_kind == "Recurring":
                yield start_s + _PERIOD_OF_RECURRENCE[str(one.profile.recurrency_kind)]


def _start_s(one: Installed, schedule: ChargingScheduleType, now_s: float, tx_started_s: float) -> float:
    match one.profile.charging_profile_kind:
        case "Absolute":
            return seconds(schedule.start_schedule) or 0.0
        case "Recurring":
            first_s, every_s = seconds(schedule.start_schedule) or 0.0, _PERIOD_OF_RECURRENCE[str(one.profile.recurrency_kind)]
            return now_s - (now_s - first_s) % every_s
        case "Relative":
            return tx_started_s
        case "Dynamic":
            return one.updated_s


def _watts(value: float, unit: str, period: ChargingSchedulePeriodType) -> float:
    if unit == "W":
        return value
    return value * NOMINAL_VOLTAGE * (3 if isinstance(period.number_phases, UnsetType) else period.number_phases)


def _limit_w(period: ChargingSchedulePeriodType, unit: str) -> float:
    return inf if isinstance(period.limit, UnsetType) else _watts(period.limit, unit, period)


def _order(period: ChargingSchedulePeriodType, unit: str, cap_w: float) -> Order:
    """The order of a period, the strongest that its curves can ask for: a limit caps charging, never discharge (V2X.03)."""
    if operation_mode(period) == "Idle":
        return Order(0.0, False)
    if operation_mode(period) == "LocalFrequency":
        return Order(worst_power_w(period), False)
    if not isinstance(period.setpoint, UnsetType):
        return Order(min(_watts(period.setpoint, unit, period), cap_w), False)
    limit_w = _limit_w(period, unit)
    if limit_w < 0.0:
        return Order(limit_w, False)
    return Order(min(limit_w, cap_w), True)


def stretches(profile: ChargingProfileType, installed_s: float, tx_started_s: float) -> list[tuple[float, float, float]]:
    """(from, to, setpoint or limit in W) of each period of the first schedule, `to` inf where nothing ends it."""
    schedule = profile.charging_schedule[0]
    start_s = _start_s(Installed(profile, 0, installed_s), schedule, installed_s, tx_started_s)
    end_s = inf if isinstance(schedule.duration, UnsetType) else start_s + schedule.duration
    periods = schedule.charging_schedule_period
    ends = [start_s + later.start_period for later in periods[1:]] + [end_s]
    return [
        (start_s + period.start_period, min(until_s, end_s), _order(period, schedule.charging_rate_unit, inf).power_w)
        for period, until_s in zip(periods, ends, strict=True)
        if start_s + period.start_period < end_s
    ]
