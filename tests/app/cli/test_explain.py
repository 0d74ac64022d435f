"""`counterflow explain`: a session by number or station, at a clock time or an instant."""

from typing import Any

from msgspec.structs import replace

from counterflow.domain.session_views import ExplanationView, SessionView
from counterflow.domain.station_views import StationView
from counterflow.domain.views import FleetView

NOW_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""
VIEW = ExplanationView(
    session_uid=7,
    station_id="CS-1",
    transaction_id="TX-1",
    at_s=NOW_S,
    dispatch_id="d-1",
    setpoint_w=7_000.0,
    setpoint_at_s=NOW_S,
    reason="gap_up",
    sentences=("At noon it was asked.", "Why: something was missing."),
    figures={"gap_power_w": 7_000},
)


def test_a_number_is_asked_as_it_is_and_the_answer_is_its_sentences(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/sessions/7/explain", VIEW)
    result = counterflow("explain", "7")
    assert result.exit_code == 0, result.output
    assert result.stdout == "At noon it was asked.\nWhy: something was missing.\n"
    assert dict(api.requests[0].url.params) == {}
    assert '"reason":"gap_up"' in counterflow("explain", "7", "--json").stdout


def test_a_station_stands_for_its_session_and_a_clock_time_for_the_last_one(
    api: Any, counterflow: Any, session: SessionView, fleet: FleetView
) -> None:
    api.will("GET", "/api/v1/sessions", [session])
    api.will("GET", "/api/v1/fleet", fleet)
    api.will("GET", "/api/v1/sessions/7/explain", VIEW)
    times = {
        "16:59:30": "2026-11-22T16:59:30Z",
        "17:03": "2026-11-21T17:03:00Z",
        "2026-11-22T18:00+02:00": "2026-11-22T16:00:00Z",
    }
    for when, asked in times.items():
        assert counterflow("explain", "CS-1", when).exit_code == 0
        assert api.requests[-1].url.params["at"] == asked


def test_a_station_without_or_with_several_sessions_is_told_so(
    api: Any, counterflow: Any, session: SessionView, station: StationView
) -> None:
    api.will("GET", "/api/v1/stations", [replace(station, station_id="CS-2")])
    api.will("GET", "/api/v1/sessions", [session, replace(session, transaction_id="TX-2", session_uid=8)])
    assert "name one of CS-1/TX-1, CS-1/TX-2" in " ".join(counterflow("explain", "CS-1").stderr.split())
    assert "Station CS-2 has no such open session" in " ".join(counterflow("explain", "CS-2").stderr.split())
    assert "There is no station 'CS-99'." in " ".join(counterflow("explain", "CS-99").stderr.split())
    api.will("GET", "/api/v1/sessions/8/explain", VIEW)
    assert counterflow("explain", "CS-1/TX-2").exit_code == 0
