"""What cars give over a window by charging less: the charging that each would do if nobody touched it can be given up, as long as it lasts.

A plan falls as a car fills, and ends when it is full. Of each the largest rectangle below it is counted: so much power for so long. It
is never more than the plan, which is all that a relative order counts from.
"""

import numpy as np
from msgspec import Struct

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.capability import LEAST_DRAW_W, Capability
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed
from counterflow.engine.offers.scenarios import Span

_STEPS = 8
"""So many ends of a rectangle are tried."""


class GivenUp(Struct, frozen=True, kw_only=True):
    """Charging that can be given up, each (N,): power, W, 0 where there is none, and until when, s after the window's begin; inf = to its
    end."""

    power_w: F8
    until_s: F8


def plans_of(image: FleetImage, rows: B1, span: Span, terms: ChargingTerms) -> GivenUp:
    """What the cars of `rows` (N,) would draw in the window at least, and until when, by their plans as of now."""
    some = np.flatnonzero(rows)
    plans = Undisturbed.found(image, terms).rows(some)
    ends_s = span.window_s * np.arange(1, _STEPS + 1) / _STEPS
    leaves_s = image.departure_s[some] - image.at_s - span.lead_s
    best_w, best_s, most_ws = (np.zeros(len(some)) for _ in range(3))
    for end_s in ends_s.tolist():
        until_s = np.fmin(end_s, np.maximum(leaves_s, 0.0))
        power_w = plans.power_at(image.at_s + span.lead_s + end_s, terms)
        better = (power_w * until_s > most_ws) & (power_w >= LEAST_DRAW_W)
        best_w, best_s = np.where(better, power_w, best_w), np.where(better, until_s, best_s)
        most_ws = np.where(better, power_w * until_s, most_ws)
    power_w, until_s = np.zeros((2, len(rows)))
    power_w[some] = best_w
    until_s[some] = np.where(best_s >= span.window_s, np.inf, best_s)
    return GivenUp(power_w=power_w, until_s=until_s)


def spared_wh(plan: GivenUp, able: Capability) -> F8:
    """Energy that cars may be spared by a pause (N,), Wh: whenever it is taken in the window, no longer than each may pause. Of a car that
    becomes full in the window no more than its plan has left, since when that is, is known only so well."""
    lasts_s = np.where(np.isinf(plan.until_s), able.pause_s, np.minimum(plan.until_s, able.pause_s))
    energy_wh: F8 = plan.power_w * lasts_s * WH_PER_WS
    return energy_wh


def on_top(power_w: F8, energy_wh: F8, until_s: F8, plan: GivenUp, span: Span) -> tuple[F8, F8, F8]:
    """Power, energy and end (N,) of cars that discharge and, for as long as they do, give up their charging as well, where that is more.

    Taken as one: it leaves as one. What such a car gives up after its energy for discharge is used is not counted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        run_s = np.where(power_w > 0.0, energy_wh / (power_w * WH_PER_WS), 0.0)
    alone_s = np.minimum(np.minimum(run_s, until_s), span.window_s)
    both_s = np.minimum(alone_s, plan.until_s)
    more = (plan.power_w > 0.0) & ((power_w + plan.power_w) * both_s > power_w * alone_s)
    both_w = np.where(more, power_w + plan.power_w, power_w)
    return both_w, np.where(more, both_w * run_s * WH_PER_WS, energy_wh), np.where(more, np.minimum(until_s, plan.until_s), until_s)
