"""An event of OpenADR 2.0b, as `openleadr` has parsed it, as an order of ours. What cannot be carried out is refused, never guessed."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Final

from msgspec import Struct

from counterflow.adapters.openadr2.settings import LEVELS
from counterflow.domain.grid import WATTS, GridOrder, GridStep, GridUnit, Program, discharge_power_w_of
from counterflow.domain.instructions import DispatchMode

OVER: Final = frozenset({"cancelled", "completed"})
OPEN_END_S: Final = 10 * 365 * 86_400.0
"""An active period of P0D has no end of its own: it lasts until the event is cancelled."""
SCALES: Final[Mapping[str, float]] = {
    "p": 1e-12, "n": 1e-9, "micro": 1e-6, "m": 1e-3, "c": 1e-2, "d": 1e-1, "none": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
}  # fmt: skip
"""siScaleCode."""


class UnfitError(ValueError):
    """The event cannot be carried out; the text is a sentence."""


class Event(Struct, frozen=True, kw_only=True):
    """What stands above an event's signals."""

    key: str
    market_context: str
    status: str
    is_test: bool


def head_of(event: Mapping[str, Any]) -> Event:
    """Who, for which program. Raises `UnfitError` without an id."""
    descriptor = event.get("event_descriptor") or {}
    key = str(descriptor.get("event_id") or "")
    if not key:
        raise UnfitError("The event has no id.")
    return Event(
        key=key,
        market_context=str(descriptor.get("market_context") or ""),
        status=str(descriptor.get("event_status") or ""),
        is_test=descriptor.get("test_event") not in (None, False, "false"),
    )


def program_of(head: Event, programs: Sequence[Program]) -> Program:
    """Whose event it is, by its market context. Raises `UnfitError`."""
    for program in programs:
        if program.called == head.market_context:
            return program
    raise UnfitError(
        f"The event '{head.key}' is of the market context '{head.market_context}', and no [[programs]] entry with wire = \"openadr2\" has "
        "that as its external_id."
    )


def order_of(event: Mapping[str, Any], program: Program, simple_discharge_frac: Sequence[float], ven_id: str) -> GridOrder:
    """The order that an event makes. Raises `UnfitError` with a sentence."""
    head = head_of(event)
    assert program.sign is not None, "a program without a sign stops the start"
    signal = _signal_of(event, head)
    is_simple = _name(signal) == "SIMPLE"
    mode = DispatchMode.RELATIVE if signal.get("signal_type") == "delta" else None
    period = event.get("active_period") or {}
    start_s, end_s = _active(period, head, ven_id)
    steps = []
    for from_s, value in _laid_out(signal, head, start_s, end_s):
        power_w = (
            _by_table(value, program, simple_discharge_frac, head)
            if is_simple
            else discharge_power_w_of(value * _watts(signal, program, head), program.sign, GridUnit.W)
        )
        steps.append(GridStep(from_s=from_s, discharge_power_w=power_w))
    note = (event.get("event_descriptor") or {}).get("vtn_comment")
    return GridOrder(program=program.name, key=head.key, steps=tuple(steps), end_s=end_s, mode=mode, note=str(note or "")[:200])


def _signal_of(event: Mapping[str, Any], head: Event) -> Mapping[str, Any]:
    """The one signal that is carried out: LOAD_DISPATCH before SIMPLE, which often stands beside it for older VENs."""
    found = event.get("event_signals") or []
    if isinstance(found, Mapping):
        found = found.get("event_signals") or []
    named: dict[str, Mapping[str, Any]] = {_name(signal): signal for signal in found}
    if not named:
        raise UnfitError(f"The event '{head.key}' has no signal.")
    if "LOAD_DISPATCH" in named:
        kind = named["LOAD_DISPATCH"].get("signal_type")
        if kind not in ("setpoint", "delta"):
            raise UnfitError(
                f"The event '{head.key}' asks for LOAD_DISPATCH as '{kind}'; setpoint (absolute power) and delta (change against the "
                "baseline) are carried out."
            )
        return named["LOAD_DISPATCH"]
    if "SIMPLE" in named:
        return named["SIMPLE"]
    if "CHARGE_STATE" in named:
        raise UnfitError(
            f"The event '{head.key}' asks for CHARGE_STATE. Whether the pool can reach it is known only when the interval begins, and 2.0b "
            "wants optIn or optOut now. Order power with LOAD_DISPATCH, or the state of charge by OpenADR 3 (CHARGE_STATE_SETPOINT)."
        )
    raise UnfitError(f"The event '{head.key}' has the signals {', '.join(sorted(named))}; LOAD_DISPATCH and SIMPLE are carried out.")


def _name(signal: Mapping[str, Any]) -> str:
    return str(signal.get("signal_name") or "").upper()


def _active(period: Mapping[str, Any], head: Event, ven_id: str) -> tuple[float, float]:
    """Start and end, epoch seconds, with the random shift that `startafter` asks for: the same each time the event is read."""
    start, duration = period.get("dtstart"), period.get("duration")
    if not isinstance(start, datetime) or start.tzinfo is None:
        raise UnfitError(f"The event '{head.key}' does not say when it starts.")
    if not isinstance(duration, timedelta) or duration < timedelta(0):
        raise UnfitError(f"The event '{head.key}' does not say how long it lasts.")
    start_s = start.timestamp() + _shift_s(period, head, ven_id)
    return start_s, start_s + (duration.total_seconds() or OPEN_END_S)


def _shift_s(period: Mapping[str, Any], head: Event, ven_id: str) -> float:
    tolerance = period.get("tolerance") or {}
    at_most = (tolerance.get("tolerate") or tolerance).get("startafter") if isinstance(tolerance, Mapping) else None
    if not isinstance(at_most, timedelta) or at_most <= timedelta(0):
        return 0.0
    digest = hashlib.sha256(f"{head.key}\n{ven_id}".encode()).digest()
    return float(round(at_most.total_seconds() * int.from_bytes(digest[:8]) / 2**64))


def _laid_out(signal: Mapping[str, Any], head: Event, start_s: float, end_s: float) -> Iterator[tuple[float, float]]:
    """(from, value) of each interval inside the active period. Intervals follow each other; one of no length lasts until the end."""
    intervals = signal.get("intervals") or []
    if isinstance(intervals, Mapping):
        intervals = [intervals]
    at_s, any_yet = start_s, False
    for interval in intervals:
        value, duration = interval.get("signal_payload"), interval.get("duration")
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise UnfitError(f"The event '{head.key}' has an interval without a number.")
        if at_s >= end_s:
            break
        yield at_s, float(value)
        any_yet = True
        lasts_s = duration.total_seconds() if isinstance(duration, timedelta) else 0.0
        at_s = at_s + lasts_s if lasts_s > 0.0 else end_s
    if not any_yet:
        raise UnfitError(f"The event '{head.key}' has no interval.")
    if at_s < end_s:
        yield at_s, 0.0


def _by_table(level: float, program: Program, shares: Sequence[float], head: Event) -> float:
    if len(shares) != LEVELS:
        raise UnfitError(
            f"The event '{head.key}' is of SIMPLE levels, and what they mean is not agreed (openadr2.simple_discharge_frac, four shares)."
        )
    if level not in range(LEVELS):
        raise UnfitError(f"The event '{head.key}' has the SIMPLE level {level:g}; there are 0 to 3.")
    return shares[int(level)] * program.max_discharge_power_w


def _watts(signal: Mapping[str, Any], program: Program, head: Event) -> float:
    """Watts in one of a signal's values: as its measurement says, else as the program does."""
    unit, scale = _unit_of(signal)
    if unit is None:
        if program.unit is None:
            raise UnfitError(
                f"The event '{head.key}' does not say its unit, and neither does the program '{program.name}' (unit); it is not guessed."
            )
        return WATTS[program.unit]
    if unit != "W" or scale not in SCALES:
        raise UnfitError(f"The event '{head.key}' is in '{scale} {unit}'; real power in W, with an SI scale, is carried out.")
    return SCALES[scale]


def _unit_of(signal: Mapping[str, Any]) -> tuple[str | None, str]:
    """Unit and SI scale. `openleadr` leaves the measurement of a signal as it stands in the XML when the signal before it has none."""
    measurement = signal.get("measurement")
    if isinstance(measurement, Mapping):
        return str(measurement.get("unit")), str(measurement.get("scale") or "none")
    for raw in signal.values():
        if isinstance(raw, Mapping) and "item_units" in raw:
            return str(raw["item_units"]), str(raw.get("si_scale_code") or "none")
    return None, "none"
