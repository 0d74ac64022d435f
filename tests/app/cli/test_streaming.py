"""Values of a stream, from a file with times or from standard input, on their way to the server."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from counterflow.app.cli.shared import WrongUsageError
from counterflow.app.cli.streaming import values
from counterflow.domain.dispatch_views import DispatchView, StreamView, TargetAnswer
from counterflow.domain.instructions import StreamTerms
from counterflow.domain.views import FleetView

ONE = "/api/v1/dispatches/d-1a2b3c4d"
NOW_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""


@pytest.fixture
def streamed(api: Any, dispatch: DispatchView, fleet: FleetView) -> DispatchView:
    """A dispatch with a stream whose source has sent number 40."""
    state = StreamView(phase="live", value_power_w=1e6, heard_at_s=NOW_S, sequence=40)
    instruction = replace(dispatch.instruction, stream=StreamTerms(timeout_s=30.0, hold_s=60.0, ramp_down_s=300.0))
    view = replace(dispatch, instruction=instruction, stream=state)
    api.will("GET", ONE, view)
    api.will("GET", "/api/v1/fleet", fleet)
    return view


def taken(power_w: float = 1e6, outcome: str = "taken") -> TargetAnswer:
    return TargetAnswer(
        dispatch_id="d-1a2b3c4d",
        outcome=outcome,
        at_s=NOW_S,
        asked_power_w=power_w,
        target_power_w=power_w,
        bounded=False,
        committed_power_w=2e6,
        stream=StreamView(phase="live", value_power_w=power_w, heard_at_s=NOW_S, sequence=41),
    )


def sent(api: Any) -> list[tuple[float, int]]:
    puts = [request for request in api.requests if request.method == "PUT"]
    return [(body["discharge_power_w"], body["sequence"]) for body in (msgspec.json.decode(put.content) for put in puts)]


def test_lines_from_standard_input_are_sent_as_they_come_numbered_on(api: Any, counterflow: Any, streamed: DispatchView) -> None:
    api.will("PUT", f"{ONE}/target", taken())
    result = counterflow("stream", "d-1a2b3c4d", typed="1.2MW\n# a pause\n\n0W\n800kW\n")
    assert result.exit_code == 0, result.output
    assert sent(api) == [(1.2e6, 41), (0.0, 42), (800e3, 43)]
    assert "3 values taken. Without another value the dead-man acts after 30 s." in " ".join(result.stderr.split())


def test_timed_lines_are_sent_when_due_and_said_again_in_between(
    api: Any, counterflow: Any, streamed: DispatchView, tmp_path: Path
) -> None:
    times: list[float] = []

    def note(request: httpx.Request) -> httpx.Response:
        times.append(api.now_s - NOW_S)
        return httpx.Response(200, content=msgspec.json.encode(taken()))

    api.will_do("PUT", f"{ONE}/target", note)
    path = tmp_path / "values.csv"
    path.write_text("time_s,power_w\n0,1000000\n4,1100000\n30,900000\n")
    assert counterflow("stream", "d-1a2b3c4d", str(path)).exit_code == 0
    assert [power_w for power_w, _ in sent(api)] == [1e6, 1.1e6, 1.1e6, 1.1e6, 9e5]
    assert times == [0.0, 4.0, 14.0, 24.0, 30.0]


def test_a_bad_line_ends_the_feed_and_says_how_many_went_out(api: Any, counterflow: Any, streamed: DispatchView) -> None:
    api.will("PUT", f"{ONE}/target", taken())
    result = counterflow("stream", "d-1a2b3c4d", typed="1MW\n900kW\nlots\n800kW\n")
    assert result.exit_code == 2
    assert [power_w for power_w, _ in sent(api)] == [1e6, 9e5]
    said = " ".join(result.stderr.split())
    assert "Line 3: 'lots' is not understood" in said
    assert "The feed ends there, with 2 values taken before. Without another value the dead-man acts after 30 s." in said


def test_a_bounded_value_is_told_once_until_it_changes(api: Any, counterflow: Any, streamed: DispatchView) -> None:
    for power_w, bounded in ((40e3, True), (40e3, True), (30e3, False)):
        api.will("PUT", f"{ONE}/target", msgspec.structs.replace(taken(power_w), bounded=bounded))
    result = counterflow("stream", "d-1a2b3c4d", typed="80kW\n80kW\n30kW\n")
    assert result.exit_code == 0
    assert result.stderr.count("80.0 kW was bounded to 40.0 kW") == 1
    assert "3 values taken, 2 of them bounded." in result.stderr


def test_a_server_that_is_away_or_too_busy_gets_the_value_later(api: Any, counterflow: Any, streamed: DispatchView) -> None:
    answers = iter([429, None, 503])

    def first_not(request: httpx.Request) -> httpx.Response:
        status = next(answers, 200)
        if status is None:
            raise httpx.ConnectError("away", request=request)
        return httpx.Response(status, content=msgspec.json.encode(taken() if status == 200 else {"detail": "Not now."}))

    api.will_do("PUT", f"{ONE}/target", first_not)
    result = counterflow("stream", "d-1a2b3c4d", typed="1MW\n")
    assert result.exit_code == 0, result.output
    assert sent(api) == [(1e6, 41)] * 4
    assert "1 value taken" in result.stderr


def test_a_dispatch_that_is_over_ends_the_stream(api: Any, counterflow: Any, streamed: DispatchView) -> None:
    api.will("PUT", f"{ONE}/target", taken())
    api.will_fail("PUT", f"{ONE}/target", 409, "Dispatch d-1a2b3c4d is resuming and takes no values any more.")
    result = counterflow("stream", "d-1a2b3c4d", typed="1MW\n2MW\n3MW\n")
    assert result.exit_code == 0
    assert len(sent(api)) == 2
    assert "takes no values any more" in result.stderr


def test_a_dispatch_without_a_stream_is_named(api: Any, counterflow: Any, dispatch: DispatchView) -> None:
    api.will("GET", ONE, dispatch)
    result = counterflow("stream", "d-1a2b3c4d", typed="1MW\n")
    assert result.exit_code == 1
    assert "has no stream" in result.stderr


def test_times_are_delays_or_instants_of_the_servers_clock() -> None:
    lines = ["0s,1MW", "+4s, 2MW", "2026-11-22T17:01Z,3MW", "1h,0W"]
    assert [tuple(line) for line in values(lines, NOW_S, 2.0)] == [
        (NOW_S, 1e6),
        (NOW_S + 4.0, 2e6),
        (NOW_S + 58.0, 3e6),
        (NOW_S + 3600.0, 0.0),
    ]


@pytest.mark.parametrize("text", ["1000", "1,2,3", "soon,1MW", "-1MW", "4,1MW"])
def test_a_line_that_is_no_value_is_named(text: str) -> None:
    with pytest.raises(WrongUsageError, match="Line 2"):
        list(values(["1MW", text], NOW_S, 0.0))


def test_plain_numbers_need_a_head_line_and_are_not_negative() -> None:
    assert [tuple(line) for line in values(["\ufeffpower_w", "1500", "2kW"], NOW_S, 0.0)] == [(None, 1500.0), (None, 2000.0)]
    with pytest.raises(WrongUsageError, match="below zero"):
        list(values(["power_w", "-1500"], NOW_S, 0.0))
