"""OCPP 1.6, boot, status and authorization (core profile): a connector is the EVSE of that number."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages_v16 as v16
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, WarningKind, warn_once
from counterflow.adapters.ocpp.policy import AuthorizationAnswer, BootStatus, Deferred
from counterflow.adapters.ocpp.rpc import instant
from counterflow.domain.ids import ConnectorId, EvseId
from counterflow.domain.resources import StationIdentity
from counterflow.domain.telemetry import (
    Availability,
    EventKind,
    EvseStatusChanged,
    StationBooted,
    StationEvent,
    TransactionPhase,
    TransactionReported,
)

_STATUS_TAKEN: Final = v16.StatusNotificationResponse()
MAX_TEXT_LENGTH: Final = 200

AVAILABILITIES: Final[dict[str, Availability]] = {
    "Available": Availability.AVAILABLE,
    "Preparing": Availability.OCCUPIED,
    "Charging": Availability.OCCUPIED,
    "SuspendedEVSE": Availability.OCCUPIED,
    "SuspendedEV": Availability.OCCUPIED,
    "Finishing": Availability.OCCUPIED,
    "Reserved": Availability.RESERVED,
    "Unavailable": Availability.UNAVAILABLE,
    "Faulted": Availability.FAULTED,
}
PHASES: Final[dict[str, TransactionPhase]] = {
    "Charging": TransactionPhase.CHARGING,
    "SuspendedEVSE": TransactionPhase.SUSPENDED_EVSE,
    "SuspendedEV": TransactionPhase.SUSPENDED_EV,
}
"""What the status of a connector says of its transaction, which has no other way to tell."""

STANDINGS: Final[dict[str, str]] = {
    "Accepted": "Accepted",
    "Blocked": "Blocked",
    "Expired": "Expired",
    "ConcurrentTx": "ConcurrentTx",
}
"""An authorization status of OCPP 2.1 in 1.6, which has no more words than these and `Invalid`."""


def boot_notification(request: v16.BootNotificationRequest, station: StationContext, now_s: float) -> Answer:
    """4.2: the policy decides; the answer carries the time and the heartbeat interval."""
    serial = request.charge_point_serial_number
    if serial is UNSET:
        serial = request.charge_box_serial_number
    identity = StationIdentity(
        vendor_name=request.charge_point_vendor,
        model=request.charge_point_model,
        serial_number="" if serial is UNSET else serial,
        firmware_version="" if request.firmware_version is UNSET else request.firmware_version,
    )
    answer = station.policy.boot(station.station_id, identity, now_s)
    response = v16.BootNotificationResponse(current_time=instant(now_s), interval=answer.interval_s, status=answer.status.value)
    if answer.status is BootStatus.REJECTED:
        return response, []
    return response, [StationBooted(station_id=station.station_id, at_s=now_s, identity=identity, boot_reason="")]


def heartbeat(_request: v16.HeartbeatRequest, _station: StationContext, now_s: float) -> Answer:
    """4.6: the time of day."""
    return v16.HeartbeatResponse(current_time=instant(now_s)), []


def authorize(request: v16.AuthorizeRequest, station: StationContext, now_s: float) -> Answer:
    """4.1: the policy decides, now or later. A 1.6 station does not say what kind of token it is."""
    answer = station.policy.authorize(station.station_id, request.id_tag, "", "", now_s)
    return answer if isinstance(answer, Deferred) else authorized(answer), []


def authorized(answer: AuthorizationAnswer) -> v16.AuthorizeResponse:
    """The answer as OCPP 1.6 says it."""
    return v16.AuthorizeResponse(id_tag_info=_told(answer))


def id_tag_info(id_tag: str, station: StationContext, now_s: float) -> v16.IdTagInfo:
    """The standing of a token as far as it is known now, in the words of 1.6."""
    return _told(station.policy.standing(station.station_id, id_tag, "", "", now_s))


def _told(answer: AuthorizationAnswer) -> v16.IdTagInfo:
    return v16.IdTagInfo(status=STANDINGS.get(answer.status, "Invalid"))  # type: ignore[arg-type]  # values of the table are the schema's


def status_notification(request: v16.StatusNotificationRequest, station: StationContext, now_s: float) -> Answer:
    """4.9: the status of a connector is also the charging state of the transaction on it. Connector 0 is the whole station."""
    at_s = now_s if request.timestamp is UNSET else request.timestamp.timestamp()
    evse_id = EvseId(request.connector_id)
    events: list[StationEvent] = [
        EvseStatusChanged(
            station_id=station.station_id,
            evse_id=evse_id,
            connector_id=ConnectorId(1 if evse_id else 0),
            at_s=at_s,
            availability=AVAILABILITIES[request.status],
        )
    ]
    phase = PHASES.get(request.status)
    transaction_id = None if phase is None else station.policy.open_transaction(station.station_id, evse_id)
    if phase is not None and transaction_id is not None:
        events.append(
            TransactionReported(
                station_id=station.station_id,
                transaction_id=transaction_id,
                kind=EventKind.UPDATED,
                at_s=at_s,
                received_s=now_s,
                trigger="ChargingStateChanged",
                seq_no=station.next_number(),
                evse_id=evse_id,
                phase=phase,
            )
        )
    if request.error_code != "NoError":
        details = [text[:MAX_TEXT_LENGTH] for text in (request.info, request.vendor_error_code) if text is not UNSET and text]
        events += warn_once(station, WarningKind.ALERT, ", ".join((f"connector {evse_id}: {request.error_code}", *details)), now_s)
    return _STATUS_TAKEN, events
