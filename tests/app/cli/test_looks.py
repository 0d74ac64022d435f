"""Listings fit the terminal, and stations are registered without a password ever lying about."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.app.cli.looks import why
from counterflow.domain.resources import StationIdentity
from counterflow.domain.session_views import SessionView
from counterflow.domain.station_views import CallAnswer, StationView
from counterflow.domain.views import FleetView


def flat(text: str) -> str:
    return " ".join(text.split())


def test_fleet_says_what_is_there_and_why_the_rest_cannot(api: Any, counterflow: Any, fleet: FleetView) -> None:
    api.will("GET", "/api/v1/fleet", replace(fleet, reasons=fleet.reasons | {"brand_new_reason": 1}))
    result = counterflow("fleet")
    said = flat(result.stdout)
    for part in (
        "198 connected of 200 known",
        "175 can be discharged, of 190",
        "10: the driver has not agreed to discharge",
        "5: no meter value for too long",
        "1: brand new reason",
        "As of 2026-11-22T17:00:00Z",
        "1.402 MW, data estimated, 3 sessions not measured",
        "1.640 MW, 410.00 kWh",
        "150.0 kW",
        "d-1a2b3c4d",
        "stop is off",
    ):
        assert part in said
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_fleet_power_that_nobody_measured_is_unknown(api: Any, counterflow: Any, fleet: FleetView) -> None:
    api.will("GET", "/api/v1/fleet", replace(fleet, measured_power_w=None, target_power_w=None, emergency_stop=True))
    said = flat(counterflow("fleet").stdout)
    assert "Power now unknown" in said
    assert "no dispatch is running" in said
    assert "THE EMERGENCY STOP IS ON" in said


def test_a_car_that_was_agreed_to_be_paused_says_why_it_is_not(session: SessionView) -> None:
    view = replace(session, reason="no_consent", reason_text="no discharge", pausing="must_charge", pausing_text="it must charge")
    assert why(view) == "no discharge; not paused: it must charge"
    assert why(replace(view, pausing="ready", pausing_text="it can be paused")) == "no discharge; it can be paused"
    assert why(replace(view, pausing="no_pause_consent")) == why(replace(view, pausing="no_consent")) == "no discharge"
    assert why(replace(session, pausing="must_charge")) == session.reason_text


def test_sessions_fit_and_say_why(api: Any, counterflow: Any, session: SessionView) -> None:
    words = "the energy above the driver's floor is unknown"
    unknown = replace(session, station_id="CS-2", reason="soc_unknown", reason_text=words, soc_frac=None, power_w=None, power_age_s=None)
    api.will("GET", "/api/v1/sessions", [session, unknown])
    lines = counterflow("sessions").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:4] == ["CS-1", "1", "63", "7.0"]
    assert lines[2].split()[:4] == ["CS-2", "1", "-", "-"]
    assert [line[line.index(part) :].rstrip() for line, part in zip(lines[2:4], ("the energy", "driver"), strict=True)] == [
        "the energy above the",
        "driver's floor is unknown",
    ]
    assert "1 of 2 sessions can be discharged. Discharge is positive." in flat(" ".join(lines))
    assert "Not shown here:" in flat(" ".join(lines))


def test_a_car_that_is_not_discharged_and_may_be_paused_is_counted_apart(api: Any, counterflow: Any, session: SessionView) -> None:
    words = {"reason": "no_v2x_control", "reason_text": "the station does not offer CentralSetpoint"}
    post = replace(session, station_id="CS-2", pausing="ready", pausing_text="charging can be paused", reducible_power_w=11_000.0, **words)
    api.will("GET", "/api/v1/sessions", [session, post])
    said = flat(counterflow("sessions").stdout)
    assert "1 of 2 sessions can be discharged, 1 more can be paused. Discharge is positive." in said


def test_a_wide_terminal_shows_every_column_of_the_sessions(api: Any, counterflow: Any, session: SessionView) -> None:
    api.will("GET", "/api/v1/sessions", [session])
    result = counterflow("sessions", env={"COLUMNS": "200"})
    assert "Not shown" not in result.stdout
    assert "TX-1" in result.stdout


def test_a_long_list_is_cut_and_says_so(api: Any, counterflow: Any, session: SessionView) -> None:
    api.will("GET", "/api/v1/sessions", [replace(session, station_id=f"CS-{number}") for number in range(30)])
    short, whole = counterflow("sessions", "--limit", "10"), counterflow("sessions", "--limit", "0")
    assert short.stdout.count("CS-") == 10
    assert "The first 10 of 30 are shown" in short.stdout
    assert whole.stdout.count("CS-") == 30


def test_stations_alone_is_the_list(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("GET", "/api/v1/stations", [station])
    alone, listed = counterflow("stations"), counterflow("stations", "list")
    assert alone.stdout == listed.stdout
    assert alone.stdout.splitlines()[1].split()[:4] == ["CS-1", "yes", "3", "s"]
    assert "1 of 1 station connected." in alone.stdout


def test_options_before_a_subcommand_are_refused_and_not_lost(api: Any, counterflow: Any) -> None:
    result = counterflow("stations", "--api", "http://elsewhere:8000", "remove", "CS-1")
    assert (result.exit_code, api.requests) == (2, [])
    assert "Put the options behind the subcommand: counterflow stations remove" in result.stderr


def test_a_station_cannot_write_on_the_terminal(api: Any, counterflow: Any, station: StationView) -> None:
    nasty = replace(station, identity=StationIdentity(vendor_name="\x1b[2J[red]", model="\x9bm"))
    api.will("GET", "/api/v1/stations", [nasty])
    api.will("GET", "/api/v1/stations/CS-1", nasty)
    for command in (["stations"], ["stations", "show", "CS-1"]):
        output = counterflow(*command).stdout
        assert "\x1b" not in output
        assert "\x9b" not in output
        assert "[red]" in output


def test_show_tells_everything_of_one_station(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("GET", "/api/v1/stations/CS-1", station)
    result = counterflow("stations", "show", "CS-1")
    said = flat(result.stdout)
    for part in ("Acme Bidi 22", "yes, ocpp2.1", "TxUpdatedInterval: refused 4 s", "a value every 10 s", "setpoint", "11.0"):
        assert part in said
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_password_is_made_printed_once_and_fits_ocpp(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("GET", "/api/v1/stations/CS-1", station)
    api.will("POST", "/api/v1/stations", station, 201)
    for option in ([], ["--generate-password"]):
        result = counterflow("stations", "add", "CS-1", "--site", "depot", *option)
        body = api.bodies[-1]
        assert (body["station_id"], body["site_id"]) == ("CS-1", "depot")
        assert 16 <= len(body["password"]) <= 40
        assert result.stdout.splitlines().count(body["password"]) == 1
    assert api.bodies[0]["password"] != api.bodies[1]["password"]


def test_a_known_station_that_moves_is_said_to_move(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("GET", "/api/v1/stations/CS-1", replace(station, site_id="harbour"))
    api.will("POST", "/api/v1/stations", station, 201)
    assert "is registered at site depot, moved from harbour." in counterflow("stations", "add", "CS-1", "--site", "depot").stdout
    assert "moved" not in counterflow("stations", "add", "CS-1", "--no-password").stdout
    assert "site_id" not in api.bodies[-1], "without --site a known station keeps its site"


def test_a_new_station_has_not_moved(api: Any, counterflow: Any, station: StationView) -> None:
    api.will_fail("GET", "/api/v1/stations/CS-1", 404, "There is no station 'CS-1'.")
    api.will("POST", "/api/v1/stations", station, 201)
    assert "is registered at site depot.\n" in counterflow("stations", "add", "CS-1", "--site", "depot").stdout


def test_with_json_the_generated_password_is_in_the_json_and_nowhere_else(api: Any, counterflow: Any) -> None:
    api.will("POST", "/api/v1/stations", b'{"station_id":"CS-1"}', 201)
    result = counterflow("stations", "add", "CS-1", "--json")
    assert json.loads(result.output) == {"station_id": "CS-1", "password": api.bodies[0]["password"]}
    assert json.loads(counterflow("stations", "add", "CS-1", "--json", "--no-password").output) == {"station_id": "CS-1"}


def test_a_password_is_piped_typed_or_left_out(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("POST", "/api/v1/stations", station, 201)
    assert counterflow("stations", "add", "CS-1", "--password", "-", typed="piped-password-0123\n").exit_code == 0
    asked = counterflow("stations", "add", "CS-1", "--password", "ask", typed="typed-password-0123\ntyped-password-0123\n")
    assert asked.exit_code == 0
    assert "connects without a password" in counterflow("stations", "add", "CS-1", "--no-password").stdout
    assert [body["password"] for body in api.bodies] == ["piped-password-0123", "typed-password-0123", None]
    assert "typed-password" not in asked.output


@pytest.mark.parametrize(
    ("options", "typed", "sentence"),
    [
        (["--password", "hunter2hunter2hunter2"], None, "would stay in the shell's history"),
        (["--password", "-"], "short\n", "16 to 64 characters; this one has 5"),
        (["--no-password", "--generate-password"], None, "Choose one of"),
    ],
)
def test_a_bad_password_is_refused_before_anything_is_sent(
    api: Any, counterflow: Any, options: list[str], typed: str | None, sentence: str
) -> None:
    result = counterflow("stations", "add", "CS-1", *options, typed=typed)
    assert (result.exit_code, api.requests) == (2, [])
    assert sentence in result.stderr
    assert "hunter2" not in result.output


def test_remove_passes_on_the_servers_refusal(api: Any, counterflow: Any) -> None:
    api.will_fail("DELETE", "/api/v1/stations/CS%2F1", 409, "Station CS/1 may still hold 2 profiles of ours.", "Run clear-all.")
    result = counterflow("stations", "remove", "CS/1")
    assert (result.exit_code, result.stderr) == (1, "Error: Station CS/1 may still hold 2 profiles of ours. Run clear-all.\n")


def test_remove_works_with_an_empty_answer(api: Any, counterflow: Any) -> None:
    api.will("DELETE", "/api/v1/stations/CS-1", b"", 204)
    assert "CS-1 is removed" in counterflow("stations", "remove", "CS-1").stdout


def test_call_sends_the_request_and_prints_the_answer(api: Any, counterflow: Any) -> None:
    api.will(
        "POST", "/api/v1/stations/CS-1/calls", CallAnswer(action="Reset", payload={"status": "Accepted"}, error_code=None, error_text="")
    )
    result = counterflow("call", "CS-1", "Reset", '{"type": "OnIdle"}')
    assert api.bodies == [{"action": "Reset", "payload": {"type": "OnIdle"}}]
    assert json.loads(result.stdout) == {"status": "Accepted"}
    counterflow("call", "CS-1", "GetLog", "-", typed='{"logType": "SecurityLog"}')
    counterflow("call", "CS-1", "ClearCache")
    assert [body["payload"] for body in api.bodies[1:]] == [{"logType": "SecurityLog"}, {}]


def test_an_error_that_the_station_answers_is_exit_code_1(api: Any, counterflow: Any) -> None:
    answer = CallAnswer(action="Reset", payload=None, error_code="NotSupported", error_text="no\x1b[2J")
    api.will("POST", "/api/v1/stations/CS-1/calls", answer)
    result = counterflow("call", "CS-1", "Reset", "{}")
    assert result.exit_code == 1
    assert "Station CS-1 answered Reset with the error NotSupported: no" in result.stderr
    assert "\x1b" not in result.output
    assert json.loads(counterflow("call", "CS-1", "Reset", "{}", "--json").stdout)["error_code"] == "NotSupported"


@pytest.mark.parametrize(("text", "sentence"), [("{type: OnIdle}", "is not JSON"), ("[1]", "must be a JSON object"), ("", "is not JSON")])
def test_a_request_that_is_no_object_is_refused(api: Any, counterflow: Any, text: str, sentence: str) -> None:
    result = counterflow("call", "CS-1", "Reset", text)
    assert (result.exit_code, api.requests) == (2, [])
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("fleet", ["fleet"]),
        ("sessions", ["sessions"]),
        ("stations", ["stations"]),
        ("stations", ["stations", "list"]),
        ("stations/CS-1", ["stations", "show", "CS-1"]),
    ],
)
def test_json_is_exactly_what_the_api_said(api: Any, counterflow: Any, path: str, command: list[str]) -> None:
    api.will("GET", f"/api/v1/{path}", b'[ {"as": 1.50} ]')
    result = counterflow(*command, "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, '[ {"as": 1.50} ]\n', "")


@pytest.mark.parametrize(
    ("command", "empty"),
    [("sessions", "There are no open sessions."), ("stations", "No station is registered. Register one: counterflow stations add CS-1")],
)
def test_an_empty_list_is_a_sentence(api: Any, counterflow: Any, command: str, empty: str) -> None:
    api.will("GET", f"/api/v1/{command}", [])
    assert counterflow(command).stdout.strip() == empty
