"""Block E, transactions. The hot path: most of what a fleet sends passes through here."""

from typing import Final, cast

from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, evccid_of
from counterflow.adapters.ocpp.measurands import normalise
from counterflow.domain.ids import EvseId, TransactionId
from counterflow.domain.telemetry import EventKind, TransactionPhase, TransactionReported

_NOTHING_TO_SAY: Final = ocpp.TransactionEventResponse()

_KINDS: Final[dict[str, EventKind]] = {
    "Started": EventKind.STARTED,
    "Updated": EventKind.UPDATED,
    "Ended": EventKind.ENDED,
}

_PHASES: Final[dict[str | UnsetType, TransactionPhase]] = {
    UNSET: TransactionPhase.UNKNOWN,
    "EVConnected": TransactionPhase.EV_CONNECTED,
    "Charging": TransactionPhase.CHARGING,
    "SuspendedEV": TransactionPhase.SUSPENDED_EV,
    "SuspendedEVSE": TransactionPhase.SUSPENDED_EVSE,
    "Idle": TransactionPhase.IDLE,
}


def transaction_event(request: ocpp.TransactionEventRequest, station: StationContext, now_s: float) -> Answer:
    """E01 to E13: always answered, else the station sends it again; a token is answered with its standing (E02.FR.02).

    Order and repetition by `seq_no` are for the fleet state to judge.
    """
    transaction, evse, token, meter = request.transaction_info, request.evse, request.id_token, request.meter_value
    token_text = evccid = ""
    response = _NOTHING_TO_SAY
    if token is not UNSET:
        token_text, evccid = token.id_token, evccid_of(token)
        standing = station.policy.standing(station.station_id, token_text, token.type, evccid, now_s)
        response = ocpp.TransactionEventResponse(
            id_token_info=ocpp.IdTokenInfoType(status=cast("ocpp.AuthorizationStatusEnumType", standing.status))
        )
    mode, reason = transaction.operation_mode, transaction.stopped_reason
    event = TransactionReported(
        station_id=station.station_id,
        transaction_id=TransactionId(transaction.transaction_id),
        kind=_KINDS[request.event_type],
        at_s=request.timestamp.timestamp(),
        received_s=now_s,
        trigger=request.trigger_reason,
        seq_no=request.seq_no,
        evse_id=EvseId(0) if evse is UNSET else EvseId(evse.id),
        phase=_PHASES[transaction.charging_state],
        operation_mode="" if mode is UNSET else mode,
        offline=request.offline is True,
        stopped_reason="" if reason is UNSET else reason,
        id_token=token_text,
        evccid=evccid,
        phases_used=0 if request.number_of_phases_used is UNSET else request.number_of_phases_used,
        measurements=() if meter is UNSET else normalise(meter, station.dropped),
    )
    return response, [event]
