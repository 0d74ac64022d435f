"""The calibration of offers at the smallest sizes: what is judged is what happened, and a goal that is missed ends with 1."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console

from counterflow.app.bench import offers
from counterflow.app.bench.offers import OfferRequest, grouping, judging, run_offers
from counterflow.app.bench.offers.charging import ChargingScene, charging_scene, drawn_wh
from counterflow.app.bench.offers.figures import Figure, derated_w, of_judged, of_shocks, pinball_w
from counterflow.app.bench.offers.judging import RELIABILITY, Judged, Setting, joined, judge
from counterflow.app.bench.offers.show import COLUMNS
from counterflow.app.bench.offers.town import Town, day_of, lessons_of, scene_of
from counterflow.app.bench.offers.ways import WAYS
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import LEVELS
from counterflow.domain.units import DAY_S
from counterflow.engine.offers.scenarios import Cars
from counterflow.engine.offers.settings import OfferSettings

SMALL = Setting(name="few", drivers=60, window_s=900.0, spread=0.4)
FEW = OfferSettings(scenarios=1_000)


@pytest.fixture
def short_training(monkeypatch: Any) -> None:
    monkeypatch.setattr(judging, "TRAINING_DAYS", 20)
    judging.learned_there.cache_clear()


def test_a_day_in_the_town_is_as_it_is_said() -> None:
    town = Town.of(4_000, 0.0, np.random.default_rng(1))
    day = day_of(town, 19_000, np.random.default_rng(2))
    early = day.left_s < day.announced_s
    assert 0.1 < early.mean() < 0.5
    assert (day.left_s > day.plugged_s).all()
    scene = scene_of(town, day, 19_000 * DAY_S + 12 * 3600.0, 900.0, np.random.default_rng(3))
    assert 0 < len(scene.cars) < 4_000
    assert scene.cars.power_w.sum() == pytest.approx(scene.power_w.sum(), rel=0.03), "the model is told the truth on the mean"
    assert (scene.stay_s <= scene.cars.until_s).all()


def test_the_other_town_has_its_own_ways_and_wider_goals(short_training: None) -> None:
    setting = Setting(name="guard", drivers=60, window_s=900.0, spread=0.4, ways="other town")
    judged = judge(setting, 3, 0, FEW)
    assert (judged.there_w > 0.0).all()
    assert (judged.there_w != judge(SMALL, 3, 0, FEW).there_w).all()
    goals = {figure.key: figure.goal for figure in of_judged(judged, guard=setting.guard)}
    assert goals["kept_0.9"] == (85.0, 96.0)
    assert {figure.key: figure.goal for figure in of_judged(judged)}["kept_0.9"] == (89.0, 93.0)
    assert of_shocks([(setting, of_judged(judged))]).verdict == "missing", "a guard is no part of row 23"


def test_the_same_hour_of_the_same_day_is_restless_for_all_alike() -> None:
    for ways in WAYS.values():
        one, again, other = ways.leaving(19_000, 0.5, 7), ways.leaving(19_000, 0.5, 7), ways.leaving(19_000, 0.5, 8)
        assert (one == again).all()
        assert (one > 0.0).all()
        assert (one != other).any()
        means = [ways.leaving(19_000 + 7 * week, 0.5, 1).sum() for week in range(150)]
        calm = [ways.leaving(19_000 + 7 * week, 0.0, 1).sum() for week in range(2)]
        assert np.mean(means) == pytest.approx(calm[0], rel=0.3)
        assert np.std(means) > 0.1 * np.mean(means)
        assert calm[0] == pytest.approx(calm[1])


def test_restless_days_differ_and_calm_ones_do_not() -> None:
    shares = {}
    for spread in (0.0, 0.8):
        town, random = Town.of(3_000, spread, np.random.default_rng(1)), np.random.default_rng(2)
        days = [day_of(town, 19_000 + number, random) for number in range(40)]
        shares[spread] = np.std([(day.left_s < day.announced_s - 3_600.0).mean() for day in days])
    assert shares[0.8] > 2.0 * shares[0.0]


def test_lessons_are_of_those_who_teach_only() -> None:
    town = Town.of(50, 0.0, np.random.default_rng(1))
    assert 0 < len(lessons_of(town, 19_000, 1, np.random.default_rng(2), most=10)) <= 10


def test_a_part_of_a_setting_is_judged_beside_the_independent_model(short_training: None) -> None:
    one, other = judge(SMALL, 4, 0, FEW), judge(SMALL, 4, 1, FEW)
    whole = joined([one, other])
    assert whole.said_w.shape == (8, len(RELIABILITY))
    assert (np.diff(whole.said_w, axis=1) <= 0.0).all()
    assert np.isnan(whole.independent_w[:, 0]).sum() == 6, "every tenth"
    assert (whole.there_w > 0.0).all()
    assert (judge(SMALL, 4, 0, FEW).said_w == one.said_w).all(), "the same days again"
    assert {figure.key for figure in of_judged(whole)} >= set(offers.show.COLUMNS)


def test_figures_are_of_known_forecasts() -> None:
    random = np.random.default_rng(1)
    there_w = random.normal(100.0, 10.0, 4_000)
    levels_w = 100.0 - 10.0 * np.array([0.0, 0.253, 0.524, 0.842, 1.282, 1.645, 2.326])
    judged = Judged(
        said_w=np.tile(levels_w, (4_000, 1)),
        independent_w=np.tile(np.full(len(LEVELS), 99.0), (4_000, 1)),
        known_w=np.full(4_000, 200.0),
        there_w=there_w,
        spread=0.3,
    )
    by_key = {figure.key: figure for figure in of_judged(judged)}
    assert by_key["kept_0.9"].value == pytest.approx(90.0, abs=1.5)
    assert by_key["kept_0.9"].verdict == "met"
    assert by_key["kept_0.5"].verdict == ""
    assert by_key["against_alone_90"].value < -10.0
    assert by_key["against_derating"].value == pytest.approx(0.0, abs=1.0), "a constant share is all there is to know here"
    assert by_key["spread"].value == pytest.approx(30.0)
    assert pinball_w(np.array([100.0]), np.array([90.0]), 0.1) == pytest.approx(9.0)
    assert derated_w(np.array([10.0, 20.0]), np.array([5.0, 10.0]), 0.1).tolist() == [5.0, 10.0]
    settings = [(SMALL, [Figure(key="against_alone_95", title="", unit="%", value=-30.0)])]
    assert of_shocks(settings).verdict == "met"
    assert of_shocks([]).verdict == "missing"


def test_cars_taken_together_are_as_exact_as_is_demanded(monkeypatch: Any) -> None:
    monkeypatch.setattr(grouping, "_SIZES", (150,))
    monkeypatch.setattr(grouping, "LARGE", 2_000)
    error, time = grouping.grouping_figures(quick=True)
    assert error.value < 2.0
    assert error.verdict == "", "a quick run judges nothing"
    assert 0.0 < time.value < 500.0


def test_the_whole_run_writes_its_files_and_ends_with_1_where_a_goal_is_missed(
    tmp_path: Path, monkeypatch: Any, short_training: None
) -> None:
    monkeypatch.setattr(offers, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    monkeypatch.setattr(offers, "grouping_figures", lambda **_: [Figure(key="x", title="y", unit="ms", value=9.0, goal=(0.0, 1.0))])
    monkeypatch.setattr(offers, "QUICK_FORECASTS", 8)
    console = Console(width=80, record=True)
    code = run_offers(OfferRequest(folder=tmp_path / "out", quick=True, workers=1), console, (SMALL,))
    assert code == 1
    said = console.export_text()
    [row] = [line for line in said.splitlines() if line.split()[:1] == ["few"]]
    assert len(row.split()) == 1 + len(COLUMNS), "a line names its setting on a narrow screen, too"
    assert "goals missed" in said
    assert "not comparable" in said
    found = json.loads((tmp_path / "out" / "offers.json").read_text())
    assert found["figures"]["x"]["verdict"] == "missed"
    assert found["forecasts"] == 8
    assert "| few |" in (tmp_path / "out" / "offers.md").read_text()
    assert (tmp_path / "out" / "reliability.png").stat().st_size > 5_000


# --- charging that is given up ----------------------------------------------------------------------------------------------------


def a_scene(drivers: int = 400, window_s: float = 3_600.0) -> ChargingScene:
    random = np.random.default_rng(4)
    town = Town.of(drivers, 0.0, random)
    return charging_scene(town, day_of(town, 19_000, random), 19_000 * DAY_S + 20 * 3600.0, window_s, random)


def test_cars_that_charge_are_seen_by_the_programs_own_eyes_and_told_the_truth_on_the_mean() -> None:
    scene = a_scene()
    assert len(scene.cars) == len(scene.draws_w) > 30
    only = scene.power_w == 0.0
    assert 0.3 < only.mean() < 0.95, "some are discharged as well"
    assert (np.diff(scene.draws_w, axis=1) <= 1e-6).all(), "nobody charges faster as he fills"
    given_w = float(scene.power_w.sum() + scene.draws_w[:, 0].sum())
    assert scene.cars.power_w.sum() == pytest.approx(given_w, rel=0.1)
    assert 0.0 < scene.there_w(3_600.0) <= given_w


def test_what_was_there_of_powers_that_fall_is_what_can_be_held_to_the_end() -> None:
    at = np.linspace(0.0, 1.0, 33)
    falls_w = np.array([10_000.0 * (1.0 - at), np.full(33, 5_000.0)])
    cars = Cars(power_w=np.ones(2), energy_wh=np.ones(2), until_s=np.ones(2), plugged_s=np.ones(2))
    assert drawn_wh(falls_w, np.array([[1_800.0]]), 3_600.0)[:, 0] == pytest.approx([3_750.0, 2_500.0])
    made = ChargingScene(
        at_s=0.0,
        cars=cars,
        power_w=np.zeros(2),
        energy_wh=np.zeros(2),
        draws_w=falls_w,
        spared_wh=np.full(2, 1e9),
        stay_s=np.full(2, np.inf),
    )
    assert made.there_w(3_600.0) == pytest.approx(5_000.0, rel=0.01), "the first is full at the end, the second holds"
    gone = replace(made, stay_s=np.array([np.inf, 1_800.0]))
    assert gone.there_w(3_600.0) == pytest.approx(0.0, abs=20.0)
    paused = replace(made, draws_w=falls_w[1:].repeat(2, axis=0), spared_wh=np.array([2_500.0, 1e9]))
    assert paused.there_w(3_600.0) == pytest.approx(7_500.0), "the first may be paused for half of the window, whenever that is"


def test_relative_offers_are_judged_in_a_setting_of_their_own(short_training: None) -> None:
    setting = next(one for one in offers.SETTINGS if one.mode is DispatchMode.RELATIVE)
    judged = judge(replace(setting, drivers=200), 3, 0, FEW)
    assert (judged.there_w > 0.0).all()
    assert (judged.said_w[:, 0] < judged.known_w).all()
    figures = of_judged(judged)
    assert {figure.key: figure.goal for figure in figures}["kept_0.9"] == (89.0, 93.0)
    assert of_shocks([(setting, figures)]).verdict == "missing", "row 23 is of net export"
