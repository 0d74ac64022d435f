"""A pool as a storage at the end of a window to come: how full its batteries will be, and what they could take. Pure and vectorised.

Cars go on charging as they do, announced departures are kept, and others leave as was learned, together as much as they are known to. That
holds as long as nobody orders anything: where a dispatch meets the time until then nothing is said.

A car whose state of charge is not known may be empty or full: all of them together are drawn evenly between, and any number of them takes
nothing, so that the surer the figures are to be, the less is counted of them.
"""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.random import Generator
from numpy.typing import NDArray

from counterflow.domain.offers import OfferLevel
from counterflow.engine.control.grid import limits_of
from counterflow.engine.dispatch.limits import total_capacity_w
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.eligibility import NOT_READY_PHASES
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed
from counterflow.engine.offers.bounds import quantile
from counterflow.engine.offers.hazard import hazard_before, kind_of
from counterflow.engine.offers.scenarios import Risks, Shared, Span
from counterflow.engine.offers.settings import OfferSettings

_FULL_FRAC = 0.995
"""From here on a car counts as full."""


class Stores(Struct, frozen=True, kw_only=True):
    """The batteries (K,) that will be there at the end of the window if nobody leaves before he said so: what each holds then, and holds
    when full, Wh; what it can take then, W, its share of the limits of connections; and since when its car has been plugged in, s."""

    stored_wh: F8
    """0 where it is not known."""
    capacity_wh: F8
    """The mean of the others where it is not known."""
    takes_w: F8
    plugged_s: F8
    doubtful_wh: F8
    """Its capacity where what it holds is not known: it holds any part of it. 0 elsewhere."""
    doubtful_w: F8
    """What it takes at most where it may be full already; 0 elsewhere."""

    @property
    def unknown(self) -> int:
        """Cars of which it is not known what they hold."""
        return int(np.count_nonzero(self.doubtful_wh))


def stores_of(
    image: FleetImage,
    able: Capability,
    in_pool: B1,
    topology: Topology,
    span: Span,
    charging: ChargingTerms,
    tolerated_share: float,
) -> Stores | None:
    """Of the cars that may be discharged; None where of more than `tolerated_share` of them it is not known what they hold, and with it
    what the pool does."""
    end_s = span.at_s + span.lead_s + span.window_s
    cars = in_pool & image.occupied & image.consent & image.bidirectional & ~image.driver_stop & ~(image.departure_s <= end_s)
    known = cars & ~np.isnan(able.soc_frac * image.capacity_wh)
    if not known.any() or np.count_nonzero(cars & ~known) > tolerated_share * np.count_nonzero(cars):
        return None
    plans = Undisturbed.found(image, charging)
    gained = np.nan_to_num(plans.soc_at(end_s, charging) - plans.soc_at(image.at_s, charging), nan=0.0)
    soc_frac = np.minimum(able.soc_frac + gained, 1.0)
    takes = cars & image.connected & ~np.isin(image.phase, NOT_READY_PHASES) & ~(soc_frac >= _FULL_FRAC)
    takes_w = np.where(takes, np.nan_to_num(image.max_charge_w, nan=0.0), 0.0)
    inside_w = total_capacity_w(takes_w, limits_of(image, topology, np.maximum(0.0, topology.import_room_w(end_s))))
    takes_w *= inside_w / max(float(takes_w.sum()), 1e-9)
    may_be_full = np.isnan(soc_frac)
    capacity_wh = np.where(np.isnan(image.capacity_wh), image.capacity_wh[known].mean(), image.capacity_wh)
    return Stores(
        stored_wh=np.where(known, soc_frac * image.capacity_wh, 0.0)[cars],
        capacity_wh=capacity_wh[cars],
        takes_w=np.where(may_be_full, 0.0, takes_w)[cars],
        plugged_s=np.fmax(image.at_s - image.started_s, 0.0)[cars],
        doubtful_wh=np.where(known, 0.0, capacity_wh)[cars],
        doubtful_w=np.where(may_be_full, takes_w, 0.0)[cars],
    )


def with_stores(
    levels: tuple[OfferLevel, ...], stores: Stores | None, span: Span, risks: Risks, settings: OfferSettings, random: Generator
) -> tuple[OfferLevel, ...]:
    """The same levels, with what the pool is as a storage at the end of the window with the confidence of each."""
    if stores is None:
        return levels
    shared = Shared.drawn(risks, span, settings, random)
    of_kind, stays = _staying(stores, shared, span, risks)
    leaves = stays * (1.0 - stays)

    def summed(values: F8) -> F8:
        """Sums over the cars of each kind."""
        return np.bincount(of_kind, weights=values, minlength=stays.shape[1]).astype(np.float64)

    full_wh = np.maximum(stays @ summed(stores.capacity_wh), 1e-9)
    known_wh = stores.capacity_wh - stores.doubtful_wh
    usual_frac = float(stores.stored_wh.sum() / known_wh.sum())
    # Who leaves by himself moves the level by as much as his own differs from that of all.
    moved_wh = np.sqrt(leaves @ summed((stores.stored_wh - usual_frac * known_wh) ** 2)) * random.standard_normal(len(stays))
    stored_wh = (stays @ summed(stores.stored_wh)) * shared.energy + moved_wh
    moved_w = np.sqrt(leaves @ summed(stores.takes_w**2)) * random.standard_normal(len(stays))
    taken_w = stays @ summed(stores.takes_w) + moved_w
    if stores.unknown:
        stored_wh += (stays @ summed(stores.doubtful_wh)) * random.random(len(stays))
        # A car that is full takes nothing: any number of them may be.
        may_be = max(1, int(np.count_nonzero(stores.doubtful_w)))
        taken_w += (stays @ summed(stores.doubtful_w)) * random.integers(0, may_be + 1, len(stays)) / may_be
    level_frac, taken_w = np.sort(stored_wh / full_wh), np.sort(taken_w)
    most_w, doubt = float((stores.takes_w + stores.doubtful_w).sum()), settings.bound_doubt
    return tuple(
        replace(
            one,
            charge_level_frac=min(1.0, max(0.0, quantile(level_frac, one.confidence, doubt))),
            storage_unknown_sessions=stores.unknown,
            max_charge_power_w=min(most_w, max(0.0, quantile(taken_w, one.confidence, doubt))),
        )
        for one in levels
    )


def _staying(stores: Stores, shared: Shared, span: Span, risks: Risks) -> tuple[NDArray[np.intp], F8]:
    """Which kind each car is of (K,), and the probability that one of a kind is still there at the end of the window, in each course of
    what all cars share (W, kinds)."""
    kinds, of_kind = np.unique(kind_of(stores.plugged_s), return_inverse=True)
    plugged_s = np.array([stores.plugged_s[of_kind == number].mean() for number in range(len(kinds))])
    hazard = hazard_before(risks.rates_per_h, span.at_s, plugged_s, np.array([span.lead_s + span.window_s]))[:, 0]
    return of_kind, np.exp(-(shared.leaving[:, np.newaxis] * hazard[np.newaxis, :] + shared.rush[:, -1:]))
