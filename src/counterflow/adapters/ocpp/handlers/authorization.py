"""Block C, authorization."""

from typing import cast

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, evccid_of
from counterflow.adapters.ocpp.policy import AuthorizationAnswer, Deferred


def authorize(request: ocpp.AuthorizeRequest, station: StationContext, now_s: float) -> Answer:
    """C01, Q01: the policy decides, now or later; without allowed transfers the whole session is charging only."""
    token = request.id_token
    answer = station.policy.authorize(station.station_id, token.id_token, token.type, evccid_of(token), now_s)
    return answer if isinstance(answer, Deferred) else response_to(answer), []


def response_to(answer: AuthorizationAnswer) -> ocpp.AuthorizeResponse:
    """The answer as OCPP says it."""
    transfers = answer.allowed_energy_transfer
    return ocpp.AuthorizeResponse(
        id_token_info=ocpp.IdTokenInfoType(status=cast("ocpp.AuthorizationStatusEnumType", answer.status)),
        allowed_energy_transfer=cast("list[ocpp.EnergyTransferModeEnumType]", list(transfers)) if transfers else UNSET,
    )
