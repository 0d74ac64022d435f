"""Block R, the inverter's grid-code functions: alarms and limits of discharge matter to a dispatch."""

from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.handlers.context import Answer, StationContext
from counterflow.domain.conflicts import DerLimit
from counterflow.domain.telemetry import DerControlChanged, DerLimitsReported, GridFaultReported

_ALARM_TAKEN: Final = ocpp.NotifyDERAlarmResponse()
_START_STOP_TAKEN: Final = ocpp.NotifyDERStartStopResponse()
_REPORT_TAKEN: Final = ocpp.ReportDERControlResponse()


def notify_der_alarm(request: ocpp.NotifyDERAlarmRequest, station: StationContext, _now_s: float) -> Answer:
    """R04: a local grid fault until `alarmEnded`."""
    event = GridFaultReported(
        station_id=station.station_id,
        at_s=request.timestamp.timestamp(),
        control_type=request.control_type,
        ended=request.alarm_ended is True,
    )
    return _ALARM_TAKEN, [event]


def notify_der_start_stop(request: ocpp.NotifyDERStartStopRequest, station: StationContext, _now_s: float) -> Answer:
    """R03: a control of the operator's became active or ended, and may have put an end to others."""
    event = DerControlChanged(
        station_id=station.station_id,
        at_s=request.timestamp.timestamp(),
        control_id=request.control_id,
        started=request.started,
        superseded=() if request.superseded_ids is UNSET else tuple(request.superseded_ids),
    )
    return _START_STOP_TAKEN, [event]


def report_der_control(request: ocpp.ReportDERControlRequest, station: StationContext, now_s: float) -> Answer:
    """R02: what was asked for with GetDERControl. LimitMaxDischarge caps a discharge; a superseded control does not."""
    found = () if request.limit_max_discharge is UNSET else request.limit_max_discharge
    event = DerLimitsReported(
        station_id=station.station_id,
        at_s=now_s,
        request_id=request.request_id,
        limits=tuple(limit for one in found if not one.is_superseded and (limit := _limit(one)) is not None),
        last=request.tbc is not True,
    )
    return _REPORT_TAKEN, [event]


def _limit(one: ocpp.LimitMaxDischargeGetType) -> DerLimit | None:
    control = one.limit_max_discharge
    if control.pct_max_discharge_power is UNSET:
        return None
    from_s = None if control.start_time is UNSET else control.start_time.timestamp()
    to_s = None if from_s is None or control.duration is UNSET else from_s + control.duration
    share = min(1.0, max(0.0, control.pct_max_discharge_power / 100.0))
    return DerLimit(control_id=one.id, share=share, from_s=from_s, to_s=to_s)
