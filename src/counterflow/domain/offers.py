"""Firm offers in words: what a pool can surely give over a window, how that comes about, what was committed, and how offers were kept."""

from enum import StrEnum

from msgspec import Struct

from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import Quality

LEVELS = (0.5, 0.9, 0.95, 0.99)
"""Confidences that are always told. 0.9 is P90: met or exceeded in nine of ten cases (decisions 11)."""


class OfferLevel(Struct, frozen=True, kw_only=True):
    """What is met or exceeded with one confidence, over the whole window. Discharge positive."""

    confidence: float
    power_w: float
    """Constant power that is held from the first second to the last."""
    energy_wh: float
    """That power over the window."""
    deliverable_energy_wh: float
    """The most energy that can be given in the window when its course does not matter."""
    charge_level_frac: float | None = None
    """How full the batteries of the pool are at the window's end, 0..1, if nothing is ordered until then; None = not told."""
    max_charge_power_w: float | None = None
    """What they could take then; None = not told."""
    storage_unknown_sessions: int | None = None
    """Cars in these two figures of which nobody knows what they hold: anything between nothing and all counts; None = not told."""


class OfferGrounds(Struct, frozen=True, kw_only=True):
    """How an offer comes about: what is left of the cars' power, step by step, W, and of how many cars."""

    sessions: int
    """Plugged in at the pool."""
    sessions_ready: int
    """Of those, may be discharged and are held by no dispatch."""
    sessions_counted: int
    """Of those, still may when the window begins."""
    leaving_expected: float
    """Cars that are expected to leave before the window ends, though they said that they would stay."""
    rated_power_w: float
    """What the counted cars can give at once."""
    limited_power_w: float
    """Within the limits of sites and feeders."""
    responding_power_w: float
    """As they are known to respond."""
    lasting_power_w: float
    """Over the whole window, by their energy above floor and departure needs, if nobody left."""
    median_power_w: float
    """With departures and errors, in the middle of all cases (P50)."""
    independent_power_w: float
    """With the confidence that was asked for, if cars left and erred independently of each other: too much."""
    against_power_w: float
    """Power of cars that must charge, taken off."""
    shock_spread_frac: float
    """How much the departures of all cars vary together, as a share of their usual rate."""
    departures_learned: float
    """Departures that this was learned from; older ones count less than one."""
    given_up_power_w: float = 0.0
    """Of the power of the counted cars, what they give by charging less than they would; only in the mode `relative`."""
    limits: tuple[str, ...] = ()
    """Limits that are below what the cars could give, in words."""


class Offer(Struct, frozen=True, kw_only=True):
    """What a pool can surely give over a window, as far as is known at `made_at_s`."""

    offer_id: str
    """Empty = nobody can commit to it: it was made for looking only."""
    made_at_s: float
    valid_until_s: float
    pool: PoolId
    start_s: float
    window_s: float
    confidence: float
    method: str
    """`quantile` or `cvar`."""
    scenarios: int
    power_w: float
    """What is offered, all counted: the least of the three powers below, less what is reserved."""
    energy_wh: float
    """That power over the window."""
    model_power_w: float
    """What the model says at the confidence asked for."""
    guard_factor: float
    """By what the drift guard multiplies it, from how earlier offers were kept; counts where it is below 1."""
    committable_power_w: float
    """What an order is committed at most, so that a reserve stands by."""
    reserved_power_w: float
    """Held for commitments in this window."""
    levels: tuple[OfferLevel, ...]
    grounds: OfferGrounds
    mode: DispatchMode = DispatchMode.NET_EXPORT
    """What counts as delivery: an order that calls it must be of this mode, or of one that counts more (`engine.offers.ledger`)."""


class CommitmentState(StrEnum):
    """Where an offer stands; the moves are in `engine.offers.ledger`."""

    OFFERED = "offered"
    COMMITTED = "committed"
    CALLED = "called"
    """It was ordered, and what was ordered has not begun."""
    DELIVERING = "delivering"
    SETTLED = "settled"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class CallFigures(Struct, frozen=True, kw_only=True):
    """A dispatch that calls a commitment, with what it ordered and delivered by its final report; None = it has none yet."""

    dispatch_id: DispatchId
    ordered_energy_wh: float | None = None
    delivered_energy_wh: float | None = None
    report_version: int | None = None
    """The version that says so, the newest."""
    quality: Quality | None = None
    called_off: bool = False
    """It was cancelled before it began."""


class Commitment(Struct, frozen=True, kw_only=True):
    """An offer and what became of it. Its id is that of the offer."""

    commitment_id: str
    state: CommitmentState
    changed_at_s: float
    offer: Offer
    power_w: float = 0.0
    """What was committed; 0 = nothing yet."""
    committed_by: str = ""
    committed_at_s: float | None = None
    calls: tuple[CallFigures, ...] = ()
    reason: str = ""
    """Why it was withdrawn, has expired, or is committed again after it was called."""

    @property
    def start_s(self) -> float:
        """Begin of its window."""
        return self.offer.start_s

    @property
    def end_s(self) -> float:
        """End of its window."""
        return self.offer.start_s + self.offer.window_s


class CoverageDay(Struct, frozen=True, kw_only=True):
    """Forecasts of one pool, window length and mode that were made on one day (UTC), judged; sums, without any car."""

    pool: PoolId
    window_s: float
    day: int
    """Days since 1970-01-01."""
    forecasts: int = 0
    reached: tuple[int, ...] = (0,) * len(LEVELS)
    """How often what was there reached what the model said, by level."""
    guarded_reached: int = 0
    """The same for P90 with the drift guard."""
    level_sum_w: tuple[float, ...] = (0.0,) * len(LEVELS)
    there_sum_w: float = 0.0
    pinball_sum_w: float = 0.0
    """Pinball loss of P90, i.e. of the quantile 0.1 of what is there."""
    dispatched_share_sum: float = 0.0
    """Share of the forecast power whose cars were in a dispatch meanwhile, so that their response was seen, too."""
    mode: DispatchMode = DispatchMode.NET_EXPORT
    """What counted as delivery."""


class CoverageView(Struct, frozen=True, kw_only=True):
    """How forecasts of the last 30 days were kept, by pool, window, mode and confidence."""

    pool: PoolId
    window_s: float
    confidence: float
    forecasts: int
    effective_forecasts: float
    """Windows that overlap count once."""
    reached_frac: float | None
    """Share of windows in which at least what was said was there; None = nothing was judged yet."""
    reached_low_frac: float | None
    reached_high_frac: float | None
    """Wilson interval of 95 %."""
    guarded_reached_frac: float | None
    """The same with the drift guard; only for P90."""
    sharpness_frac: float | None
    """What was said over what was there, on the mean: nearer to 1 is better at the same coverage."""
    pinball_frac: float | None
    """Pinball loss over what was there on the mean; only for P90."""
    guard_factor: float
    dispatched_share_frac: float | None
    """Share of the power whose response was tested by a dispatch."""
    mode: DispatchMode = DispatchMode.NET_EXPORT
    """What counted as delivery."""


class DepartureHour(Struct, frozen=True, kw_only=True, array_like=True):
    """Departures in one hour of all cars: `number` counts hours from 1970 on, `watched_h` are those that cars were watched in it."""

    number: int
    left: float
    expected: float
    watched_h: float


class LearnedDepartures(Struct, frozen=True, kw_only=True):
    """When cars leave before they said, in sums over all of them: nothing in here is of one person or car."""

    at_s: float
    """To this instant the sums have faded."""
    watched_h: tuple[float, ...]
    """Hours that plugged-in cars were watched, by hour of the week and time since plug-in (flat)."""
    left: tuple[float, ...]
    """Departures seen, likewise."""
    hours: tuple[DepartureHour, ...] = ()

    @property
    def departures(self) -> float:
        """Departures that count, older ones with less than one."""
        return sum(self.left)


class LearnedAnswers(Struct, frozen=True, kw_only=True):
    """How far cars answered otherwise than they were known to, in sums over dispatches and cars: nothing in here is of one of them."""

    at_s: float
    """To this instant the sums have faded."""
    dispatches: float = 0.0
    """Dispatches that count; of few cars, and older ones, with less than one."""
    common_sum: float = 0.0
    """Squares of what all cars of a dispatch were off together, as a share of what was expected, without what chance makes of it."""
    cars: float = 0.0
    own_sum: float = 0.0
    """Squares of what each was off beside that, likewise."""


class OfferGuard(Struct, frozen=True, kw_only=True):
    """The drift guard of one pool, window length and mode: by what P90 is multiplied, and how many windows it was learned from."""

    pool: PoolId
    window_s: float
    factor: float = 1.0
    windows: int = 0
    mode: DispatchMode = DispatchMode.NET_EXPORT
