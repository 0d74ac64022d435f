"""How long each session's car takes to follow, learned from its own transitions: how much earlier it begins at a scheduled start, and how
quick it is on a target that moves.

What is learned is the lag of a transition: by how much later a sudden step from the old power to the new one would have given the same
energy. That is the delay and half of the ramp. Registers tell it to a fraction of a second, whenever samples happen to be taken: by the
energy from a reading before the order to a reading after the car has settled. A reading on the way between them tells the ramp from the
delay: least squares of lag over half step then have the delay where the step is nothing, and the end of the ramp at the whole of it.
"""

from typing import Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.decision import grown, renewed
from counterflow.engine.control.lead import ScheduledStartSettings, lead_s
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.fleet.snapshot import B1, F8, I8, FleetImage

LEAST_STEP_W = 2_000.0
"""Of a smaller step the lag is lost in the noise of the readings."""
STEADY_W = 300.0
"""Two readings in a row this close are those of a car at rest."""
LONGEST_S = 240.0
"""A longer transition is none: something else happened in between. Of a meter that tells once a minute it may take three."""
TELLING = 0.2
"""A reading on the way this near to the middle of the ramp does not tell its length."""
ASSUMED = 5.0
"""What is assumed of the fleet before anything was seen counts like so many transitions."""
STEP_W = 7_000.0
"""The default counts like transitions of this size and of none."""

SUMS = ("count", "half_w", "half_w2", "lag_s", "lag_half")
"""The columns of what was learned, as `Transitions` has them."""


class LagMemory(Struct, frozen=True, kw_only=True):
    """One entry a row (N,), all for session `uid` of that row. Sums over its transitions: `count`, of half steps `half_w` and of their
    squares, of lags, and of their products; `since_s` the transition under way (NaN = none that can be judged).

    `seen_w` is the last reading of any kind, `seen_s` its time; `way_s`, `way_w` the first one on the way; `at_s`, `power_w`, `net_wh`
    are the last one at rest: its time, power and net export; `from_*` those before the transition.
    """

    uid: I8
    count: F8
    half_w: F8
    half_w2: F8
    lag_s: F8
    lag_half: F8
    since_s: F8
    level_since_s: F8
    seen_s: F8
    seen_w: F8
    way_s: F8
    way_w: F8
    at_s: F8
    power_w: F8
    net_wh: F8
    from_s: F8
    from_w: F8
    from_wh: F8

    @classmethod
    def fresh(cls, rows: int) -> Self:
        """Nothing learned yet."""
        sums = {name: np.zeros(rows) for name in SUMS}
        unknown = (
            "since_s",
            "level_since_s",
            "seen_s",
            "seen_w",
            "way_s",
            "way_w",
            "at_s",
            "power_w",
            "net_wh",
            "from_s",
            "from_w",
            "from_wh",
        )
        return cls(uid=np.zeros(rows, dtype=np.int64), **sums, **{name: np.full(rows, np.nan) for name in unknown})

    def lead_s(self, row: int, uid: int, step_w: float, settings: ScheduledStartSettings) -> float:
        """How much earlier this session is told to begin a step of `step_w`: its own delay and half of its ramp, as far as known, s."""
        if row >= len(self.uid) or self.uid[row] != uid or self.count[row] == 0.0:
            return lead_s(step_w, settings)
        # Least squares of lag = delay + half step / ramp, with two made-up transitions by the default beside the session's own.
        weight, half_w = settings.lead_default_weight, STEP_W / 2.0
        delay_s, ramped_s = settings.lead_delay_s, half_w / settings.lead_ramp_w_per_s
        n, sum_x, sum_xx = self.count[row] + 2.0 * weight, self.half_w[row] + weight * half_w, self.half_w2[row] + weight * half_w**2
        sum_y = self.lag_s[row] + weight * (2.0 * delay_s + ramped_s)
        sum_xy = self.lag_half[row] + weight * half_w * (delay_s + ramped_s)
        slope = (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x**2)
        own_s = (sum_y - slope * sum_x) / n + slope * abs(step_w) / 2.0
        return float(min(max(own_s, 0.0), settings.max_lead_s))

    def lags_s(self, step_w: F8, assumed_s: float) -> F8:
        """How late each row follows a step of `step_w` (N,), s: by its own transitions, beside one that is like the fleet's."""
        half_w = STEP_W / 2.0
        fleet = (
            ASSUMED + self.count.sum(),
            ASSUMED * half_w / 2.0 + self.half_w.sum(),
            ASSUMED * half_w**2 / 2.0 + self.half_w2.sum(),
            ASSUMED * assumed_s + self.lag_s.sum(),
            ASSUMED * assumed_s * half_w / 2.0 + self.lag_half.sum(),
        )
        own = (self.count, self.half_w, self.half_w2, self.lag_s, self.lag_half)
        n, sum_x, sum_xx, sum_y, sum_xy = (mine + all_of_them / fleet[0] for mine, all_of_them in zip(own, fleet, strict=True))
        slope = np.maximum((n * sum_xy - sum_x * sum_y) / np.maximum(n * sum_xx - sum_x**2, 1.0), 0.0)
        lag_s: F8 = np.clip((sum_y - slope * sum_x) / n + slope * step_w / 2.0, 0.0, LONGEST_S)
        return lag_s


def learn(image: FleetImage, level_w: F8, level_since_s: F8, settled_w: F8, memory: LagMemory) -> LagMemory:
    """The memory after looking at `image`, with the levels in force, since when, and the settled readings at them of that image (N,)."""
    known = for_sessions(image, memory)
    begins = level_since_s != known.level_since_s
    begins &= np.isfinite(level_since_s)
    if begins.any():
        known = _begun(known, begins, level_since_s)
    gives_w = -image.power_w
    net_wh = image.export_wh - image.import_wh
    whole = (np.abs(image.register_at_s - image.power_at_s) < 0.5) & ~np.isnan(net_wh)
    fresh = ~(image.power_at_s == known.seen_s) & ~np.isnan(image.power_w)
    steady = fresh & (np.abs(image.power_w + known.seen_w) <= STEADY_W)
    rests = whole & steady & (np.isnan(level_w) | ~np.isnan(settled_w)) & ~image.self_steered
    moved = fresh & (image.power_at_s > known.since_s)
    known = _settled(image, known, rests & moved, net_wh)
    # The first one: later ones may be behind the ramp, and then tell less.
    on_way = moved & ~rests
    on_way &= np.isnan(known.way_s) & (np.abs(image.power_w + known.from_w) > STEADY_W)
    return replace(
        known,
        way_s=renewed(known.way_s, on_way, image.power_at_s),
        way_w=renewed(known.way_w, on_way, gives_w),
        seen_s=renewed(known.seen_s, fresh, image.power_at_s),
        seen_w=renewed(known.seen_w, fresh, gives_w),
        at_s=renewed(known.at_s, rests, image.power_at_s),
        power_w=renewed(known.power_w, rests, gives_w),
        net_wh=renewed(known.net_wh, rests, net_wh),
    )


def with_more(memory: LagMemory, rows: Rows, more: F8) -> LagMemory:
    """The memory with these sums (K, 5: count, half steps, their squares, lags, lags times half steps) on top of those of some rows."""
    sums = {name: getattr(memory, name).copy() for name in SUMS}
    for place, column in enumerate(sums.values()):
        column[rows] += more[:, place]
    return replace(memory, **sums)


def _begun(known: LagMemory, begins: B1, level_since_s: F8) -> LagMemory:
    """With a transition under way where a level begins, counted from the last reading at rest."""
    # What began before that, or long after it, cannot be told by registers.
    fit = begins & (known.at_s <= level_since_s) & (level_since_s - known.at_s <= LONGEST_S)
    return replace(
        known,
        level_since_s=np.where(begins, level_since_s, known.level_since_s),
        since_s=np.where(begins, np.where(fit, level_since_s, np.nan), known.since_s),
        way_s=np.where(begins, np.nan, known.way_s),
        at_s=np.where(begins, np.nan, known.at_s),
        from_s=np.where(fit, known.at_s, known.from_s),
        from_w=np.where(fit, known.power_w, known.from_w),
        from_wh=np.where(fit, known.net_wh, known.from_wh),
    )


def _settled(image: FleetImage, known: LagMemory, over: B1, net_wh: F8) -> LagMemory:
    """Transitions that are over: what they teach, if they were no longer than one can be."""
    rows = np.flatnonzero(over)
    if rows.size == 0:
        return known
    to_w, at_s, since_s = -image.power_w[rows], image.power_at_s[rows], known.since_s[rows]
    from_w, step_w = known.from_w[rows], to_w - known.from_w[rows]
    given_ws = (net_wh[rows] - known.from_wh[rows]) / WH_PER_WS
    sudden_ws = from_w * (since_s - known.from_s[rows]) + to_w * (at_s - since_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        lag_s = (sudden_ws - given_ws) / step_w
        reached = (known.way_w[rows] - from_w) / step_w
        ramp_s = (known.way_s[rows] - since_s - lag_s) / (reached - 0.5)
    teaches = (np.abs(step_w) >= LEAST_STEP_W) & (at_s - since_s <= LONGEST_S) & (lag_s >= 0.0) & (lag_s <= at_s - since_s)
    half_w, lag_s = np.where(teaches, np.abs(step_w) / 2.0, 0.0), np.where(teaches, lag_s, 0.0)
    # Where its length is known a ramp counts as two points: its begin at no step, and its end at the whole step.
    both = teaches & (reached > 0.0) & (reached < 1.0) & (np.abs(reached - 0.5) >= TELLING)
    ramp_s = np.where(both, np.clip(ramp_s, 0.0, 2.0 * lag_s), 0.0)
    columns = {
        "count": teaches,
        "half_w": half_w,
        "half_w2": half_w**2 * np.where(both, 2.0, 1.0),
        "lag_s": lag_s,
        "lag_half": half_w * (lag_s + ramp_s / 2.0),
    }
    sums = {name: getattr(known, name).copy() for name in columns}
    for name, column in sums.items():
        column[rows] += columns[name]
    return replace(known, since_s=np.where(over, np.nan, known.since_s), **sums)


def for_sessions(image: FleetImage, memory: LagMemory) -> LagMemory:
    """The memory with as many rows as the image; nothing is known of rows whose session is another."""
    rows = len(image)
    if len(memory.uid) != rows:
        empty = LagMemory.fresh(1)
        memory = LagMemory(**{name: grown(getattr(memory, name), rows, getattr(empty, name)[0]) for name in LagMemory.__struct_fields__})
    new = (image.uid != memory.uid) & image.occupied
    if not new.any():
        return memory
    which, empty = np.flatnonzero(new), LagMemory.fresh(1)
    columns = {name: getattr(memory, name).copy() for name in LagMemory.__struct_fields__ if name != "uid"}
    for name, column in columns.items():
        column[which] = getattr(empty, name)[0]
    return LagMemory(uid=image.uid.copy(), **columns)
