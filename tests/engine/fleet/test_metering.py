"""How samples become readings, each with its own time."""

from collections.abc import Callable
from math import isnan, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Yard = Any
"""`conftest.Yard`; tests share code through fixtures only."""


def test_each_reading_keeps_its_own_time(yard: Yard, t0: float) -> None:
    yard.start()
    yard.sample(at=10.0, power_w=-7000.0)
    yard.sample(at=20.0, export_wh=100.0, import_wh=200.0)
    yard.sample(at=30.0, soc_frac=0.5)
    assert [yard.cell(name) for name in ("power_w", "export_wh", "import_wh", "soc_frac")] == [-7000.0, 100.0, 200.0, 0.5]
    assert [yard.cell(name) - t0 for name in ("power_at_s", "register_at_s", "soc_at_s")] == [10.0, 20.0, 30.0]


def test_what_is_missing_stays_unknown(yard: Yard) -> None:
    yard.start()
    yard.sample(at=10.0, export_wh=100.0)
    assert isnan(yard.cell("power_w"))
    assert isnan(yard.cell("last_sample_s"))
    assert isnan(yard.cell("import_wh"))
    assert isnan(yard.cell("soc_frac"))


def test_older_readings_never_replace_newer(yard: Yard) -> None:
    yard.start()
    yard.sample(at=20.0, power_w=-1.0, export_wh=10.0, import_wh=10.0, soc_frac=0.5)
    yard.sample(at=10.0, power_w=-2.0, export_wh=5.0, import_wh=5.0, soc_frac=0.6)
    assert [yard.cell(name) for name in ("power_w", "export_wh", "import_wh", "soc_frac")] == [-1.0, 10.0, 10.0, 0.5]


def test_equal_times_complete_each_other_as_split_events_do(yard: Yard) -> None:
    yard.start()
    yard.sample(at=20.0, power_w=-1.0)
    yard.sample(at=20.0, soc_frac=0.5, export_wh=3.0)
    assert (yard.cell("power_w"), yard.cell("soc_frac"), yard.cell("export_wh")) == (-1.0, 0.5, 3.0)


def test_offline_readings_count_by_time_but_are_never_fresh(yard: Yard, t0: float) -> None:
    yard.start()
    yard.sample(at=10.0, power_w=-1.0, offline=True)
    assert yard.cell("power_w") == -1.0
    assert isnan(yard.cell("last_sample_s"))
    yard.sample(at=20.0, power_w=-2.0)
    yard.sample(at=15.0, power_w=-3.0, offline=True)
    assert yard.cell("power_w") == -2.0
    assert yard.cell("last_sample_s") == t0 + 20.0


def test_a_clock_far_ahead_is_replaced_by_the_time_of_arrival(yard: Yard, t0: float) -> None:
    yard.start()
    yard.update(at=0.0, measurements=yard.reading(3600.0, power_w=-1.0))
    assert yard.cell("power_at_s") == t0
    yard.update(at=10.0, measurements=yard.reading(40.0, power_w=-2.0))
    assert yard.cell("power_at_s") == t0 + 40.0


@pytest.mark.parametrize("off_s", [-300.0, -31.0, 31.0, 3600.0])
def test_gotcha_20_a_reading_dated_far_from_its_arrival_is_noted_until_one_comes_that_is_not(yard: Yard, off_s: float) -> None:
    yard.start()
    yard.update(at=10.0, measurements=yard.reading(10.0 + off_s, power_w=-1.0))
    assert yard.cell("misdated_at_s") == yard.cell("power_at_s")
    yard.update(at=20.0, measurements=yard.reading(19.0, power_w=-1.0))
    assert yard.cell("misdated_at_s") != yard.cell("power_at_s")


def test_old_readings_beside_a_new_one_and_those_of_an_offline_time_say_nothing_of_the_clock(yard: Yard) -> None:
    yard.start()
    readings = yard.reading(0.0, power_w=-1.0) + yard.reading(30.0, power_w=-1.0) + yard.reading(59.0, power_w=-1.0)
    yard.update(at=60.0, measurements=readings)
    assert yard.cell("misdated_at_s") != yard.cell("power_at_s")
    yard.update(at=200.0, measurements=yard.reading(100.0, power_w=-1.0), offline=True)
    assert yard.cell("misdated_at_s") != yard.cell("power_at_s")


def test_the_confirmed_meter_interval_wins_over_the_observed_one(yard: Yard) -> None:
    yard.start()
    assert isnan(yard.cell("meter_interval_s"))
    for at in (10.0, 40.0, 40.0, 70.0):
        yard.sample(at=at, power_w=0.0)
    assert yard.cell("meter_interval_s") == 30.0
    yard.sample(at=110.0, power_w=0.0)
    assert yard.cell("meter_interval_s") == pytest.approx(32.0)
    yard.discover(interval=5.0)
    yard.sample(at=200.0, power_w=0.0)
    assert yard.cell("meter_interval_s") == 5.0


def test_a_gap_of_hours_is_not_a_spacing(yard: Yard) -> None:
    yard.start()
    for at in (10.0, 20.0, 9000.0, 9010.0):
        yard.sample(at=at, power_w=0.0)
    assert yard.cell("meter_interval_s") == 10.0


def test_dead_reckoning_starts_at_the_registers_of_the_report(yard: Yard) -> None:
    yard.start()
    yard.sample(at=10.0, export_wh=100.0, import_wh=200.0, soc_frac=0.5)
    yard.sample(at=20.0, export_wh=150.0, import_wh=260.0)
    assert (yard.cell("soc_export_wh"), yard.cell("soc_import_wh")) == (100.0, 200.0)


def test_a_report_between_registers_counts_exports_before_it_and_imports_only_after(yard: Yard) -> None:
    yard.start()
    yard.sample(at=10.0, export_wh=100.0, import_wh=200.0)
    yard.sample(at=15.0, soc_frac=0.5)
    assert yard.cell("soc_export_wh") == 100.0
    assert isnan(yard.cell("soc_import_wh"))
    yard.sample(at=20.0, export_wh=150.0, import_wh=260.0)
    assert (yard.cell("soc_export_wh"), yard.cell("soc_import_wh")) == (100.0, 260.0)


def test_a_late_report_keeps_the_exports_of_the_report_before(yard: Yard) -> None:
    yard.start()
    yard.sample(at=10.0, export_wh=100.0, import_wh=200.0, soc_frac=0.5)
    yard.sample(at=30.0, export_wh=150.0, import_wh=260.0)
    yard.sample(at=20.0, soc_frac=0.48)
    assert (yard.cell("soc_frac"), yard.cell("soc_export_wh"), yard.cell("soc_import_wh")) == (0.48, 100.0, 260.0)


def test_a_register_that_runs_backwards_takes_its_baselines_along(yard: Yard) -> None:
    yard.ready()
    before = yard.cell("export_wh") - yard.cell("soc_export_wh"), yard.cell("import_wh") - yard.cell("soc_import_wh")
    yard.sample(at=10.0, export_wh=1500.0, import_wh=5100.0)
    yard.sample(at=20.0, export_wh=0.0, import_wh=2.0)
    assert before == (0.0, 0.0)
    for report in ("soc", "needs"):
        assert yard.cell("export_wh") - yard.cell(f"{report}_export_wh") == 500.0
        assert yard.cell("import_wh") - yard.cell(f"{report}_import_wh") == 100.0
    assert (yard.cell("export_wh"), yard.cell("import_wh")) == (0.0, 2.0)


def test_needs_learn_their_baseline_from_the_first_registers_after_them(yard: Yard) -> None:
    yard.connect()
    yard.discover()
    yard.start()
    yard.needs()
    assert isnan(yard.cell("needs_export_wh"))
    applied = yard.sample(at=10.0, power_w=0.0, export_wh=100.0, import_wh=200.0)
    assert [(record.needs_export_wh, record.needs_import_wh) for record in applied.changed] == [(100.0, 200.0)]
    assert (yard.cell("needs_export_wh"), yard.cell("needs_import_wh")) == (100.0, 200.0)
    assert not yard.sample(at=20.0, power_w=0.0, export_wh=150.0, import_wh=200.0).changed


def test_a_station_without_an_export_register_dates_its_registers_by_the_import(yard: Yard, t0: float) -> None:
    yard.start()
    yard.sample(at=10.0, import_wh=5.0)
    assert yard.cell("register_at_s") == t0 + 10.0
    yard.sample(at=20.0, export_wh=5.0)
    yard.sample(at=30.0, import_wh=6.0)
    assert yard.cell("register_at_s") == t0 + 20.0


READING = st.tuples(
    st.integers(0, 100_000).map(lambda at_ms: at_ms / 1000.0),  # as OCPP: at most three digits
    st.dictionaries(
        st.sampled_from(["power_w", "export_wh", "import_wh", "soc_frac"]), st.integers(0, 100).map(lambda n: n / 100.0), min_size=1
    ),
)
COLUMNS = ("power_w", "power_at_s", "export_wh", "import_wh", "soc_frac", "soc_at_s", "last_sample_s", "register_at_s")


STEP = st.tuples(
    st.integers(-2_000, 30_000).map(lambda gap_ms: gap_ms / 1000.0),
    st.one_of(
        st.just({}),
        st.dictionaries(st.sampled_from(["power_w", "export_wh", "import_wh", "soc_frac"]), st.just(nan) | st.just(1.0), max_size=2),
    ),
)
"""Mostly whole samples in order, some of them lacking a value, or with a register that begins anew."""


@settings(max_examples=100)
@given(steps=st.lists(STEP, min_size=3, max_size=9), imports=st.booleans(), told=st.booleans())
def test_the_fast_way_and_the_careful_way_come_to_the_same(
    new_yard: Callable[..., Yard], steps: list[tuple[float, dict[str, float]]], imports: bool, told: bool
) -> None:
    """`imports`: the station has an import register; `told`: it has said how often it sends."""
    fast, careful = new_yard(), new_yard()
    for yard in (fast, careful):
        yard.discover(interval=10.0 if told else None)
        yard.start(at=-60.0)
        yard.needs(at=-50.0, soc_frac=0.4)
    at, quick = 0.0, 0
    for place, (gap_s, odd) in enumerate(steps):
        at += gap_s
        usual = {"power_w": 1.0, "export_wh": 2000.0 + place, "soc_frac": 0.4} | ({"import_wh": 6000.0 + place} if imports else {})
        fast.sample(at=at, **(usual | odd))
        next(iter(careful.state._roster.open.values())).settled = False
        careful.sample(at=at, **(usual | odd))
        quick += next(iter(fast.state._roster.open.values())).settled
        for column in (*COLUMNS, "soc_export_wh", "soc_import_wh", "meter_interval_s"):
            assert fast.cell(column) == pytest.approx(careful.cell(column), nan_ok=True), column
    plain = all(gap_s > 0.0 and not odd for gap_s, odd in steps)
    assert quick >= len(steps) - 1 or not plain, "the quick way is not taken where it should be"


@settings(max_examples=60)
@given(readings=st.lists(READING, min_size=1, max_size=8), data=st.data())
def test_the_order_of_arrival_does_not_matter_for_the_newest_readings(
    new_yard: Callable[..., Yard], readings: list[tuple[float, dict[str, float]]], data: st.DataObject
) -> None:
    distinct = dict(readings)
    straight, shuffled = new_yard(), new_yard()
    for yard, order in ((straight, sorted(distinct)), (shuffled, data.draw(st.permutations(sorted(distinct))))):
        yard.start()
        for at in order:
            yard.sample(at=at, **distinct[at])
    for column in ("power_w", "power_at_s", "export_wh", "import_wh", "soc_frac", "soc_at_s"):
        assert straight.cell(column) == pytest.approx(shuffled.cell(column), nan_ok=True), column
