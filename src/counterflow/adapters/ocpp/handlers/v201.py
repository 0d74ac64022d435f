"""OCPP 2.0.1 by the handlers of 2.1: a request is read as one of 2.1, the answer is written as one of 2.0.1."""

from typing import Final

from msgspec import UNSET, Struct, structs

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp import messages_v201
from counterflow.adapters.ocpp.handlers.authorization import response_to
from counterflow.adapters.ocpp.handlers.context import Answer, Handler, StationContext
from counterflow.adapters.ocpp.policy import AuthorizationAnswer, Deferred
from counterflow.adapters.ocpp.profiles_v201 import older
from counterflow.adapters.ocpp.router import ROUTES


def _as_2_0_1(handler: Handler, kind: type[Struct]) -> Handler:
    def answer(request: Struct, station: StationContext, now_s: float) -> Answer:
        response, events = handler(request, station, now_s)
        return response if isinstance(response, Deferred) else older(response, kind), events

    return answer


def notify_ev_charging_needs(request: ocpp.NotifyEVChargingNeedsRequest, station: StationContext, now_s: float) -> Answer:
    """K15: 2.0.1 has no word for "no profile will follow"; `Processing` lets the station begin by its default profile."""
    response, events = ROUTES["NotifyEVChargingNeeds"](request, station, now_s)
    if response.status == "NoChargingProfile":
        response = structs.replace(response, status="Processing")
    return response, events


def sign_certificate(request: ocpp.SignCertificateRequest, station: StationContext, now_s: float) -> Answer:
    """A02: `requestId` came with 2.1; what a 2.0.1 station sends by that name is not handed back, since its CertificateSigned has none."""
    return ROUTES["SignCertificate"](structs.replace(request, request_id=UNSET), station, now_s)


def authorized(answer: AuthorizationAnswer) -> Struct:
    """The answer to an Authorize that came later; 2.0.1 has no word for energy transfers."""
    told: Struct = older(response_to(answer), messages_v201.AuthorizeResponse)
    return told


_OWN: Final[dict[str, Handler]] = {"NotifyEVChargingNeeds": notify_ev_charging_needs, "SignCertificate": sign_certificate}

ROUTES_2_0_1: Final[dict[str, Handler]] = {
    action: _as_2_0_1(_OWN.get(action, ROUTES[action]), kind) for action, kind in messages_v201.RESPONSES.items()
}
"""Complete: a test holds it against the schemas."""
