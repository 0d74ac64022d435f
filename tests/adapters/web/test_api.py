from unittest.mock import AsyncMock

import msgspec
import pytest
from msgspec.structs import replace

from counterflow.adapters.web import answers
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.conflicts import Leader, SitePriority
from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView, TargetAnswer
from counterflow.domain.ids import SiteId
from counterflow.domain.instructions import AllocationPolicy, DispatchMode, Headroom, StreamTerms, StreamValue
from counterflow.domain.session_views import ExplanationView, SessionView
from counterflow.domain.station_views import CallAnswer, ConflictView, StationView
from counterflow.domain.views import FleetView, Refusal, RefusalKind

ORDER = {"discharge_power_w": "2.5MW", "duration_s": "15min"}


def same(response, shape):
    return msgspec.json.decode(response.content, type=shape)


@pytest.mark.parametrize(
    ("path", "shape", "shown"),
    [
        ("/fleet", FleetView, EXAMPLES[FleetView]),
        ("/sessions", list[SessionView], [EXAMPLES[SessionView]]),
        ("/sessions/CS-1/7f9c", SessionView, EXAMPLES[SessionView]),
        ("/stations", list[StationView], [EXAMPLES[StationView]]),
        ("/stations/CS-1", StationView, EXAMPLES[StationView]),
        ("/dispatches", list[DispatchView], [EXAMPLES[DispatchView]]),
        ("/dispatches/d-1", DispatchView, EXAMPLES[DispatchView]),
        ("/emergency-stop", FleetView, EXAMPLES[FleetView]),
        ("/conflicts", list[ConflictView], [EXAMPLES[ConflictView]]),
        ("/conflicts/priorities", list[SitePriority], [EXAMPLES[SitePriority]]),
    ],
)
def test_a_view_goes_out_as_it_is(client, path, shape, shown):
    response = client.ask("GET", path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert same(response, shape) == shown


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6])
def test_a_long_listing_is_encoded_in_portions_and_says_the_same(client, operations, monkeypatch, count):
    views = [replace(EXAMPLES[StationView], station_id=f"CS-{number}") for number in range(count)]
    encode, encoded = msgspec.json.encode, []
    monkeypatch.setattr(operations, "stations", AsyncMock(return_value=views))
    monkeypatch.setattr(answers, "VIEWS_AT_ONCE", 2)
    monkeypatch.setattr(msgspec.json, "encode", lambda value: encoded.append(value) or encode(value))
    response = client.ask("GET", "/stations")
    assert response.content == encode(views)
    assert [len(portion) for portion in encoded] == [len(views[first : first + 2]) for first in range(0, count, 2)]


def test_an_order_in_words_of_people_reaches_the_engine_in_base_units(client, operations):
    response = client.ask(
        "POST",
        "/dispatches",
        json={**ORDER, "start": "2026-11-22T18:00:00+01:00", "policy": "merit", "mode": "gross_export", "pool": "north", "priority": 3},
        headers={"Idempotency-Key": "key-1"},
    )
    assert response.status_code == 201
    assert response.headers["location"] == "/api/v1/dispatches/d-3f2a91c4"
    ((_, order, key, dry_run),) = operations.calls
    assert (order.discharge_power_w, order.duration_s, order.start_s) == (2.5e6, 900.0, 1_795_366_800.0)
    assert (order.policy, order.mode, order.pool, order.priority) == (AllocationPolicy.MERIT, DispatchMode.GROSS_EXPORT, "north", 3)
    assert (key, dry_run) == ("key-1", False)
    assert order.ordered_by.startswith("api:")
    assert same(response, DispatchAnswer).dispatch == EXAMPLES[DispatchView]


def test_numbers_are_watts_and_seconds_and_no_start_is_now(client, operations):
    client.ask("POST", "/dispatches", json={"discharge_power_w": 1_400_000, "duration_s": 240, "start_s": None})
    (_, order, key, _) = operations.calls[0]
    assert (order.discharge_power_w, order.duration_s, order.start_s, key) == (1.4e6, 240.0, None, None)


def test_a_repeated_key_and_a_dry_run_are_200(client):
    keyed = {"Idempotency-Key": "key-1"}
    assert client.ask("POST", "/dispatches", json=ORDER, headers=keyed).status_code == 201
    again = client.ask("POST", "/dispatches", json=ORDER, headers=keyed)
    assert again.status_code == 200
    assert again.json()["repeated"] is True
    dry = client.ask("POST", "/dispatches", json={**ORDER, "dry_run": True})
    assert dry.status_code == 200
    assert "location" not in dry.headers


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"discharge_power_w": "-2MW"}, "above zero"),
        ({"discharge_power_w": -2e6}, "discharge is positive"),
        ({"discharge_power_w": 0}, "above zero"),
        ({"discharge_power_w": "2500000"}, "2.5MW"),
        ({"discharge_power_w": "2.5mW"}, "not a unit"),
        ({"discharge_power_w": "2.5 horses"}, "not a unit"),
        ({"discharge_power_w": True}, "a number of watts"),
        ({"discharge_power_w": None}, "a number of watts"),
        ({"discharge_power_w": 1e12}, "in watts"),
        ({"duration_s": "15"}, "15min"),
        ({"duration_s": -60}, "above zero"),
        ({"duration_s": "8000h"}, "7 days"),
        ({"duration_s": 1e7}, "7 days"),
        ({"start": "2026-11-22T17:00:00"}, "no time zone"),
        ({"start": "tomorrow"}, "not an instant"),
        ({"start": 1_795_366_800}, "a text with its time zone"),
        ({"start_s": 1_795_366_800_000}, "between 2000 and 2200"),
        ({"start_s": "2026"}, "a number of seconds"),
        ({"start": "2026-11-22T17:00Z", "start_s": 1_795_366_800}, "not both"),
        ({"policy": "fairest"}, "'merit' or 'economic'"),
        ({"mode": "net"}, "'net_export'"),
        ({"pool": ""}, "pool"),
        ({"priority": "high"}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"discharge_power": "2MW"}, "there is no such field"),
    ],
)
def test_an_order_that_must_be_guessed_is_refused_with_a_sentence(client, operations, change, words):
    response = client.ask("POST", "/dispatches", json=ORDER | change)
    assert response.status_code == 422
    assert words in response.json()["detail"]
    assert next(iter(change)) in response.json()["detail"] or "not both" in words
    assert operations.calls == []


@pytest.mark.parametrize("missing", ["discharge_power_w", "duration_s"])
def test_an_order_without_power_or_duration_is_refused(client, missing):
    body = {name: value for name, value in ORDER.items() if name != missing}
    assert client.ask("POST", "/dispatches", json=body).json()["detail"] == f"{missing}: this is needed."


@pytest.mark.parametrize("key", ["", "two words", "x" * 201, "ä"])
def test_an_unusable_idempotency_key_is_refused(client, operations, key):
    response = client.ask("POST", "/dispatches", json=ORDER, headers={"Idempotency-Key": key.encode("latin-1")})
    assert response.status_code == 422
    assert operations.calls == []


def test_not_a_number_is_no_power(client):
    content = b'{"discharge_power_w": NaN, "duration_s": 60}'
    response = client.ask("POST", "/dispatches", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)


def test_amend_changes_what_is_named(client, operations, dispatch_id):
    assert client.ask("PATCH", f"/dispatches/{dispatch_id}", json={"discharge_power_w": "2MW"}).status_code == 200
    client.ask("PATCH", f"/dispatches/{dispatch_id}", json={"end": "2026-11-22T17:20Z"})
    client.ask("PATCH", f"/dispatches/{dispatch_id}", json={"end_s": 1_795_368_000})
    amendments = [call[2] for call in operations.calls]
    assert [(each.discharge_power_w, each.end_s) for each in amendments] == [(2e6, None), (None, 1_795_368_000.0), (None, 1_795_368_000.0)]


@pytest.mark.parametrize(
    "body", [{}, {"end": "2026-11-22T17:20Z", "end_s": 1_795_368_000}, {"duration_s": 5}, {"discharge_power_w": "-1kW"}]
)
def test_an_amendment_of_nothing_or_too_much_is_refused(client, operations, body):
    assert client.ask("PATCH", "/dispatches/d-1", json=body).status_code == 422
    assert operations.calls == []


def test_delete_cancels(client, operations):
    response = client.ask("DELETE", "/dispatches/d-1")
    assert response.json()["instruction"]["state"] == "cancelled"
    assert operations.calls[0][:2] == ("cancel", "d-1")


def test_series_on_any_grid(client, operations):
    assert client.ask("GET", "/dispatches/d-1/series").status_code == 200
    client.ask("GET", "/dispatches/d-1/series?step_s=900")
    assert [call[2] for call in operations.calls] == [4.0, 900.0]


@pytest.mark.parametrize("step", ["0", "-4", "0.001", "1e9", "nan", "inf", "often"])
def test_an_impossible_grid_is_refused(client, operations, step):
    response = client.ask("GET", f"/dispatches/d-1/series?step_s={step}")
    assert response.status_code == 422
    assert "step_s" in response.json()["detail"]
    assert operations.calls == []


@pytest.mark.parametrize("report_format", ["json", "csv", "parquet", "png", "pdf"])
def test_a_report_comes_in_the_format_asked_for(client, report_format):
    response = client.ask("GET", f"/dispatches/d-1/report?format={report_format}")
    assert response.content == f"d-3f2a91c4 as {report_format}".encode()
    assert response.headers["content-disposition"] == f'attachment; filename="report.{report_format}"'


def test_a_report_comes_in_the_version_and_step_asked_for(client, operations):
    assert client.ask("GET", "/dispatches/d-1/report?version=2&step_s=900").status_code == 200
    assert operations.calls[-1] == ("report", "d-1", 2)
    refused = client.ask("GET", "/dispatches/d-1/report?step_s=7")
    assert refused.status_code == 422
    assert "7 s is no multiple of the report's own, 4 s" in refused.json()["detail"]


def test_the_versions_that_are_kept_and_what_a_report_was_made_from(client, operations):
    [version] = client.ask("GET", "/dispatches/d-1/report/versions").json()
    assert (version["version"], version["revision"]["of_version"]) == (2, 1)
    response = client.ask("GET", "/dispatches/d-1/report/evidence?version=1")
    assert response.content == b"d-3f2a91c4 from 0"
    assert operations.calls[-1] == ("evidence", "d-1", 1)


def test_a_report_is_held_against_itself_made_again(client, operations):
    told = client.ask("GET", "/dispatches/d-1/report/verification?version=1").json()
    assert operations.calls[-1] == ("verification", "d-1", 1)
    assert told["holds"] is True


@pytest.mark.parametrize("what", ["report", "report/versions", "report/evidence", "report/verification", "series"])
def test_what_is_not_known_is_told_for_every_part_of_a_report(client, operations, what):
    operations.refusal = Refusal(kind=RefusalKind.NOT_FOUND, sentence="There is no dispatch 'd-1'.", remedy="List them.")
    assert client.ask("GET", f"/dispatches/d-1/{what}").status_code == 404


def test_an_unknown_report_format_is_refused(client):
    response = client.ask("GET", "/dispatches/d-1/report?format=xls")
    assert response.status_code == 422
    assert "format" in response.json()["detail"]


def test_a_station_is_added_with_its_password_hashed(client, operations):
    response = client.ask("POST", "/stations", json={"station_id": "CS-1", "site_id": "north", "password": "0123456789abcdef"})
    assert response.status_code == 201
    registration = operations.calls[-1][1]
    assert (registration.station_id, registration.site_id) == ("CS-1", "north")
    assert registration.password_hash == "hash:fedcba9876543210"


def test_a_new_station_without_site_or_password_gets_the_default_and_none(client, operations, monkeypatch):
    unknown = Refusal(kind=RefusalKind.NOT_FOUND, sentence="There is no such station.", remedy="-")
    monkeypatch.setattr(operations, "station", lambda _station_id: unknown)
    client.ask("POST", "/stations", json={"station_id": "CS-1", "password": None})
    assert operations.calls[-1][1].site_id == SiteId("depot")
    assert operations.calls[-1][1].password_hash is None


def test_a_known_station_keeps_its_site_unless_one_is_named(client, operations, monkeypatch):
    known = msgspec.structs.replace(EXAMPLES[StationView], site_id="harbour")
    monkeypatch.setattr(operations, "station", lambda _station_id: known)
    client.ask("POST", "/stations", json={"station_id": "CS-1", "password": "0123456789abcdef"})
    client.ask("POST", "/stations", json={"station_id": "CS-1", "site_id": "north"})
    assert [call[1].site_id for call in operations.calls] == ["harbour", "north"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"station_id": ""},
        {"station_id": "a/b"},
        {"station_id": "x" * 49},
        {"station_id": "CS", "password": "short"},
        {"station_id": 5},
        {"station_id": "CS", "sit": "x"},
    ],
)
def test_a_station_that_cannot_be_is_refused(client, operations, body):
    response = client.ask("POST", "/stations", json=body)
    assert response.status_code == 422
    assert response.json()["detail"]
    assert operations.calls == []


def test_a_refused_password_is_not_shown(client):
    assert "s3cret" not in client.ask("POST", "/stations", json={"station_id": "CS", "password": "s3cret"}).text


def test_a_station_is_removed(client, operations):
    assert client.ask("DELETE", "/stations/CS%3A1").status_code == 200
    assert operations.calls == [("remove", "CS:1")]


@pytest.mark.parametrize(("path", "asked"), [("discovery", "discover"), ("restore-settings", "give back")])
def test_a_station_is_asked_anew_or_given_its_settings_back(client, operations, path, asked):
    response = client.ask("POST", f"/stations/CS-1/{path}")
    assert same(response, StationView) == EXAMPLES[StationView]
    assert operations.calls == [(asked, "CS-1")]


def test_any_request_is_sent_to_a_station(client, operations):
    response = client.ask("POST", "/stations/CS-1/calls", json={"action": "GetVariables", "payload": {"getVariableData": []}})
    assert same(response, CallAnswer) == EXAMPLES[CallAnswer]
    assert operations.calls == [("call", "CS-1", "GetVariables", {"getVariableData": []})]


@pytest.mark.parametrize("body", [{}, {"action": "Reset"}, {"action": "Re set", "payload": {}}, {"action": "Reset", "payload": []}, []])
def test_a_call_that_is_none_is_refused(client, operations, body):
    assert client.ask("POST", "/stations/CS-1/calls", json=body).status_code == 422
    assert operations.calls == []


def test_clear_all_tells_how_many(client, operations):
    response = client.ask("POST", "/clear-all")
    assert (response.status_code, response.json()) == (202, {"profiles": 4, "paced": 4, "paced_over_s": 60.0})
    assert operations.calls[0][0] == "clear_all"


def test_the_emergency_stop_is_put_on_shown_and_reset(client):
    assert client.ask("POST", "/emergency-stop").json()["emergency_stop"] is True
    assert client.ask("GET", "/emergency-stop").json()["emergency_stop"] is True
    assert client.ask("DELETE", "/emergency-stop").json()["emergency_stop"] is False


def test_health_and_readiness(client, operations):
    assert client.ask("GET", "/healthz", whole=True, token=None).json()["ready"] is True
    assert client.ask("GET", "/readyz", whole=True, token=None).status_code == 200
    operations.ready = False
    assert client.ask("GET", "/healthz", whole=True, token=None).status_code == 200
    response = client.ask("GET", "/readyz", whole=True, token=None)
    assert response.status_code == 503
    assert response.json()["detail"] == "The disk is full."


def test_metrics_tell_the_fleet_the_process_and_the_requests(client, operations):
    assert client.ask("PUT", "/fleet").status_code == 405
    text = client.ask("GET", "/metrics", whole=True).text
    assert "counterflow_measured_power_watts 11950.0" in text
    assert 'counterflow_sessions_by_reason{reason="ready"} 2.0' in text
    assert "counterflow_gateway_connections 7.0" in text
    assert 'counterflow_http_requests_total{method="PUT",status="405"}' in text
    assert "_created" not in text, "docs/metrics.md knows no such metric"


def test_an_unknown_figure_is_no_sample_not_zero(client, operations, monkeypatch):
    unknown = msgspec.structs.replace(EXAMPLES[FleetView], measured_power_w=None)
    monkeypatch.setattr(operations, "fleet", lambda: unknown)
    lines = client.ask("GET", "/metrics", whole=True).text.splitlines()
    assert not [line for line in lines if line.startswith("counterflow_measured_power_watts")]


def test_who_has_priority_is_said_with_who_says_it_and_by_which_token(client, operations):
    body = {"leader": "us", "by": "A. Owner", "note": "contract"}
    assert same(client.ask("PUT", "/conflicts/priorities/depot", json=body), SitePriority) == EXAMPLES[SitePriority]
    assert client.ask("DELETE", "/conflicts/priorities/depot", params={"by": "A. Owner"}).status_code == 200
    assert client.ask("POST", "/stations/CS-1/release", json={"by": "A. Owner"}).status_code == 200
    confirm, revoke, release = operations.calls
    assert (confirm[:3], confirm[4]) == (("confirm", "depot", Leader.US), "contract")
    assert (revoke[:3], revoke[4]) == (("confirm", "depot", None), "")
    assert release[:2] == ("release", "CS-1")
    assert all(call[-2].startswith("A. Owner (api:") for call in operations.calls)


@pytest.mark.parametrize(
    "body", [{"leader": "we", "by": "A"}, {"leader": "us"}, {"leader": "us", "by": ""}, {"leader": "us", "by": "A", "x": 1}]
)
def test_a_confirmation_without_a_name_or_with_an_unknown_word_is_refused(client, operations, body):
    assert client.ask("PUT", "/conflicts/priorities/depot", json=body).status_code == 422
    assert client.ask("DELETE", "/conflicts/priorities/depot").status_code == 422
    assert operations.calls == []


def test_stations_that_only_cannot_tell_who_else_steers_them_are_left_out_on_request(client, operations):
    for query in ({}, {"untold": False}):
        assert client.ask("GET", "/conflicts", params=query).status_code == 200
    assert operations.calls == [("conflicts", True), ("conflicts", False)]
    assert client.ask("GET", "/conflicts", params={"untold": "perhaps"}).status_code == 422


def test_whoever_asks_often_for_dispatches_names_how_many(client, operations):
    for query in ({}, {"most": 100}):
        assert client.ask("GET", "/dispatches", params=query).status_code == 200
    assert [call for call in operations.calls if call[0] == "dispatches"] == [("dispatches", None), ("dispatches", 100)]
    assert client.ask("GET", "/dispatches", params={"most": 0}).status_code == 422


def test_what_routes_need_is_worked_out_before_anybody_asks(make_app, make_client, monkeypatch):
    client, _ = make_client(make_app())

    def late(**_: object) -> None:
        pytest.fail("The first request would hold up control.")

    monkeypatch.setattr("fastapi.routing.get_dependant", late)
    for path in ("/fleet", "/stations", "/conflicts", "/limits", "/dispatches", "/telemetry?pool=all", "/whoami", "/nothing"):
        assert client.ask("GET", path).status_code == (404 if path == "/nothing" else 200)


def test_a_profile_with_ramps_reaches_the_engine_as_steps(client, operations):
    steps = [
        {"after_s": "15min", "discharge_power_w": "2MW"},
        {"from": "2026-11-22T17:30:00Z", "discharge_power_w": 0},
        {"from_s": 1_795_370_000, "discharge_power_w": 5e5},
    ]
    body = {**ORDER, "steps": steps, "full_activation_s": "250s", "ramp_out_s": 60}
    assert client.ask("POST", "/dispatches", json=body).status_code == 201
    (_, order, _, _) = operations.calls[0]
    assert [(step.after_s, step.from_s, step.discharge_power_w) for step in order.steps] == [
        (900.0, None, 2e6),
        (None, 1_795_368_600.0, 0.0),
        (None, 1_795_370_000.0, 5e5),
    ]
    assert (order.ramp_w_per_s, order.ramp_out_s, order.stream) == (10_000.0, 60.0, None)


def test_a_stream_is_ordered_with_its_dead_man(client, operations):
    client.ask("POST", "/dispatches", json={**ORDER, "stream": {"timeout_s": 20}, "ramp_w_per_s": "1MW/min"})
    (_, order, _, _) = operations.calls[0]
    assert order.stream == StreamTerms(timeout_s=20.0, hold_s=60.0, ramp_down_s=300.0)
    assert order.ramp_w_per_s == pytest.approx(1e6 / 60.0)


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"steps": [{"discharge_power_w": 1}]}, "exactly one of after_s"),
        ({"steps": [{"after_s": 1, "from_s": 1_795_370_000, "discharge_power_w": 1}]}, "exactly one of after_s"),
        ({"steps": [{"after_s": 1, "discharge_power_w": -1}]}, "positive"),
        ({"ramp_w_per_s": 0}, "above zero"),
        ({"ramp_w_per_s": "20kW"}, "20kW/s"),
        ({"ramp_w_per_s": 1, "full_activation_s": 1}, "not both"),
    ],
)
def test_a_target_that_is_no_target_is_refused_in_a_sentence(client, operations, extra, word):
    response = client.ask("POST", "/dispatches", json={**ORDER, **extra})
    assert response.status_code == 422
    assert word in response.json()["detail"]
    assert operations.calls == []


def test_a_value_of_a_stream_reaches_the_engine_with_number_and_time(client, operations):
    body = {"discharge_power_w": "1.2MW", "sequence": 7, "at": "2026-11-22T17:00:00.5Z"}
    response = client.ask("PUT", "/dispatches/d-1/target", json=body)
    assert response.status_code == 200
    assert same(response, TargetAnswer) == EXAMPLES[TargetAnswer]
    assert operations.calls == [("tell", "d-1", StreamValue(discharge_power_w=1.2e6, sequence=7, said_at_s=1_795_366_800.5))]
    assert operations.recorded == [], "values are in the log of the dispatch"


def test_values_that_come_too_often_are_429_with_a_pause_and_in_the_audit_log(client, operations):
    operations.refusal = Refusal(kind=RefusalKind.TOO_OFTEN, sentence="One too many.", remedy="Wait a second.")
    response = client.ask("PUT", "/dispatches/d-1/target", json={"discharge_power_w": 0})
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert response.json()["type"] == "urn:counterflow:problem:too-often"
    assert [entry.status for entry in operations.recorded] == [429]


@pytest.mark.parametrize(
    "body", [{}, {"discharge_power_w": -1}, {"discharge_power_w": 1, "sequence": -1}, {"discharge_power_w": 1, "sequence": True}]
)
def test_a_value_that_is_none_is_refused(client, operations, body):
    assert client.ask("PUT", "/dispatches/d-1/target", json=body).status_code == 422
    assert operations.calls == []


def test_why_a_car_was_given_what_it_was_is_asked_by_number_and_instant(client, operations):
    response = client.ask("GET", "/sessions/17/explain", params={"at": "2026-11-22T18:01:00+01:00"})
    assert same(response, ExplanationView) == EXAMPLES[ExplanationView]
    client.ask("GET", "/sessions/17/explain")
    assert operations.calls == [("explain", 17, 1_795_366_860.0), ("explain", 17, None)]
    assert client.ask("GET", "/sessions/17/explain", params={"at": "17:01"}).status_code == 422


def test_the_headroom_of_an_order_is_a_share_or_a_power(client, operations):
    client.ask("POST", "/dispatches", json={**ORDER, "headroom_frac": 0.2})
    client.ask("POST", "/dispatches", json={**ORDER, "headroom_power_w": "200kW"})
    assert [order.headroom for _, order, _, _ in operations.calls] == [Headroom(share_frac=0.2), Headroom(power_w=200e3)]
    both = client.ask("POST", "/dispatches", json={**ORDER, "headroom_frac": 0.2, "headroom_power_w": 1})
    assert both.status_code == 422
    assert "not both" in both.json()["detail"]
