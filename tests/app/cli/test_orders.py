"""What a person types about dispatches, what is sent, and what is said back."""

import json
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView, Displacement
from counterflow.domain.instructions import DispatchState
from counterflow.domain.views import FleetView, Refusal, RefusalKind

PATH = "/api/v1/dispatches"
ONE = f"{PATH}/d-1a2b3c4d"
NOW_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""


def flat(text: str) -> str:
    return " ".join(text.split())


def test_an_order_is_sent_in_watts_seconds_and_epoch_seconds(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    result = counterflow(
        "dispatch",
        "2.5MW",
        "15min",
        "--start",
        "2026-11-22T17:00Z",
        "--pool",
        "north",
        "--policy",
        "merit",
        "--mode",
        "relative",
        "--priority",
        "3",
        "--path",
        "afrr",
    )
    assert result.exit_code == 0, result.output
    assert api.bodies == [
        {
            "discharge_power_w": 2_500_000.0,
            "duration_s": 900.0,
            "start_s": 1_795_366_800.0,
            "pool": "north",
            "policy": "merit",
            "mode": "relative",
            "priority": 3,
            "require_full": False,
            "control_path": "afrr",
            "dry_run": False,
        }
    ]
    assert api.requests[0].headers["Authorization"] == "Bearer the-token"


def test_the_answer_says_what_is_feasible_committed_and_missing(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    said = flat(counterflow("dispatch", "2.5MW", "15min").stdout)
    assert "can be committed: 2.500 MW for 15 min" in said
    assert "Feasible power: 2.610 MW expected, 2.300 MW low, from 231 sessions." in said
    assert "Feasible energy: 652.50 kWh expected, 575.00 kWh low." in said
    assert "Committed: 2.300 MW." in said
    assert "Shortfall: 200.0 kW of the order cannot be promised now." in said


def test_every_order_has_a_key_of_its_own_or_the_one_given(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    counterflow("dispatch", "1MW", "1h")
    counterflow("dispatch", "1MW", "1h")
    counterflow("dispatch", "1MW", "1h", "--idempotency-key", "mine")
    keys = [request.headers["Idempotency-Key"] for request in api.requests]
    assert keys[2] == "mine"
    assert len(set(keys)) == 3


def test_a_lost_answer_tells_the_key_to_ask_again_with(api: Any, counterflow: Any) -> None:
    def lose(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("gone", request=request)

    api.will_do("POST", PATH, lose)
    result = counterflow("dispatch", "1MW", "1h")
    assert result.exit_code == 1
    assert f"--idempotency-key {api.requests[0].headers['Idempotency-Key']}" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["2.5", "15min"], "'2.5' is not understood: write a power such as 2.5MW"),
        (["-1MW", "15min"], "'-1MW' is not a discharge power: write it as a number above zero"),
        (["--", "-1MW", "15min"], "'-1MW' is not a discharge power"),
        (["-1", "15min"], "'-1' is not understood: write a power"),
        (["-1.5 MW", "15min"], "'-1.5 MW' is not a discharge power"),
        (["--watch", "-2kW", "15min"], "'-2kW' is not a discharge power"),
        (["0kW", "15min"], "'0kW' is not a discharge power"),
        (["1MW", "-15min"], "'-15min' is not a usable duration"),
        (["1MW", "15"], "'15' is not understood: write a duration"),
        (["1mW", "15min"], "'mW' is not a unit that can be used here"),
        (["1 GW", "15min"], "'GW' is not a unit that can be used here"),
        (["15min", "1MW"], "'min' is not a unit that can be used here"),
        (["1MW", "300d"], "'300d' is not a usable duration: it must be above zero and at most 7 days"),
        (["1MW", "15min", "--timeout", "20s"], "--timeout needs --stream"),
        (["1MW", "15min", "--hold", "20s"], "--hold needs --stream"),
        (["1MW", "15min", "--ramp-down", "20s", "--dry-run"], "--ramp-down needs --stream"),
        (["1MW", "15min", "--start", "17:00"], "'17:00' is not an instant"),
        (["1MW", "15min", "--start", "2026-11-22T17:00"], "has no time zone"),
        (["1MW", "15min", "--watch", "--json"], "--watch cannot be combined with --json"),
        (["1MW", "15min", "--watch", "--dry-run"], "--watch cannot be combined with --dry-run"),
        (["1MW", "15min", "--idempotency-key", "my key"], "printable ASCII characters without spaces"),
        (["1MW", "15min", "--api", "nowhere"], "'nowhere' is not an address of the API"),
        (["1MW"], "Missing argument"),
        (["1MW", "15min", "--policy", "greedy"], "'greedy' is not one of"),
        (["1MW", "15min", "--dryrun"], "No such option: --dryrun"),
        (["1", "MW", "15min"], "'1 MW' are two words to this command: write 1MW, without a space."),
        (["1MW", "15", "min"], "'15 min' are two words to this command: write 15min, without a space."),
        (["1MW", "15min", "now"], "There is more than this command takes: 'now'. 'counterflow dispatch --help' shows how it is written."),
        (["1MW", "15min", "--priority", "high"], "Invalid value for '--priority': this must be a whole number."),
    ],
)
def test_wrong_usage_is_a_sentence_with_exit_code_2_and_sends_nothing(
    api: Any, counterflow: Any, arguments: list[str], sentence: str
) -> None:
    result = counterflow("dispatch", *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert api.requests == []


def test_a_negative_priority_is_a_priority(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    assert counterflow("dispatch", "1MW", "15min", "--priority", "-3").exit_code == 0
    assert counterflow("dispatch", "1MW", "15min", "--priority=-3").exit_code == 0
    assert [body["priority"] for body in api.bodies] == [-3, -3]


def test_a_refusal_is_its_sentence_with_exit_code_1(api: Any, counterflow: Any) -> None:
    api.will_fail("POST", PATH, 409, "Dispatch d-0 overlaps.", "Cancel it first.")
    result = counterflow("dispatch", "1MW", "15min")
    assert (result.exit_code, result.stderr, result.stdout) == (1, "Error: Dispatch d-0 overlaps. Cancel it first.\n", "")


def test_a_dry_run_says_that_nothing_is_started(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, replace(answer, dry_run=True))
    result = counterflow("dispatch", "2.5MW", "15min", "--dry-run")
    assert api.bodies[0]["dry_run"] is True
    assert result.stdout.startswith("Dry run, nothing is started:")


def test_a_repeated_key_and_superseded_dispatches_are_said(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, replace(answer, repeated=True))
    assert "key was used before; it stands for dispatch d-1a2b3c4d (running)" in flat(counterflow("dispatch", "1MW", "1h").stdout)
    api.answers.clear()
    cut = Displacement(dispatch_id="d-8", runs_until_s=NOW_S + 60.0, former_end_s=NOW_S + 3600.0, left_over_s=1800.0)
    never = Displacement(dispatch_id="d-9", runs_until_s=None, former_end_s=NOW_S + 900.0, left_over_s=0.0)
    api.will("POST", PATH, replace(answer, displaced=(cut, never)), 201)
    said = flat(counterflow("dispatch", "1MW", "1h").stdout)
    assert "It has priority over d-8, which ends at 17:01:00 instead of 18:00:00 UTC. Its last 30 min, after this order, are not" in said
    assert "It has priority over d-9, which is cancelled." in said


def test_a_shortfall_comes_first(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    said = flat(counterflow("dispatch", "2.5MW", "15min").stdout)
    assert said.startswith("Dispatch d-1a2b3c4d is accepted, but only 2.300 MW of 2.500 MW can be committed: ")


def test_an_order_can_ask_for_all_or_nothing(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will_fail("POST", PATH, 409, "Only 2.300 MW of the 2.500 MW ordered can be committed.", "Order that much.")
    result = counterflow("dispatch", "2.5MW", "15min", "--require-full")
    assert (result.exit_code, api.bodies[0]["require_full"]) == (1, True)
    assert "Only 2.300 MW" in result.stderr


def test_a_dry_run_gives_its_figures_also_where_the_order_would_be_refused(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    refusal = Refusal(kind=RefusalKind.CONFLICT, sentence="Dispatch d-0 already holds the pool.", remedy="Cancel it.", conflicting="d-0")
    api.will("POST", PATH, replace(answer, dry_run=True, obstacle=refusal))
    result = counterflow("dispatch", "2.5MW", "15min", "--dry-run")
    assert "Committed: 2.300 MW." in flat(result.stdout)
    assert "The figures are as they would be without dispatch d-0 " in flat(result.stdout)
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: The order would be refused now. Dispatch d-0 already holds the pool. Cancel it.\n",
    )


@pytest.mark.parametrize(
    ("method", "path", "command"),
    [
        ("POST", PATH, ["dispatch", "1MW", "1h"]),
        ("GET", PATH, ["dispatches"]),
        ("PATCH", ONE, ["amend", "d-1a2b3c4d", "--power", "1MW"]),
        ("DELETE", ONE, ["cancel", "d-1a2b3c4d"]),
        ("POST", "/api/v1/clear-all", ["clear-all"]),
        ("POST", "/api/v1/emergency-stop", ["emergency-stop"]),
    ],
)
def test_json_is_exactly_what_the_api_said(api: Any, counterflow: Any, method: str, path: str, command: list[str]) -> None:
    api.will(method, path, b'{"as":  "it came", "power_w": 1.50}')
    result = counterflow(*command, "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, '{"as":  "it came", "power_w": 1.50}\n', "")


def test_amend_sends_only_what_changes(api: Any, counterflow: Any, dispatch: DispatchView) -> None:
    api.will("PATCH", ONE, dispatch)
    assert "Dispatch d-1a2b3c4d is now: 2.500 MW" in counterflow("amend", "d-1a2b3c4d", "--power", "2MW").stdout
    counterflow("amend", "d-1a2b3c4d", "--end", "2026-11-22T17:20Z")
    assert api.bodies == [{"discharge_power_w": 2_000_000.0}, {"end_s": 1_795_368_000.0}]


@pytest.mark.parametrize(("server_ahead_s", "end_s"), [(300.0, 1_795_366_800.0 + 300.0 + 600.0), (-3_600.0, 1_795_366_800.0 + 600.0)])
def test_amend_for_counts_on_the_servers_clock_from_now_or_from_a_later_start(
    api: Any, counterflow: Any, dispatch: DispatchView, fleet: FleetView, server_ahead_s: float, end_s: float
) -> None:
    api.will("GET", "/api/v1/fleet", replace(fleet, at_s=fleet.at_s + server_ahead_s))
    api.will("GET", ONE, dispatch)
    api.will("PATCH", ONE, dispatch)
    assert counterflow("amend", "d-1a2b3c4d", "--for", "10min").exit_code == 0
    assert api.bodies == [{"end_s": end_s}]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "Say what to change"),
        (["--for", "10min", "--end", "2026-11-22T17:20Z"], "--end and --for both set the end"),
        (["--power", "-1MW"], "'-1MW' is not a discharge power"),
        (["--for", "-10min"], "'-10min' is not a usable duration"),
    ],
)
def test_amend_refuses_what_it_cannot_understand(api: Any, counterflow: Any, options: list[str], sentence: str) -> None:
    result = counterflow("amend", "d-1a2b3c4d", *options)
    assert (result.exit_code, api.requests) == (2, [])
    assert sentence in result.stderr


def test_cancel_says_where_the_dispatch_stands(api: Any, counterflow: Any, dispatch: DispatchView) -> None:
    resuming = replace(dispatch.instruction, state=DispatchState.RESUMING, state_reason="cancelled by cli")
    api.will("DELETE", ONE, replace(dispatch, instruction=resuming))
    assert counterflow("cancel", "d-1a2b3c4d").stdout == "Dispatch d-1a2b3c4d: charging is being resumed (cancelled by cli).\n"


def test_an_id_with_odd_characters_stays_one_part_of_the_path(api: Any, counterflow: Any) -> None:
    api.will_fail("DELETE", f"{PATH}/..%2Ffleet", 404, "There is no dispatch '../fleet'.")
    assert counterflow("cancel", "../fleet").exit_code == 1


def test_the_list_fits_80_columns_and_knows_nothing_as_a_dash(
    api: Any, counterflow: Any, dispatch: DispatchView, ended: DispatchView
) -> None:
    api.will("GET", PATH, [dispatch, replace(ended, delivered_power_w=None)])
    lines = counterflow("dispatches").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:2] == ["Dispatch", "State"]
    assert lines[1].split()[:6] == ["d-1a2b3c4d", "running", "17:00:00", "17:15:00", "2500.0", "2487.5"]
    assert lines[2].split()[5] == "-"


def test_an_empty_list_says_how_to_order(api: Any, counterflow: Any) -> None:
    api.will("GET", PATH, [])
    assert "counterflow dispatch 100kW 15min" in counterflow("dispatches").stdout


def test_emergency_stop_acts_without_asking(api: Any, counterflow: Any, fleet: FleetView) -> None:
    api.will("POST", "/api/v1/emergency-stop", replace(fleet, emergency_stop=True))
    result = counterflow("emergency-stop")
    assert result.exit_code == 0
    assert "THE EMERGENCY STOP IS ON" in result.stdout
    assert "counterflow emergency-stop --reset" in result.stdout


def test_reset_asks_first_unless_told_yes(api: Any, counterflow: Any, fleet: FleetView) -> None:
    api.will("DELETE", "/api/v1/emergency-stop", fleet)
    assert counterflow("emergency-stop", "--reset", typed="n\n").exit_code == 1
    assert counterflow("emergency-stop", "--reset", typed="").exit_code == 1
    assert api.requests == []
    assert "The emergency stop is off" in counterflow("emergency-stop", "--reset", typed="y\n").stdout
    assert counterflow("emergency-stop", "--reset", "--yes").exit_code == 0
    assert len(api.requests) == 2


def test_clear_all_says_how_many_profiles(api: Any, counterflow: Any) -> None:
    api.will("POST", "/api/v1/clear-all", {"profiles": 380, "paced": 350, "paced_over_s": 60.0})
    said = flat(counterflow("clear-all").stdout)
    assert said.startswith("380 profiles of ours will be cleared")
    assert "At once: 30. Step by step, within about 60 s: 350, each as its car resumes charging" in said
    api.answers.clear()
    api.will("POST", "/api/v1/clear-all", {"profiles": 0, "paced": 0, "paced_over_s": 0.0})
    assert counterflow("clear-all").stdout == "There is no profile of ours at any station.\n"


def test_what_the_order_looks_like_on_the_wire_is_json(api: Any, counterflow: Any, answer: DispatchAnswer) -> None:
    api.will("POST", PATH, answer, 201)
    counterflow("dispatch", "1MW", "1h")
    assert api.requests[0].headers["Content-Type"] == "application/json"
    assert json.loads(api.requests[0].content)["start_s"] is None
