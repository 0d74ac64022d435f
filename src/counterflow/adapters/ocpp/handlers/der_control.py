"""Block R, the inverter's grid-code functions: only the alarm matters to a dispatch."""

from typing import Final

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext, always
from counterflow.domain.telemetry import GridFaultReported

_ALARM_TAKEN: Final = ocpp.NotifyDERAlarmResponse()


def notify_der_alarm(request: ocpp.NotifyDERAlarmRequest, station: StationContext, _now_s: float) -> Answer:
    """R04: a local grid fault until `alarmEnded`."""
    event = GridFaultReported(
        station_id=station.station_id,
        at_s=request.timestamp.timestamp(),
        control_type=request.control_type,
        ended=request.alarm_ended is True,
    )
    return _ALARM_TAKEN, [event]


notify_der_start_stop: Final = always(ocpp.NotifyDERStartStopResponse())
"""R03: a control of the operator's became active or ended."""


report_der_control: Final = always(ocpp.ReportDERControlResponse())
"""R02: the answer to a GetDERControl that a person sent."""
