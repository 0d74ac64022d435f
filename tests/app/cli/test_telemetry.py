"""`counterflow telemetry`: the records of a pool in a table, as JSON, and live."""

import contextlib
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.app.cli.api_client import ApiError, Reply
from counterflow.app.cli.shared import Surroundings
from counterflow.app.cli.telemetry import _watch, frame
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


class Away:
    """A server that answers as the script says: records, or a status (None = it is not there)."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[Any] = []

    def get(self, path: str, params: Any) -> Reply:
        self.asked.append(params)
        says = self.script.pop(0)
        if isinstance(says, list):
            return Reply(msgspec.json.encode(says), "here")
        raise ApiError("It is away.", says)


def watched(client: Any, step_s: float = 1.0) -> str:
    """What was on the terminal, until the script was played or the watching gave up."""
    at_s = [ONE.at_s]

    def pause(_seconds: float) -> None:
        at_s[0] += step_s
        if not client.script:
            raise KeyboardInterrupt

    console = Console(width=120, force_terminal=True, color_system=None)
    around = Surroundings(now_s=lambda: at_s[0], pause=pause)
    with console.capture() as shown, contextlib.suppress(KeyboardInterrupt):
        _watch(client, "north", 2, console, around)
    return shown.get()


def test_the_live_view_asks_for_what_is_new_and_bears_a_server_that_is_away() -> None:
    client = Away([ONE], [BLIND], None, 503, [replace(BLIND, sequence=BLIND.sequence + 1)])
    shown = watched(client)
    assert [asked.get("since") for asked in client.asked] == [None, ONE.sequence, *[BLIND.sequence] * 3]
    assert "missing" in shown
    assert "The server does not answer; trying again." in shown


@pytest.mark.parametrize(("status", "step_s"), [(404, 1.0), (None, 200.0)])
def test_the_live_view_ends_when_the_pool_is_gone_or_the_server_stays_away(status: int | None, step_s: float) -> None:
    with pytest.raises(ApiError):
        watched(Away([ONE], status, status, [ONE]), step_s)
