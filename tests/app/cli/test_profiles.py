"""Stepped profiles, ramps and streams as a person types them."""

from pathlib import Path
from typing import Any

import pytest

from counterflow.app.cli.profiles import step_of, steps_in
from counterflow.app.cli.shared import WrongUsageError
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.units import UnitError
from counterflow.domain.views import FleetView

PATH = "/api/v1/dispatches"
START_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""


def test_a_step_is_a_clock_time_a_delay_or_an_instant() -> None:
    assert step_of("17:15=2MW", START_S) == {"from_s": START_S + 900.0, "discharge_power_w": 2e6}
    assert step_of("16:59:30Z = 0W", START_S) == {"from_s": START_S + 86_370.0, "discharge_power_w": 0.0}
    assert step_of("+1h30min=750kW", START_S) == {"after_s": 5400.0, "discharge_power_w": 750e3}
    assert step_of("2026-11-22T18:15+01:00=1MW", START_S) == {"from_s": START_S + 900.0, "discharge_power_w": 1e6}


@pytest.mark.parametrize("text", ["17:15", "17:15=2", "25:15=2MW", "tomorrow=2MW", "+soon=2MW", "17:15=-2MW"])
def test_what_is_no_step_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises((WrongUsageError, UnitError), match=r"write|positive|above zero"):
        step_of(text, START_S)


def test_a_file_holds_the_same_as_csv_or_json(tmp_path: Path) -> None:
    csv, json = tmp_path / "p.csv", tmp_path / "p.json"
    csv.write_text("time,power\n# the evening\n17:15,2MW\n\n+30min , 500kW\n")
    json.write_text('[["17:15", "2MW"], ["+30min", "500kW"]]')
    assert steps_in(csv, START_S) == steps_in(json, START_S) != []


def test_a_line_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("17:15,2MW\n17:30,much\n")
    with pytest.raises(WrongUsageError, match=r"line 2.*much"):
        steps_in(path, START_S)
    path.write_text("17:15;2MW\n")
    with pytest.raises(WrongUsageError, match=r"line 1.*columns"):
        steps_in(path, START_S)
    path.write_text("time,power\n")
    with pytest.raises(WrongUsageError, match="no steps"):
        steps_in(path, START_S)


def test_profile_ramps_and_ramp_out_reach_the_server(api: Any, counterflow: Any, answer: DispatchAnswer, fleet: FleetView) -> None:
    api.will("GET", "/api/v1/fleet", fleet)
    api.will("POST", PATH, answer, 201)
    result = counterflow("dispatch", "1MW", "1h", "--step", "17:15=2MW", "--step", "+45min=1MW", "--ramp", "20kW/s", "--ramp-out", "1min")
    assert result.exit_code == 0, result.output
    (body,) = api.bodies
    assert body["steps"] == [{"from_s": START_S + 900.0, "discharge_power_w": 2e6}, {"after_s": 2700.0, "discharge_power_w": 1e6}]
    assert (body["ramp_w_per_s"], body["ramp_out_s"]) == (20_000.0, 60.0)
    assert "stream" not in body


def test_a_stream_is_opened_with_its_dead_man(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    assert counterflow("dispatch", "2MW", "1h", "--stream", "--timeout", "20s", "--full-activation", "5min").exit_code == 0
    (body,) = api.bodies
    assert body["stream"] == {"timeout_s": 20.0, "hold_s": 60.0, "ramp_down_s": 300.0}
    assert body["full_activation_s"] == 300.0


def test_two_ramps_are_one_too_many(counterflow: Any) -> None:
    result = counterflow("dispatch", "2MW", "1h", "--ramp", "1kW/s", "--full-activation", "5min")
    assert result.exit_code == 2
    assert "choose one" in result.output


def test_headroom_is_a_share_or_a_power(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    assert counterflow("dispatch", "2MW", "1h", "--headroom", "15%").exit_code == 0
    assert counterflow("dispatch", "2MW", "1h", "--headroom", "200kW").exit_code == 0
    assert [(body.get("headroom_frac"), body.get("headroom_power_w")) for body in api.bodies] == [(0.15, None), (None, 200e3)]
