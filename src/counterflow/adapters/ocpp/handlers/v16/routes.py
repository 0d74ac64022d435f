"""Which handler answers which action of OCPP 1.6, the security extensions included."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages_v16 as v16
from counterflow.adapters.ocpp.handlers.context import Answer, Handler, StationContext, WarningKind, always, warn_once
from counterflow.adapters.ocpp.handlers.v16 import core, transactions
from counterflow.domain.telemetry import CapabilitiesOutdated, StationWarned

_FAILURES: Final = frozenset(
    {"DownloadFailed", "InstallationFailed", "InstallVerificationFailed", "InvalidSignature", "InvalidCertificate", "RevokedCertificate"}
)


def firmware_status_notification(
    request: v16.FirmwareStatusNotificationRequest | v16.SignedFirmwareStatusNotificationRequest, station: StationContext, now_s: float
) -> Answer:
    """4.5, and with signed firmware: new firmware may be capable of other things; a failure is worth a line."""
    signed = isinstance(request, v16.SignedFirmwareStatusNotificationRequest)
    taken = v16.SignedFirmwareStatusNotificationResponse() if signed else v16.FirmwareStatusNotificationResponse()
    if request.status == "Installed":
        return taken, [CapabilitiesOutdated(station_id=station.station_id, at_s=now_s, why="new firmware was installed")]
    return taken, warn_once(station, WarningKind.FIRMWARE, request.status, now_s) if request.status in _FAILURES else []


def security_event_notification(request: v16.SecurityEventNotificationRequest, station: StationContext, _now_s: float) -> Answer:
    """Into the station's history, each one of them."""
    text = request.type if request.tech_info is UNSET else f"{request.type}: {request.tech_info}"
    event = StationWarned(station_id=station.station_id, at_s=request.timestamp.timestamp(), kind=WarningKind.SECURITY, text=text)
    return v16.SecurityEventNotificationResponse(), [event]


ROUTES_1_6: Final[dict[str, Handler]] = {
    "Authorize": core.authorize,
    "BootNotification": core.boot_notification,
    "DataTransfer": always(v16.DataTransferResponse(status="UnknownVendorId")),
    "DiagnosticsStatusNotification": always(v16.DiagnosticsStatusNotificationResponse()),
    "FirmwareStatusNotification": firmware_status_notification,
    "Heartbeat": core.heartbeat,
    "LogStatusNotification": always(v16.LogStatusNotificationResponse()),
    "MeterValues": transactions.meter_values,
    "SecurityEventNotification": security_event_notification,
    "SignCertificate": always(v16.SignCertificateResponse(status="Rejected")),
    "SignedFirmwareStatusNotification": firmware_status_notification,
    "StartTransaction": transactions.start_transaction,
    "StatusNotification": core.status_notification,
    "StopTransaction": transactions.stop_transaction,
}
"""Complete: a test holds it against `messages_v16.FROM_STATION`."""
