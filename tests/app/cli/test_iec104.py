"""The point list that is handed to the operator."""

import json
from pathlib import Path
from typing import Any

import pytest

SETTINGS = """
[[programs]]
name = "afrr"
wire = "iec104"
sign = "load"
unit = "kW"
max_discharge_power_w = 5e5

[[iec104.stations]]
program = "afrr"
common_address = 47

[iec104.stations.points]
committed_power = 0
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "counterflow.toml"
    file.write_text(SETTINGS, encoding="utf-8")
    return str(file)


def test_the_list_names_every_address_with_type_unit_and_sign(counterflow: Any, config: str) -> None:
    result = counterflow("iec104", "points", "--config", config)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["47", "1001", "command", "C_SE_NC_1", "(50)", "kW"] in [line[:6] for line in lines]
    assert ["47", "2006", "monitor", "M_ME_TF_1", "(36)", "kWh"] in [line[:6] for line in lines]
    assert "Station 47 (program 'afrr'): signed powers are positive for consumption." in " ".join(result.stdout.split())


def test_as_json_it_has_a_row_for_each_address_that_is_not_left_out(counterflow: Any, config: str) -> None:
    rows = {row["address"]: row for row in json.loads(counterflow("iec104", "points", "--config", config, "--json").stdout)}
    assert set(rows) == {1001, 1002, 1003, *range(2001, 2007), 2008, 2010, 2012, 2014, 2016, 2017, *range(3001, 3005), 3011}
    assert rows[1001]["note"] == "direct, up to 500 kW"


def test_settings_without_an_outstation_and_wrong_ones_are_said_in_a_sentence(counterflow: Any, tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    file.write_text("")
    result = counterflow("iec104", "points", "--config", str(file))
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: The settings file {file} has no [[iec104.stations]]; docs/iec104.md shows one.\n",
    )
    file.write_text(SETTINGS.replace("[[iec104.stations]]", '[iec104]\nhost = "0.0.0.0"\n\n[[iec104.stations]]'))
    result = counterflow("iec104", "points", "--config", str(file))
    assert result.exit_code == 2
    assert "IEC 104 would listen on 0.0.0.0, where anybody may reach it" in result.stderr
