"""What a station knows of itself: its EVSEs, its profiles, and the variables that a CSMS may set."""

from collections.abc import Sequence

from counterflow.sim.evse import SimEvse
from counterflow.sim.meter import DEFAULT_MEASURANDS
from counterflow.sim.profiles import ProfileStore
from counterflow.sim.settings import StationSettings


class StationState:
    """Shared by the parts of a station. Intervals of 0 mean off."""

    def __init__(self, station_id: str, evses: Sequence[SimEvse], settings: StationSettings) -> None:
        self.station_id = station_id
        self.settings = settings
        self.evses: dict[int, SimEvse] = {evse.evse_id: evse for evse in evses}
        self.first_evse = evses[0]
        self.profiles = ProfileStore(settings)
        self.meter_interval_s = settings.meter_interval_s
        self.setpoint_interval_s = 0
        """V2XChargingCtrlr.TxUpdatedInterval[CentralSetpoint]; 0 = the general interval holds."""
        self.measurands: dict[str, tuple[str, ...]] = dict.fromkeys(("Started", "Updated", "Ended"), DEFAULT_MEASURANDS)
        """By the eventType of the TransactionEvent that carries them."""
        self.heartbeat_interval_s = 86_400
        self.setpoint_priority = "ExternalSystem"
        self.violations: list[str] = []
        """What the CSMS did that a car's owner would complain about, each kind once per transaction."""
        self._complained: set[tuple[str, str]] = set()

    def evse_of(self, transaction_id: str) -> SimEvse | None:
        """The EVSE with this transaction."""
        return next((evse for evse in self.evses.values() if evse.transaction_id == transaction_id), None)

    def complain(self, evse: SimEvse, wrong: Sequence[str], now_s: float) -> None:
        """Write down violations of this transaction."""
        for sentence in wrong:
            key = (evse.transaction_id or "", sentence.split(":", 1)[0])
            if key not in self._complained:
                self._complained.add(key)
                self.violations.append(f"{self.station_id}/{evse.evse_id} at {now_s:.0f} s, {sentence}")

    def sampling_interval_s(self, evse: SimEvse) -> int:
        """How often this EVSE is metered now."""
        if self.setpoint_interval_s > 0 and evse.effective.operation_mode == "CentralSetpoint":
            return self.setpoint_interval_s
        return self.meter_interval_s
