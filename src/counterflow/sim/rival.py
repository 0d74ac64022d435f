"""Another actor at a simulated station: a local energy system, or a second CSMS behind a proxy, with profiles of its own.

What it places is not judged by the rules that bind a CSMS. It is told upwards as real stations tell it: a profile only when the CSMS
asks (K09), a limit by NotifyChargingLimit (K12) unless the station keeps quiet.
"""

from msgspec import UNSET

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.messages import (
    ChargingLimitType,
    ChargingProfilePurposeEnumType,
    ChargingProfileType,
    ChargingSchedulePeriodType,
    ChargingScheduleType,
    ClearedChargingLimitRequest,
    NotifyChargingLimitRequest,
    NotifyPriorityChargingRequest,
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

    def limit(self, now_s: float, *stretches: tuple[int, float], profile_id: int = -5, quiet: bool = False) -> int:
        """External constraints for the whole station: (seconds from now, most discharge in W) for each stretch. Returns the id."""
        periods = [
            ChargingSchedulePeriodType(start_period=start_s, operation_mode="ExternalLimits", limit=22_000, discharge_limit=-most_w)
            for start_s, most_w in stretches
        ]
        self._constrain(profile_id, periods, now_s, quiet=quiet)
        return profile_id

    def steer(self, now_s: float, power_w: float, *, profile_id: int = -6, quiet: bool = False) -> int:
        """A setpoint of its own. Returns the id of the profile."""
        periods = [ChargingSchedulePeriodType(start_period=0, operation_mode="ExternalSetpoint", setpoint=power_w)]
        self._constrain(profile_id, periods, now_s, quiet=quiet)
        return profile_id

    def let_go(self, profile_id: int, now_s: float) -> None:
        """The external constraints are over, and the station says so (K13)."""
        self.withdraw(profile_id, now_s)
        self.station.uplink.call("ClearedChargingLimit", ClearedChargingLimitRequest(charging_limit_source=self.source), now_s)

    def press_priority(self, now_s: float, *, on: bool, evse_id: int = 1) -> None:
        """The driver's button for full power (K22)."""
        transaction_id = self.station.state.evses[evse_id].transaction_id
        assert transaction_id is not None, "priority charging needs a transaction"
        self.station.uplink.call(
            "NotifyPriorityCharging", NotifyPriorityChargingRequest(transaction_id=transaction_id, activated=on), now_s
        )

    def _constrain(self, profile_id: int, periods: list[ChargingSchedulePeriodType], now_s: float, *, quiet: bool) -> None:
        profile = _profile(profile_id, "ChargingStationExternalConstraints", 1, periods, now_s, None)
        self._place(profile, 0, now_s)
        if not quiet:
            told = NotifyChargingLimitRequest(
                charging_limit=ChargingLimitType(charging_limit_source=self.source, is_grid_critical=False),
                charging_schedule=profile.charging_schedule,
            )
            self.station.uplink.call("NotifyChargingLimit", told, now_s)

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
    transaction_id: str | None,
) -> ChargingProfileType:
    return ChargingProfileType(
        id=profile_id,
        stack_level=level,
        charging_profile_purpose=purpose,
        charging_profile_kind="Absolute",
        transaction_id=UNSET if transaction_id is None else transaction_id,
        charging_schedule=[
            ChargingScheduleType(id=1, charging_rate_unit="W", start_schedule=rpc.instant(start_s), charging_schedule_period=periods)
        ],
    )
