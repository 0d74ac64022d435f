"""The frozen image of the fleet that every decision is made on: one row a session slot, one array a column.

`COLUMNS` is the definition and the documentation (docs/columns.md is generated from it). A row keeps its index for as long as
its session lives; `uid` tells whether it is still the same session. Unknown is NaN for floats and the enum's UNKNOWN.
"""

from collections.abc import Mapping
from math import inf, nan
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.domain.ids import SessionKey

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
I4 = NDArray[np.int32]
I1 = NDArray[np.int8]
B1 = NDArray[np.bool_]


class Column(NamedTuple):
    """One column: dtype, unit, the value that means unknown or empty, and what it is."""

    dtype: str
    unit: str
    empty: float
    meaning: str


COLUMNS: dict[str, Column] = {
    "uid": Column("i8", "-", 0, "session uid; 0 = the row is free"),
    "station": Column("i4", "-", -1, "index into `station_ids`"),
    "site": Column("i4", "-", 0, "index into the topology's sites"),
    "supply": Column("i1", "Supply", 0, "on which phases of its site the EVSE is, as configured"),
    "evse_id": Column("i4", "-", 0, "EVSE number at the station; 0 = not known yet"),
    "connected": Column("?", "-", 0, "the station's socket is open"),
    "phase": Column("i1", "TransactionPhase", 0, "charging state as last reported"),
    "evse_fault": Column("?", "-", 0, "a connector of the EVSE is faulted or unavailable"),
    "grid_fault": Column("?", "-", 0, "a DER alarm is active at the station"),
    "consent": Column("?", "-", 0, "the driver agreed to discharge"),
    "driver_stop": Column("?", "-", 0, "the driver stopped the discharge of this session"),
    "pausing": Column("?", "-", 0, "the driver agreed that charging is slowed or paused"),
    "bidirectional": Column("?", "-", 0, "a bidirectional transfer is agreed, or the EVSE model does it alone"),
    "iso15118_20": Column("?", "-", 0, "the car told its needs by ISO 15118-20"),
    "scheduled_control": Column("?", "-", 0, "ISO 15118-20 ScheduledControl: each change of its order is a renegotiation with the car"),
    "control_mode": Column("i1", "ControlMode", 0, "how the EVSE can be told to discharge"),
    "conflict": Column("i1", "Conflict", 0, "why other actors keep the session out of dispatch"),
    "priority_charging": Column("?", "-", 0, "the driver pressed for full power"),
    "guarded": Column("?", "-", 0, "a guarantee was broken for this session: it is not discharged any more"),
    "excluded_until_s": Column("f8", "s", nan, "refused a profile: not asked again before; NaN = never"),
    "started_s": Column("f8", "s", nan, "transaction start"),
    "departure_s": Column("f8", "s", nan, "announced or assumed departure"),
    "blackout_from_s": Column("f8", "s", nan, "begin of the driver's blackout that is on, or comes next; NaN = none"),
    "blackout_until_s": Column("f8", "s", nan, "end of that blackout"),
    "pause_left_s": Column("f8", "s", inf, "time that it may still be slowed or paused, without the pause that is on; inf = not bounded"),
    "pause_from_s": Column("f8", "s", nan, "since when an order of ours slows or pauses it; NaN = none does"),
    "drew_w": Column("f8", "W", nan, "what it drew before that order"),
    "bounds_at_s": Column("f8", "s", nan, "when what bounds an order (floor, departure, cap, blackout) last became tighter"),
    "last_sample_s": Column("f8", "s", nan, "when the last power sample of this session was received"),
    "meter_interval_s": Column("f8", "s", nan, "sampling interval: confirmed by the station, or observed"),
    "power_w": Column("f8", "W", nan, "last measured power, import positive"),
    "power_at_s": Column("f8", "s", nan, "timestamp of power_w"),
    "misdated_at_s": Column("f8", "s", nan, "power_at_s of the newest reading that was too far from our clock when it came"),
    "export_wh": Column("f8", "Wh", nan, "export register, last reading"),
    "import_wh": Column("f8", "Wh", nan, "import register, last reading"),
    "export_limit_wh": Column("f8", "Wh", inf, "reading of the export register at which a cap is used up; inf = no cap, NaN = not known"),
    "register_at_s": Column("f8", "s", nan, "timestamp of the registers"),
    "soc_frac": Column("f8", "0..1", nan, "state of charge as last reported"),
    "soc_at_s": Column("f8", "s", nan, "timestamp of soc_frac"),
    "soc_export_wh": Column("f8", "Wh", nan, "export register when soc_frac was reported (dead reckoning)"),
    "soc_import_wh": Column("f8", "Wh", nan, "import register when soc_frac was reported"),
    "capacity_wh": Column("f8", "Wh", nan, "usable battery capacity, told or inferred"),
    "soc_floor_frac": Column("f8", "0..1", nan, "largest of the minima of driver and operator"),
    "soc_target_frac": Column("f8", "0..1", nan, "wanted at departure"),
    "wear_per_kwh": Column("f8", "EUR/kWh", nan, "agreed cost of wear; NaN = nothing was agreed"),
    "offered_wh": Column("f8", "Wh", 0, "what it could have given while dispatches held it, not on its account yet"),
    "given_share": Column("f8", "0..1", nan, "energy given over energy offered in 30 days, by its car or driver; NaN = not known"),
    "v2x_floor_wh": Column("f8", "Wh", nan, "energy above the car's own V2X floor when the needs came (-evMinV2XEnergyRequest)"),
    "target_request_wh": Column("f8", "Wh", nan, "energy still to charge by departure when the needs came"),
    "needs_at_s": Column("f8", "s", nan, "when the needs came"),
    "needs_export_wh": Column("f8", "Wh", nan, "export register when the needs came"),
    "needs_import_wh": Column("f8", "Wh", nan, "import register when the needs came"),
    "max_discharge_w": Column("f8", "W", nan, "smallest of car, EVSE and cable, magnitude"),
    "min_discharge_w": Column("f8", "W", nan, "below this the car cannot discharge, magnitude; NaN = not told"),
    "max_charge_w": Column("f8", "W", nan, "smallest of car and EVSE"),
    "min_charge_w": Column("f8", "W", nan, "below this the car cannot charge"),
    "external_discharge_w": Column("f8", "W", nan, "cap by a local energy system, magnitude; NaN = none"),
    "external_ahead_w": Column("f8", "W", nan, "least such cap within the hour, from external_ahead_s on; NaN = none below that of now"),
    "external_ahead_s": Column("f8", "s", nan, "when the cap becomes less than it is now"),
    "setpoint_w": Column("f8", "W", nan, "what we last told the station for now, <= 0, or a charging limit >= 0; NaN = nothing of ours"),
    "setpoint_at_s": Column("f8", "s", nan, "when that setpoint was sent"),
    "setpoint_state": Column("i1", "SetpointState", 0, "pending, accepted, rejected or unknown"),
    "previous_setpoint_w": Column("f8", "W", nan, "the setpoint before this one (worst case while the outcome is open)"),
    "discharge_until_s": Column("f8", "s", nan, "end that the order in force carries for its discharge"),
    "hold_until_s": Column("f8", "s", nan, "end that the order in force carries for its hold at 0 W"),
    "next_setpoint_w": Column("f8", "W", nan, "what the order in force asks for from its next period on, <= 0; NaN = no further period"),
    "next_setpoint_at_s": Column("f8", "s", nan, "when that period begins"),
    "strongest_ahead_w": Column("f8", "W", 0, "strongest discharge of the periods to come of the order in force, magnitude"),
    "self_steered": Column("?", "-", False, "the station finds its power by a curve; setpoint_w is the strongest that it can ask for"),
    "reduced": Column("?", "-", False, "the order in force is a limit to charging, of a car that is not discharged"),
    "fallback_state": Column("i1", "FallbackState", 0, "none, pending or placed"),
}


class FleetImage(Struct, frozen=True, kw_only=True, dict=True):
    """All columns at `at_s`, each (N,), read-only. `keys[row]` is (station id, transaction id) or None for a free row."""

    at_s: float
    keys: tuple[SessionKey | None, ...]
    uid: I8
    station: I4
    site: I4
    supply: I1
    evse_id: I4
    connected: B1
    phase: I1
    evse_fault: B1
    grid_fault: B1
    consent: B1
    driver_stop: B1
    pausing: B1
    bidirectional: B1
    iso15118_20: B1
    scheduled_control: B1
    control_mode: I1
    conflict: I1
    priority_charging: B1
    guarded: B1
    excluded_until_s: F8
    started_s: F8
    departure_s: F8
    blackout_from_s: F8
    blackout_until_s: F8
    pause_left_s: F8
    pause_from_s: F8
    drew_w: F8
    bounds_at_s: F8
    last_sample_s: F8
    meter_interval_s: F8
    power_w: F8
    power_at_s: F8
    misdated_at_s: F8
    export_wh: F8
    import_wh: F8
    export_limit_wh: F8
    register_at_s: F8
    soc_frac: F8
    soc_at_s: F8
    soc_export_wh: F8
    soc_import_wh: F8
    capacity_wh: F8
    soc_floor_frac: F8
    soc_target_frac: F8
    wear_per_kwh: F8
    offered_wh: F8
    given_share: F8
    v2x_floor_wh: F8
    target_request_wh: F8
    needs_at_s: F8
    needs_export_wh: F8
    needs_import_wh: F8
    max_discharge_w: F8
    min_discharge_w: F8
    max_charge_w: F8
    min_charge_w: F8
    external_discharge_w: F8
    external_ahead_w: F8
    external_ahead_s: F8
    setpoint_w: F8
    setpoint_at_s: F8
    setpoint_state: I1
    previous_setpoint_w: F8
    discharge_until_s: F8
    hold_until_s: F8
    next_setpoint_w: F8
    next_setpoint_at_s: F8
    strongest_ahead_w: F8
    self_steered: B1
    reduced: B1
    fallback_state: I1

    def __len__(self) -> int:
        """Number of rows, free ones included."""
        return len(self.uid)

    @property
    def occupied(self) -> B1:
        """Rows that hold an open session, (N,)."""
        return np.not_equal(self.uid, 0)


def empty_columns(rows: int) -> dict[str, NDArray[Any]]:
    """Writable columns of `rows` free rows."""
    return {name: np.full(rows, column.empty, dtype=column.dtype) for name, column in COLUMNS.items()}


def freeze(columns: Mapping[str, NDArray[Any]], keys: tuple[SessionKey | None, ...], at_s: float) -> FleetImage:
    """A read-only copy of `columns`. Raises ValueError when shapes differ or a column is missing."""
    rows = len(keys)
    copies: dict[str, NDArray[Any]] = {}
    for name in COLUMNS:
        copy = columns[name][:rows].copy()
        if copy.shape != (rows,):
            raise ValueError(f"column {name} has shape {copy.shape}, expected ({rows},)")
        copy.setflags(write=False)
        copies[name] = copy
    return FleetImage(at_s=at_s, keys=keys, **copies)
