"""One part of a setting: forecasts on new days, each judged by what was truly there, beside two simpler rules."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.app.bench.offers.town import Scene, Town, day_of, lessons_of, scene_of
from counterflow.domain.offers import LEVELS
from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.offers.bounds import quantile
from counterflow.engine.offers.flow import firm_power_w
from counterflow.engine.offers.hazard import nothing_seen, rates_per_h, taught
from counterflow.engine.offers.scenarios import Risks, Span, courses
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import counted

RELIABILITY = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Confidences of the reliability diagram; all of `LEVELS` are among them."""
TRAINING_DAYS = 180
_TAUGHT_BY = 300
_AT_ONCE_DAYS = 10
_FEW_DRIVERS = 1_000
"""In a town of so few the luck of who lives there is most of what differs: each part has a town of its own."""
_BESIDE_EACH = 4
"""The model that assumes independence is asked beside every fourth forecast; it costs as much as ours."""
_FIRST_DAY = 19_000


class Setting(Struct, frozen=True, kw_only=True):
    """What is forecast: for how many drivers, over which window, in a town whose days differ by `spread`."""

    name: str
    drivers: int
    window_s: float
    spread: float


class Judged(Struct, frozen=True, kw_only=True):
    """Forecasts (F,) and what came: what was said at each of `RELIABILITY`, by the model that assumes independence at `LEVELS`
    (NaN = not asked), what the fleet's known power was, and what was there, W. `spread` is what the model learned of common shocks."""

    said_w: F8
    independent_w: F8
    known_w: F8
    there_w: F8
    spread: float


def judge(setting: Setting, forecasts: int, part: int, settings: OfferSettings) -> Judged:
    """`forecasts` forecasts, each on a day of its own; parts differ in their days, and small towns in their drivers, too."""
    town, risks = _known(setting.drivers, setting.spread, part if setting.drivers <= _FEW_DRIVERS else 0, settings)
    random = np.random.default_rng([17, part, setting.drivers, int(setting.window_s), int(setting.spread * 100)])
    said, independent, known, there = [], [], [], []
    for place in range(forecasts):
        scene = _scene(town, _FIRST_DAY + TRAINING_DAYS + part * forecasts + place, setting.window_s, random)
        span = Span(at_s=scene.at_s, lead_s=0.0, window_s=setting.window_s)
        beside = place % _BESIDE_EACH == 0
        drawn = [np.sort(each.power_w) for each in courses(scene.cars, span, risks, settings, random, independent=beside)]
        said.append([quantile(drawn[0], level, settings.bound_doubt) for level in RELIABILITY])
        independent.append([quantile(drawn[1], level, settings.bound_doubt) if beside else np.nan for level in LEVELS])
        known.append(float(scene.cars.power_w.sum()))
        there.append(float(firm_power_w(scene.power_w, scene.energy_wh, scene.stay_s, setting.window_s)))
    return Judged(
        said_w=np.array(said),
        independent_w=np.array(independent),
        known_w=np.array(known),
        there_w=np.array(there),
        spread=risks.shock_spread,
    )


@cache
def _known(drivers: int, spread: float, number: int, settings: OfferSettings) -> tuple[Town, Risks]:
    """The town of a setting, and what is learned of it: once in each process."""
    random = np.random.default_rng([11, drivers, int(spread * 100), number])
    town = Town.of(drivers, spread, random)
    return town, learned(town, settings, random)


def learned(town: Town, settings: OfferSettings, random: np.random.Generator) -> Risks:
    """What the program would know of departures after `TRAINING_DAYS`."""
    seen = nothing_seen(_FIRST_DAY * DAY_S)
    for first in range(_FIRST_DAY, _FIRST_DAY + TRAINING_DAYS, _AT_ONCE_DAYS):
        watches = lessons_of(town, first, _AT_ONCE_DAYS, random, most=_TAUGHT_BY)
        blocks = counted(seen.blocks, watches, rates_per_h(seen, settings))
        seen = replace(taught(seen, watches, (first + _AT_ONCE_DAYS) * DAY_S, settings.leave_memory_days), blocks=blocks)
    return Risks.of(seen, settings)


def joined(parts: Sequence[Judged]) -> Judged:
    """All parts of a setting together."""
    return Judged(
        said_w=np.concatenate([part.said_w for part in parts]),
        independent_w=np.concatenate([part.independent_w for part in parts]),
        known_w=np.concatenate([part.known_w for part in parts]),
        there_w=np.concatenate([part.there_w for part in parts]),
        spread=parts[0].spread,
    )


def _scene(town: Town, number: int, window_s: float, random: np.random.Generator) -> Scene:
    """At any hour at which cars are there."""
    while True:
        day = day_of(town, number, random)
        at_s = number * DAY_S + random.uniform(0.0, DAY_S)
        scene = scene_of(town, day, at_s, window_s, random)
        if np.count_nonzero(scene.cars.until_s > 0.0) >= min(30, len(town.power_w) // 4):
            return scene
