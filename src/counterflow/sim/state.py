"""What a station knows of itself: its EVSEs, its profiles, and the variables that a CSMS may set."""

from collections.abc import Sequence
from typing import Any

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
        for evse in evses:
            evse.meter_fault = settings.meter_fault
        self.profiles = ProfileStore(settings)
        self.meter_interval_s = settings.meter_interval_s
        self.setpoint_interval_s = 0
        """V2XChargingCtrlr.TxUpdatedInterval[CentralSetpoint]; 0 = the general interval holds."""
        self.measurands: dict[str, tuple[str, ...]] = dict.fromkeys(("Started", "Updated", "Ended"), DEFAULT_MEASURANDS)
        """By the eventType of the TransactionEvent that carries them."""
        self.setpoint_measurands: tuple[str, ...] = ()
        """V2XChargingCtrlr.TxUpdatedMeasurands[CentralSetpoint]: sampled as well while a setpoint is in force."""
        self.heartbeat_interval_s = 86_400
        self.setpoint_priority = settings.setpoint_priority
        self.aligned: dict[str, str] = {
            "Enabled": "true",
            "Interval": "0",
            "Measurands": "",
            "SendDuringIdle": "false",
            "TxEndedInterval": "0",
            "TxEndedMeasurands": "",
        }
        """The variables of AlignedDataCtrlr."""
        self.aligning = 0
        """Counts up whenever clock-aligned data begin anew."""
        self.variables: dict[tuple[str, str, str], Any] = {}
        """The rows of its device model; `variables` fills them in."""
        self.components: frozenset[str] = frozenset()
        self.new_password: str | None = None
        """Set by the CSMS (SecurityCtrlr.BasicAuthPassword); shown from the next connection on."""
        self.at_reboot: dict[str, str] = {}
        """Variables that were set and wait for a reboot."""
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

    def aligned_every_s(self, name: str) -> int:
        """An interval of clock-aligned data, s; 0 = off."""
        return int(self.aligned[name]) if self.aligned["Enabled"] == "true" else 0

    def sampled(self, evse: SimEvse) -> tuple[str, ...]:
        """What this EVSE samples now."""
        general = self.measurands["Updated"]
        if evse.effective.operation_mode != "CentralSetpoint" or not self.setpoint_measurands:
            return general
        return general + tuple(name for name in self.setpoint_measurands if name not in general)

    def sampling_interval_s(self, evse: SimEvse) -> int:
        """How often this EVSE is metered now."""
        if self.setpoint_interval_s > 0 and evse.effective.operation_mode == "CentralSetpoint":
            return self.setpoint_interval_s
        return self.meter_interval_s
