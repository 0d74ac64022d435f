"""Delay and ramp from what an event showed: hand-made records of cars whose delay and ramp are known, and records that tell nothing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.engine.control.identification import AT_ONCE, Off, identify
from counterflow.engine.control.traces import ORDERS, SAMPLES, Trace

REST_S = 30.0
EXACT = Off(jitter_s=0.05)
MOVES = ((0.0, 7_000.0), (92.0, 0.0), (174.0, 11_000.0), (266.0, 2_000.0), (358.0, 9_000.0))
"""Orders: when, and the level."""


def drive(delay_s: float, ramp_w_per_s: float, moves: Any, times_s: Any, from_w: float = 0.0) -> tuple[Any, Any]:
    """Power and energy at these times, of a car that stood at `from_w`."""
    fine_s = np.arange(-200.0, 800.0, 0.02)
    wanted_w = np.full(fine_s.size, from_w)
    for at_s, level_w in moves:
        wanted_w[fine_s >= at_s + delay_s] = level_w
    power_w = np.empty(fine_s.size)
    now_w = from_w
    for place, want_w in enumerate(wanted_w.tolist()):
        now_w += min(max(want_w - now_w, -0.02 * ramp_w_per_s), 0.02 * ramp_w_per_s)
        power_w[place] = now_w
    net_wh = np.cumsum(power_w - np.diff(power_w, prepend=from_w) / 2.0) * 0.02 / 3_600.0
    return np.interp(times_s, fine_s + 0.02, power_w), np.interp(times_s, fine_s + 0.02, net_wh)


def record(
    delay_s: float,
    ramp_w_per_s: float,
    moves: Any = MOVES,
    *,
    every_s: float = 10.0,
    phase_s: float = 3.0,
    step_wh: float = 0.0,
    from_w: float = 0.0,
    **columns: Any,
) -> Trace:
    """The record of one session, with the readings that are kept: the last before each order, and all until one at rest."""
    ends_s = [at_s for at_s, _ in moves[1:]] + [moves[-1][0] + 100.0]
    times_s = np.arange(-every_s + phase_s, ends_s[-1], every_s)
    kept: set[float] = set()
    for (at_s, _), end_s in zip(moves, ends_s, strict=True):
        before, after = times_s[times_s <= at_s], times_s[(times_s > at_s) & (times_s <= end_s)]
        rests = after[after - at_s > REST_S]
        kept |= {*before[-1:].tolist(), *after[after - at_s <= REST_S].tolist(), *rests[:1].tolist()}
    kept_s = np.array(sorted(kept))[-SAMPLES:]
    power_w, net_wh = drive(delay_s, ramp_w_per_s, moves, kept_s, from_w)
    if step_wh:
        net_wh = np.floor(net_wh / step_wh) * step_wh

    def row(values: Any, size: int) -> Any:
        full = np.full((1, size), np.nan, dtype=np.float32)
        full[0, : len(values)] = values
        return full

    made = Trace(
        uid=np.array([1]),
        at_s=row(kept_s, SAMPLES),
        power_w=row(power_w, SAMPLES),
        net_wh=row(net_wh, SAMPLES),
        order_s=row([at_s for at_s, _ in moves], ORDERS),
        level_w=row([level_w for _, level_w in moves], ORDERS),
        rest_s=row([REST_S] * len(moves), ORDERS),
        void=np.zeros((1, ORDERS), dtype=np.bool_),
        lost=np.zeros(1, dtype=np.bool_),
        gain=np.ones(1),
        idle_w=np.zeros(1),
    )
    return replace(made, **columns)


def together(*records: Trace) -> Trace:
    return Trace(**{name: np.concatenate([getattr(one, name) for one in records]) for name in Trace.__struct_fields__})


def told(sums: Any) -> tuple[float, float]:
    """Delay and ramp that one session's sums say, by themselves."""
    count, half_w, half_w2, lag_s, lag_half = sums
    delay_s, s_per_w = np.linalg.solve([[count, half_w], [half_w, half_w2]], [lag_s, lag_half])
    return float(delay_s), float(1.0 / s_per_w)


def lag_s(sums: Any, step_w: float) -> float:
    delay_s, ramp_w_per_s = told(sums)
    return delay_s + step_w / ramp_w_per_s / 2.0


@pytest.mark.parametrize("every_s", [1.0, 5.0, 10.0])
@pytest.mark.parametrize(("delay_s", "ramp_w_per_s"), [(2.0, 3_000.0), (4.0, 2_000.0), (8.5, 900.0), (11.0, 1_500.0)])
def test_without_noise_delay_and_ramp_are_found_as_they_are(every_s: float, delay_s: float, ramp_w_per_s: float) -> None:
    moves = MOVES if every_s > 1.0 else MOVES[:2]
    exact = record(delay_s, ramp_w_per_s, moves, every_s=every_s)
    found_s, found_w_per_s = told(identify(exact, EXACT)[0])
    assert found_s == pytest.approx(delay_s, abs=0.15)
    assert found_w_per_s == pytest.approx(ramp_w_per_s, rel=0.12)
    found_s, found_w_per_s = told(identify(exact)[0])
    assert found_s == pytest.approx(delay_s, abs=0.3)
    assert found_w_per_s == pytest.approx(ramp_w_per_s, rel=0.2)


@settings(max_examples=30, deadline=None)
@given(
    delay_s=st.floats(0.5, 12.0),
    ramp_w_per_s=st.floats(700.0, 8_000.0),
    phase_s=st.floats(0.1, 9.9),
    from_w=st.sampled_from([0.0, -7_000.0]),
)
def test_the_lag_of_a_step_is_told_to_half_a_second_whenever_readings_come(
    delay_s: float, ramp_w_per_s: float, phase_s: float, from_w: float
) -> None:
    [sums] = identify(record(delay_s, ramp_w_per_s, phase_s=phase_s, from_w=from_w, step_wh=1.0))
    assert lag_s(sums, 8_000.0) == pytest.approx(delay_s + 4_000.0 / ramp_w_per_s, abs=0.5)
    # Sums of transitions: a count, and squares that can be.
    assert np.isfinite(sums).all()
    assert 0.0 < sums[0] < 1_000.0
    assert sums[0] * sums[2] >= sums[1] ** 2 * (1.0 - 1e-9)


def test_a_longer_delay_and_a_slower_ramp_are_told_as_such() -> None:
    delays = [told(sums)[0] for sums in identify(together(*(record(delay_s, 2_000.0) for delay_s in (1.0, 3.0, 5.0, 8.0, 12.0))))]
    assert delays == sorted(delays)
    ramps = [told(sums)[1] for sums in identify(together(*(record(5.0, ramp) for ramp in (600.0, 1_000.0, 2_000.0, 4_000.0))))]
    assert ramps == sorted(ramps)
    assert min(delays) >= 0.0


def test_a_delay_beyond_the_bank_counts_for_less_than_one_transition() -> None:
    moves = ((0.0, 7_000.0), (300.0, 0.0))
    [sums] = identify(record(70.0, 2_000.0, moves))
    assert sums[0] < 1.0 or 40.0 <= lag_s(sums, 7_000.0) <= 60.0


def test_meters_of_a_minute_tell_the_lag_by_their_registers() -> None:
    moves = tuple((150.0 * place, (0.0, 9_000.0)[place % 2 == 0]) for place in range(5))
    [sums] = identify(record(6.0, 1_500.0, moves, every_s=60.0, phase_s=20.0, step_wh=1.0))
    assert lag_s(sums, 9_000.0) == pytest.approx(9.0, abs=0.6)
    [without] = identify(record(6.0, 1_500.0, moves, every_s=60.0, phase_s=20.0, net_wh=np.full((1, SAMPLES), np.nan, dtype=np.float32)))
    assert without[0] < 0.25 * sums[0], "power alone tells next to nothing"


def test_steps_that_never_came_to_rest_teach_too() -> None:
    moves = tuple((20.0 * place, (8_000.0, 1_000.0)[place % 2]) for place in range(8))
    found_s, found_w_per_s = told(identify(record(5.0, 700.0, moves, phase_s=3.7))[0])
    assert found_s == pytest.approx(5.0, abs=0.4)
    assert found_w_per_s == pytest.approx(700.0, rel=0.1)


def test_more_of_the_same_tells_more() -> None:
    little, much = identify(together(record(5.0, 2_000.0, MOVES[:1]), record(5.0, 2_000.0)))
    assert 0.0 < little[0] < much[0]


def test_registers_in_large_steps_count_for_little_and_mislead_nobody() -> None:
    fine, coarse = identify(together(record(5.0, 1_000.0, step_wh=1.0), record(5.0, 1_000.0, step_wh=100.0)))
    assert coarse[0] < fine[0]
    assert lag_s(coarse, 7_000.0) == pytest.approx(8.5, abs=1.5)


def test_a_reading_that_is_nonsense_changes_little() -> None:
    good = record(5.0, 1_000.0)
    bad = replace(good, power_w=good.power_w.copy())
    bad.power_w[0, 4] = 50_000.0
    [sums] = identify(bad)
    assert lag_s(sums, 7_000.0) == pytest.approx(8.5, abs=0.4)


@pytest.mark.parametrize(
    "columns",
    [
        {"at_s": np.full((1, SAMPLES), np.nan, dtype=np.float32)},
        {"order_s": np.full((1, ORDERS), np.nan, dtype=np.float32)},
        {"void": np.ones((1, ORDERS), dtype=np.bool_)},
    ],
    ids=["no readings", "no orders", "nothing was carried out for sure"],
)
def test_what_tells_nothing_is_nothing(columns: dict[str, Any]) -> None:
    assert identify(record(5.0, 2_000.0, **columns)).tolist() == [[0.0] * 5]


def test_where_the_car_stood_before_the_first_order_must_be_known() -> None:
    # More orders than are kept: the first of these may have come in the middle of another one.
    one, two = record(5.0, 2_000.0, MOVES[:1]), record(5.0, 2_000.0, MOVES[:2])
    assert identify(replace(one, lost=np.array([True]))).tolist() == [[0.0] * 5]
    [sums] = identify(replace(two, lost=np.array([True])))
    assert 0.0 < sums[0] < identify(two)[0][0], "the second begins where the first one came to rest"


def test_a_car_that_does_not_move_teaches_nothing() -> None:
    [sums] = identify(record(5.0, 2_000.0, ((0.0, 0.0), (90.0, 100.0), (170.0, 0.0))))
    assert sums[0] < 0.3


def test_each_session_is_found_by_itself_however_many_there_are() -> None:
    ramps = np.linspace(800.0, 5_000.0, 7)
    few = [record(1.0 + place, float(ramp), every_s=(10.0, 20.0)[place % 2]) for place, ramp in enumerate(ramps)]
    alone = np.concatenate([identify(one) for one in few])
    many = together(*few, *(few[place % 7] for place in range(AT_ONCE)))
    assert np.allclose(identify(many)[:7], alone, rtol=0.05)
    assert identify(many.some(np.zeros(0, dtype=np.intp))).shape == (0, 5)


def test_others_are_let_past_every_few_milliseconds_and_that_changes_nothing() -> None:
    few = together(*(record(5.0, 2_000.0) for _ in range(AT_ONCE)))
    asked: list[int] = []
    assert np.array_equal(identify(few, give_way=lambda: asked.append(1)), identify(few))
    assert len(asked) > 100


@pytest.mark.parametrize("power_w", [np.inf, -np.inf, 1e30])
@pytest.mark.filterwarnings("error")
def test_a_reading_beyond_all_reckoning_leaves_the_records_of_others_as_they_are(power_w: float) -> None:
    good = record(5.0, 1_500.0)
    bad = replace(good, power_w=good.power_w.copy())
    bad.power_w[0, 4] = power_w
    alone, beside, mad = *identify(good), *identify(together(good, bad))
    assert np.allclose(alone, beside)
    assert np.isfinite(mad).all()


def test_what_a_record_tells_does_not_depend_on_the_company_it_is_in() -> None:
    # Never seen at rest, and on the whole it gave what it gave last.
    few = record(8.0, 500.0, ((0.0, 9_000.0), (15.0, 4_000.0), (30.0, 9_000.0)), phase_s=1.0)
    short = {name: np.where(few.at_s > 35.0, np.float32(np.nan), getattr(few, name)) for name in ("at_s", "power_w")}
    last_w = short["power_w"][0, np.count_nonzero(~np.isnan(short["at_s"])) - 1]
    few = replace(few, **short, net_wh=last_w * (short["at_s"] - short["at_s"][0, 0]) / np.float32(3_600.0))
    many = record(5.0, 2_000.0)
    alone, _ = identify(together(few, few))
    beside, _ = identify(together(few, many))
    assert alone[0] > 0.0
    assert alone.tolist() == beside.tolist()
