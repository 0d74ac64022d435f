"""Blocks A and M, security and certificates: stations get theirs signed; those of cars and contracts are not ours to give."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, WarningKind, always
from counterflow.adapters.ocpp.rpc import instant
from counterflow.domain.telemetry import CertificateRequested, StationWarned

_EVENT_TAKEN: Final = ocpp.SecurityEventNotificationResponse()
_NOT_HERE: Final = ocpp.StatusInfoType(reason_code="NotEnabled", additional_info="Not here: certificates of cars and contracts.")


def security_event_notification(request: ocpp.SecurityEventNotificationRequest, station: StationContext, _now_s: float) -> Answer:
    """A04: into the station's history, each one of them."""
    text = request.type if request.tech_info is UNSET else f"{request.type}: {request.tech_info}"
    event = StationWarned(station_id=station.station_id, at_s=request.timestamp.timestamp(), kind=WarningKind.SECURITY, text=text)
    return _EVENT_TAKEN, [event]


def sign_certificate(request: ocpp.SignCertificateRequest, station: StationContext, now_s: float) -> Answer:
    """A02, A03: taken or refused at once; CertificateSigned follows later."""
    kind = "ChargingStationCertificate" if request.certificate_type is UNSET else request.certificate_type
    refusal = station.policy.refuse_signing(station.station_id, request.csr, kind, now_s)
    if refusal is not None:
        info = ocpp.StatusInfoType(reason_code="InvalidCSR", additional_info=refusal)
        return ocpp.SignCertificateResponse(status="Rejected", status_info=info), []
    request_id = None if request.request_id is UNSET else request.request_id
    asked = CertificateRequested(station_id=station.station_id, at_s=now_s, csr=request.csr, kind=kind, request_id=request_id)
    return ocpp.SignCertificateResponse(status="Accepted"), [asked]


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
