"""A fleet of which the truth is known, and what its meters told: aligned or not, whole or with everything that registers do."""

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.delivery import LogEntry, LogKind, Sample, Stored
from counterflow.domain.ids import ALL_SITES, DispatchId, SessionUid
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep
from counterflow.domain.settlement import CarState
from counterflow.domain.units import WH_PER_WS

F8 = NDArray[np.float64]

START_S = 1_795_366_800.0
WINDOW_S = 3000.0
MARGIN_S = 1000.0
SESSIONS = 300
LATE_S = 3600.0


class Sampling(NamedTuple):
    """How meters are read, and what goes wrong with it. Shares are of sessions, but for `lost` and `late`, which are of messages."""

    interval_s: float
    aligned: bool = True
    resolution_wh: float = 1.0
    lost: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    resets: float = 0.0
    rollovers: float = 0.0


class Metered(NamedTuple):
    """What is stored, and what each session truly delivered in the window (N,), Wh."""

    stored: Stored
    true_wh: F8


def metered(seed: int, sampling: Sampling, sessions: int = SESSIONS) -> Metered:
    """A window of 50 minutes in which the setpoints change four times, cars follow with delay and ramp, and registers count."""
    rng = np.random.default_rng(seed)
    at_s = np.arange(-MARGIN_S, WINDOW_S + MARGIN_S + 1.0)
    samples: list[Sample] = []
    log: list[LogEntry] = []
    true_wh = np.empty(sessions)
    for row in range(sessions):
        uid = SessionUid(row + 1)
        power_w = _power_w(rng, at_s)
        out_wh, in_wh = _register(np.maximum(-power_w, 0.0)), _register(np.maximum(power_w, 0.0))
        begin, end = np.searchsorted(at_s, [0.0, WINDOW_S])
        true_wh[row] = (out_wh[end] - out_wh[begin]) - (in_wh[end] - in_wh[begin])
        samples += _told(rng, uid, sampling, at_s, power_w, out_wh, in_wh)
        log.append(entry(row, START_S - 30.0, LogKind.JOINED))
        log.append(entry(row, START_S, LogKind.SETPOINT, power_w=-11_000.0))
    return Metered(Stored(instruction=instruction(sessions), log=tuple(log), samples=tuple(samples)), true_wh)


def instruction(sessions: int, mode: DispatchMode = DispatchMode.NET_EXPORT, length_s: float = WINDOW_S) -> DispatchInstruction:
    """The order that they follow."""
    return DispatchInstruction(
        dispatch_id=DispatchId("bench"),
        start_s=START_S,
        end_s=START_S + length_s,
        steps=(TargetStep(from_s=START_S, discharge_power_w=7_000.0 * sessions),),
        pool=ALL_SITES,
        policy=AllocationPolicy.HYBRID,
        mode=mode,
        priority=0,
        accepted_at_s=START_S - 60.0,
        state=DispatchState.COMPLETED,
    )


def entry(row: int, at_s: float, kind: str, power_w: float | None = None, car: CarState | None = None) -> LogEntry:
    """A line of the log about one session."""
    return LogEntry(
        at_s=at_s,
        kind=kind,
        session_uid=SessionUid(row + 1),
        station_id=f"CS{row:04d}",
        transaction_id=f"T{row:04d}",
        evse_id=1,
        power_w=power_w,
        car=car,
    )


def _power_w(rng: np.random.Generator, at_s: F8) -> F8:
    """Import positive: what it did before, four levels of discharge, and back; each change with a delay and a ramp of its own."""
    before_w = float(rng.choice([0.0, 0.0, 5_000.0, 9_000.0]))
    levels = [before_w, *(-11_000.0 * rng.uniform(0.3, 1.0, 4)), before_w]
    changes_s = np.concatenate(([0.0], np.sort(rng.uniform(300.0, WINDOW_S - 300.0, 3)), [WINDOW_S])) + rng.uniform(1.0, 9.0, 5)
    knots_s, powers_w = [at_s[0] - 1.0], [before_w]
    for change_s, was_w, next_w in zip(changes_s, levels, levels[1:], strict=False):
        begins_s = max(change_s, knots_s[-1] + 1e-3)
        knots_s += [begins_s, begins_s + abs(next_w - was_w) / rng.uniform(500.0, 5_000.0)]
        powers_w += [was_w, next_w]
    power_w: F8 = np.interp(at_s, knots_s, powers_w) * (1.0 + 0.01 * np.sin(at_s / rng.uniform(20.0, 90.0)))
    return power_w


def _register(rate_w: F8) -> F8:
    """Cumulative energy of a rate that is straight between the seconds, Wh."""
    return np.concatenate(([0.0], np.cumsum(0.5 * (rate_w[1:] + rate_w[:-1])))) * WH_PER_WS


def _told(rng: np.random.Generator, uid: SessionUid, sampling: Sampling, at_s: F8, power_w: F8, out_wh: F8, in_wh: F8) -> list[Sample]:
    """The meter values of one session as they came in."""
    phase_s = 0.0 if sampling.aligned else float(rng.integers(0, int(sampling.interval_s)))
    when = np.flatnonzero((at_s - phase_s) % sampling.interval_s == 0.0)
    noisy_w = power_w[when] * (1.0 + rng.normal(0.0, 0.005, len(when))) + rng.normal(0.0, 30.0, len(when))
    out, into = _faulty(rng, sampling, out_wh[when] + rng.uniform(0.0, 5e4)), in_wh[when] + rng.uniform(0.0, 5e4)
    edges = np.isin(at_s[when], (0.0, WINDOW_S))
    kept = edges | (rng.random(len(when)) >= sampling.lost)
    delay_s = np.where(rng.random(len(when)) < sampling.late, rng.uniform(60.0, LATE_S, len(when)), rng.uniform(0.1, 1.0, len(when)))
    steps = sampling.resolution_wh
    columns = (at_s[when], noisy_w, out // steps * steps, into // steps * steps, delay_s)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    told = [Sample(uid, START_S + at, watts, x, m, float("nan"), START_S + at + delay) for at, watts, x, m, delay in rows]
    chosen = [sample for sample, is_kept in zip(told, kept.tolist(), strict=True) if is_kept]
    again = [replace(sample, received_s=sample.received_s + 1.0) for sample in chosen if rng.random() < sampling.repeated]
    return chosen + again


def _faulty(rng: np.random.Generator, sampling: Sampling, out_wh: F8) -> F8:
    """A register that starts again at nothing in mid-window, or turns over at a full counter."""
    place = int(rng.integers(len(out_wh) // 3, 2 * len(out_wh) // 3))
    what = rng.random()
    if what < sampling.resets:
        # The power was cut somewhere between two readings: the register begins again from nothing there.
        lost = out_wh[place - 1] + rng.random() * (out_wh[place] - out_wh[place - 1])
        return np.where(np.arange(len(out_wh)) < place, out_wh, out_wh - lost)
    if what < sampling.resets + sampling.rollovers:
        counter_wh = float(rng.choice([65_536.0, 1e5, 1e6]))
        turned: F8 = np.mod(out_wh - out_wh[place] + counter_wh, counter_wh)
        return turned
    return out_wh


def in_any_order(stored: Stored, seed: int) -> Stored:
    """The same meter values in another order, a third of them twice."""
    rng = np.random.default_rng(seed)
    samples = list(stored.samples)
    samples += [samples[place] for place in rng.integers(0, len(samples), len(samples) // 3).tolist()]
    return replace(stored, samples=tuple(samples[place] for place in rng.permutation(len(samples)).tolist()))


def received_by(stored: Stored, at_s: float) -> Stored:
    """What had come in by an instant."""
    return replace(stored, samples=tuple(sample for sample in stored.samples if sample.received_s <= at_s))
