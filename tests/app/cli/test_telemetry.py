"""`counterflow telemetry`: the records of a pool in a table, as JSON, and live."""

from typing import Any

import msgspec
from msgspec.structs import replace
from rich.console import Console

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.app.cli.telemetry import frame
from counterflow.domain.grid import PoolTelemetry, Quality

ONE: Any = EXAMPLES[PoolTelemetry]
BLIND = replace(ONE, sequence=ONE.sequence + 1, measured_power_w=None, delivered_power_w=None, meter_age_s=None, quality=Quality.MISSING)


def test_the_newest_records_are_a_table_or_json(api: Any, counterflow: Any) -> None:
    for arguments in ((), ("--json",)):
        api.will("GET", "/api/v1/telemetry", [ONE, BLIND])
        shown = counterflow("telemetry", "--pool", "all", "--last", "2", *arguments).stdout
        if arguments:
            assert msgspec.json.decode(shown, type=list[PoolTelemetry]) == [ONE, BLIND]
        else:
            lines = shown.splitlines()
            assert lines[0].split()[:4] == ["Time", "Measured", "kW", "Target"]
            assert lines[1].split()[1:4] == ["12.0", "12.0", "12.0"]
            assert lines[2].split()[1:4] == ["-", "12.0", "-"]
            assert lines[1].split()[-1] == "good"
            assert lines[2].split()[-1] == "missing"


def test_a_pool_that_is_not_recorded_is_a_sentence(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/telemetry", {"detail": "There is no telemetry of a pool 'x'.", "remedy": "Look."}, status=404)
    done = counterflow("telemetry", "--pool", "x")
    assert (done.exit_code, done.stderr) == (1, "Error: There is no telemetry of a pool 'x'. Look.\n")


def picture(*records: PoolTelemetry, remark: str = "") -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as shown:
        console.print(frame(records, "north", ONE.at_s, 120, remark))
    return shown.get()


def test_the_live_view_says_how_the_pool_stands() -> None:
    assert "Pool north takes orders, follows its target" in picture(ONE)
    assert "Pool north takes no orders, is off its target" in picture(replace(ONE, available=False, following=False))
    assert "Pool north faulty" in picture(replace(ONE, fault=True, available=False, target_power_w=None))
    assert "trying again" in picture(ONE, remark="The server does not answer; trying again.")
