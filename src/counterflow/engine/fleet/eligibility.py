"""May this car be discharged now? One reason code a session: the first that applies, in the order of `Reason`."""

from collections.abc import Iterable
from enum import IntEnum

import numpy as np

from counterflow.domain.conflicts import Conflict
from counterflow.domain.reasons import Reason
from counterflow.domain.resources import ControlMode
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.fleet.lifecycle import PHASE_DROP_OUT
from counterflow.engine.fleet.meters import Meters
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, I1, FleetImage

PRECEDENCE = tuple(Reason)
"""The order of the lines of `Reason`: the first that applies is shown."""

CONFLICT_REASONS: dict[Conflict, Reason] = {
    Conflict.UNSEEN: Reason.PROFILES_UNSEEN,
    Conflict.NOT_TELLING: Reason.NOT_TELLING,
    Conflict.FOREIGN_PROFILE: Reason.FOREIGN_PROFILE,
    Conflict.OTHERS_LEAD: Reason.OTHERS_LEAD,
    Conflict.PRIORITY_UNCLEAR: Reason.PRIORITY_UNCLEAR,
    Conflict.NO_LEVEL_ABOVE: Reason.NO_LEVEL_ABOVE,
    Conflict.EXTERNAL_SETPOINT: Reason.EXTERNAL_SETPOINT,
    Conflict.CONTRADICTS_ITSELF: Reason.CONTRADICTS_ITSELF,
}
"""Every conflict but NONE, and the reason that is shown for it."""

MUST_CHARGE_REASONS = (Reason.MUST_CHARGE, Reason.MUST_CHARGE_TOGETHER)
"""Reasons of cars that would be dispatched and charge, for a departure's sake."""

NOT_READY_PHASES = tuple(phase for phase in TransactionPhase if PHASE_DROP_OUT[phase] is not None)


def silent_sessions(image: FleetImage | Meters, now_s: float, settings: CapabilitySettings) -> B1:
    """Open sessions without a live power value for longer than their meter interval explains, or without any, (N,)."""
    limit_s = np.maximum(settings.silence_factor * interval_s(image, settings), settings.silence_min_s)
    fresh = now_s - image.last_sample_s <= limit_s
    return image.occupied & ~fresh


def measured_sessions(image: FleetImage | Meters, now_s: float, settings: CapabilitySettings) -> B1:
    """Open sessions whose power is known now: a value that came lately enough, (N,). An old one is unknown, not unchanged."""
    return image.occupied & ~np.isnan(image.power_w) & ~silent_sessions(image, now_s, settings)


def interval_s(image: FleetImage | Meters, settings: CapabilitySettings) -> F8:
    """The meter interval, or the assumed one where none is known, (N,)."""
    return np.where(np.isnan(image.meter_interval_s), settings.default_meter_interval_s, image.meter_interval_s)


def station_reasons(image: FleetImage, silent: B1, emergency_stop: bool) -> dict[Reason, B1]:
    """What rights, wires and other actors forbid: each reason with the rows it applies to, (N,)."""
    return {
        Reason.NO_SESSION: ~image.occupied,
        Reason.EMERGENCY_STOP: np.full(len(image), emergency_stop),
        Reason.STATION_OFFLINE: ~image.connected,
        Reason.EVSE_FAULTED: image.evse_fault,
        Reason.NO_CONSENT: ~image.consent,
        Reason.DRIVER_STOP: image.driver_stop,
        Reason.CAPABILITY_UNKNOWN: image.control_mode == ControlMode.UNKNOWN.value,
        Reason.NO_V2X_CONTROL: (image.control_mode == ControlMode.NONE.value) | (image.control_mode == ControlMode.CHARGE_ONLY.value),
        Reason.NO_CHARGING_NEEDS: ~image.bidirectional & np.isnan(image.needs_at_s),
        Reason.NOT_ISO15118_20: ~image.bidirectional & ~image.iso15118_20,
        Reason.NO_BIDIRECTIONAL_TRANSFER: ~image.bidirectional,
        **({reason: image.conflict == conflict.value for conflict, reason in CONFLICT_REASONS.items()} if image.conflict.any() else {}),
        Reason.PRIORITY_CHARGING: image.priority_charging,
        Reason.EXTERNAL_LIMIT: image.external_discharge_w <= 0.0,
        Reason.GRID_FAULT: image.grid_fault,
        Reason.EV_NOT_READY: _any_of(image.phase, NOT_READY_PHASES),
        Reason.CLOCK_OFF: image.misdated_at_s == image.power_at_s,
        Reason.SILENT: silent,
    }


REDUCIBLE = (
    Reason.NO_CONSENT,
    Reason.NO_V2X_CONTROL,
    Reason.NO_CHARGING_NEEDS,
    Reason.NOT_ISO15118_20,
    Reason.NO_BIDIRECTIONAL_TRANSFER,
    Reason.SOC_UNKNOWN,
    Reason.POWER_UNKNOWN,
    Reason.DISCHARGE_CAP,
)
"""Why a car is not discharged although its charging may be reduced. Whatever else keeps it from discharge keeps it charging, too: below
the floor it must charge first, and in a blackout its driver wants to be left alone."""


_IS_REDUCIBLE = np.isin(np.arange(len(Reason)), REDUCIBLE)


def is_reducible(reason: I1) -> B1:
    """Which of these `Reason` codes leave room for charge reduction, (N,)."""
    return np.asarray(_IS_REDUCIBLE.take(reason), dtype=np.bool_)


def reduction_reasons(image: FleetImage, silent: B1, emergency_stop: bool) -> dict[Reason, B1]:
    """The same for charge reduction: what forbids to slow or pause a car that is not discharged, (N,)."""
    alike = station_reasons(image, silent, emergency_stop)
    for reason in (*REDUCIBLE, Reason.EXTERNAL_LIMIT):
        alike.pop(reason, None)
    # A station may say at a limit of 0 W that the car has suspended.
    held = image.reduced & (image.setpoint_w == 0.0) & (image.phase == TransactionPhase.SUSPENDED_EV.value)
    return alike | {
        Reason.NO_PAUSE_CONSENT: ~image.pausing,
        Reason.NO_CHARGING_CONTROL: image.control_mode == ControlMode.NONE.value,
        Reason.EV_NOT_READY: alike[Reason.EV_NOT_READY] & ~held,
    }


def first_reasons(reasons: dict[Reason, B1], rows: int) -> I1:
    """The code of the first reason that applies to each row, READY where none does, (N,)."""
    codes: I1 = np.full(rows, Reason.READY, dtype=np.int8)
    for reason in reversed(PRECEDENCE):
        applies = reasons.get(reason)
        if applies is not None and applies.any():
            # As `codes[applies] = reason`, without a branch a row.
            codes += (np.int8(reason) - codes) * applies
    return codes


def _any_of(codes: I1, wanted: Iterable[IntEnum]) -> B1:
    """Rows whose code is one of a few, (N,)."""
    found = np.zeros(len(codes), dtype=np.bool_)
    for one in wanted:
        found |= codes == one.value
    return found
