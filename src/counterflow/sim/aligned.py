"""Clock-aligned meter values of a simulated station (OCPP 2.1 part 2, J01; AlignedDataCtrlr)."""

from math import floor
from typing import Final

from counterflow.adapters.ocpp.messages import MeterValuesRequest
from counterflow.sim.evse import SimEvse
from counterflow.sim.meter import Reading, meter_value
from counterflow.sim.operation import Operation

_REGISTERS: Final = frozenset({"Energy.Active.Import.Register", "Energy.Active.Export.Register"})


def start(op: Operation, now_s: float) -> None:
    """Begin, or begin anew with other settings; an interval of 0 is off."""
    op.state.aligning += 1
    every_s = op.state.aligned_every_s("Interval")
    if every_s > 0:
        op.timers.at(_next(now_s, every_s), _send, op, op.state.aligning)


def _next(now_s: float, every_s: int) -> float:
    """The next full interval of the day (whole multiples since 1970 fall on them for every divisor of a day)."""
    return (floor(now_s / every_s) + 1.0) * every_s


def _send(now_s: float, op: Operation, generation: int) -> None:
    state = op.state
    every_s = state.aligned_every_s("Interval")
    if generation != state.aligning or every_s <= 0:
        return
    op.timers.at(_next(now_s, every_s), _send, op, generation)
    only_idle = state.aligned["SendDuringIdle"] == "true"
    for evse in state.evses.values():
        if evse.silent or (only_idle and evse.transaction_id is not None):
            continue
        _measure(op, evse, now_s)


def _measure(op: Operation, evse: SimEvse, now_s: float) -> None:
    state = op.state
    ended_every_s = state.aligned_every_s("TxEndedInterval")
    if ended_every_s > 0 and evse.transaction_id is not None and now_s % ended_every_s == 0.0:
        wanted = _names(state.aligned["TxEndedMeasurands"])
        if wanted:
            evse.aligned.append(
                meter_value(_reading(evse, wanted, now_s), wanted, signed=state.settings.signed_import, context="Sample.Clock")
            )
    wanted = _names(state.aligned["Measurands"])
    if wanted:
        value = meter_value(_reading(evse, wanted, now_s), wanted, signed=state.settings.signed_import, context="Sample.Clock")
        op.uplink.call("MeterValues", MeterValuesRequest(evse_id=evse.evse_id, meter_value=[value]), now_s)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _reading(evse: SimEvse, wanted: list[str], now_s: float) -> Reading:
    """Registers alone need no reading of the power, whose noise would be drawn."""
    if not set(wanted) <= _REGISTERS:
        return evse.reading(now_s)
    import_wh, export_wh = evse.plant.registers_wh(evse.row)
    return Reading(at_s=now_s, power_w=0.0, import_wh=import_wh, export_wh=export_wh, soc_frac=0.0, setpoint_w=None)
