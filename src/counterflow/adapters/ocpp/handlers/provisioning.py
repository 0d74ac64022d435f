"""Block B, provisioning, and block G's heartbeat."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, always
from counterflow.adapters.ocpp.policy import BootStatus
from counterflow.adapters.ocpp.rpc import instant
from counterflow.domain.resources import StationIdentity
from counterflow.domain.telemetry import StationBooted


def boot_notification(request: ocpp.BootNotificationRequest, station: StationContext, now_s: float) -> Answer:
    """B01 to B03: the policy decides; the answer carries the time (B01.FR.02) and the heartbeat interval."""
    said = request.charging_station
    identity = StationIdentity(
        vendor_name=said.vendor_name,
        model=said.model,
        serial_number="" if said.serial_number is UNSET else said.serial_number,
        firmware_version="" if said.firmware_version is UNSET else said.firmware_version,
    )
    answer = station.policy.boot(station.station_id, identity, now_s)
    response = ocpp.BootNotificationResponse(current_time=instant(now_s), interval=answer.interval_s, status=answer.status.value)
    if answer.status is BootStatus.REJECTED:
        return response, []
    return response, [StationBooted(station_id=station.station_id, at_s=now_s, identity=identity, boot_reason=request.reason)]


def heartbeat(_request: ocpp.HeartbeatRequest, _station: StationContext, now_s: float) -> Answer:
    """G02: the time of day."""
    return ocpp.HeartbeatResponse(current_time=instant(now_s)), []


notify_report: Final = always(ocpp.NotifyReportResponse())
"""B07, B08: parts of a report; what discovery asked for is picked up by the CSMS."""
