"""Blocks A and M, security and certificates. Counterflow is no certificate authority and says so."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, WarningKind, always
from counterflow.adapters.ocpp.rpc import instant
from counterflow.domain.telemetry import StationWarned

_EVENT_TAKEN: Final = ocpp.SecurityEventNotificationResponse()
_NOT_HERE: Final = ocpp.StatusInfoType(reason_code="NotEnabled", additional_info="This CSMS does not issue or check certificates.")


def security_event_notification(request: ocpp.SecurityEventNotificationRequest, station: StationContext, _now_s: float) -> Answer:
    """A04: into the station's history, each one of them."""
    text = request.type if request.tech_info is UNSET else f"{request.type}: {request.tech_info}"
    event = StationWarned(station_id=station.station_id, at_s=request.timestamp.timestamp(), kind=WarningKind.SECURITY, text=text)
    return _EVENT_TAKEN, [event]


sign_certificate: Final = always(ocpp.SignCertificateResponse(status="Rejected", status_info=_NOT_HERE))
"""A02: refused."""


get_certificate_status: Final = always(ocpp.GetCertificateStatusResponse(status="Failed", status_info=_NOT_HERE))
"""M06: cannot be told."""


def get_certificate_chain_status(request: ocpp.GetCertificateChainStatusRequest, _station: StationContext, now_s: float) -> Answer:
    """M07: cannot be told for any of them."""
    statuses = [
        ocpp.CertificateStatusType(
            certificate_hash_data=asked.certificate_hash_data, source=asked.source, status="Failed", next_update=instant(now_s)
        )
        for asked in request.certificate_status_requests
    ]
    return ocpp.GetCertificateChainStatusResponse(certificate_status=statuses), []


get_15118_ev_certificate: Final = always(ocpp.Get15118EVCertificateResponse(status="Failed", exi_response="", status_info=_NOT_HERE))
"""M01, M02: there is none here."""
