"""Cars that charge, for offers that count charging that is given up (mode `relative`): as the program sees them, by its own image, its own
capability and its own plans, and what is true of them.

What the model has no word for: batteries whose charging curves bend elsewhere and to another degree than it takes for all, states of charge
and capacities that are told wrongly, posts that answer nobody. Some cars are discharged as well, most only charge.
"""

import numpy as np
from msgspec import Struct
from numpy.random import Generator

from counterflow.app.bench.offers.town import MARGIN_S, Day, Town
from counterflow.domain.ids import StationId, TransactionId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.resources import ControlMode
from counterflow.domain.telemetry import TransactionPhase
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.capability import Capability, capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage, empty_columns, freeze
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed
from counterflow.engine.offers.offer import Stock, stock_of
from counterflow.engine.offers.scenarios import Cars, Span

CURVES = (
    ChargingTerms(),
    ChargingTerms(taper_from_frac=0.7, taper_slope=2.6, charge_efficiency=0.9),
    ChargingTerms(taper_from_frac=0.9, taper_slope=7.0, charge_efficiency=0.94),
)
"""How batteries truly charge; the model takes the first for all."""
_BIDIRECTIONAL = 0.35
_SOC_ERROR, _CAPACITY_ERROR = 0.015, 0.03
_GRID = 33
"""Instants of the window at which the truth is looked at."""
_FLOOR = 0.3


class Batteries(Struct, frozen=True, kw_only=True):
    """The truth of some cars (M,): which curve each follows, and its state; `draws_w` (M, GRID) over the window if nobody touches it."""

    soc_frac: F8
    capacity_wh: F8
    target_frac: F8
    draws_w: F8


class ChargingScene(Struct, frozen=True, kw_only=True):
    """An instant: the cars as the model sees them, what they truly discharge (K,), W and Wh, what they draw over the window (K, GRID),
    W, how much of that energy they may be spared, Wh, and how long they stay, s."""

    at_s: float
    cars: Cars
    power_w: F8
    energy_wh: F8
    draws_w: F8
    spared_wh: F8
    stay_s: F8

    def there_w(self, window_s: float) -> float:
        """The constant power that was there: the min cut of `flow`, of powers that fall with time."""
        at_s = np.linspace(0.0, window_s, _GRID)
        cuts_s = np.append(at_s[:-1], window_s * (1.0 - 1e-3))
        stay_s = np.clip(self.stay_s, 0.0, window_s)[:, np.newaxis]
        discharged_wh = self.power_w[:, np.newaxis] * np.maximum(stay_s - cuts_s, 0.0) * WH_PER_WS
        spared_wh = np.maximum(drawn_wh(self.draws_w, stay_s, window_s) - drawn_wh(self.draws_w, cuts_s[np.newaxis, :], window_s), 0.0)
        given_wh = np.minimum(discharged_wh, self.energy_wh[:, np.newaxis]) + np.minimum(spared_wh, self.spared_wh[:, np.newaxis])
        return float((given_wh.sum(axis=0) / ((window_s - cuts_s) * WH_PER_WS)).min())


def drawn_wh(draws_w: F8, until_s: F8, window_s: float) -> F8:
    """Energy of each row of draws (M, GRID) from the begin of the window to `until_s` (M or 1, P), Wh, straight between the instants."""
    step_s = window_s / (_GRID - 1)
    steps_wh = 0.5 * (draws_w[:, 1:] + draws_w[:, :-1]) * step_s * WH_PER_WS
    summed_wh = np.concatenate([np.zeros((len(draws_w), 1)), np.cumsum(steps_wh, axis=1)], axis=1)
    place = np.minimum(until_s / step_s, _GRID - 1.0)
    first = np.minimum(place.astype(np.intp), _GRID - 2)
    shape = np.broadcast_shapes(first.shape, (len(draws_w), 1))
    first, into_s = np.broadcast_to(first, shape), np.broadcast_to(place - first, shape) * step_s
    low_w, high_w = np.take_along_axis(draws_w, first, axis=1), np.take_along_axis(draws_w, first + 1, axis=1)
    before_wh = np.take_along_axis(summed_wh, first, axis=1)
    drawn: F8 = before_wh + (low_w + 0.5 * (high_w - low_w) * into_s / step_s) * into_s * WH_PER_WS
    return drawn


def charging_scene(town: Town, day: Day, at_s: float, window_s: float, random: Generator) -> ChargingScene:
    """Who is there at `at_s`: by what is known of them, and what is true."""
    here = (day.plugged_s < at_s) & (day.left_s > at_s) & (day.announced_s > at_s + MARGIN_S)
    max_w, gain = town.power_w[here], town.gain[here]
    count = len(max_w)
    true = _batteries(day.plugged_s[here], max_w, at_s, window_s, random)
    image = _image(day, here, true, max_w, at_s, random)
    span = Span(at_s=at_s, lead_s=0.0, window_s=window_s)
    able = capability(image, at_s, at_s + window_s, CapabilitySettings())
    believed = np.where(gain > 0.0, gain * random.normal(1.0, 0.03, count), 0.96) * (1.0 - town.ways.silent)
    every: B1 = np.ones(count, dtype=np.bool_)
    stock = stock_of(
        image, able, believed, every, every, Topology(()), span, CapabilitySettings(), mode=DispatchMode.RELATIVE, charging=ChargingTerms()
    )
    answers = gain * (1.0 + town.ways.own(count, random)) * (1.0 + town.ways.common(random))
    answers = np.where(gain > 0.0, np.maximum(answers, 0.0), 0.0)
    left_s = day.left_s[here] - at_s
    return _true_scene(stock, able, true, answers / np.maximum(believed, 1e-9), gain > 0.0, left_s, window_s, at_s, town, random)


def _batteries(plugged_s: F8, max_w: F8, at_s: float, window_s: float, random: Generator) -> Batteries:
    count = len(max_w)
    capacity_wh = random.choice([40_000.0, 58_000.0, 77_000.0], count)
    target_frac = random.uniform(0.7, 0.95, count)
    curve = random.integers(0, len(CURVES), count)
    plans = Undisturbed(
        uid=np.arange(1, count + 1), at_s=plugged_s, power_w=max_w, soc_frac=random.uniform(0.1, 0.6, count), capacity_wh=capacity_wh,
        max_charge_w=max_w, target_frac=target_frac,
    )  # fmt: skip
    soc_frac, draws_w = np.empty(count), np.empty((count, _GRID))
    for number, terms in enumerate(CURVES):
        rows = np.flatnonzero(curve == number)
        mine = plans.rows(rows)
        soc_frac[rows] = mine.soc_at(at_s, terms)
        for place, from_s in enumerate(np.linspace(0.0, window_s, _GRID).tolist()):
            draws_w[rows, place] = mine.power_at(at_s + from_s, terms)
    return Batteries(soc_frac=soc_frac, capacity_wh=capacity_wh, target_frac=target_frac, draws_w=draws_w)


def _image(day: Day, here: B1, true: Batteries, max_w: F8, at_s: float, random: Generator) -> FleetImage:
    """As the program would see them: states of charge and capacities are told with an error, power as it is."""
    count = len(max_w)
    both = random.random(count) < _BIDIRECTIONAL
    columns = empty_columns(count)
    told_frac = np.clip(true.soc_frac + random.normal(0.0, _SOC_ERROR, count), 0.0, 1.0)
    values = {
        "uid": np.arange(1, count + 1), "station": np.arange(count), "evse_id": 1, "connected": True, "control_mode": ControlMode.SETPOINT,
        "consent": both, "bidirectional": both, "pausing": True, "phase": TransactionPhase.CHARGING, "meter_interval_s": 10.0,
        "started_s": day.plugged_s[here], "departure_s": day.announced_s[here], "power_w": true.draws_w[:, 0],
        "export_wh": 0.0, "import_wh": 0.0, "soc_export_wh": 0.0, "soc_import_wh": 0.0, "soc_frac": told_frac,
        "capacity_wh": true.capacity_wh * (1.0 + random.normal(0.0, _CAPACITY_ERROR, count)), "soc_floor_frac": _FLOOR,
        "soc_target_frac": true.target_frac, "max_discharge_w": max_w, "max_charge_w": max_w,
    }  # fmt: skip
    values |= dict.fromkeys(("last_sample_s", "power_at_s", "soc_at_s", "register_at_s"), at_s - 1.0)
    for name, value in values.items():
        columns[name][:] = value
    return freeze(columns, tuple((StationId(f"CS{row}"), TransactionId("T")) for row in range(count)), at_s)


def _true_scene(
    stock: Stock, able: Capability, true: Batteries, off: F8, answers: B1, left_s: F8, window_s: float, at_s: float, town: Town,
    random: Generator,
) -> ChargingScene:  # fmt: skip
    """`off` (M,): what each answers of what it is known to; `answers`: which do at all."""
    rows, cars = stock.rows, stock.cars
    kept_w = cars.power_w - stock.spared_w
    share = np.divide(kept_w, cars.power_w, out=np.zeros(len(cars)), where=cars.power_w > 0.0)
    energy_wh = cars.energy_wh * share * np.maximum(random.normal(1.0, 0.08, len(cars)) * (1.0 + town.ways.common(random)), 0.0)
    power_w = kept_w * off[rows]
    run_s = np.divide(energy_wh, kept_w * WH_PER_WS, out=np.full(len(cars), np.inf), where=kept_w > 0.0)
    # Who only charges is spared as long as he lets it be paused, who discharges as well for as long as that lasts.
    spared_s = np.where(stock.reduces, able.pause_s[rows], run_s)[:, np.newaxis]
    draws_w = np.where((answers[rows] & (stock.spared_w > 0.0))[:, np.newaxis], true.draws_w[rows], 0.0)
    until_s = np.where(stock.reduces, np.inf, cars.until_s)
    return ChargingScene(
        at_s=at_s,
        cars=cars,
        power_w=power_w,
        energy_wh=energy_wh,
        draws_w=draws_w,
        spared_wh=drawn_wh(draws_w, np.minimum(spared_s, window_s), window_s)[:, 0],
        stay_s=np.minimum(left_s[rows], until_s),
    )
