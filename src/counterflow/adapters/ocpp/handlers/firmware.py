"""Block L, firmware: others update it; a failure is worth a line in the station's history, and new firmware is discovered anew."""

from typing import Final

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, WarningKind, always, warn_once
from counterflow.domain.telemetry import CapabilitiesOutdated

_STATUS_TAKEN: Final = ocpp.FirmwareStatusNotificationResponse()
_FAILURES: Final = frozenset({"DownloadFailed", "InstallationFailed", "InstallVerificationFailed", "InvalidSignature"})


def firmware_status_notification(request: ocpp.FirmwareStatusNotificationRequest, station: StationContext, now_s: float) -> Answer:
    """L01, L02."""
    if request.status == "Installed":
        # Other firmware may be capable of other things; the station may also boot before it has been asked.
        why = "new firmware was installed"
        return _STATUS_TAKEN, [CapabilitiesOutdated(station_id=station.station_id, at_s=now_s, why=why)]
    if request.status not in _FAILURES:
        return _STATUS_TAKEN, []
    return _STATUS_TAKEN, warn_once(station, WarningKind.FIRMWARE, request.status, now_s)


publish_firmware_status_notification: Final = always(ocpp.PublishFirmwareStatusNotificationResponse())
"""L03."""
