"""Another actor at a simulated station: a local energy system, or a second CSMS behind a proxy, with profiles of its own.

What it places is not judged by the rules that bind a CSMS. It is told upwards as real stations tell it: a profile only when the CSMS
asks (K09), a limit by NotifyChargingLimit (K12) unless the station keeps quiet.
"""

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.messages import (
    ChargingProfilePurposeEnumType,
    ChargingProfileType,
    ChargingSchedulePeriodType,
    ChargingScheduleType,
)
from counterflow.sim.station import SimStation


class Rival:
    """One actor, by the source that the station names (`EMS`, `SO` or `Other`)."""

    def __init__(self, station: SimStation, source: str = "EMS") -> None:
        self.station = station
        self.source = source

    def place_tx_profile(self, now_s: float, *, level: int, limit_w: float, profile_id: int = 77, evse_id: int = 1) -> int:
        """A transaction profile for the car that is there, ChargingOnly. Returns its id."""
        transaction_id = self.station.state.evses[evse_id].transaction_id
        assert transaction_id is not None, "a transaction profile needs a transaction"
        period = ChargingSchedulePeriodType(start_period=0, operation_mode="ChargingOnly", limit=limit_w)
        self._place(_profile(profile_id, "TxProfile", level, [period], now_s, transaction_id), evse_id, now_s)
        return profile_id

    def withdraw(self, profile_id: int, now_s: float) -> None:
        """The profile is gone."""
        self.station.state.profiles.clear(profile_id)
        self.station.operation.reassess_all(now_s)

    def _place(self, profile: ChargingProfileType, evse_id: int, now_s: float) -> None:
        self.station.state.profiles.place_locally(profile, evse_id, self.source, now_s)
        self.station.operation.reassess_all(now_s)


def _profile(
    profile_id: int,
    purpose: ChargingProfilePurposeEnumType,
    level: int,
    periods: list[ChargingSchedulePeriodType],
    start_s: float,
    transaction_id: str,
) -> ChargingProfileType:
    return ChargingProfileType(
        id=profile_id,
        stack_level=level,
        charging_profile_purpose=purpose,
        charging_profile_kind="Absolute",
        transaction_id=transaction_id,
        charging_schedule=[
            ChargingScheduleType(id=1, charging_rate_unit="W", start_schedule=rpc.instant(start_s), charging_schedule_period=periods)
        ],
    )
