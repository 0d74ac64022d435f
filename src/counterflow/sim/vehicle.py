"""The plant: every car of the fleet as one row of arrays, stepped together (constants: `PlantSettings`).

Power is measured at the EVSE's grid side, positive = import, negative = discharge. A car runs under an *order*: either a setpoint
(run at exactly this power) or a limit (charge as you like up to this power, until your own target). What the car makes of it:

    delay -> dead-band -> minimum power -> discharge = gain * asked - bias, derated -> ramp -> battery limits

A deaf car ignores every order and does what it would do with no profile at all.
"""

import heapq
from math import exp, inf

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS
from counterflow.sim.draws import Draws
from counterflow.sim.settings import PlantSettings

F8 = NDArray[np.float64]
B1 = NDArray[np.bool_]


class Order(Struct, frozen=True):
    """What the EVSE asks of the car: `power_w` as an exact setpoint, or as a limit (>= 0, inf = none) on charging."""

    power_w: float
    is_limit: bool

    @property
    def discharges(self) -> bool:
        """True for a setpoint below zero."""
        return not self.is_limit and self.power_w < 0.0


UNRESTRICTED = Order(inf, True)
"""No profile applies: the car charges as it likes."""


class Cars(Struct, frozen=True, kw_only=True):
    """Nameplates and first state of N cars; every array is (N,)."""

    max_power_w: F8
    min_power_w: F8
    capacity_wh: F8
    soc_frac: F8
    floor_soc_frac: F8
    target_soc_frac: F8
    stay_s: F8


class Plant:
    """N cars at N EVSEs. `power_w`, `energy_wh` and the registers are the truth; `meter_w` and `believed_soc` are what is told."""

    def __init__(self, settings: PlantSettings, cars: Cars, draws: Draws) -> None:
        self.settings = settings
        self.draws = draws
        rng, n = draws.generator, len(cars.capacity_wh)
        self.size = n
        self.max_power_w = cars.max_power_w
        self.min_power_w = cars.min_power_w
        self.capacity_wh = cars.capacity_wh
        self.floor_soc_frac = cars.floor_soc_frac
        self.target_soc_frac = cars.target_soc_frac
        self.energy_wh: F8 = cars.capacity_wh * cars.soc_frac
        self.delay_s: F8 = rng.uniform(settings.delay_min_s, settings.delay_max_s, n)
        self.ramp_w_per_s: F8 = rng.uniform(settings.ramp_min_w_per_s, settings.ramp_max_w_per_s, n)
        self.gain: F8 = rng.normal(settings.gain_mean, settings.gain_sd, n)
        self.bias_w: F8 = rng.normal(settings.bias_mean_w, settings.bias_sd_w, n)
        derated = rng.random(n) < settings.derated_share
        derating = np.where(derated, rng.uniform(settings.derating_min, settings.derating_max, n), 1.0)
        self.derating: F8 = derating
        self.discharge_cap_w: F8 = np.where(derated, derating * cars.max_power_w, inf)
        self.deaf: B1 = rng.random(n) < settings.deaf_share
        self.soc_error: F8 = rng.normal(0.0, settings.soc_error_sd, n)
        self.plugged: B1 = np.zeros(n, np.bool_)
        self.energised: B1 = np.zeros(n, np.bool_)
        self.power_w: F8 = np.zeros(n)
        self.export_wh: F8 = rng.uniform(0.0, 2e6, n)
        self.import_wh: F8 = rng.uniform(0.0, 5e6, n)
        self.order_w: F8 = np.full(n, inf)
        self.order_is_limit: B1 = np.ones(n, np.bool_)
        self._pending: list[tuple[float, int, int, Order]] = []
        self._sequence = 0
        self._last_due_s: F8 = np.full(n, -inf)
        self.clock_ahead_s: F8 = np.zeros(n)
        """How far the clock of a car's station is ahead of the plant's."""

    # ---- orders

    def order(self, row: int, order: Order, now_s: float, *, from_csms: bool) -> bool:
        """Pass an order on to a car; False if it is lost on the way. Only one that a CSMS message caused crosses the network and may be.

        `now_s` is what the station's clock shows.
        """
        draws, settings = self.draws, self.settings
        due_s = now_s - float(self.clock_ahead_s[row]) + float(self.delay_s[row])
        if from_csms:
            if draws.uniform() < settings.command_loss:
                return False
            due_s += settings.network_median_s * exp(settings.network_sigma * draws.normal())
        due_s = max(due_s, float(self._last_due_s[row]))
        self._last_due_s[row] = due_s
        self._sequence += 1
        heapq.heappush(self._pending, (due_s, self._sequence, row, order))
        return True

    def _take_due_orders(self, now_s: float) -> None:
        pending, dead_band_w = self._pending, self.settings.dead_band_w
        while pending and pending[0][0] <= now_s:
            _, _, row, order = heapq.heappop(pending)
            same_kind = bool(self.order_is_limit[row]) == order.is_limit
            if same_kind and abs(order.power_w - float(self.order_w[row])) < dead_band_w:
                continue
            self.order_w[row] = order.power_w
            self.order_is_limit[row] = order.is_limit

    # ---- the car comes and goes

    def plug(self, row: int) -> None:
        """A car is connected; no power flows before `energise`."""
        self.plugged[row] = True

    def energise(self, row: int) -> None:
        """The power path is closed; the car starts with no restriction."""
        self.energised[row] = True
        self.order_w[row], self.order_is_limit[row] = inf, True

    def release(self, row: int) -> None:
        """The power path is open: power is zero at once."""
        self.plugged[row] = self.energised[row] = False
        self.power_w[row] = 0.0

    def leavers(self, dt_s: float) -> list[tuple[int, bool]]:
        """Rows whose car leaves in this step, each with whether it goes without a word."""
        rate = self.settings.attrition_per_h
        if rate <= 0.0:
            return []
        draws = self.draws.generator.random(self.size)
        rows = np.flatnonzero((draws < rate * dt_s / 3600.0) & self.energised)
        return [(int(row), self.draws.uniform() < self.settings.silent_share) for row in rows]

    # ---- physics

    def step(self, now_s: float, dt_s: float = 1.0) -> None:
        """Advance all cars from `now_s` by `dt_s`; power is constant within the step."""
        self._take_due_orders(now_s)
        target_w = self._wanted_w()
        change = self.ramp_w_per_s * dt_s
        power_w = self.power_w + np.maximum(np.minimum(target_w - self.power_w, change), -change)
        power_w = np.where(self.energised, power_w, 0.0)
        self.power_w = self._within_battery(power_w, dt_s)
        into_wh = np.maximum(self.power_w, 0.0) * (dt_s * WH_PER_WS)
        out_wh = np.maximum(-self.power_w, 0.0) * (dt_s * WH_PER_WS)
        self.import_wh += into_wh
        self.export_wh += out_wh
        self.energy_wh += into_wh * self.settings.charge_efficiency - out_wh / self.settings.discharge_efficiency
        np.maximum(np.minimum(self.energy_wh, self.capacity_wh), 0.0, out=self.energy_wh)

    def _wanted_w(self) -> F8:
        """What each car's power is heading for."""
        settings = self.settings
        believed = self.believed_soc()
        taper = np.maximum(np.minimum(1.0 - settings.taper_slope * (believed - settings.taper_from_soc), 1.0), 0.0)
        charge_cap_w = self.max_power_w * taper
        order_w = np.where(self.deaf, inf, self.order_w)
        is_limit = self.deaf | self.order_is_limit
        free_w = np.where(believed < self.target_soc_frac, np.minimum(order_w, charge_cap_w), 0.0)
        asked_w = np.where(is_limit, free_w, np.maximum(np.minimum(order_w, charge_cap_w), -self.max_power_w))
        asked_w = np.where(np.abs(asked_w) < self.min_power_w, 0.0, asked_w)
        discharge_w = np.minimum(np.maximum(self.gain * -asked_w - self.bias_w, 0.0), self.discharge_cap_w)
        # A limit is a limit: a gain above one must not break it.
        charge_w = np.minimum(self.gain, 1.0) * asked_w
        return np.where(asked_w < 0.0, -discharge_w, charge_w)

    def _within_battery(self, power_w: F8, dt_s: float) -> F8:
        """No more than the battery still takes or holds in this step."""
        room_w = (self.capacity_wh - self.energy_wh) / (self.settings.charge_efficiency * dt_s * WH_PER_WS)
        left_w = self.energy_wh * self.settings.discharge_efficiency / (dt_s * WH_PER_WS)
        return np.maximum(np.minimum(power_w, room_w), -left_w)

    # ---- what is told

    def believed_soc(self) -> F8:
        """(N,) state of charge as the cars see it."""
        believed: F8 = np.maximum(np.minimum(self.energy_wh / self.capacity_wh + self.soc_error, 1.0), 0.0)
        return believed

    def believed_soc_of(self, row: int) -> float:
        """One car's own view of its state of charge."""
        return min(1.0, max(0.0, float(self.energy_wh[row]) / float(self.capacity_wh[row]) + float(self.soc_error[row])))

    def meter_w(self, row: int) -> float:
        """One reading of an EVSE's meter, with its noise."""
        true_w, draws = float(self.power_w[row]), self.draws
        if not self.energised[row]:
            return 0.0
        return true_w * (1.0 + self.settings.meter_noise_frac * draws.normal()) + self.settings.meter_noise_w * draws.normal()

    def registers_wh(self, row: int) -> tuple[int, int]:
        """Import and export register in whole Wh; neither ever falls."""
        return int(self.import_wh[row]), int(self.export_wh[row])

    def recharge_time_s(self, row: int, from_soc: float) -> float:
        """How long a full-power charge from `from_soc` to the car's target takes, taper included; 0 if it is there."""
        settings, target = self.settings, float(self.target_soc_frac[row])
        if from_soc >= target:
            return 0.0
        hours_per_soc = float(self.capacity_wh[row]) / (settings.charge_efficiency * float(self.max_power_w[row]))
        knee = settings.taper_from_soc
        flat = max(0.0, min(target, knee) - from_soc)
        steep = 0.0
        if target > knee:
            start = max(from_soc, knee)
            left_at = [max(1e-3, 1.0 - settings.taper_slope * (soc - knee)) for soc in (start, target)]
            steep = float(np.log(left_at[0] / left_at[1])) / settings.taper_slope if settings.taper_slope > 0 else target - start
        return 3600.0 * hours_per_soc * (flat + steep)
