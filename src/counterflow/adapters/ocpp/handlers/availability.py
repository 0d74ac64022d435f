"""Block G, availability, and block N's NotifyEvent, which carries it in OCPP 2.1."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, WarningKind, warn_once
from counterflow.domain.ids import ConnectorId, EvseId
from counterflow.domain.telemetry import Availability, EvseStatusChanged, StationEvent

_STATUS_TAKEN: Final = ocpp.StatusNotificationResponse()
_EVENT_TAKEN: Final = ocpp.NotifyEventResponse()
MAX_TEXT_LENGTH: Final = 200

_AVAILABILITIES: Final[dict[str, Availability]] = {
    "available": Availability.AVAILABLE,
    "occupied": Availability.OCCUPIED,
    "reserved": Availability.RESERVED,
    "unavailable": Availability.UNAVAILABLE,
    "faulted": Availability.FAULTED,
}
_PLACES: Final = frozenset({"connector", "evse", "chargingstation"})


def status_notification(request: ocpp.StatusNotificationRequest, station: StationContext, _now_s: float) -> Answer:
    """G01: deprecated in 2.1, and what many stations still send."""
    event = EvseStatusChanged(
        station_id=station.station_id,
        evse_id=EvseId(request.evse_id),
        connector_id=ConnectorId(request.connector_id),
        at_s=request.timestamp.timestamp(),
        availability=_AVAILABILITIES[request.connector_status.casefold()],
    )
    return _STATUS_TAKEN, [event]


def notify_event(request: ocpp.NotifyEventRequest, station: StationContext, now_s: float) -> Answer:
    """N07: AvailabilityState of a connector, EVSE or station becomes a status (B01.FR.05); an uncleared alert becomes a warning."""
    events: list[StationEvent] = []
    for entry in request.event_data:
        status = _status(entry, station)
        if status is not None:
            events.append(status)
        elif entry.trigger == "Alerting" and entry.cleared is not True:
            text = f"{entry.component.name}.{entry.variable.name} = {entry.actual_value[:MAX_TEXT_LENGTH]}"
            events += warn_once(station, WarningKind.ALERT, text, now_s)
    return _EVENT_TAKEN, events


def _status(entry: ocpp.EventDataType, station: StationContext) -> EvseStatusChanged | None:
    component = entry.component
    if entry.variable.name.casefold() != "availabilitystate" or component.name.casefold() not in _PLACES:
        return None
    availability = _AVAILABILITIES.get(entry.actual_value.casefold())
    if availability is None:
        return None
    evse = component.evse
    connector = 0 if evse is UNSET or evse.connector_id is UNSET else evse.connector_id
    return EvseStatusChanged(
        station_id=station.station_id,
        evse_id=EvseId(0 if evse is UNSET else evse.id),
        connector_id=ConnectorId(connector),
        at_s=entry.timestamp.timestamp(),
        availability=availability,
    )
