"""The writable columns behind the frozen image: rows are handed out, taken back and reused; arrays grow by doubling.

Single cells are written through memoryviews (half the time of a numpy scalar write), whole columns are read through numpy when
an image is taken; both see the same memory. The readings of a full meter sample lie side by side, so that one call writes all ten.
"""

from __future__ import annotations

from struct import Struct as Packing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.ids import SessionKey, SessionUid
from counterflow.engine.fleet.meters import METER_COLUMNS, Meters
from counterflow.engine.fleet.snapshot import COLUMNS, FleetImage, empty_columns, freeze

FIRST_ROWS = 256

READINGS = (
    "last_sample_s",
    "power_w",
    "power_at_s",
    "export_wh",
    "import_wh",
    "register_at_s",
    "soc_frac",
    "soc_at_s",
    "soc_export_wh",
    "soc_import_wh",
)
"""The columns that every full meter sample writes, in the order of `write_readings`."""

write_readings = Packing(f"{len(READINGS)}d").pack_into
READINGS_BYTES = 8 * len(READINGS)


class Columns:
    """One memoryview a column, named as in `COLUMNS`; only the writer of the fleet state holds one."""

    __slots__ = ("_arrays", "_free", "_keys", "readings", *COLUMNS)

    readings: memoryview[int]
    """The memory behind the columns of `READINGS`, row by row; `write_readings(readings, row * READINGS_BYTES, ...)`."""

    uid: memoryview[int]
    station: memoryview[int]
    site: memoryview[int]
    supply: memoryview[int]
    evse_id: memoryview[int]
    connected: memoryview[bool]
    phase: memoryview[int]
    evse_fault: memoryview[bool]
    grid_fault: memoryview[bool]
    consent: memoryview[bool]
    driver_stop: memoryview[bool]
    pausing: memoryview[bool]
    bidirectional: memoryview[bool]
    iso15118_20: memoryview[bool]
    scheduled_control: memoryview[bool]
    control_mode: memoryview[int]
    conflict: memoryview[int]
    priority_charging: memoryview[bool]
    guarded: memoryview[bool]
    excluded_until_s: memoryview[float]
    started_s: memoryview[float]
    departure_s: memoryview[float]
    blackout_from_s: memoryview[float]
    blackout_until_s: memoryview[float]
    pause_left_s: memoryview[float]
    pause_from_s: memoryview[float]
    drew_w: memoryview[float]
    bounds_at_s: memoryview[float]
    last_sample_s: memoryview[float]
    meter_interval_s: memoryview[float]
    power_w: memoryview[float]
    power_at_s: memoryview[float]
    misdated_at_s: memoryview[float]
    export_wh: memoryview[float]
    import_wh: memoryview[float]
    export_limit_wh: memoryview[float]
    register_at_s: memoryview[float]
    soc_frac: memoryview[float]
    soc_at_s: memoryview[float]
    soc_export_wh: memoryview[float]
    soc_import_wh: memoryview[float]
    capacity_wh: memoryview[float]
    soc_floor_frac: memoryview[float]
    soc_target_frac: memoryview[float]
    wear_per_kwh: memoryview[float]
    offered_wh: memoryview[float]
    given_share: memoryview[float]
    v2x_floor_wh: memoryview[float]
    target_request_wh: memoryview[float]
    needs_at_s: memoryview[float]
    needs_export_wh: memoryview[float]
    needs_import_wh: memoryview[float]
    max_discharge_w: memoryview[float]
    min_discharge_w: memoryview[float]
    max_charge_w: memoryview[float]
    min_charge_w: memoryview[float]
    external_discharge_w: memoryview[float]
    external_ahead_w: memoryview[float]
    external_ahead_s: memoryview[float]
    setpoint_w: memoryview[float]
    setpoint_at_s: memoryview[float]
    setpoint_state: memoryview[int]
    previous_setpoint_w: memoryview[float]
    discharge_until_s: memoryview[float]
    hold_until_s: memoryview[float]
    next_setpoint_w: memoryview[float]
    next_setpoint_at_s: memoryview[float]
    strongest_ahead_w: memoryview[float]
    self_steered: memoryview[bool]
    reduced: memoryview[bool]
    fallback_state: memoryview[int]

    def __init__(self) -> None:
        """Start without rows."""
        self._keys: list[SessionKey | None] = []
        self._free: list[int] = []
        self._adopt(empty_columns(FIRST_ROWS))

    def __len__(self) -> int:
        """Rows ever in use at the same time, free ones included."""
        return len(self._keys)

    def take(self, uid: SessionUid, key: SessionKey) -> int:
        """Hand out an empty row for a new session."""
        if self._free:
            row = self._free.pop()
            self._keys[row] = key
        else:
            row = len(self._keys)
            if row == len(self._arrays["uid"]):
                self._grow()
            self._keys.append(key)
        self.uid[row] = uid
        return row

    def release(self, row: int) -> None:
        """Take a row back; every cell is empty again."""
        for name, column in COLUMNS.items():
            self._arrays[name][row] = column.empty
        self._keys[row] = None
        self._free.append(row)

    def image(self, at_s: float) -> FleetImage:
        """A frozen copy of all rows."""
        return freeze(self._arrays, tuple(self._keys), at_s)

    def meters(self, at_s: float) -> Meters:
        """What the meters say, a frozen copy of a few columns."""
        rows = len(self._keys)
        return Meters(at_s=at_s, **{name: self._arrays[name][:rows].copy() for name in METER_COLUMNS})

    def add_offered(self, uid: NDArray[np.int64], energy_wh: NDArray[np.float64]) -> None:
        """Add energy (n,) to `offered_wh` of the first rows where they still hold the sessions `uid` (n,)."""
        rows = len(uid)
        self._arrays["offered_wh"][:rows] += np.where(np.equal(self._arrays["uid"][:rows], uid) & (uid != 0), energy_wh, 0.0)

    def _grow(self) -> None:
        rows = len(self._arrays["uid"])
        wider = empty_columns(2 * rows)
        for name, column in wider.items():
            column[:rows] = self._arrays[name]
        self._adopt(wider)

    def _adopt(self, arrays: dict[str, NDArray[Any]]) -> None:
        block = np.stack([arrays[name] for name in READINGS], axis=1)
        arrays |= {name: block[:, place] for place, name in enumerate(READINGS)}
        self.readings = block.data.cast("B")
        self._arrays = arrays
        for name, array in arrays.items():
            setattr(self, name, array.data)
