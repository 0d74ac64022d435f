"""What a kWh out of a car costs: wear of its battery, and energy that must be bought back. The plug-in of the policy `economic`.

A model is a function from what is known of the cars to their costs; `COST_MODELS` names those that the settings may ask for. What wear
costs differs from cell to cell, so `flat` is the default, and a driver's or contract's own figure goes first (control.md 2.2).
"""

from typing import Annotated, NamedTuple, Protocol

import numpy as np
from msgspec import Meta, Struct

from counterflow.engine.fleet.snapshot import F8


class CostSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What batteries and energy cost. Money is in any one currency."""

    model: Annotated[
        str,
        Meta(
            description="How wear is reckoned: flat, or convex (more at low and high charge, and above 1 C).",
            extra={"unit": "-"},
            pattern="^(flat|convex)$",
        ),
    ] = "flat"
    battery_per_kwh: Annotated[float, Meta(description="Price of a battery by its capacity.", extra={"unit": "EUR/kWh"}, ge=0)] = 120.0
    cycles: Annotated[float, Meta(description="Cycles that a battery lasts at that depth of discharge.", extra={"unit": "-"}, gt=0)] = (
        3_000.0
    )
    depth_of_discharge: Annotated[
        float, Meta(description="Depth of discharge at which the cycles are counted.", extra={"unit": "0..1"}, gt=0, le=1)
    ] = 0.8
    energy_per_kwh: Annotated[float, Meta(description="Price at which energy is charged again.", extra={"unit": "EUR/kWh"}, ge=0)] = 0.25
    round_trip_efficiency: Annotated[
        float, Meta(description="Energy discharged over energy charged for it.", extra={"unit": "0..1"}, gt=0, le=1)
    ] = 0.81
    standing_loss_w: Annotated[float, Meta(description="Loss of a car that discharges, whatever its power.", extra={"unit": "W"}, ge=0)] = (
        150.0
    )
    low_soc_frac: Annotated[
        float, Meta(description="Convex: wear costs more below this state of charge.", extra={"unit": "0..1"}, ge=0, le=1)
    ] = 0.2
    high_soc_frac: Annotated[
        float, Meta(description="Convex: wear costs more above this state of charge.", extra={"unit": "0..1"}, ge=0, le=1)
    ] = 0.9
    soc_adder: Annotated[
        float, Meta(description="Convex: rise of the wear towards empty or full, as a share of it.", extra={"unit": "-"}, ge=0)
    ] = 1.0
    c_rate_adder: Annotated[
        float, Meta(description="Convex: rise of the wear for each C above 1 C, as a share of it.", extra={"unit": "-"}, ge=0)
    ] = 1.0


class Cars(NamedTuple):
    """What a model is told, each (N,): W at full discharge, Wh, 0..1, and the agreed cost of wear (EUR/kWh); NaN = unknown, not agreed."""

    power_w: F8
    capacity_wh: F8
    soc_frac: F8
    agreed_per_kwh: F8


class Costs(NamedTuple):
    """EUR/kWh discharged and EUR/h while discharging, each (N,)."""

    per_kwh: F8
    per_h: F8


class CostModel(Protocol):
    """A plug-in: what cars cost."""

    def __call__(self, cars: Cars, settings: CostSettings) -> Costs:
        """Costs of each car, finite and >= 0."""
        ...


def flat(cars: Cars, settings: CostSettings) -> Costs:
    """Wear `c_bat / (cycles * depth)` a kWh, the same for every car that agreed on nothing else, and the energy bought back."""
    return _with_energy(cars, np.full(len(cars.power_w), _wear_per_kwh(settings)), settings)


def convex(cars: Cars, settings: CostSettings) -> Costs:
    """The same with adders near empty and full and above 1 C; what is unknown of a car adds nothing."""
    low = np.fmax(settings.low_soc_frac - cars.soc_frac, 0.0) / max(settings.low_soc_frac, 1e-9)
    high = np.fmax(cars.soc_frac - settings.high_soc_frac, 0.0) / max(1.0 - settings.high_soc_frac, 1e-9)
    fast = np.fmax(cars.power_w / cars.capacity_wh - 1.0, 0.0)
    rises = 1.0 + settings.soc_adder * (low**2 + high**2) + settings.c_rate_adder * fast
    return _with_energy(cars, _wear_per_kwh(settings) * rises, settings)


COST_MODELS: dict[str, CostModel] = {"flat": flat, "convex": convex}


def whole_cost_per_kwh(cars: Cars, settings: CostSettings) -> F8:
    """What a kWh costs at full power, all included: `c + f / u` (N,); inf where a car has no power."""
    costs = COST_MODELS[settings.model](cars, settings)
    fixed = np.divide(costs.per_h * 1e3, cars.power_w, out=np.full_like(cars.power_w, np.inf), where=cars.power_w > 0.0)
    return costs.per_kwh + fixed


def _wear_per_kwh(settings: CostSettings) -> float:
    """The battery's price by capacity over what it gives in its life, by capacity: the capacity itself cancels out."""
    return settings.battery_per_kwh / (settings.cycles * settings.depth_of_discharge)


def _with_energy(cars: Cars, wear_per_kwh: F8, settings: CostSettings) -> Costs:
    wear_per_kwh = np.where(np.isnan(cars.agreed_per_kwh), wear_per_kwh, cars.agreed_per_kwh)
    bought = settings.energy_per_kwh / settings.round_trip_efficiency
    return Costs(wear_per_kwh + bought, np.full(len(wear_per_kwh), settings.standing_loss_w / 1e3 * settings.energy_per_kwh))
