"""From a device model to what an EVSE may be asked, with the reason in words. Pure functions; unknown stays None."""

from typing import Final

from msgspec import Struct

from counterflow.adapters.ocpp.discovery.values import DeviceModel, any_flag
from counterflow.adapters.ocpp.discovery.variables import (
    ALIGNED_INTERVAL,
    ALIGNED_MEASURANDS,
    ATTEMPT_INTERVAL,
    CAR_VARIABLES,
    CLOCK,
    DISCHARGE_POWER,
    DISCHARGE_POWER_SET,
    ENTRIES,
    ENTRIES_MAX,
    EV_CAPACITY,
    EV_DEPARTURE,
    EV_DISCHARGE_MAX,
    EV_ENERGY_MAX,
    EV_ENERGY_MIN,
    EV_ENERGY_TARGET,
    EV_POWER_MAX,
    EV_PROTOCOL,
    EV_SOC,
    EV_SOC_MAX,
    EV_VEHICLE_ID,
    EVSE_POWER,
    EVSE_POWER_SET,
    EXTERNAL_DISALLOWED,
    EXTERNAL_ID,
    EXTERNAL_SIGNALS,
    FEATURES,
    HEARTBEAT,
    ISO15118,
    LIMIT_CHANGE,
    LIMIT_SCHEDULES,
    MESSAGE_ATTEMPTS,
    MESSAGE_TIMEOUT,
    OFFLINE_THRESHOLD,
    PERIODS,
    PERSISTENCE,
    PING,
    PURPOSES,
    RATE_UNIT,
    RENEGOTIATION,
    SETPOINT_PRIORITY,
    SMART_AVAILABLE,
    SMART_ENABLED,
    STACK_LEVEL,
    SUPPLY_PHASES,
    TX_RESUMPTION,
    TX_START,
    TX_STOP,
    TX_STOP_ON_INVALID,
    UPDATED_MEASURANDS,
    V2X_AVAILABLE,
    V2X_ENABLED,
    V2X_INTERVAL,
    V2X_MODES,
    V2X_TRANSFERS,
)
from counterflow.adapters.ocpp.settings import NegativeLimitModel
from counterflow.domain.ids import EvseId
from counterflow.domain.resources import ConnectedEv, ControlMode, EvseCapability, StationFacts, StationIdentity

PROFILES_EACH: Final = 2
"""Profiles of ours at an EVSE: the discharge, and the fallback beneath it (decisions 4)."""
_CHADEMO: Final = "chademo"


class Opted(Struct, frozen=True):
    """What decides besides the station: the models that discharge on a negative limit, and the lowest profile id of ours."""

    negative_limit_models: tuple[NegativeLimitModel, ...]
    lowest_profile_id: int
    no_setpoints: str = ""
    """Why the version of OCPP has no setpoints, in words; "" = it has."""
    tells_needs: bool = True
    """The version has words for what a car is and needs (NotifyEVChargingNeeds, ConnectedEV)."""

    def named(self, identity: StationIdentity) -> NegativeLimitModel | None:
        """What the settings say of a model."""
        return next((model for model in self.negative_limit_models if model.is_of(identity.vendor_name, identity.model)), None)


def capability(evse_id: EvseId, place: int, model: DeviceModel, identity: StationIdentity, opted: Opted, now_s: float) -> EvseCapability:
    """Everything about one EVSE, the `place`-th of its station (from 0)."""
    flags = {name: any_flag(model.text(spelling, evse_id) for spelling in spellings) for name, spellings in FEATURES.items()}
    mode, reason = control_mode(evse_id, place, model, identity, opted)
    change = model.number(LIMIT_CHANGE, evse_id)
    rated, configured = _magnitude(model.max_limit(DISCHARGE_POWER, evse_id)), _magnitude(model.number(DISCHARGE_POWER_SET, evse_id))
    charge = [value for value in (model.max_limit(EVSE_POWER, evse_id), model.number(EVSE_POWER_SET, evse_id)) if value is not None]
    rating, most_charge, named = (
        _rating(rated, configured, _magnitude(model.number(DISCHARGE_POWER, evse_id))),
        min(charge, default=None),
        None,
    )
    if mode is ControlMode.NEGATIVE_LIMIT:
        named = opted.named(identity)
    if named is not None:
        rating = named.max_discharge_power_w if rating is None else rating
        most_charge = most_charge or named.max_charge_power_w or rating
    return EvseCapability(
        evse_id=evse_id,
        control_mode=mode,
        reason=reason,
        max_discharge_power_w=rating,
        max_stack_level=model.whole(STACK_LEVEL, evse_id),
        operation_modes=model.names(V2X_MODES, evse_id),
        rate_units=model.names(RATE_UNIT, evse_id),
        dynamic_profiles=flags["DynamicProfiles"],
        max_offline_duration=flags["MaxOfflineDuration"],
        energy_transfer_modes=model.names(V2X_TRANSFERS, evse_id),
        rated_discharge_power_w=rated,
        configured_discharge_power_w=configured,
        max_charge_power_w=most_charge,
        assumed_capacity_wh=None if named is None else named.capacity_wh,
        supply_phases=model.whole(SUPPLY_PHASES, evse_id),
        features=tuple(name for name in ("UseLocalTime", "RandomizedDelay", "LimitAtSoC", "EvseSleep") if flags[name]),
        tx_profiles_persist=model.flag(PERSISTENCE, evse_id),
        max_periods=model.whole(PERIODS, evse_id),
        max_profiles=_entries(model, evse_id),
        max_external_constraints_id=_signed(model.number(EXTERNAL_ID, evse_id)),
        additional_purposes=model.names(PURPOSES, evse_id),
        setpoint_priority=model.text(SETPOINT_PRIORITY, evse_id) or None,
        external_control_signals=model.flag(EXTERNAL_SIGNALS, evse_id),
        external_profiles_disallowed=model.flag(EXTERNAL_DISALLOWED, evse_id),
        limit_notices_with_schedules=model.flag(LIMIT_SCHEDULES, evse_id),
        limit_change_significance_frac=None if change is None else change / 100.0,
        service_renegotiation=model.flag(RENEGOTIATION, evse_id),
        iso15118=model.flag(ISO15118, evse_id),
        names_cars=any(model.text(variable, evse_id) is not None for variable in CAR_VARIABLES),
        connected_ev=connected_ev(evse_id, model, now_s),
    )


def control_mode(evse_id: EvseId, place: int, model: DeviceModel, identity: StationIdentity, opted: Opted) -> tuple[ControlMode, str]:
    """How the EVSE can be told to discharge, and why so. One that cannot is still told to charge less."""
    barred = _barred(evse_id, model, opted)
    if barred is not None:
        return ControlMode.NONE, barred
    cramped = _cramped(evse_id, place, model)
    if cramped is not None:
        return ControlMode.CHARGE_ONLY, cramped
    lacking = opted.no_setpoints or _lacking(evse_id, model)
    if not lacking:
        dynamic = any_flag(model.text(spelling, evse_id) for spelling in FEATURES["DynamicProfiles"])
        if dynamic:
            return ControlMode.DYNAMIC, "CentralSetpoint in W, dynamic profiles too"
        return ControlMode.SETPOINT, "CentralSetpoint in W"
    named = opted.named(identity)
    if named is not None and _takes_watts(model, evse_id) is not False:
        name = f"the settings name {identity.vendor_name}/{identity.model} as a model that discharges on a negative limit"
        unsaid = _unsaid(named, evse_id, model, opted)
        return (ControlMode.CHARGE_ONLY, f"{name}, and {unsaid}") if unsaid else (ControlMode.NEGATIVE_LIMIT, name)
    return ControlMode.CHARGE_ONLY, lacking


def _unsaid(named: NegativeLimitModel, evse_id: EvseId, model: DeviceModel, opted: Opted) -> str:
    """What neither the station tells nor the settings name, in words; "" = nothing is missing."""
    told = (model.max_limit(DISCHARGE_POWER, evse_id), model.number(DISCHARGE_POWER_SET, evse_id), model.number(DISCHARGE_POWER, evse_id))
    missing = []
    if named.max_discharge_power_w is None and not any(told):
        missing.append("max_discharge_power_w")
    if named.capacity_wh is None and not opted.tells_needs:
        missing.append("capacity_wh")
    return f"the station cannot tell what they leave out: name {' and '.join(missing)} there" if missing else ""


def _barred(evse_id: EvseId, model: DeviceModel, opted: Opted) -> str | None:
    """What keeps every profile of ours off, whatever the model."""
    if model.flag(SMART_AVAILABLE, evse_id) is False or model.flag(SMART_ENABLED, evse_id) is False:
        return "smart charging is off (SmartChargingCtrlr)"
    external = _signed(model.number(EXTERNAL_ID, evse_id))
    if external is not None and external >= opted.lowest_profile_id:
        return (
            f"profile ids up to {external} belong to external constraints (MaxExternalConstraintsId), and ours begin at "
            f"{opted.lowest_profile_id}: set ledger.first_profile_id above it"
        )
    return None


def _cramped(evse_id: EvseId, place: int, model: DeviceModel) -> str | None:
    """What leaves room for a limit to charging, which is one period in one profile, and none for a discharge and what goes with it."""
    if model.whole(STACK_LEVEL, evse_id) == 0:
        return "there is one stack level only (ProfileStackLevel 0), and the fallback must stand beneath the discharge"
    entries = _entries(model, evse_id)
    if entries is not None and entries < PROFILES_EACH * (place + 1):
        return f"the station holds {entries} profiles (Entries[ChargingProfiles]), and each EVSE needs {PROFILES_EACH}"
    if model.whole(PERIODS, evse_id) == 1:
        return "a schedule may have one period only (PeriodsPerSchedule), and a discharge with its end needs two"
    return None


def _lacking(evse_id: EvseId, model: DeviceModel) -> str | None:
    """What a setpoint needs and this EVSE has not."""
    if model.flag(V2X_AVAILABLE, evse_id) is False:
        return "there is no V2X charging (V2XChargingCtrlr.Available)"
    if model.flag(V2X_ENABLED, evse_id) is False:
        return "V2X charging is off (V2XChargingCtrlr.Enabled)"
    modes = model.names(V2X_MODES, evse_id)
    if not modes:
        return "the station names no V2XChargingCtrlr.SupportedOperationModes"
    if "centralsetpoint" not in {mode.casefold() for mode in modes}:
        return f"CentralSetpoint is not among the supported operation modes ({', '.join(modes)})"
    if not _takes_watts(model, evse_id):
        return f"profiles in W are not accepted (RateUnit: {', '.join(model.names(RATE_UNIT, evse_id)) or 'not said'})"
    return None


def _takes_watts(model: DeviceModel, evse_id: EvseId) -> bool | None:
    units = {unit.casefold() for unit in model.names(RATE_UNIT, evse_id)}
    return bool({"w", "power"} & units) if units else None


def _rating(rated: float | None, configured: float | None, now: float | None) -> float | None:
    """The least of rated and configured. What it gives now is no more than a hint, and none while it stands still."""
    told = [value for value in (rated, configured) if value is not None]
    if told:
        return min(told)
    return now if now else None


def _entries(model: DeviceModel, evse_id: EvseId) -> int | None:
    limit = model.max_limit(ENTRIES, evse_id)
    if limit is None:
        limit = model.number(ENTRIES_MAX, evse_id)
    return None if limit is None or limit < 0.0 else int(limit)


def _magnitude(value: float | None) -> float | None:
    return None if value is None else abs(value)


def _signed(value: float | None) -> int | None:
    return None if value is None else int(value)


def connected_ev(evse_id: EvseId, model: DeviceModel, now_s: float) -> ConnectedEv | None:
    """The car at the EVSE, None when the EVSE says nothing of cars. Only what is there is kept: an empty text is not said."""
    if not any(model.text(variable, evse_id) for variable in CAR_VARIABLES):
        return None
    protocol = model.text(EV_PROTOCOL, evse_id) or None
    capacity = _above_zero(model.number(EV_CAPACITY, evse_id))
    to_full = model.number(EV_ENERGY_MAX, evse_id)
    if capacity is None and protocol is not None and _CHADEMO in protocol.casefold():
        capacity = _above_zero(to_full)  # CHAdeMO fills EnergyImport.maxSet with the capacity of the pack (R01)
        to_full = None
    return ConnectedEv(
        at_s=now_s,
        protocol=protocol,
        vehicle_id=model.text(EV_VEHICLE_ID, evse_id) or None,
        soc_frac=_share(model.number(EV_SOC, evse_id)),
        max_soc_frac=_share(model.number(EV_SOC_MAX, evse_id)),
        capacity_wh=capacity,
        target_energy_request_wh=model.number(EV_ENERGY_TARGET, evse_id),
        min_energy_request_wh=model.number(EV_ENERGY_MIN, evse_id),
        max_energy_request_wh=to_full,
        max_charge_power_w=_magnitude(model.number(EV_POWER_MAX, evse_id)),
        max_discharge_power_w=_magnitude(model.number(EV_DISCHARGE_MAX, evse_id)),
        departure_s=model.instant(EV_DEPARTURE, evse_id),
    )


def _share(percent: float | None) -> float | None:
    return None if percent is None or not 0.0 <= percent <= 100.0 else percent / 100.0


def _above_zero(value: float | None) -> float | None:
    return value if value is not None and value > 0.0 else None


def station_facts(model: DeviceModel, evse_ids: list[EvseId], clock_read_s: float | None) -> StationFacts:
    """What matters of the station as a whole. `clock_read_s` = when its clock was read."""
    clock_s = model.instant(CLOCK)
    paces = {model.number(V2X_INTERVAL._replace(evse_id=evse_id)) for evse_id in evse_ids}
    pace = paces.pop() if len(paces) == 1 else None
    return StationFacts(
        measurands=model.names(UPDATED_MEASURANDS),
        setpoint_interval_s=_above_zero(pace),
        aligned_interval_s=_above_zero(model.number(ALIGNED_INTERVAL)),
        aligned_measurands=model.names(ALIGNED_MEASURANDS),
        tx_start_points=model.names(TX_START),
        tx_stop_points=model.names(TX_STOP),
        tx_resumption_timeout_s=model.number(TX_RESUMPTION),
        stops_on_invalid_token=model.flag(TX_STOP_ON_INVALID),
        heartbeat_interval_s=model.number(HEARTBEAT),
        ping_interval_s=model.number(PING),
        offline_threshold_s=model.number(OFFLINE_THRESHOLD),
        message_timeout_s=model.number(MESSAGE_TIMEOUT),
        message_attempts=model.whole(MESSAGE_ATTEMPTS),
        message_attempt_interval_s=model.number(ATTEMPT_INTERVAL),
        clock_offset_s=None if clock_s is None or clock_read_s is None else clock_s - clock_read_s,
    )
