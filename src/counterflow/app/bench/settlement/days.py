"""Days at a depot of which the truth is known: what the cars drew, and what they would have drawn without a dispatch.

Each EVSE has its habits: when its car comes, how empty, how fast it charges. On the day of the dispatch the cars that charge at its start
are paused for an hour, and charge on afterwards; beside it runs the same day without it. Ten earlier weekdays are kept as history.
"""

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.app.bench.settlement.metered import START_S, entry, instruction
from counterflow.domain.delivery import LogEntry, LogKind, Sample, Stored
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import CarState, PastSession
from counterflow.domain.units import DAY_S, WH_PER_WS

F8 = NDArray[np.float64]
B1 = NDArray[np.bool_]

EVSES = 200
HISTORY_DAYS = 10
WINDOW_S = 3600.0
QUARTER_S = 900.0

_STEP_S = 30.0
_BEFORE_S = 7200.0
_AFTER_S = 3600.0
_TIMES_S = np.arange(-_BEFORE_S, WINDOW_S + _AFTER_S + _STEP_S, _STEP_S)
"""From the start of the window."""
_LEAST_W = 100.0


class Habits(NamedTuple):
    """What an EVSE's car is like, day after day; (N,) each."""

    comes_s: F8
    power_w: F8
    capacity_wh: F8
    target: F8
    efficiency: F8
    taper_slope: F8


class Day(NamedTuple):
    """Power (N, T), W, and state of charge (N, T) at `_TIMES_S`."""

    power_w: F8
    soc: F8


class Played(NamedTuple):
    """A relative dispatch as it is stored, and what its members would have drawn in its window, and in the first quarter of it, Wh."""

    stored: Stored
    would_wh: float
    quarter_wh: float
    would_w: F8
    """The same as power, minute by minute (60,), W."""


def played(seed: int, evses: int = EVSES) -> Played:
    """One day with a dispatch, and what was kept of the days before."""
    rng = np.random.default_rng(seed)
    habits = _habits(rng, evses)
    arrival, plain = _drawn_day(rng, habits)
    start = int(np.searchsorted(_TIMES_S, 0.0))
    member = plain.power_w[:, start] >= _LEAST_W
    paused = _charge(habits, arrival, member)
    would_wh = _energy_wh(plain.power_w[member]).sum(axis=0)
    log: list[LogEntry] = []
    for row in np.flatnonzero(member).tolist():
        power_w = float(plain.power_w[row, start])
        told_soc = round(float(plain.soc[row, start]) + float(rng.normal(0.0, 0.01)), 2)
        car = CarState(power_w, told_soc, float(habits.capacity_wh[row]), float(habits.power_w[row]), float(habits.target[row]))
        log += [
            entry(row, START_S, LogKind.JOINED),
            entry(row, START_S, LogKind.BASELINE, power_w=power_w),
            entry(row, START_S, LogKind.CAR, car=car),
            entry(row, START_S, LogKind.SETPOINT, power_w=0.0),
        ]
    rows = np.flatnonzero(member).tolist()
    samples = [sample for row in rows for sample in _samples(rng, SessionUid(row + 1), paused.power_w[row], 60.0, 0.0)]
    stored = Stored(instruction=instruction(evses, DispatchMode.RELATIVE, WINDOW_S), log=tuple(log), samples=tuple(samples))
    quarter = int(QUARTER_S / _STEP_S)
    minutes_w = np.diff(would_wh[:: int(60.0 / _STEP_S)]) * 60.0
    kept = _with_history(rng, habits, stored, evses)
    return Played(kept, float(would_wh[-1]), float(would_wh[quarter]), minutes_w)


def _with_history(rng: np.random.Generator, habits: Habits, stored: Stored, evses: int) -> Stored:
    history: list[Sample] = []
    past: list[PastSession] = []
    days_s = tuple(START_S - back * DAY_S for back in range(1, HISTORY_DAYS + 1))
    for number, day_s in enumerate(days_s, start=1):
        _, day = _drawn_day(rng, habits)
        for row in range(evses):
            uid = SessionUid(100_000 * number + row + 1)
            past.append(PastSession(session_uid=uid, station_id=f"CS{row:04d}", evse_id=1, day_start_s=day_s))
            history += _samples(rng, uid, day.power_w[row], 300.0, day_s - START_S)
    return replace(stored, history=tuple(history), past=tuple(past), past_days_s=days_s)


def _habits(rng: np.random.Generator, evses: int) -> Habits:
    return Habits(
        comes_s=rng.normal(-3600.0, 5400.0, evses),
        power_w=rng.choice([3_700.0, 7_400.0, 11_000.0], evses),
        capacity_wh=rng.uniform(40_000.0, 80_000.0, evses),
        target=rng.choice([0.8, 0.9, 1.0], evses),
        efficiency=rng.normal(0.92, 0.02, evses),
        taper_slope=rng.normal(3.75, 0.75, evses),
    )


def _drawn_day(rng: np.random.Generator, habits: Habits) -> tuple[tuple[F8, F8], Day]:
    """When each car comes on a day and how full, and how it charges then; one in eight does not come."""
    evses = len(habits.comes_s)
    comes_s = np.where(rng.random(evses) < 0.125, np.inf, habits.comes_s + rng.normal(0.0, 2400.0, evses))
    arrival = (comes_s, rng.uniform(0.3, 0.85, evses))
    return arrival, _charge(habits, arrival, np.zeros(evses, dtype=np.bool_))


def _charge(habits: Habits, arrival: tuple[F8, F8], paused: B1) -> Day:
    """Charging from arrival on, slower as a battery fills, up to its target; `paused` cars draw nothing inside the window."""
    comes_s, soc = arrival
    # Cars that came before the first instant have charged since.
    early_s = np.clip(_TIMES_S[0] - comes_s, 0.0, None)
    into_wh = habits.power_w * habits.efficiency * WH_PER_WS * np.where(np.isfinite(early_s), early_s, 0.0)
    soc = np.minimum(soc + into_wh / habits.capacity_wh, habits.target)
    power, socs = np.zeros((len(soc), len(_TIMES_S))), np.zeros((len(soc), len(_TIMES_S)))
    for column, at_s in enumerate(_TIMES_S.tolist()):
        taper = np.clip(1.0 - habits.taper_slope * (soc - 0.8), 0.1, 1.0)
        draws_w = np.where((comes_s <= at_s) & (soc < habits.target), habits.power_w * taper, 0.0)
        draws_w = np.where(paused & (0.0 <= at_s < WINDOW_S), 0.0, draws_w)
        power[:, column], socs[:, column] = draws_w, soc
        soc = soc + draws_w * _STEP_S * WH_PER_WS * habits.efficiency / habits.capacity_wh
    return Day(power, socs)


def _energy_wh(power_w: F8) -> F8:
    """Cumulative energy inside the window, (N, steps + 1), Wh."""
    begin, end = np.searchsorted(_TIMES_S, [0.0, WINDOW_S])
    steps_wh = power_w[:, begin:end] * _STEP_S * WH_PER_WS
    return np.concatenate((np.zeros((len(power_w), 1)), np.cumsum(steps_wh, axis=1)), axis=1)


def _samples(rng: np.random.Generator, uid: SessionUid, power_w: F8, every_s: float, shift_s: float) -> list[Sample]:
    """Meter values of one car, every so often; the import register in whole Wh."""
    register_wh = rng.uniform(0.0, 5e5) + np.concatenate(([0.0], np.cumsum(power_w[:-1]))) * _STEP_S * WH_PER_WS
    read = np.flatnonzero(_TIMES_S % every_s == 0.0)
    rows = zip(_TIMES_S[read].tolist(), power_w[read].tolist(), np.floor(register_wh[read]).tolist(), strict=True)
    nan = float("nan")
    return [Sample(uid, START_S + shift_s + at, watts, nan, wh, nan, START_S + shift_s + at + 0.5) for at, watts, wh in rows]
