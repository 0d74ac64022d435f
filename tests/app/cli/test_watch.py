"""Watching shows what is known, bears a restart of the server, and ends with the verdict."""

from io import StringIO
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from rich.console import Console

from counterflow.app.cli.api_client import ApiClient, ApiError, Token
from counterflow.app.cli.shared import FailedError
from counterflow.app.cli.watch import PATIENCE_S, figures, frame, line, watch
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView
from counterflow.domain.instructions import DispatchState
from counterflow.domain.settlement import Quality

ONE = "/api/v1/dispatches/d-1a2b3c4d"

NOW_S = 1_795_367_000.0
"""A while into the dispatch."""


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def client_of(api: Any) -> ApiClient:
    return ApiClient("http://127.0.0.1:8000", Token("t", "--token"), transport=httpx.MockTransport(api.handle))


def watched(api: Any, around: Any, *, terminal: bool) -> str:
    stream = StringIO()
    with client_of(api) as client:
        watch(client, "d-1a2b3c4d", Console(file=stream, width=80, force_terminal=terminal, color_system=None), around)
    return stream.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_it_looks_until_the_end_and_gives_the_verdict(
    api: Any, around: Any, dispatch: DispatchView, ended: DispatchView, delivery: DeliveryReport, terminal: bool
) -> None:
    for view in (dispatch, dispatch, ended):
        api.will("GET", ONE, view)
    api.will("GET", f"{ONE}/report", delivery)
    shown = watched(api, around, terminal=terminal)
    assert "running, 15 min left of 15 min" in shown
    assert "completed" in shown
    assert "Delivered: 622.50 kWh" in shown
    assert api.requests[-1].url.params["format"] == "json"
    assert len(api.requests) == 4


def test_watch_shows_a_dispatch_that_runs_already(
    api: Any, counterflow: Any, dispatch: DispatchView, ended: DispatchView, delivery: DeliveryReport
) -> None:
    for view in (dispatch, ended):
        api.will("GET", ONE, view)
    api.will("GET", f"{ONE}/report", delivery)
    result = counterflow("watch", "d-1a2b3c4d")
    assert result.exit_code == 0, result.output
    assert "running, 15 min left of 15 min" in result.stdout
    assert "Delivered: 622.50 kWh" in result.stdout


def test_watch_of_what_is_not_there_is_a_sentence(api: Any, counterflow: Any) -> None:
    api.will_fail("GET", ONE, 404, "There is no dispatch 'd-1a2b3c4d'.")
    result = counterflow("watch", "d-1a2b3c4d")
    assert result.exit_code == 1
    assert "There is no dispatch 'd-1a2b3c4d'." in result.stderr


def test_without_a_terminal_it_writes_few_lines(
    api: Any, around: Any, dispatch: DispatchView, ended: DispatchView, delivery: DeliveryReport
) -> None:
    for view in [dispatch] * 31 + [ended]:
        api.will("GET", ONE, view)
    api.will("GET", f"{ONE}/report", delivery)
    lines = [text for text in watched(api, around, terminal=False).splitlines() if text.startswith("2026-") and " sessions " in text]
    assert len(lines) == 4  # the first, after 15 s, after 30 s, the end


def test_a_restart_of_the_server_does_not_end_the_watching(
    api: Any, around: Any, dispatch: DispatchView, ended: DispatchView, delivery: DeliveryReport
) -> None:
    api.will("GET", ONE, dispatch)
    for _ in range(20):
        api.will_do("GET", ONE, away)
    api.will_fail("GET", ONE, 503, "starting")
    api.will("GET", ONE, ended)
    api.will("GET", f"{ONE}/report", delivery)
    assert "the server does not answer; trying again" in watched(api, around, terminal=False)


def test_a_server_that_stays_away_is_an_error(api: Any, around: Any, dispatch: DispatchView) -> None:
    api.will("GET", ONE, dispatch)
    api.will_do("GET", ONE, away)
    began_s = api.now_s
    with pytest.raises(ApiError, match="No Counterflow server answers"):
        watched(api, around, terminal=False)
    assert PATIENCE_S < api.now_s - began_s < PATIENCE_S + 5.0


def test_a_token_that_is_refused_ends_the_watching_at_once(api: Any, around: Any) -> None:
    api.will_fail("GET", ONE, 401, "no")
    with pytest.raises(ApiError, match="does not accept the token"):
        watched(api, around, terminal=False)
    assert len(api.requests) == 1


def test_a_dispatch_that_was_stopped_is_a_failure_with_its_reason(
    api: Any, around: Any, dispatch: DispatchView, delivery: DeliveryReport
) -> None:
    stopped = replace(dispatch.instruction, state=DispatchState.ABORTED, state_reason="emergency stop")
    api.will("GET", ONE, replace(dispatch, instruction=stopped))
    api.will("GET", f"{ONE}/report", replace(delivery, final=False, tracking_rmse_frac=None, notes=("Short of cars.",)))
    with pytest.raises(FailedError, match=r"did not run to its end: aborted \(emergency stop\)"):
        watched(api, around, terminal=False)


def test_dispatch_watch_is_the_order_the_view_and_the_verdict(
    api: Any, counterflow: Any, answer: DispatchAnswer, ended: DispatchView, delivery: DeliveryReport
) -> None:
    api.will("POST", "/api/v1/dispatches", answer, 201)
    api.will("GET", ONE, ended)
    api.will("GET", f"{ONE}/report", delivery)
    result = counterflow("dispatch", "2.5MW", "15min", "--watch")
    assert result.exit_code == 0, result.output
    places = [result.stdout.index(text) for text in ("is accepted", "completed", "Delivered:", "--format json")]
    assert places == sorted(places)


def test_ctrl_c_leaves_the_view_quietly(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    def interrupt(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    api.will("POST", "/api/v1/dispatches", answer, 201)
    api.will_do("GET", ONE, interrupt)
    result = counterflow("dispatch", "2.5MW", "15min", "--watch")
    assert (result.exit_code, result.stderr) == (130, "")


def test_the_picture_fits_and_shows_the_gap(dispatch: DispatchView) -> None:
    stream = StringIO()
    Console(file=stream, width=80, color_system=None).print(frame(dispatch, dispatch.instruction.start_s + 300.0))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Dispatch d-1a2b3c4d  running, 10 min left of 15 min")
    assert lines[1].count("━") == 20
    assert any("2.487 MW" in text and "-0.5 % of the target" in text for text in lines)
    assert lines[-1].startswith("Ctrl-C leaves this view")


def test_unknown_is_a_dash_and_a_shortfall_is_named_only_when_there_is_one(dispatch: DispatchView) -> None:
    nothing = dict.fromkeys(("target_power_w", "delivered_power_w", "headroom_power_w", "shortfall_power_w"))
    blind = replace(dispatch, quality=Quality.MISSING, **nothing)
    assert [value for _, value, _ in figures(blind, NOW_S)][:4] == ["-", "-", "missing", "-"]
    assert "Shortfall" not in [what for what, _, _ in figures(blind, NOW_S)]
    assert ("Shortfall", "50.0 kW") in [row[:2] for row in figures(replace(dispatch, shortfall_power_w=50_000.0), NOW_S)]


def test_a_reserve_that_is_held_back_is_not_called_more_than_the_fleet_can_give(dispatch: DispatchView) -> None:
    promised = replace(dispatch.feasibility, committed_power_w=50_000.0)
    view = replace(
        dispatch,
        feasibility=promised,
        target_power_w=60_000.0,
        expected_power_w=50_000.0,
        headroom_power_w=5_700.0,
        shortfall_power_w=10_000.0,
    )

    def remark(one: DispatchView) -> str:
        return next(words for what, _, words in figures(one, NOW_S) if what == "Shortfall")

    assert remark(view) == "50.0 kW was committed; 5.7 kW is held in reserve"
    for spent in (replace(view, headroom_power_w=0.0), replace(view, expected_power_w=40_000.0), replace(view, target_power_w=50_000.0)):
        assert remark(spent) == "the fleet cannot give this now"


def test_while_the_cars_ramp_an_error_says_nothing(dispatch: DispatchView) -> None:
    early = replace(dispatch, delivered_power_w=-1_200_000.0)
    assert ("Delivered", "-1.200 MW", "the cars are ramping") in figures(early, dispatch.instruction.start_s + 59.0)
    assert ("Delivered", "-1.200 MW", "-148.0 % of the target") in figures(early, dispatch.instruction.start_s + 60.0)


def test_a_line_for_a_log_has_all_figures(dispatch: DispatchView) -> None:
    text = line(dispatch, dispatch.instruction.start_s + 60.0, "a remark")
    assert text.startswith("2026-11-22T17:01:00Z running, 14 min left")
    assert "delivered 2.487 MW" in text
    assert text.endswith("(a remark)")
