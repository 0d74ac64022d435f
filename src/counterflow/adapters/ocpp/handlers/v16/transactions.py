"""OCPP 1.6, transactions and their meter values. The number of a transaction is ours to give: see `AnswerPolicy.transaction_number`."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages_v16 as v16
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext
from counterflow.adapters.ocpp.handlers.v16.core import id_tag_info
from counterflow.adapters.ocpp.handlers.v16.readings import readings
from counterflow.domain.ids import EvseId, TransactionId
from counterflow.domain.telemetry import EventKind, EvseMeasured, TransactionReported

_VALUES_TAKEN: Final = v16.MeterValuesResponse()
OFFLINE_AFTER_S: Final = 60.0
"""OCPP 1.6 does not say that a message waited while the line was down; one that is older than this did."""

TRIGGERS: Final[dict[str, str]] = {"Sample.Clock": "MeterValueClock", "Trigger": "Trigger"}
"""Contexts of readings as trigger reasons of OCPP 2.1; any other is periodic."""


def start_transaction(request: v16.StartTransactionRequest, station: StationContext, now_s: float) -> Answer:
    """4.8: answered with the number of the transaction, the same again when it is sent again, and the standing of the token.

    `meterStart` is not taken for a reading: some stations write 0 there whatever their register says.
    """
    evse_id, at_s = EvseId(request.connector_id), request.timestamp.timestamp()
    number = station.policy.transaction_number(station.station_id, evse_id, at_s, request.meter_start, now_s)
    event = TransactionReported(
        station_id=station.station_id,
        transaction_id=TransactionId(str(number)),
        kind=EventKind.STARTED,
        at_s=at_s,
        received_s=now_s,
        trigger="Authorized",
        seq_no=0,
        evse_id=evse_id,
        offline=_waited(at_s, now_s),
        id_token=request.id_tag,
    )
    return v16.StartTransactionResponse(transaction_id=number, id_tag_info=id_tag_info(request.id_tag, station, now_s)), [event]


def stop_transaction(request: v16.StopTransactionRequest, station: StationContext, now_s: float) -> Answer:
    """4.10: always taken, whatever the number (a station that was offline when it began may not know ours)."""
    response = v16.StopTransactionResponse()
    if request.id_tag is not UNSET:
        response = v16.StopTransactionResponse(id_tag_info=id_tag_info(request.id_tag, station, now_s))
    if request.transaction_id <= 0:
        return response, []
    at_s, data = request.timestamp.timestamp(), request.transaction_data
    event = TransactionReported(
        station_id=station.station_id,
        transaction_id=TransactionId(str(request.transaction_id)),
        kind=EventKind.ENDED,
        at_s=at_s,
        received_s=now_s,
        trigger="StopAuthorized",
        seq_no=station.next_number(),
        offline=_waited(at_s, now_s),
        stopped_reason="Local" if request.reason is UNSET else request.reason,
        measurements=() if data is UNSET else readings(data, station.dropped),
    )
    return response, [event]


def meter_values(request: v16.MeterValuesRequest, station: StationContext, now_s: float) -> Answer:
    """4.7: of the transaction that is named, else of whatever is open on the connector (0 is the main meter)."""
    found = readings(request.meter_value, station.dropped)
    if not found:
        return _VALUES_TAKEN, []
    evse_id, number = EvseId(request.connector_id), request.transaction_id
    if number is UNSET or number <= 0 or evse_id == 0:
        return _VALUES_TAKEN, [EvseMeasured(station_id=station.station_id, evse_id=evse_id, received_s=now_s, measurements=found)]
    at_s = max(measurement.at_s for measurement in found)
    context = request.meter_value[0].sampled_value[0].context
    event = TransactionReported(
        station_id=station.station_id,
        transaction_id=TransactionId(str(number)),
        kind=EventKind.UPDATED,
        at_s=at_s,
        received_s=now_s,
        trigger="MeterValuePeriodic" if context is UNSET else TRIGGERS.get(context, "MeterValuePeriodic"),
        seq_no=station.next_number(),
        evse_id=evse_id,
        offline=_waited(at_s, now_s),
        measurements=found,
    )
    return _VALUES_TAKEN, [event]


def _waited(at_s: float, now_s: float) -> bool:
    return now_s - at_s > OFFLINE_AFTER_S
