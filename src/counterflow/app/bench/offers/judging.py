"""One part of a setting: forecasts on new days, each judged by what was truly there, beside two simpler rules."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.app.bench.offers.charging import ChargingScene, charging_scene
from counterflow.app.bench.offers.town import Scene, Town, day_of, lessons_of, scene_of
from counterflow.app.bench.offers.ways import WAYS
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import LEVELS, LearnedAnswers
from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.offers.answers import answered
from counterflow.engine.offers.bounds import quantile
from counterflow.engine.offers.hazard import nothing_seen, rates_per_h, taught
from counterflow.engine.offers.scenarios import Risks, Span, courses
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import counted

AnyScene = TypeVar("AnyScene", Scene, ChargingScene, Scene | ChargingScene)
RELIABILITY = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Confidences of the reliability diagram; all of `LEVELS` are among them."""
TRAINING_DAYS = 180
TOWNS = 10
"""So many towns of a setting take turns, with their drivers and their past: what was learned there is luck, too."""
_TAUGHT_BY = 300
_AT_ONCE_DAYS = 10
_DISPATCH_EACH_DAYS = 2
_BESIDE_EACH = 20
"""The model that assumes independence is asked beside every twentieth forecast; it costs as much as ours."""
_FIRST_DAY = 19_000


class Place(NamedTuple):
    """What makes a town."""

    ways: str
    drivers: int
    spread: float


class Setting(Struct, frozen=True, kw_only=True):
    """What is forecast: for how many drivers, over which window, in a town whose days differ by `spread`. `ways`: how people live there."""

    name: str
    drivers: int
    window_s: float
    spread: float
    ways: str = "town"
    mode: DispatchMode = DispatchMode.NET_EXPORT
    """What counts; without cars that must charge, net and gross export are the same."""

    @property
    def scene(self) -> Callable[..., Scene | ChargingScene]:
        """Who makes its instants."""
        return charging_scene if self.mode is DispatchMode.RELATIVE else scene_of

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.ways, self.drivers, self.spread)

    @property
    def guard(self) -> bool:
        """Whether it stands against a model that fits the first town only: what is demanded there is wider."""
        return self.ways != "town"


class Judged(Struct, frozen=True, kw_only=True):
    """Forecasts (F,) and what came: what was said at each of `RELIABILITY`, by the model that assumes independence at `LEVELS`
    (NaN = not asked), what the fleet's known power was, and what was there, W. `spread` is what the model learned of common shocks."""

    said_w: F8
    independent_w: F8
    known_w: F8
    there_w: F8
    spread: float


def judge(setting: Setting, forecasts: int, part: int, settings: OfferSettings, risks: Risks | None = None) -> Judged:
    """`forecasts` forecasts, each on a day of its own; towns take turns. `risks`: what was
    learned of this one (None = it is learned now)."""
    town, _ = _town(setting.place, part % TOWNS)
    risks = risks or learned_there(setting.place, part % TOWNS, settings)
    random = np.random.default_rng([17, part, setting.drivers, int(setting.window_s), int(setting.spread * 100), len(setting.ways)])
    said, independent, known, there = [], [], [], []
    for place in range(forecasts):
        scene = _scene(town, _FIRST_DAY + TRAINING_DAYS + part * forecasts + place, setting.window_s, random, setting.scene)
        span = Span(at_s=scene.at_s, lead_s=0.0, window_s=setting.window_s)
        beside = place % _BESIDE_EACH == 0
        drawn = [np.sort(each.power_w) for each in courses(scene.cars, span, risks, settings, random, independent=beside)]
        said.append([quantile(drawn[0], level, settings.bound_doubt) for level in RELIABILITY])
        independent.append([quantile(drawn[1], level, settings.bound_doubt) if beside else np.nan for level in LEVELS])
        known.append(float(scene.cars.power_w.sum()))
        there.append(scene.there_w(setting.window_s))
    return Judged(
        said_w=np.array(said),
        independent_w=np.array(independent),
        known_w=np.array(known),
        there_w=np.array(there),
        spread=risks.shocks.spread_over(setting.window_s),
    )


@cache
def learned_there(place: Place, number: int, settings: OfferSettings) -> Risks:
    """What is learned of the past of the town `number` of a place."""
    town, random = _town(place, number)
    return learned(town, settings, random)


def _town(place: Place, number: int) -> tuple[Town, np.random.Generator]:
    random = np.random.default_rng([11, place.drivers, int(place.spread * 100), number, len(place.ways)])
    return Town.of(place.drivers, place.spread, random, WAYS[place.ways]), random


def learned(town: Town, settings: OfferSettings, random: np.random.Generator) -> Risks:
    """What the program would know of departures and answers after `TRAINING_DAYS`, with a dispatch every other day."""
    seen = nothing_seen(_FIRST_DAY * DAY_S)
    answers = LearnedAnswers(at_s=seen.at_s)
    for first in range(_FIRST_DAY, _FIRST_DAY + TRAINING_DAYS, _AT_ONCE_DAYS):
        watches = lessons_of(town, first, _AT_ONCE_DAYS, random, most=_TAUGHT_BY)
        hours = counted(seen.hours, watches, rates_per_h(seen, settings))
        seen = replace(taught(seen, watches, (first + _AT_ONCE_DAYS) * DAY_S, settings.leave_memory_days), hours=hours)
        for number in range(first, first + _AT_ONCE_DAYS, _DISPATCH_EACH_DAYS):
            scene = _scene(town, number, 900.0, random, scene_of)
            answers = answered(answers, scene.cars.power_w, scene.power_w, scene.at_s, settings)
    return replace(Risks.of(seen, settings), answers=answers)


def joined(parts: Sequence[Judged]) -> Judged:
    """All parts of a setting together."""
    return Judged(
        said_w=np.concatenate([part.said_w for part in parts]),
        independent_w=np.concatenate([part.independent_w for part in parts]),
        known_w=np.concatenate([part.known_w for part in parts]),
        there_w=np.concatenate([part.there_w for part in parts]),
        spread=float(np.mean([part.spread for part in parts])),
    )


def _scene(town: Town, number: int, window_s: float, random: np.random.Generator, made: Callable[..., AnyScene]) -> AnyScene:
    """At any hour at which cars are there."""
    while True:
        day = day_of(town, number, random)
        at_s = number * DAY_S + random.uniform(0.0, DAY_S)
        scene = made(town, day, at_s, window_s, random)
        if np.count_nonzero(scene.cars.until_s > 0.0) >= min(30, len(town.power_w) // 4):
            return scene
