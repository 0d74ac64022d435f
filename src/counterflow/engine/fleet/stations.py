"""What we know of one station apart from its sessions: connection, discovery, faults, other actors."""

from math import nan

from counterflow.domain.ids import ConnectorId, EvseId, SiteId, StationId
from counterflow.domain.records import ConnectorState, StationFaults
from counterflow.domain.resources import ControlMode, EvseCapability
from counterflow.domain.telemetry import (
    Availability,
    ChargingNeedsReported,
    EvseStatusChanged,
    GridFaultReported,
)
from counterflow.engine.fleet.sessions import Session

WHOLE_STATION = EvseId(0)


class Station:
    """Facts of one station, changed only by the fleet state."""

    __slots__ = (
        "_alarms",
        "_capabilities",
        "_connectors",
        "at",
        "connected",
        "early_needs",
        "index",
        "meter_interval_s",
        "sessions",
        "site_id",
        "station_id",
    )

    def __init__(self, station_id: StationId, index: int, site_id: SiteId) -> None:
        """A station that we only know by name."""
        self.station_id = station_id
        self.index = index
        self.site_id = site_id
        self.connected = False
        self.meter_interval_s: float | None = None
        self.sessions: dict[str, Session] = {}
        self.at: dict[int, Session] = {}
        self.early_needs: dict[int, ChargingNeedsReported] = {}
        self._capabilities: dict[int, EvseCapability] = {}
        self._connectors: dict[tuple[int, int], tuple[float, Availability]] = {}
        self._alarms: dict[str, float] = {}

    def discovered(self, evses: tuple[EvseCapability, ...], meter_interval_s: float | None) -> None:
        """Discovery is through: what it found replaces what we knew."""
        self._capabilities = {evse.evse_id: evse for evse in evses}
        self.meter_interval_s = meter_interval_s

    def note_status(self, event: EvseStatusChanged) -> None:
        """A connector's status; older and unknown ones change nothing."""
        key = (event.evse_id, event.connector_id)
        known = self._connectors.get(key)
        if event.availability is not Availability.UNKNOWN and (known is None or event.at_s >= known[0]):
            self._connectors[key] = (event.at_s, event.availability)

    def note_alarm(self, event: GridFaultReported) -> None:
        """A DER alarm begins or ends, one by one for each kind of control."""
        if event.ended:
            self._alarms.pop(event.control_type, None)
        else:
            self._alarms[event.control_type] = event.at_s

    def faults(self) -> StationFaults:
        """What is to be known again after a restart: alarms, and the connectors where one of them is not well."""
        states = [
            ConnectorState(EvseId(evse), ConnectorId(number), at_s, status) for (evse, number), (at_s, status) in self._connectors.items()
        ]
        unwell = any(one.availability in (Availability.FAULTED, Availability.UNAVAILABLE) for one in states)
        return StationFaults(station_id=self.station_id, alarms=dict(self._alarms), connectors=tuple(states) if unwell else ())

    def restore_faults(self, known: StationFaults) -> None:
        """After a start."""
        self._alarms = dict(known.alarms)
        self._connectors = {(one.evse_id, one.connector_id): (one.at_s, one.availability) for one in known.connectors}

    def only_evse(self) -> EvseId:
        """The EVSE of a station that has just one; 0 when there are more, or when discovery has not said."""
        if len(self._capabilities) == 1:
            return next(iter(self._capabilities.values())).evse_id
        return WHOLE_STATION

    def lodger(self) -> Session | None:
        """The one session of the station, when it has one only and its EVSE is not known."""
        if len(self.sessions) != 1:
            return None
        session = next(iter(self.sessions.values()))
        return session if session.evse_id == WHOLE_STATION else None

    def control_mode(self, evse_id: EvseId) -> ControlMode:
        """How the EVSE can be told to discharge; UNKNOWN before discovery."""
        capability = self._capabilities.get(evse_id)
        return ControlMode.UNKNOWN if capability is None else capability.control_mode

    def rated_discharge_w(self, evse_id: EvseId) -> float:
        """The EVSE's discharge rating, magnitude; NaN when not said."""
        capability = self._capabilities.get(evse_id)
        if capability is None or capability.max_discharge_power_w is None:
            return nan
        return abs(capability.max_discharge_power_w)

    def named_for(self, evse_id: EvseId) -> tuple[float, float]:
        """(capacity, Wh, charging power, W) of the cars at an EVSE as the settings name them, where nobody tells; NaN = not named."""
        capability = self._capabilities.get(evse_id)
        if capability is None or capability.assumed_capacity_wh is None:
            return nan, nan
        return capability.assumed_capacity_wh, nan if capability.max_charge_power_w is None else capability.max_charge_power_w

    def assumed_charge_w(self, evse_id: EvseId) -> float | None:
        """What a car that has not told its charging power is taken to charge with: no more than the EVSE gives in either direction."""
        capability = self._capabilities.get(evse_id)
        if capability is None or capability.max_charge_power_w is None or capability.max_discharge_power_w is None:
            return None
        return min(capability.max_charge_power_w, abs(capability.max_discharge_power_w))

    def faulty(self, evse_id: EvseId) -> bool:
        """A connector is faulted; or one is unavailable and none is in use (in use, its neighbours report unavailable)."""
        states = {status for (evse, _), (_, status) in self._connectors.items() if evse in (evse_id, WHOLE_STATION)}
        return Availability.FAULTED in states or (Availability.UNAVAILABLE in states and Availability.OCCUPIED not in states)

    def grid_fault(self) -> bool:
        """A DER alarm is active."""
        return bool(self._alarms)
