"""From the image of the fleet to an offer: which cars count, what they can give, and what of it is sure. Pure."""

from math import inf

import numpy as np
from msgspec import Struct
from numpy.random import Generator

from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import LEVELS, OfferGrounds, OfferLevel
from counterflow.domain.reasons import Reason
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.grid import export_limits, overrun
from counterflow.engine.dispatch.limits import Limits, cap_proportionally
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.eligibility import MUST_CHARGE_REASONS
from counterflow.engine.fleet.reckoning import run_within_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms
from counterflow.engine.offers.bounds import mean_of_worst, quantile
from counterflow.engine.offers.flow import firm_power_w
from counterflow.engine.offers.hazard import hazard_before
from counterflow.engine.offers.reduction import on_top, plans_of, spared_wh
from counterflow.engine.offers.scenarios import Cars, Risks, Span, courses
from counterflow.engine.offers.settings import OfferSettings


class Stock(Struct, frozen=True, kw_only=True):
    """The cars of a pool for one window. `rows` (N,) are those of the image that `cars` holds, in order; power in W, discharge positive."""

    rows: B1
    cars: Cars
    sessions: int
    sessions_ready: int
    rated_power_w: float
    limited_power_w: float
    given_up_power_w: float
    against_power_w: float
    limits: tuple[str, ...]
    spared_w: F8
    """Of the power of each of `cars` (K,), what it gives by charging less."""
    reduces: B1
    """Which of them (K,) are not discharged and give by that alone."""


class Promise(Struct, frozen=True, kw_only=True):
    """What the model says: at the confidence asked for, at each of `LEVELS`, and how it comes about."""

    power_w: float
    levels: tuple[OfferLevel, ...]
    grounds: OfferGrounds


def stock_of(
    image: FleetImage,
    able: Capability,
    gain: F8,
    in_pool: B1,
    free: B1,
    topology: Topology,
    span: Span,
    settings: CapabilitySettings,
    *,
    mode: DispatchMode = DispatchMode.NET_EXPORT,
    charging: ChargingTerms | None = None,
    limits: Limits | None = None,
) -> Stock:
    """The rows `in_pool` and `free` (N,) that may be discharged; `able` is of a window of this length that begins now. For RELATIVE also
    what cars give by charging less than they would by their plans, which are simulated with `charging`. `limits` on export are those of the
    window; None = they are looked up.

    While it waits a car charges, which keeps its laxity, until it is done; from then on laxity passes with time. One that could not make
    its departure any more after the whole window is counted for a window to come not at all, for one that begins now until it must charge.
    """
    ready = in_pool & free & (able.reason == Reason.READY)
    then_s = able.laxity_s - span.lead_s + np.minimum(able.recharge_s, span.lead_s)
    counted = ready & ((then_s > able.guard_s + span.window_s) if span.lead_s > 0.0 else True)
    ahead_w = np.where(image.external_ahead_s < image.at_s + span.lead_s + span.window_s, image.external_ahead_w, np.nan)
    rated_w = np.where(counted, np.fmin(able.max_power_w, ahead_w), 0.0)
    limits = limits_over(image, topology, span) if limits is None else limits
    limited_w = cap_proportionally(rated_w, np.maximum(rated_w, 1.0), limits)
    must_charge = in_pool & np.isin(able.reason, MUST_CHARGE_REASONS) & ~np.isnan(image.power_w)
    energy_wh, until_s = _lasting(able, rated_w, span, settings)
    power_w, spared_w = gain * limited_w, np.zeros(len(image))
    reduces = in_pool & free & able.reduces(mode)
    if mode is DispatchMode.RELATIVE:
        plan = plans_of(image, counted | reduces, span, charging or ChargingTerms())
        discharge_w = power_w
        power_w, energy_wh, until_s = on_top(power_w, energy_wh, until_s, plan, span)
        power_w = np.where(reduces, plan.power_w, power_w)
        energy_wh, until_s = np.where(reduces, spared_wh(plan, able), energy_wh), np.where(reduces, plan.until_s, until_s)
        spared_w = power_w - np.where(reduces, 0.0, discharge_w)
    rows = (counted & (rated_w > 0.0)) | (reduces & (power_w > 0.0))
    against_w = float(np.maximum(image.power_w[must_charge], 0.0).sum()) if mode is DispatchMode.NET_EXPORT else 0.0
    given_up_w = float(spared_w[rows].sum())
    return Stock(
        rows=rows,
        cars=Cars(
            power_w=power_w[rows],
            energy_wh=energy_wh[rows],
            until_s=until_s[rows],
            plugged_s=np.fmax(image.at_s - image.started_s, 0.0)[rows],
        ),
        sessions=int(np.count_nonzero(in_pool)),
        sessions_ready=int(np.count_nonzero(ready | reduces)),
        rated_power_w=float(rated_w.sum()) + given_up_w,
        limited_power_w=float(limited_w.sum()) + given_up_w,
        given_up_power_w=given_up_w,
        against_power_w=against_w,
        limits=overrun(limits, rated_w, topology, short=True),
        spared_w=spared_w[rows],
        reduces=(reduces & ~counted)[rows],
    )


def limits_over(image: FleetImage, topology: Topology, span: Span) -> Limits:
    """The limits on export in a window."""
    begin_s = image.at_s + span.lead_s
    return export_limits(image, topology, begin_s, begin_s + span.window_s)


def promise(
    stock: Stock, span: Span, risks: Risks, confidence: float, settings: OfferSettings, random: Generator, *, departures_learned: float
) -> Promise:
    """What can be promised of a stock, by scenarios drawn from `random`."""
    drawn, alone = courses(stock.cars, span, risks, settings, random, independent=True)
    power_w, energy_wh = np.sort(drawn.power_w), np.sort(drawn.energy_wh)
    hours = span.window_s * WH_PER_WS
    against_w = stock.against_power_w
    levels = []
    for level in LEVELS:
        held_w = max(0.0, _sure(power_w, level, settings) - against_w)
        most_wh = max(0.0, _sure(energy_wh, level, settings) - against_w * hours)
        levels.append(OfferLevel(confidence=level, power_w=held_w, energy_wh=held_w * hours, deliverable_energy_wh=most_wh))
    cars = stock.cars
    plugged_s, count = np.unique(np.rint(cars.plugged_s / 900.0) * 900.0, return_counts=True)
    hazard = hazard_before(risks.rates_per_h, span.at_s, plugged_s, np.array([span.lead_s + span.window_s]))[:, 0]
    grounds = OfferGrounds(
        sessions=stock.sessions,
        sessions_ready=stock.sessions_ready,
        sessions_counted=len(cars),
        leaving_expected=float(-np.expm1(-hazard) @ count),
        rated_power_w=stock.rated_power_w,
        limited_power_w=stock.limited_power_w,
        responding_power_w=float(cars.power_w.sum()),
        lasting_power_w=float(firm_power_w(cars.power_w, cars.energy_wh, cars.until_s, span.window_s)),
        median_power_w=float(np.median(power_w)),
        independent_power_w=max(0.0, _sure(np.sort(alone.power_w), confidence, settings) - against_w),
        against_power_w=against_w,
        given_up_power_w=stock.given_up_power_w,
        shock_spread_frac=risks.spread_over(span),
        departures_learned=departures_learned,
        limits=stock.limits,
    )
    return Promise(power_w=max(0.0, _sure(power_w, confidence, settings) - against_w), levels=tuple(levels), grounds=grounds)


def _sure(ascending: F8, confidence: float, settings: OfferSettings) -> float:
    if settings.method == "cvar":
        return mean_of_worst(ascending, confidence)
    return quantile(ascending, confidence, settings.bound_doubt)


def _lasting(able: Capability, rated_w: F8, span: Span, settings: CapabilitySettings) -> tuple[F8, F8]:
    """Energy that each car may give in the window (N,), Wh, and until when, s after its begin: a car that can hold some power to the end,
    until then; one that must charge before, all it can give until then."""
    budget_s = np.maximum(able.laxity_s - able.guard_s, 0.0)
    at_full_wh = np.fmin(able.energy_wh, rated_w * run_within_s(able.reckoned, rated_w, budget_s, settings) * WH_PER_WS)
    held_w, hours = able.sustained_power_w, span.window_s * WH_PER_WS
    # Who can hold his full power has more than the window takes, which errors of his energy use up first.
    spread = (held_w > 0.0) & (held_w < rated_w * (1.0 - 1e-9))
    energy_wh = np.where(spread, held_w * hours, at_full_wh)
    until_s = np.where(held_w > 0.0, inf, able.useful_until_s - able.at_s)
    return np.nan_to_num(energy_wh, nan=0.0), np.minimum(until_s, able.open_s) - span.lead_s


def there_w(stock: Stock, stayed_s: F8, drew_s: F8, window_s: float) -> float:
    """What would have been held over a window that is over, W: by how long each of the cars (K,) was there, and for how long it drew what
    it could give up, as far as they could be seen."""
    cars = stock.cars
    power_w, energy_wh, until_s = cars.power_w, cars.energy_wh, np.minimum(cars.until_s, stayed_s)
    if stock.spared_w.any():
        # Discharge and charging that is given up run for the same time, each by itself as by both.
        share = np.divide(stock.spared_w, power_w, out=np.zeros(len(cars)), where=power_w > 0.0)
        energy_wh = np.concatenate([energy_wh * (1.0 - share), energy_wh * share])
        until_s = np.concatenate([until_s, np.minimum(until_s, drew_s)])
        power_w = np.concatenate([power_w - stock.spared_w, stock.spared_w])
    return max(0.0, float(firm_power_w(power_w, energy_wh, until_s, window_s)) - stock.against_power_w)
