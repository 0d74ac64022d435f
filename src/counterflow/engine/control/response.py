"""How each car answers its setpoint, learned one car at a time (no integral of the fleet's error anywhere).

Only settled samples teach: the sample's own timestamp must be late enough after the last change of the level (control.md 4.2).
What is under way is counted at its expected settled value, so that delay cannot cause a second action.
"""

from typing import Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.decision import Kind, grown, renewed
from counterflow.engine.control.lags import LagMemory, learn
from counterflow.engine.control.lookahead import Lag
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.fleet.snapshot import B1, F8, I4, I8, FleetImage

WELL_KNOWN_READINGS = 2
RUNS_ON_W = 1_000.0
"""A car at 0 W that gives so much more than usual has not heard of it: it counts at its meter at once, not as slowly as it is learned."""


class ResponseMemory(Struct, frozen=True, kw_only=True):
    """One entry a row (N,), all for session `uid` of that row; powers in W, discharge positive.

    `gain` is delivered over asked after `readings` settled readings, `known` where there were any, or where the session began with a gain
    of its own (`priors`), which counts like `prior_readings` more; `idle_w` is what the car delivers when held at 0 W (negative: it draws);
    `level_w` and `level_since_s` are the level in force and since when (NaN = nothing of ours is in force), `from_w` the level before;
    `settled_w` is the last settled reading at this level (NaN = none yet); `stuck_w` what a car delivers that does not move as it should
    (NaN = it does); `seen_w` the last reading of any kind. `doubtful`: the order of `seen_setpoint_at_s` was refused or its outcome is
    unknown, so that the next one starts the level anew even if it says the same. `lags`: how late each car follows.
    """

    prior_gain: float
    prior_lag_s: float
    uid: I8
    known: B1
    gain: F8
    prior_readings: I4
    readings: I4
    low_count: I4
    not_responding_until_s: F8
    idle_w: F8
    idle_readings: I4
    level_w: F8
    level_since_s: F8
    from_w: F8
    settled_w: F8
    stuck_w: F8
    seen_w: F8
    last_observed_at_s: F8
    seen_setpoint_at_s: F8
    doubtful: B1
    lags: LagMemory

    @classmethod
    def fresh(cls, rows: int, settings: ResponseSettings) -> Self:
        """Nothing learned yet."""
        return cls(
            prior_gain=settings.prior_gain,
            prior_lag_s=settings.prior_lag_s,
            uid=np.zeros(rows, dtype=np.int64),
            known=np.zeros(rows, dtype=np.bool_),
            gain=np.full(rows, settings.prior_gain),
            prior_readings=np.zeros(rows, dtype=np.int32),
            readings=np.zeros(rows, dtype=np.int32),
            low_count=np.zeros(rows, dtype=np.int32),
            not_responding_until_s=np.full(rows, -np.inf),
            idle_w=np.zeros(rows),
            idle_readings=np.zeros(rows, dtype=np.int32),
            level_w=np.full(rows, np.nan),
            level_since_s=np.full(rows, -np.inf),
            from_w=np.zeros(rows),
            settled_w=np.full(rows, np.nan),
            stuck_w=np.full(rows, np.nan),
            seen_w=np.full(rows, np.nan),
            last_observed_at_s=np.full(rows, -np.inf),
            seen_setpoint_at_s=np.full(rows, -np.inf),
            doubtful=np.zeros(rows, dtype=np.bool_),
            lags=LagMemory.fresh(rows),
        )

    def gains(self) -> F8:
        """Gain of each row (N,): learned, or the fleet's prior."""
        return np.where(self.known, self.gain, self.prior_gain)

    def lag(self, rows: B1, step_w: F8) -> Lag:
        """How late each row follows a step of `step_w` (N,), and the mean of those in `rows`."""
        car_s = self.lags.lags_s(step_w, self.prior_lag_s)
        return Lag(car_s=car_s, fleet_s=float(car_s[rows].mean()) if rows.any() else self.prior_lag_s)

    def astray(self, image: FleetImage) -> B1:
        """Rows whose order timed out and whose meter says that they do not follow it, (N,): the order surely never arrived."""
        lost: B1 = (image.setpoint_state == SetpointState.UNKNOWN.value) & (self.level_w > 0.0) & (self.settled_w < 0.5 * self.level_w)
        return lost

    def well_known(self, image: FleetImage) -> B1:
        """Rows that have settled at an order that they accepted, seen so more than once, (N,): what they give is what to reckon with."""
        at_rest: B1 = (image.setpoint_state == SetpointState.ACCEPTED.value) & (self.level_w > 0.0) & ~np.isnan(self.settled_w)
        return at_rest & np.isnan(self.stuck_w) & (self.readings >= WELL_KNOWN_READINGS)

    def not_responding(self, now_s: float) -> B1:
        """Rows that are left out because they did not follow, (N,)."""
        return np.greater(self.not_responding_until_s, now_s)


_COLUMNS = tuple(name for name in ResponseMemory.__struct_fields__ if name not in ("prior_gain", "prior_lag_s", "lags"))


def level_in_force_w(image: FleetImage, at_s: float) -> F8:
    """Discharge power (W, < 0 = charging no faster than that) that the order in force asks for at `at_s` (N,); 0 during its hold, NaN =
    nothing of ours.

    An order that is pending or whose outcome is unknown is taken as in force; after a refusal the image shows the one before.
    """
    ordered = (image.uid != 0) & ~np.isnan(image.setpoint_w)
    level_w = np.where(at_s < image.discharge_until_s, -image.setpoint_w, 0.0)
    return np.where(ordered & (at_s < np.fmax(image.hold_until_s, image.discharge_until_s)), level_w, np.nan)


def settle_s(level_w: F8, from_w: F8, settings: ResponseSettings) -> F8:
    """Time after a change from `from_w` to `level_w` after which a sample counts as settled (N,)."""
    step_w = np.fmax(np.abs(level_w), np.abs(level_w - from_w))
    ramp_s = np.fmax(settings.settle_ramp_min_s, step_w / settings.settle_ramp_w_per_s)
    return settings.settle_base_s + settings.settle_share * ramp_s


def observe(image: FleetImage, memory: ResponseMemory, now_s: float, settings: ResponseSettings) -> ResponseMemory:
    """The memory after looking at `image`. Rows whose uid changed start anew. Cheap when nothing is new; call it once a tick."""
    known = for_sessions(image, memory, settings)
    known = _with_levels(image, known, now_s)
    # Two readings at the same timestamp are one reading; NaN (never measured) compares False.
    fresh = (image.power_at_s > known.last_observed_at_s) & ~np.isnan(image.power_w)
    settled = fresh & (image.power_at_s > known.level_since_s + settle_s(known.level_w, known.from_w, settings))
    gives_w = -image.power_w
    settled_w = renewed(known.settled_w, settled, gives_w)
    known = replace(
        known,
        lags=learn(image, known.level_w, known.level_since_s, settled_w, known.lags),
        settled_w=settled_w,
        stuck_w=renewed(known.stuck_w, fresh, _stuck_w(image, known, fresh & ~settled, settings)),
        seen_w=renewed(known.seen_w, fresh, gives_w),
        last_observed_at_s=renewed(known.last_observed_at_s, fresh, image.power_at_s),
    )
    teaches = settled & (image.setpoint_state == SetpointState.ACCEPTED.value)
    if not teaches.any():
        return known
    return _learned(image, known, teaches, now_s, settings)


def expected_w(image: FleetImage, memory: ResponseMemory, at_s: float) -> F8:
    """Settled power of each session at the order in force at `at_s`, W, discharge positive (N,); 0 where nothing is known.

    Unknown or pending outcome: the expected settled value, until a settled sample says what the car really does. Nothing in force,
    or an order refused: the measured power.
    """
    return expected_at_w(image, memory, level_in_force_w(image, at_s), memory.gains())


def expected_at_w(image: FleetImage, memory: ResponseMemory, level_w: F8, gain: F8) -> F8:
    """The same at levels that are known already, with the gains of `memory`, each (N,)."""
    measured_w = np.where(np.isnan(image.power_w), 0.0, -image.power_w)
    follows_w = np.where(level_w > 0.0, gain * level_w, memory.idle_w)
    unsure = (image.setpoint_state == SetpointState.PENDING.value) | (image.setpoint_state == SetpointState.UNKNOWN.value)
    # A settled reading belongs to the level that was observed, not to one that begins only at `at_s`.
    same = level_w == memory.level_w
    runs_on = (level_w == 0.0) & (memory.settled_w > memory.idle_w + RUNS_ON_W)
    told, slowed = unsure | (memory.low_count > 0) | runs_on, level_w < 0.0
    if slowed.any():
        # It may draw less than its limit.
        follows_w, told = np.where(slowed, level_w, follows_w), told | slowed
    follows_w = np.where(told & same & ~np.isnan(memory.settled_w), memory.settled_w, follows_w)
    follows_w = np.where(same & ~np.isnan(memory.stuck_w), memory.stuck_w, follows_w)
    metered = np.isnan(level_w) | ((image.setpoint_state == SetpointState.REJECTED.value) & ~np.isnan(image.power_w))
    return np.where(image.uid != 0, np.where(metered, measured_w, follows_w), 0.0)


def for_sessions(image: FleetImage, memory: ResponseMemory, settings: ResponseSettings) -> ResponseMemory:
    """The memory with as many rows as the image; nothing is known of rows whose session is another. A row that is free keeps what it
    had until it is taken anew: nobody asks."""
    rows = len(image)
    if len(memory.uid) != rows:
        empty = ResponseMemory.fresh(1, settings)
        memory = replace(memory, **{name: grown(getattr(memory, name), rows, getattr(empty, name)[0]) for name in _COLUMNS})
    new = (image.uid != memory.uid) & image.occupied
    if not new.any():
        return memory
    which, start = np.flatnonzero(new), ResponseMemory.fresh(1, settings)
    columns = {name: getattr(memory, name).copy() for name in _COLUMNS}
    for name, column in columns.items():
        column[which] = getattr(start, name)[0]
    return replace(memory, **columns | {"uid": image.uid.copy()})


def _with_levels(image: FleetImage, memory: ResponseMemory, now_s: float) -> ResponseMemory:
    # What a station asks of a car by a curve of its own is not known here, so nothing is learned from it.
    level_w = level_in_force_w(image, now_s)
    if image.self_steered.any():
        level_w = np.where(image.self_steered, np.nan, level_w)
    doubtful = (image.setpoint_state == SetpointState.UNKNOWN.value) | (image.setpoint_state == SetpointState.REJECTED.value)
    changed = (level_w != memory.level_w) & ~(np.isnan(level_w) & np.isnan(memory.level_w))
    changed |= memory.doubtful & (image.setpoint_at_s > memory.seen_setpoint_at_s)
    if not changed.any():
        return replace(memory, doubtful=doubtful, seen_setpoint_at_s=image.setpoint_at_s)
    rows = np.flatnonzero(changed)
    sent_s, until_s, hold_s = image.setpoint_at_s[rows], image.discharge_until_s[rows], image.hold_until_s[rows]
    ended_s = np.where(now_s < hold_s, until_s, np.fmax(hold_s, until_s))
    since_s = np.where(now_s < until_s, sent_s, np.fmax(ended_s, sent_s))
    unheard = memory.doubtful[rows] | ~np.isnan(memory.stuck_w[rows]) | (memory.low_count[rows] > 0)
    before_w = memory.level_w[rows]
    before_w = np.where(np.isnan(before_w) | unheard, np.nan_to_num(-image.power_w[rows]), before_w)
    return replace(
        memory,
        level_w=level_w,
        level_since_s=_put(memory.level_since_s, rows, np.where(np.isnan(since_s), now_s, since_s)),
        from_w=_put(memory.from_w, rows, before_w),
        settled_w=_put(memory.settled_w, rows, np.nan),
        stuck_w=_put(memory.stuck_w, rows, np.nan),
        doubtful=doubtful,
        seen_setpoint_at_s=image.setpoint_at_s,
    )


def _put(column: NDArray[Kind], rows: Rows, values: NDArray[Kind] | float) -> NDArray[Kind]:
    """The column with other values in some rows."""
    changed = column.copy()
    changed[rows] = values
    return changed


def _stuck_w(image: FleetImage, memory: ResponseMemory, moving: B1, settings: ResponseSettings) -> F8:
    """What a car delivers that moves less from reading to reading than even the slowest car would, W; NaN for all others (N,).

    Such a car has not heard its order, will not follow it, or can do no more. It is counted at its meter until it moves: waiting for
    settled readings would leave a big one uncovered for a minute. It teaches nothing here.
    """
    stuck_w = np.full(len(image), np.nan)
    # Until the slowest car would have begun to move, a car may still do what it did before (start to charge, for one).
    due = moving & (image.power_at_s > memory.level_since_s + settings.settle_base_s) & (memory.level_w > memory.from_w)
    rows = np.flatnonzero(due)
    if rows.size == 0:
        return stuck_w
    since_s, level_w, from_w = memory.level_since_s[rows] + settings.settle_base_s, memory.level_w[rows], memory.from_w[rows]
    seen_s, delivers_w = memory.last_observed_at_s[rows], -image.power_w[rows]
    seen_before = seen_s > memory.level_since_s[rows]
    anchor_w = np.where(seen_before, memory.seen_w[rows], from_w)
    anchor_at_s = np.where(seen_before, np.maximum(seen_s, since_s), since_s)
    ramped_w = np.maximum(0.0, image.power_at_s[rows] - anchor_at_s) * settings.settle_ramp_w_per_s
    reached_w = np.minimum(anchor_w + ramped_w, np.where(level_w < 0.0, level_w, settings.stuck_share * level_w))
    stuck_w[rows] = np.where(delivers_w < reached_w - settings.stuck_margin_w, delivers_w, np.nan)
    return stuck_w


def _learned(image: FleetImage, memory: ResponseMemory, teaches: B1, now_s: float, settings: ResponseSettings) -> ResponseMemory:
    rows = np.flatnonzero(teaches)
    asked_w, gain_before, delivered_w = memory.level_w[rows], memory.gain[rows], -image.power_w[rows]
    runs, held, slowed = asked_w > 0.0, asked_w == 0.0, asked_w < 0.0
    level_w = np.where(runs, asked_w, np.inf)
    weight = 1.0 / (1.0 + np.minimum(memory.readings[rows] + memory.prior_readings[rows], settings.memory_readings))
    # At a small setpoint the car's own consumption would pass for a poor gain: such readings teach less, and convict nobody.
    telling = runs & (level_w >= settings.learn_from_w)
    error = np.where(runs, delivered_w - gain_before * asked_w, 0.0) / np.maximum(level_w, settings.learn_from_w)
    gain = np.where(runs, np.clip(gain_before + error * weight, settings.gain_min, settings.gain_max), gain_before)
    low = telling & (delivered_w < settings.low_share * level_w)
    low |= (held | slowed) & (delivered_w < np.fmin(asked_w, 0.0) - settings.idle_import_w)
    low_count = np.where(low, memory.low_count[rows] + 1, 0)
    given_up = low & (low_count >= settings.low_readings)
    learned = replace(
        memory if not held.any() else _idled(memory, rows[held], delivered_w[held], settings),
        gain=_put(memory.gain, rows, gain),
        readings=_put(memory.readings, rows, memory.readings[rows] + telling),
        low_count=_put(memory.low_count, rows, low_count),
        known=_put(memory.known, rows, memory.known[rows] | telling),
    )
    learned = replace(
        learned, prior_gain=_prior(learned.gain, (learned.readings > 0) & (learned.low_count == 0) & image.occupied, settings)
    )
    return _given_up(learned, rows[given_up], now_s, settings) if given_up.any() else learned


def _idled(memory: ResponseMemory, rows: Rows, delivered_w: F8, settings: ResponseSettings) -> ResponseMemory:
    """With what cars (K,) deliver that are held at 0 W."""
    readings, idle_w = memory.idle_readings[rows], memory.idle_w[rows]
    weight = 1.0 / (1.0 + np.minimum(readings, settings.memory_readings))
    return replace(
        memory,
        idle_w=_put(memory.idle_w, rows, idle_w + (delivered_w - idle_w) * weight),
        idle_readings=_put(memory.idle_readings, rows, readings + 1),
    )


def _given_up(memory: ResponseMemory, rows: Rows, now_s: float, settings: ResponseSettings) -> ResponseMemory:
    """These cars are left out. One that gets another chance later starts from the prior again."""
    return replace(
        memory,
        known=_put(memory.known, rows, False),
        gain=_put(memory.gain, rows, settings.prior_gain),
        prior_readings=_put(memory.prior_readings, rows, 0),
        readings=_put(memory.readings, rows, 0),
        low_count=_put(memory.low_count, rows, 0),
        not_responding_until_s=_put(memory.not_responding_until_s, rows, now_s + settings.reprobe_s),
        idle_w=_put(memory.idle_w, rows, 0.0),
        idle_readings=_put(memory.idle_readings, rows, 0),
    )


def _prior(gain: F8, learned: B1, settings: ResponseSettings) -> float:
    total = settings.prior_weight * settings.prior_gain + float(gain[np.flatnonzero(learned)].sum())
    return total / (settings.prior_weight + float(np.count_nonzero(learned)))
