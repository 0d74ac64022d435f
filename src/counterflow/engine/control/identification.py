"""Delay and ramp of each car, identified between events from all that an event showed of it (control reference 4.5).

A car is taken to do nothing for its delay after an order, and then to go to its new power by a ramp. A bank of delays and ramps is held
against the readings of power and the energy between them; a second, finer bank about the best of the first tells between the grid points.
What comes out is not a guess but what the record tells: the sums of as many transitions as would say the same, so that it is joined with
what is known of the car and of its model as transitions are (`priors`), and weighs the more the more it tells.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.traces import F4, ORDERS, Trace
from counterflow.engine.fleet.snapshot import B1, F8

Kind = TypeVar("Kind", np.float32, np.bool_)

LAGS, RAMPS = 24, 10
FINER_LAGS, FINER_RAMPS = 12, 8
LONGEST_LAG_S = 50.0
SLOWEST_W_PER_S, QUICKEST_W_PER_S = 100.0, 50_000.0
AT_ONCE = 64
"""Sessions that are worked out together: their arrays fit into the caches, and no step of it takes longer than a millisecond."""

_COARSE_S = 1.5
"""The first bank's points are this far apart, so that it must not be pickier."""
_FARTHEST = 4.0
"""What is further off than this many standard deviations is no worse: it was something else."""
_PRIOR_DELAY_S, _PRIOR_DELAY_SD_S, _PRIOR_RAMP_SD = 6.0, 8.0, 1.5
_PRIOR_W_PER_S = 2_000.0
_HALF_W = 3_500.0
"""Half of a step of the usual size: the unit of slowness is the half ramp of it."""
_NEVER_S = np.float32(1e7)
_LEAST_COUNT = 0.02
"""What tells less than this of a transition tells nothing."""


class Off(Struct, frozen=True, kw_only=True):
    """By how much readings are off a car's true course (standard deviations)."""

    power_w: float = 60.0
    power_share: float = 0.01
    """Of the power that is read, on top."""
    level_w: float = 40.0
    level_share: float = 0.005
    """And the power at rest, over the time between two readings of the registers."""
    jitter_s: float = 0.3
    """An order is heard so much earlier or later than the others."""


class _Course(NamedTuple):
    """n sessions. Orders (n, K) with what the car gives at rest after each, readings (n, S) with what they count for."""

    order_s: F4
    rest_w: F4
    from_w: F4
    usable: B1
    belongs: NDArray[np.intp]
    at_s: F4
    power_w: F4
    net_ws: F4
    power_sd: F4
    energy_var: F4
    told: B1
    metered: B1


_USUALLY = Off()


def _at_once() -> None:
    """Nobody is to be let past."""


def identify(trace: Trace, off: Off = _USUALLY, give_way: Callable[[], object] = _at_once) -> F8:
    """What each session's record tells, as sums over transitions (n, 5): count, half steps, their squares, lags, lags times half steps;
    nothing (zeros) where it tells nothing. `give_way` is called every few milliseconds, and may wait while others need the processor."""
    sums = np.zeros((len(trace), 5))
    readings = np.count_nonzero(~np.isnan(trace.at_s), axis=1)
    order = np.argsort(readings, kind="stable")
    # A meter may say anything: where it cannot be reckoned with, the record tells nothing.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for begin in range(0, len(trace), AT_ONCE):
            part = order[begin : begin + AT_ONCE]
            sums[part] = _sums(_course(trace.some(part), max(2, readings[part[-1]]), off), off.jitter_s, give_way)
    return sums


def _course(trace: Trace, most: int, off: Off) -> _Course:
    """What a record says beside delay and ramp: where the car stood, where it stood in the end, and what its readings count for."""
    trace = replace(trace, **{name: getattr(trace, name)[:, :most] for name in ("at_s", "power_w", "net_wh")})
    at_s, power_w, net_ws = trace.at_s, trace.power_w, trace.net_wh / np.float32(WH_PER_WS)
    order_s = np.where(np.isnan(trace.order_s), _NEVER_S, trace.order_s)
    belongs = _before(order_s, np.nan_to_num(at_s)) - 1
    rests = ~np.isnan(at_s) & (belongs >= 0)
    rests &= at_s - _pick(order_s, belongs) > _pick(trace.rest_s, belongs)
    rest_w = _rest_w(trace, belongs, rests, net_ws, off)
    usable, before_w = _usable(trace, order_s, belongs, rests)
    # The others are not gone into: after them the car is where it stood before the next one.
    rest_w[:, :-1] = np.where(usable[:, :-1], rest_w[:, :-1], before_w[:, 1:])
    told = ~np.isnan(at_s) & (belongs >= 0) & _pick(usable, belongs)
    metered = told & ~np.isnan(net_ws)
    metered[:, 1:] &= ~np.isnan(net_ws[:, :-1])
    metered[:, 0] = False
    took_s = np.diff(at_s, axis=1, prepend=np.float32(np.nan))
    step_ws = _resolution_ws(net_ws)[:, None]
    level_sd = off.level_w + off.level_share * np.abs(power_w)
    return _Course(
        order_s=order_s,
        rest_w=rest_w.astype(np.float32),
        from_w=before_w[:, 0].astype(np.float32),
        usable=usable,
        belongs=belongs,
        at_s=np.nan_to_num(at_s),
        power_w=np.nan_to_num(power_w),
        net_ws=np.nan_to_num(net_ws),
        power_sd=np.nan_to_num(off.power_w + off.power_share * np.abs(power_w), nan=off.power_w).astype(np.float32),
        energy_var=np.nan_to_num(step_ws**2 / 6.0 + (level_sd * took_s) ** 2, nan=1.0).astype(np.float32),
        told=told,
        metered=metered,
    )


def _before(order_s: F4, at_s: F4) -> NDArray[np.intp]:
    """How many of the orders (n, K) had been given before each time (n, S)."""
    return np.asarray((at_s[:, :, None] > order_s[:, None, :]).sum(axis=2))


def _pick(column: NDArray[Kind], which: NDArray[np.intp]) -> NDArray[Kind]:
    """The entries (n, S) of a column (n, K)."""
    return np.take_along_axis(column, np.maximum(which, 0), axis=1)


def _rest_w(trace: Trace, belongs: NDArray[np.intp], rests: B1, net_ws: F4, off: Off) -> F8:
    """What the car gave in the end at each order (n, K): by its readings at rest, better by the energy between two of them that are far
    apart; where it was never seen at rest, by its gain, or what it gave last."""
    by_order = np.empty((len(trace), ORDERS))
    for place in range(ORDERS):
        mine = rests & (belongs == place)
        seen = mine.any(axis=1)
        begin, end = mine.argmax(axis=1), mine.shape[1] - 1 - mine[:, ::-1].argmax(axis=1)
        row = np.arange(len(trace))
        took_s = trace.at_s[row, end] - trace.at_s[row, begin]
        # The last one: a car of a very long delay had not begun yet at the first.
        rest_w = trace.power_w[row, end]
        with np.errstate(divide="ignore", invalid="ignore"):
            metered_w = (net_ws[row, end] - net_ws[row, begin]) / took_s
            alike = np.abs(metered_w - rest_w) <= 3.0 * (off.power_w + 2.0 * off.power_share * np.abs(rest_w))
        level_w = trace.level_w[:, place]
        here = (belongs == place) & ~np.isnan(trace.at_s)
        last = here.shape[1] - 1 - here[:, ::-1].argmax(axis=1)
        last_w = np.where(here.any(axis=1), trace.power_w[row, last], 0.0)
        asked_w = np.where(level_w > 0.0, trace.gain * level_w, np.where(level_w == 0.0, trace.idle_w, last_w))
        by_order[:, place] = np.where(seen & (took_s >= 30.0) & alike, metered_w, np.where(seen, rest_w, asked_w))
    return by_order


def _usable(trace: Trace, order_s: F4, belongs: NDArray[np.intp], rests: B1) -> tuple[B1, F8]:
    """Orders (n, K) that say something: carried out for sure, before which the car was at rest, or on the way of another such order. A car
    that is handed back moves when and where it likes. And the last reading before each, W."""
    usable, before_w = np.zeros(order_s.shape, dtype=np.bool_), np.zeros(order_s.shape)
    known, row = ~np.isnan(trace.at_s), np.arange(len(trace))
    for place in range(ORDERS):
        before = known & (trace.at_s <= order_s[:, place, None])
        last = before.shape[1] - 1 - before[:, ::-1].argmax(axis=1)
        seen = before.any(axis=1)
        before_w[:, place] = np.where(seen, trace.power_w[row, last], 0.0)
        # Of what was before the first order there is no more than one reading: the car had been left alone.
        stood = seen & (rests[row, last] & (belongs[row, last] == place - 1) if place else ~trace.lost)
        given = (order_s[:, place] < _NEVER_S) & ~trace.void[:, place] & ~np.isnan(trace.level_w[:, place])
        usable[:, place] = given & (stood | usable[:, place - 1])
    return usable, before_w


def _resolution_ws(net_ws: F4) -> F8:
    """The step of the registers (n,), Ws: the largest of 100, 10, 1 and 0.1 Wh that all their differences are multiples of."""
    moved_wh = np.nan_to_num(np.diff(net_ws, axis=1)) * WH_PER_WS
    found = np.full(len(net_ws), 0.1)
    for step_wh in (1.0, 10.0, 100.0):
        whole = (np.abs(moved_wh / step_wh - np.round(moved_wh / step_wh)) < 0.05 / min(step_wh, 2.0)).all(axis=1)
        found = np.where(whole, step_wh, found)
    return found / WH_PER_WS


def _sums(course: _Course, jitter_s: float, give_way: Callable[[], object]) -> F8:
    """Two banks, the second about the best of the first, and what the second tells."""
    n = len(course.at_s)
    # Lags rather than delays are on the grid: a record tells those best, and of two cars with one lag the delay is less by the half ramp.
    step_w = np.abs(np.diff(course.rest_w, axis=1, prepend=course.from_w[:, None]))
    shear = np.maximum(np.sqrt(np.mean(step_w**2, axis=1)) / 2.0 / _HALF_W, 0.2)[:, None]
    lags_s = np.tile(LONGEST_LAG_S * (np.arange(LAGS) / (LAGS - 1.0)) ** 1.3, (n, 1))
    slow = np.tile(np.linspace(np.log(_HALF_W / QUICKEST_W_PER_S), np.log(_HALF_W / SLOWEST_W_PER_S), RAMPS), (n, 1))
    for blur_s in (_COARSE_S, jitter_s):
        weight = _weights(course, lags_s, slow, shear, blur_s, give_way)
        lags_s, slow = _about(lags_s, weight.sum(axis=1), 0.1, FINER_LAGS), _about(slow, weight.sum(axis=2), 0.05, FINER_RAMPS)
    weight = _weights(course, lags_s, slow, shear, jitter_s, give_way)
    ramped_s = np.exp(slow)[:, :, None]
    delay_s = lags_s[:, None, :] - shear[:, :, None] * ramped_s
    return _as_transitions(*_moments(weight, delay_s, np.broadcast_to(ramped_s, weight.shape)))


def _about(grid: F8, weight: F8, least: float, points: int) -> F8:
    """A finer grid (n, points) about the best of a grid with these weights (n, G): three standard deviations to each side, or
    a step of before."""
    mean = (weight * grid).sum(axis=1, keepdims=True)
    spread = np.sqrt((weight * (grid - mean) ** 2).sum(axis=1, keepdims=True))
    best = weight.argmax(axis=1)
    steps = np.diff(grid, axis=1)
    step = np.take_along_axis(steps, np.clip(best[:, None], 0, steps.shape[1] - 1), axis=1)
    half = np.maximum(np.maximum(3.0 * spread, 1.0 * step), least)
    return np.asarray(mean + half * np.linspace(-1.0, 1.0, points))


def _weights(course: _Course, lags_s: F8, slow: F8, shear: F8, jitter_s: float, give_way: Callable[[], object]) -> F8:
    """How well each lag and slowness explains the readings, with what is known of cars at large: probabilities (n, R, L)."""
    ramped_s = np.exp(slow)
    cost = np.empty((len(lags_s), slow.shape[1], lags_s.shape[1]))
    width = np.gradient(lags_s, axis=1)
    for ramp in range(slow.shape[1]):
        delay_s = lags_s - shear * ramped_s[:, ramp, None]
        w_per_s = _HALF_W / ramped_s[:, ramp]
        far = (delay_s - _PRIOR_DELAY_S) / _PRIOR_DELAY_SD_S
        steep = (slow[:, ramp, None] - np.log(_HALF_W / _PRIOR_W_PER_S)) / _PRIOR_RAMP_SD
        own = _misfit(course, delay_s.astype(np.float32), w_per_s.astype(np.float32), jitter_s, give_way)
        cost[:, ramp] = np.where(delay_s >= 0.0, own + 0.5 * far**2 + 0.5 * steep**2 - np.log(width), np.inf)
    weight = np.exp(np.minimum(cost.min(axis=(1, 2), keepdims=True) - cost, 0.0))
    return np.asarray(weight / weight.sum(axis=(1, 2), keepdims=True))


def _misfit(course: _Course, delay_s: F4, w_per_s: F4, jitter_s: float, give_way: Callable[[], object]) -> F8:
    """Minus the logarithm of the likelihood of the readings (n, D), with these delays (n, D) and one ramp each (n,)."""
    begun_w, begun_ws, lasts_s = _begun(course, w_per_s)
    heard_s = course.at_s[:, :, None] - delay_s[:, None, :]
    # At a reading a car may still be about the order before the last.
    before, last = np.maximum(course.belongs - 1, 0), np.maximum(course.belongs, 0)
    from_w = _pick(begun_w, before)[:, :, None]
    power_w = np.repeat(from_w, delay_s.shape[1], axis=2)
    net_ws = _pick(begun_ws, before)[:, :, None] + from_w * (heard_s - _pick(course.order_s, before)[:, :, None])
    blurred_w, jitter = np.zeros_like(power_w), np.float32(jitter_s)
    for which, counts in ((before, course.belongs > 0), (last, course.belongs >= 0)):
        give_way()
        step_w = _pick(course.rest_w, which) - _pick(begun_w, which)
        ramp = (np.sign(step_w) * w_per_s[:, None])[:, :, None]
        most_s = (np.minimum(np.abs(step_w) / w_per_s[:, None], _pick(lasts_s, which)) * counts)[:, :, None]
        since_s = heard_s - _pick(course.order_s, which)[:, :, None]
        ramped_s = np.clip(since_s, 0.0, most_s)
        moved_w = ramp * ramped_s
        power_w += moved_w
        net_ws += moved_w * (since_s - ramped_s / np.float32(2.0))
        blurred_w += ramp * (np.clip(since_s + jitter, 0.0, most_s) - np.clip(since_s - jitter, 0.0, most_s))
    give_way()
    off_w = power_w - course.power_w[:, :, None]
    misfit = _truncated(off_w, course.power_sd[:, :, None] ** 2, (blurred_w / np.float32(2.0)) ** 2)
    cost = np.where(course.told[:, :, None], misfit, 0.0).sum(axis=1)
    give_way()
    off_ws = np.diff(net_ws, axis=1) - np.diff(course.net_ws, axis=1)[:, :, None]
    misfit = _truncated(off_ws, course.energy_var[:, 1:, None], (jitter * np.diff(power_w, axis=1)) ** 2)
    cost += np.where(course.metered[:, 1:, None], misfit, 0.0).sum(axis=1)
    return np.asarray(cost, dtype=np.float64)


def _begun(course: _Course, w_per_s: F4) -> tuple[F4, F4, F4]:
    """Power and energy since the first order, of a car without delay, when each order comes, and how long it lasts (n, K)."""
    power_w, net_ws = np.empty_like(course.rest_w), np.empty_like(course.rest_w)
    lasts_s = np.diff(course.order_s, axis=1, append=_NEVER_S)
    at_w, at_ws = course.from_w, np.zeros_like(course.from_w)
    for place in range(ORDERS):
        at_w = np.where(course.usable[:, place], at_w, course.rest_w[:, place])
        power_w[:, place], net_ws[:, place] = at_w, at_ws
        step_w = course.rest_w[:, place] - at_w
        ramped_s = np.minimum(lasts_s[:, place], np.abs(step_w) / w_per_s)
        moved_w = np.sign(step_w) * w_per_s * ramped_s
        at_ws = at_ws + at_w * lasts_s[:, place] + moved_w * (lasts_s[:, place] - ramped_s / np.float32(2.0))
        at_w = at_w + moved_w
    return power_w, net_ws, lasts_s


def _truncated(off: F4, variance: F4, more: F4) -> F4:
    total = variance + more
    return np.asarray(np.float32(0.5) * (np.minimum(off * off / total, np.float32(_FARTHEST**2)) + np.log(total / variance)))


def _moments(weight: F8, delay_s: F8, ramped_s: F8) -> tuple[F8, F8]:
    """Mean (n, 2) and covariance (n, 2, 2) of delay and half ramp."""
    both = np.stack([delay_s, ramped_s], axis=-1).reshape(len(weight), -1, 2)
    share = weight.reshape(len(weight), -1)
    mean = np.einsum("ng,ngi->ni", share, both)
    off = both - mean[:, None]
    return mean, np.einsum("ng,ngi,ngj->nij", share, off, off)


def _as_transitions(mean: F8, covariance: F8) -> F8:
    """As what sums over transitions (n, 5) a mean and a covariance count, without what was assumed; one transition tells its lag to a
    second."""
    covariance = covariance + np.eye(2) * 0.05**2
    inverse = np.linalg.inv(covariance)
    strength, axes = np.linalg.eigh(inverse)
    assumed = 1.0 / _PRIOR_DELAY_SD_S**2
    strength = np.clip(strength - assumed, 0.0, None)
    tells = np.einsum("nik,nk,njk->nij", axes, strength, axes)
    right = np.einsum("nij,nj->ni", tells, mean)
    sums = np.stack([tells[:, 0, 0], tells[:, 0, 1] * _HALF_W, tells[:, 1, 1] * _HALF_W**2, right[:, 0], right[:, 1] * _HALF_W], axis=1)
    return np.where(sums[:, :1] >= _LEAST_COUNT, sums, 0.0)
