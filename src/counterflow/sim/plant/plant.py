"""The cars, step by step. Power is measured at the EVSE's grid side, import positive.

    order -> network -> station -> delay -> dead-band -> minimum -> discharge = gain * asked - bias, derated -> ramp -> battery

An order ends by itself at the station: discharge until its end, then 0 W until the end of its hold, then the car charges as it likes.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS
from counterflow.sim.plant.fleet import F8, Fleet
from counterflow.sim.plant.nature import Nature
from counterflow.sim.plant.post import Post

B1 = NDArray[np.bool_]
Rows = NDArray[np.intp]

ETA_CHARGE = 0.92
ETA_DISCHARGE = 0.92
TAPER_FROM_FRAC = 0.8
TAPER_SLOPE = 3.75


class Readings(Struct, frozen=True, kw_only=True):
    """Meter values that arrived in a step, one entry each (K,); power import positive, registers in whole Wh, state of charge in percent
    steps as the car believes it."""

    rows: Rows
    at_s: F8
    power_w: F8
    export_wh: F8
    import_wh: F8
    soc_frac: F8


class Answers(Struct, frozen=True, kw_only=True):
    """What became of orders (K,): accepted, or timed out; `number` is the sender's."""

    rows: Rows
    number: NDArray[np.int64]
    accepted: B1


class Heard(Struct, frozen=True, kw_only=True):
    """All that a control centre learns in one step. `ended`: rows whose transaction was reported as ended."""

    readings: tuple[Readings, ...]
    answers: tuple[Answers, ...]
    ended: Rows


class Plant:
    """N cars at N EVSEs. The arrays are the truth, for the scorer; a controller gets what `step` returns."""

    def __init__(self, nature: Nature, fleet: Fleet, start_s: float, rng: np.random.Generator, dt_s: float = 1.0) -> None:
        """Cars stand at 0 W, or charge when they are below their target."""
        self.nature, self.fleet = nature, fleet
        self.now_s, self.start_s, self.dt_s = start_s, start_s, dt_s
        self._rng = rng
        n = len(fleet)
        self.delay_s = _delays_s(nature, n, rng)
        self.ramp_w_per_s: F8 = rng.uniform(*nature.ramp_w_per_s, n)
        self.gain: F8 = rng.normal(nature.gain_mean, nature.gain_sd, n)
        self.drift: F8 = rng.normal(0.0, nature.gain_drift, n) if nature.gain_drift > 0.0 else np.zeros(n)
        self.bias_w: F8 = rng.normal(nature.bias_mean_w, nature.bias_sd_w, n)
        derated = rng.random(n) < nature.derated_share
        self.ceiling_w: F8 = np.where(derated, rng.uniform(*nature.derating, n), 1.0) * fleet.max_w
        self.deaf: B1 = rng.random(n) < nature.deaf_share
        self.soc_error: F8 = rng.normal(0.0, nature.soc_error_sd, n)
        self.energy_wh: F8 = fleet.capacity_wh * fleet.soc_frac
        self.export_wh, self.import_wh = np.zeros(n), np.zeros(n)
        self.gone: B1 = np.zeros(n, dtype=np.bool_)
        self.asked_w: F8 = np.full(n, np.nan)
        """What the car was last told, <= 0; NaN = it charges as it likes."""
        self._until_s: F8 = np.full(n, np.inf)
        self._hold_s: F8 = np.full(n, np.inf)
        self._moves_from_s: F8 = np.full(n, start_s)
        self._last_due_s: F8 = np.full(n, -np.inf)
        self.power_w: F8 = np.zeros(n)
        self.power_w = self._wanted_w()
        self._sample_due_s: F8 = start_s + rng.uniform(0.0, nature.meter_interval_s, n)
        self._orders: Post[tuple[Rows, F8, F8, F8, F8]] = Post(start_s, dt_s)
        self._answers: Post[tuple[Rows, NDArray[np.int64], B1]] = Post(start_s, dt_s)
        self._readings: Post[tuple[Rows, F8, F8, F8, F8, F8]] = Post(start_s, dt_s)
        self._ended: Post[tuple[Rows]] = Post(start_s, dt_s)

    # --- orders ----------------------------------------------------------------------------------------------------------------

    def order(self, rows: Rows, power_w: F8, until_s: F8, hold_s: F8, number: NDArray[np.int64], begins_s: F8 | None = None) -> None:
        """Send orders (K,) now. `power_w` <= 0, NaN = take the order back; `begins_s` = the station shall begin only then."""
        nature, rng = self.nature, self._rng
        out_s = nature.network_median_s * np.exp(nature.network_sigma * rng.normal(size=rows.size))
        back_s = nature.network_median_s * np.exp(nature.network_sigma * rng.normal(size=rows.size))
        arrives = (rng.random(rows.size) >= nature.command_loss) & ~self.gone[rows]
        at_station_s = self.now_s + out_s
        if begins_s is not None:
            at_station_s = np.fmax(at_station_s, begins_s)
        due_s = np.maximum(at_station_s + self.delay_s[rows], self._last_due_s[rows])
        self._last_due_s[rows[arrives]] = due_s[arrives]
        self._orders.put(due_s[arrives], rows[arrives], power_w[arrives], until_s[arrives], hold_s[arrives], due_s[arrives])
        answer_s = np.where(arrives, self.now_s + out_s + back_s, self.now_s + nature.answer_timeout_s)
        self._answers.put(answer_s, rows, number, arrives)

    def leave(self, rows: Rows) -> None:
        """Cars drive off now; a share of their stations goes silent instead of telling."""
        rows = rows[~self.gone[rows]]
        self.gone[rows] = True
        self.power_w[rows] = 0.0
        tells = rows[self._rng.random(rows.size) >= self.nature.silent_share]
        self._ended.put(self.now_s + self._latency_s(tells.size), tells)

    # --- one step --------------------------------------------------------------------------------------------------------------

    def step(self) -> Heard:
        """Advance by `dt_s`; power is constant within a step."""
        self.now_s += self.dt_s
        self._leave()
        for rows, power_w, until_s, hold_s, due_s in self._orders.take(self.now_s):
            self._take_orders(rows, power_w, until_s, hold_s, due_s)
        self._drift()
        self._move()
        self._measure()
        return self._heard()

    def soc_frac(self) -> F8:
        """True state of charge (N,)."""
        return self.energy_wh / self.fleet.capacity_wh

    def told_soc_frac(self) -> F8:
        """State of charge as the cars would report it now, in steps of a percent (N,)."""
        return np.asarray(np.round(np.clip(self.soc_frac() + self.soc_error, 0.0, 1.0), 2), dtype=np.float64)

    def above_floor_wh(self) -> F8:
        """AC energy that each car holds above its driver's floor, by its true state of charge, >= 0 (N,)."""
        return np.asarray(np.maximum(self.energy_wh - self.fleet.floor_frac * self.fleet.capacity_wh, 0.0) * ETA_DISCHARGE)

    def able_w(self) -> F8:
        """What each car would truly deliver now at its largest setpoint, discharge positive (N,)."""
        power_w = np.minimum((self.gain + self.drift) * self.fleet.max_w - self.bias_w, self.ceiling_w)
        return np.where(self.gone | self.deaf | (self.energy_wh <= 0.0), 0.0, np.maximum(power_w, 0.0))

    def _leave(self) -> None:
        nature, rng, n = self.nature, self._rng, len(self.gone)
        rate = nature.attrition_per_h * self.dt_s / 3600.0
        leaves = rng.random(n) < rate * (1.0 - nature.burst_share)
        if nature.burst_share > 0.0 and rng.random() < self.dt_s / 300.0:
            # A burst every five minutes takes what would have left one by one meanwhile, at once.
            leaves |= rng.random(n) < nature.attrition_per_h * nature.burst_share * 300.0 / 3600.0
        leaves |= self.fleet.departure_s <= self.now_s
        leaves &= ~self.gone
        if leaves.any():
            self.leave(np.flatnonzero(leaves))

    def _take_orders(self, rows: Rows, power_w: F8, until_s: F8, hold_s: F8, due_s: F8) -> None:
        before_w = self._in_force_w()[rows]
        turned = np.isnan(before_w) != np.isnan(power_w)
        moves = turned | (np.abs(power_w - before_w) >= self.nature.dead_band_w) | ((power_w == 0.0) & (before_w != 0.0))
        self._until_s[rows], self._hold_s[rows] = until_s, hold_s
        # One that is ignored leaves the car at what it did, for as long as the new order lasts.
        self.asked_w[rows] = np.where(moves, power_w, before_w)
        self._moves_from_s[rows[moves]] = due_s[moves]

    def _in_force_w(self) -> F8:
        """What each car is told now (N,): its order, 0 in its hold, NaN = nothing."""
        heard_s = self.now_s - self.delay_s
        asked_w = np.where(heard_s < self._until_s, self.asked_w, np.where(heard_s < self._hold_s, 0.0, np.nan))
        return np.where(np.isnan(self.asked_w), np.nan, asked_w)

    def _drift(self) -> None:
        nature = self.nature
        if nature.gain_drift > 0.0:
            share = self.dt_s / nature.drift_s
            noise = self._rng.normal(0.0, nature.gain_drift * np.sqrt(2.0 * share), len(self.drift))
            self.drift = self.drift * (1.0 - share) + noise

    def _wanted_w(self) -> F8:
        """What each car's power is heading for (N,)."""
        fleet = self.fleet
        asked_w = np.where(self.deaf, np.nan, self._in_force_w())
        believed = self.soc_frac() + self.soc_error
        taper = np.clip(1.0 - TAPER_SLOPE * (believed - TAPER_FROM_FRAC), 0.0, 1.0)
        charge_w = np.where(believed < fleet.target_frac, fleet.max_w * taper, 0.0)
        discharge_w = np.minimum((self.gain + self.drift) * -asked_w - self.bias_w, self.ceiling_w)
        discharge_w = np.where(-asked_w < np.maximum(fleet.min_w, 1.0), 0.0, np.maximum(discharge_w, 0.0))
        return np.where(np.isnan(asked_w), charge_w, -discharge_w)

    def _move(self) -> None:
        moving_s = np.clip(self.now_s - self._moves_from_s, 0.0, self.dt_s)
        change_w = self.ramp_w_per_s * moving_s
        power_w = self.power_w + np.clip(self._wanted_w() - self.power_w, -change_w, change_w)
        self.power_w = np.where(self.gone | ((power_w < 0.0) & (self.energy_wh <= 0.0)), 0.0, power_w)
        into_wh = np.maximum(self.power_w, 0.0) * (self.dt_s * WH_PER_WS)
        out_wh = np.maximum(-self.power_w, 0.0) * (self.dt_s * WH_PER_WS)
        self.import_wh += into_wh
        self.export_wh += out_wh
        self.energy_wh = np.clip(self.energy_wh + ETA_CHARGE * into_wh - out_wh / ETA_DISCHARGE, 0.0, self.fleet.capacity_wh)

    def _measure(self) -> None:
        nature, rng = self.nature, self._rng
        due = self._sample_due_s <= self.now_s
        self._sample_due_s = np.where(due, self._sample_due_s + max(nature.meter_interval_s, self.dt_s), self._sample_due_s)
        rows = np.flatnonzero(due & ~self.gone)
        rows = rows[rng.random(rows.size) >= nature.meter_loss]
        if rows.size == 0:
            return
        true_w = self.power_w[rows]
        power_w = true_w * (1.0 + nature.noise_frac * rng.normal(size=rows.size)) + nature.noise_w * rng.normal(size=rows.size)
        at_s = np.full(rows.size, self.now_s)
        told = np.round(np.clip(self.energy_wh[rows] / self.fleet.capacity_wh[rows] + self.soc_error[rows], 0.0, 1.0), 2)
        registers = np.floor(self.export_wh[rows]), np.floor(self.import_wh[rows])
        self._readings.put(self.now_s + self._latency_s(rows.size), rows, at_s, power_w, *registers, told)

    def _latency_s(self, count: int) -> F8:
        least_s, mean_s = self.nature.latency_s
        return least_s + self._rng.exponential(mean_s, count)

    def _heard(self) -> Heard:
        ended = self._ended.take(self.now_s)
        return Heard(
            readings=tuple(
                Readings(rows=rows, at_s=at_s, power_w=power_w, export_wh=export_wh, import_wh=import_wh, soc_frac=soc_frac)
                for rows, at_s, power_w, export_wh, import_wh, soc_frac in self._readings.take(self.now_s)
            ),
            answers=tuple(
                Answers(rows=rows, number=number, accepted=accepted) for rows, number, accepted in self._answers.take(self.now_s)
            ),
            ended=np.concatenate([rows for (rows,) in ended]) if ended else np.zeros(0, dtype=np.intp),
        )


def _delays_s(nature: Nature, count: int, rng: np.random.Generator) -> F8:
    low_s, high_s = nature.delay_s
    if nature.delay_tail <= 0.0:
        return rng.uniform(low_s, high_s, count)
    return 0.5 * (low_s + high_s) * np.exp(nature.delay_tail * rng.normal(size=count))
