"""How far cars answer an order otherwise than they are known to: each by itself, and all of a dispatch together.

What each is off averages out over many cars; what all are off together does not, and over short windows it is most of the risk.
"""

from math import exp, log, sqrt

from msgspec.structs import replace

from counterflow.domain.offers import LearnedAnswers
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.offers.settings import OfferSettings

_CARS = 30.0
"""What the settings assume of a car's own error counts like so many cars."""


def answered(seen: LearnedAnswers, expected_w: F8, given_w: F8, at_s: float, settings: OfferSettings) -> LearnedAnswers:
    """`seen`, faded to `at_s`, with one more dispatch: what its cars (N,) were known to give before it, W > 0, and what they gave."""
    fade = exp(-log(2.0) * max(0.0, at_s - seen.at_s) / (settings.leave_memory_days * 86_400.0))
    weight = expected_w / expected_w.sum()
    ratio = given_w / expected_w
    together = float(weight @ ratio)
    own2 = float(weight @ (ratio - together) ** 2)
    cars = 1.0 / float(weight @ weight)
    chance = own2 / cars
    prior = settings.common_gain_spread**2
    tells = prior / (prior + chance) if prior > 0.0 else 0.0
    return replace(
        seen,
        at_s=max(at_s, seen.at_s),
        dispatches=fade * seen.dispatches + tells,
        common_sum=fade * seen.common_sum + tells * ((together - 1.0) ** 2 - chance),
        cars=fade * seen.cars + cars,
        own_sum=fade * seen.own_sum + cars * own2,
    )


def as_learned(seen: LearnedAnswers, settings: OfferSettings) -> OfferSettings:
    """`settings` with what was learned in the place of what they assume of answers; where little was seen the two are mixed."""
    own2 = (seen.own_sum + _CARS * settings.gain_spread**2) / (seen.cars + _CARS)
    common2 = (seen.common_sum + settings.answer_weight * settings.common_gain_spread**2) / (seen.dispatches + settings.answer_weight)
    return replace(settings, gain_spread=sqrt(own2), common_gain_spread=sqrt(max(0.0, common2)))
