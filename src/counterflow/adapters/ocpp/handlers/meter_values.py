"""Block J, meter values outside TransactionEvent: clock-aligned samples."""

from typing import Final

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext
from counterflow.adapters.ocpp.measurands import normalise
from counterflow.domain.ids import EvseId
from counterflow.domain.telemetry import EvseMeasured

_TAKEN: Final = ocpp.MeterValuesResponse()


def meter_values(request: ocpp.MeterValuesRequest, station: StationContext, now_s: float) -> Answer:
    """J01: values of one EVSE, 0 being the station's main meter."""
    measurements = normalise(request.meter_value, station.dropped)
    if not measurements:
        return _TAKEN, []
    event = EvseMeasured(station_id=station.station_id, evse_id=EvseId(request.evse_id), received_s=now_s, measurements=measurements)
    return _TAKEN, [event]
