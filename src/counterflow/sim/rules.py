"""What a car's owner would complain about: discharge that the rules forbid, judged at the station, message by message.

The station refuses what it must (no bidirectional transfer agreed); everything else it does as told and writes down, so that a
mistake of the CSMS shows. Each profile is judged as if everything else died right after it: when it has run to its own end, do floor
and departure still hold?
"""

from math import inf
from typing import Final

from msgspec import UnsetType

from counterflow.adapters.ocpp.messages import ChargingProfileType
from counterflow.domain.units import WH_PER_WS
from counterflow.sim.curves import worst_power_w
from counterflow.sim.evse import SimEvse
from counterflow.sim.profile_rules import operation_mode, seconds
from counterflow.sim.profiles import ProfileStore, stretches

SOC_TOLERANCE: Final = 0.005
"""Half of a percent step: what the CSMS sees is rounded to whole percent."""


def discharges(profile: ChargingProfileType) -> bool:
    """Any period that asks for discharge."""
    return any(
        (not isinstance(period.setpoint, UnsetType) and period.setpoint < 0.0)
        or (not isinstance(period.limit, UnsetType) and period.limit < 0.0)
        or (operation_mode(period) == "LocalFrequency" and worst_power_w(period) < 0.0)
        for schedule in profile.charging_schedule
        for period in schedule.charging_schedule_period
    )


def judge_profile(profile: ChargingProfileType, evse: SimEvse, store: ProfileStore, now_s: float) -> list[str]:
    """What is wrong with an accepted discharge profile (empty = nothing), one word-like kind and a sentence each."""
    wrong = []
    parts = stretches(profile, now_s, evse.started_charging_s)
    first_s = max(now_s, parts[0][0]) if parts else now_s
    if not store.leaders_below(profile, evse.evse_id, first_s, evse.started_charging_s):
        wrong.append("no fallback: no charging-only profile stands beneath the discharge")
    end_s = min((part[1] for part in parts[-1:]), default=now_s)
    valid_to_s = seconds(profile.valid_to)
    end_s = min(end_s, inf if valid_to_s is None else valid_to_s)
    if end_s == inf:
        wrong.append("no end: the discharge would go on for ever")
        return wrong
    taken_wh = 0.0
    for from_s, to_s, power_w in parts:
        asked_w = min(max(-power_w, 0.0), float(evse.plant.max_power_w[evse.row]))
        taken_wh += asked_w * max(0.0, min(to_s, end_s) - max(from_s, now_s)) * WH_PER_WS
    used = taken_wh / (evse.plant.settings.discharge_efficiency * float(evse.plant.capacity_wh[evse.row]))
    soc = evse.plant.believed_soc_of(evse.row)
    return wrong + _soc_and_departure(evse, soc - used, max(end_s, now_s))


def judge_now(evse: SimEvse, now_s: float) -> list[str]:
    """What is wrong with a discharge under way."""
    return _soc_and_departure(evse, evse.plant.believed_soc_of(evse.row), now_s)


def _soc_and_departure(evse: SimEvse, soc: float, at_s: float) -> list[str]:
    wrong = []
    floor = float(evse.plant.floor_soc_frac[evse.row])
    if soc < floor - SOC_TOLERANCE:
        wrong.append(f"below floor: {soc:.3f} with a floor of {floor:.3f}")
    late_s = evse.plant.recharge_time_s(evse.row, soc) - (evse.departure_s - at_s)
    if late_s > 0.0:
        wrong.append(f"departure: the target would be reached {late_s:.0f} s late")
    return wrong
