"""The bench in real time at the size of a handful: the whole path once over real sockets, and a disagreement of the clocks fails."""

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console
from typer.testing import CliRunner

from counterflow.app.bench import realtime
from counterflow.app.bench.realtime import Request, course_of, run_realtime
from counterflow.app.bench.realtime.course import DROP_OUT, SILENT, Course
from counterflow.app.bench.realtime.played import Played, figures_of
from counterflow.app.bench.realtime.truth import Standing, Truth
from counterflow.app.bench.realtime.verdict import judge
from counterflow.app.bench.realtime.virtual import CannotPlayError, play_virtually
from counterflow.app.cli import app
from counterflow.sim.fleet import Fleet
from counterflow.sim.settings import MixSettings, PlantSettings, StationSettings

SMALL = Course(stations=8, seconds=16, seed=8, gather_s=6, notice_s=2, settle_s=5, plant=PlantSettings.ideal(), station=StationSettings())
QUICKER = "orders.min_duration_s = 10\nresume.resume_over_s = 3\n"
"""So that a run fits into a test."""
HOUR = Course(stations=100, seconds=900)
CLEAN = Standing(gave=90, below_floor=0, late=0, remaining=0, violations=())


def played(course: Course = HOUR, *, lag_s: int = 0, standing: Standing = CLEAN, **changes: Any) -> Played:
    """A run that follows its target `lag_s` late."""
    target_w = course.target_w(1e6)
    delivered_w = np.concatenate([np.full(lag_s, target_w[0]), target_w[: len(target_w) - lag_s]])
    whole = Played(
        target_w=target_w.tolist(),
        delivered_w=delivered_w.tolist(),
        standing=standing,
        messages=2_500,
        metered_wh=float(delivered_w.sum()) / 3_600.0,
        disturbance={"ticks": 900.0, "ticks_late": 3.0},
    )
    return replace(whole, **changes)


def run_with(monkeypatch: pytest.MonkeyPatch, folder: Path, real: Played, virtual: Played) -> tuple[int, str]:
    monkeypatch.setattr(realtime, "play_really", lambda *_: real)
    monkeypatch.setattr(realtime, "play_virtually", lambda *_: virtual)
    screen = StringIO()
    return run_realtime(Request(course=HOUR, folder=folder), Console(file=screen, width=200)), screen.getvalue()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path, str]:
    """One run over real sockets: a server process, a process of stations, values over HTTP."""
    folder, screen = tmp_path_factory.mktemp("realtime"), StringIO()
    (folder / "settings.toml").write_text(QUICKER)
    request = Request(course=SMALL, folder=folder, json_file=folder / "beside.json", config=folder / "settings.toml")
    code = run_realtime(request, Console(file=screen, width=200))
    return code, folder, screen.getvalue()


def test_a_server_and_stations_in_real_time_are_played_beside_the_virtual_clock(small: tuple[int, Path, str]) -> None:
    _, folder, screen = small
    content = json.loads((folder / "realtime.json").read_text())
    assert content == json.loads((folder / "beside.json").read_text())
    figures, real, virtual = content["figures"], content["real"], content["virtual"]
    assert real["target_w"] == virtual["target_w"]
    assert len(real["delivered_w"]) == SMALL.seconds
    assert figures["rmse_percent"]["real"] < 10.0, "the cars follow"
    assert figures["gave"]["real"] > 0
    assert content["disturbance"]["ticks"] > SMALL.seconds / 4
    assert "1 cars leave" in screen
    assert (folder / "realtime.png").stat().st_size > 10_000
    assert "| RMSE (% of the peak) |" in (folder / "realtime.md").read_text()


def test_over_sockets_nothing_of_ours_is_left_and_no_station_objects(small: tuple[int, Path, str]) -> None:
    content = json.loads((small[1] / "realtime.json").read_text())
    for key in ("remaining", "violations", "below_floor", "late"):
        assert content["figures"][key]["real"] == 0, key
        assert content["figures"][key]["met"]


def test_both_clocks_agree_on_ideal_cars(small: tuple[int, Path, str]) -> None:
    figures = json.loads((small[1] / "realtime.json").read_text())["figures"]
    assert abs(figures["rmse_percent"]["difference"]) < 3.0, "a handful of large cars, half a minute: one second more or less counts"


def test_its_processes_are_gone(small: tuple[int, Path, str]) -> None:
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in filter(str.isdigit, os.listdir("/proc")) if _readable(pid)]
    assert not [line for line in lines if str(small[1]).encode() in line]


def _readable(pid: str) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def test_clocks_that_agree_end_with_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, screen = run_with(monkeypatch, tmp_path, played(lag_s=1), played(lag_s=1, messages=2_600))
    assert "Every demand is met." in screen
    assert code == 0


def test_clocks_that_disagree_end_with_1_and_are_written_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, screen = run_with(monkeypatch, tmp_path, played(lag_s=1), played(lag_s=4))
    assert "percentage points of RMSE; 0.5 are allowed. A demand is missed." in screen
    assert code == 1
    content = json.loads((tmp_path / "realtime.json").read_text())
    assert (content["kept"], content["figures"]["rmse_percent"]["met"]) == (False, False)
    assert "**missed**" in (tmp_path / "realtime.md").read_text()


@pytest.mark.parametrize(
    "change", [{"below_floor": 1}, {"late": 1}, {"remaining": 2}, {"violations": ("below floor: 0.290 with a floor of 0.300",)}]
)
@pytest.mark.parametrize("clock", ["real", "virtual"])
def test_a_broken_promise_on_either_clock_fails(change: dict[str, Any], clock: str) -> None:
    broken = played(standing=replace(CLEAN, **change))
    runs = (broken, played()) if clock == "real" else (played(), broken)
    assert not judge(*runs, HOUR).kept
    assert judge(played(), played(), HOUR).kept


def test_figures_are_what_they_say() -> None:
    peak_w = max(played().target_w)
    short = played(delivered_w=[power_w - 0.02 * peak_w for power_w in played().target_w])
    figures = figures_of(short, HOUR)
    assert figures.rmse_percent == pytest.approx(2.0)
    assert figures.rmse_whole_percent == pytest.approx(2.0)
    assert figures.energy_error_percent == pytest.approx(-100.0 * 0.02 * peak_w / np.mean(short.target_w[60:]))
    assert figures.band_percent == 100.0
    assert figures.messages_per_car_hour == pytest.approx(100.0)
    late_start = played(delivered_w=[0.0] * 30 + played().target_w[30:])
    assert figures_of(late_start, HOUR).rmse_percent == 0.0
    assert figures_of(late_start, HOUR).rmse_whole_percent > 1.0


def test_seconds_that_are_missing_are_no_zeros(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holed = played(delivered_w=[float("nan"), *played().target_w[1:]])
    with pytest.raises(ValueError, match="1 of 900 seconds of the run are missing"):
        figures_of(holed, HOUR)
    code, screen = run_with(monkeypatch, tmp_path, holed, played())
    assert code == 1
    assert "The run came to nothing: 1 of 900 seconds" in screen


def test_a_run_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuses(*_: object) -> Played:
        raise CannotPlayError("the server did not come up within 30 s.")

    monkeypatch.setattr(realtime, "play_really", refuses)
    screen = StringIO()
    assert run_realtime(Request(course=HOUR, folder=tmp_path), Console(file=screen, width=200)) == 1
    assert "The run came to nothing: the server did not come up" in screen.getvalue()


def test_the_course_comes_from_the_seed_alone() -> None:
    course, again, other = Course(seed=3), Course(seed=3), Course(seed=4)
    assert course.leavers() == again.leavers() != other.leavers()
    assert (course.target_w(1e6) == again.target_w(1e6)).all()
    assert not (course.target_w(1e6) == other.target_w(1e6)).all()
    leavers = course.leavers()
    assert len({name for name, _ in leavers}) == len(leavers) == round(DROP_OUT * course.stations)
    assert sum(silently for _, silently in leavers) == round(SILENT * len(leavers))
    values = course.values(1e6)
    assert max(power_w for _, power_w in values) <= course.peak_w(1e6)
    assert [second for second, _ in values][-3:] == [894, 896, 898]
    assert (course_of(2_000, 0.5, 9).seconds, course_of(2_000, 0.5, 9).gather_s) == (30, 80)


def test_the_virtual_run_is_the_same_each_time_and_takes_settings() -> None:
    course = replace(SMALL, seconds=30)
    assert play_virtually(course) == play_virtually(course)


def test_an_order_that_is_refused_is_said() -> None:
    with pytest.raises(CannotPlayError, match="A window of 16 s cannot be dispatched"):
        play_virtually(SMALL)


def test_the_truth_sees_floors_departures_and_missing_steps() -> None:
    fleet = Fleet(4, "SIM", 1, PlantSettings.ideal(), StationSettings(), MixSettings(tight_share=0.0))
    for station in fleet.stations:
        station.state.first_evse.departure_s = 20_000.0
        fleet.plant.plug(station.state.first_evse.row)
    fleet.plant.energy_wh[3] = 0.2 * fleet.plant.capacity_wh[3]
    truth = Truth(fleet, 0.0)
    fleet.plant.power_w[:] = (-1_000.0, 0.0, 0.0, 0.0)
    for until_s in (11.0, 12.0, 14.0):
        truth.step(until_s)
    assert truth.delivered_w(10.0, 4).tolist() == pytest.approx([1_000.0, 1_000.0, np.nan, 1_000.0], nan_ok=True)
    assert truth.standing(0.0) == Standing(gave=0, below_floor=0, late=0, remaining=0, violations=())
    fleet.plant.export_wh[[0, 1, 3]] += 5.0
    fleet.plant.energy_wh[:3] = 0.29 * fleet.plant.capacity_wh[:3]
    standing = truth.standing(19_000.0)
    assert (standing.gave, standing.below_floor, standing.late) == (3, 2, 3), (
        "the third is not our doing; the fourth was low before, and is late now"
    )


def test_realtime_is_measured_by_itself(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["bench", "realtime", "gateway"])
    assert answer.exit_code == 2
    answer = CliRunner().invoke(app, ["bench", "realtime", "--json", str(tmp_path / "nowhere" / "figures.json")])
    assert answer.exit_code == 2


def test_the_command_hands_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Request] = []
    monkeypatch.setattr(realtime, "run_realtime", lambda request, _console: asked.append(request) or 1)
    arguments = ["bench", "realtime", "--minutes", "2", "--stations", "30", "--seed", "7", "--out", str(tmp_path / "here")]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    assert (asked[0].course, asked[0].folder) == (course_of(30, 2.0, 7), tmp_path / "here")
