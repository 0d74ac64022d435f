"""What a client may do at the VTN, by HTTP, in both versions."""

from typing import Any

import httpx
import pytest

from counterflow.sim.vtn.clients import Client, Role
from counterflow.sim.vtn.serving import OPERATOR, VEN, Vtn, beside


def report_for(event_id: str, name: str = "r-1") -> dict[str, Any]:
    interval = {"id": 0, "payloads": [{"type": "USAGE", "values": [-30.5]}]}
    return {"eventID": event_id, "clientName": "v2g", "reportName": name, "resources": [{"resourceName": "A", "intervals": [interval]}]}


def test_a_token_is_given_for_form_encoded_credentials_alone(vtn: Vtn) -> None:
    url = f"{vtn.url()}/auth/token"
    right = {"grant_type": "client_credentials", "client_id": VEN.client_id, "client_secret": VEN.secret}
    given = httpx.post(url, data=right).json()
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 3600)
    for answer, status, error in (
        (httpx.post(url, json=right), 400, "invalid_request"),
        (httpx.post(url, data={**right, "client_secret": "wrong"}), 401, "invalid_client"),
        (httpx.post(url, data={**right, "grant_type": "password"}), 400, "unsupported_grant_type"),
        (httpx.post(url, data={"grant_type": "client_credentials"}, auth=(VEN.client_id, VEN.secret)), 401, "invalid_client"),
    ):
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert httpx.get(f"{vtn.url()}/auth/server").json() == {"tokenURL": url}


def test_a_token_dies_and_is_asked_for_anew() -> None:
    now_s = [1000.0]
    with beside(now_s=lambda: now_s[0], token_life_s=60.0) as vtn:
        form = {"grant_type": "client_credentials", "client_id": VEN.client_id, "client_secret": VEN.secret}
        token = httpx.post(f"{vtn.url()}/auth/token", data=form).json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{vtn.url()}/programs", headers=headers).status_code == 200
        now_s[0] += 60.0
        refused = httpx.get(f"{vtn.url()}/programs", headers=headers)
        assert (refused.status_code, refused.json()["status"]) == (401, 401)
        assert httpx.get(f"{vtn.url()}/programs").status_code == 401


def test_objects_are_created_read_changed_and_deleted(operator: Any, ven: Any, event: dict[str, Any]) -> None:
    made = operator("POST", "/events", event)
    assert made.status_code == 201
    event_id = made.json()["id"]
    assert ven("GET", f"/events/{event_id}").json() == made.json()
    changed = operator("PUT", f"/events/{event_id}", {**event, "eventName": "smaller"}).json()
    assert (changed["id"], changed["eventName"], changed["createdDateTime"]) == (event_id, "smaller", made.json()["createdDateTime"])
    assert changed["modificationDateTime"] > made.json()["modificationDateTime"]
    assert operator("DELETE", f"/programs/{event['programID']}").status_code == 409
    assert operator("DELETE", f"/events/{event_id}").json() == changed
    assert ven("GET", f"/events/{event_id}").status_code == 404
    assert operator("DELETE", f"/programs/{event['programID']}").status_code == 200


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"payloadDescriptors": [{"payloadType": "DISPATCH_SETPOINT"}]}, "objectType"),
        ({"targets": [{"type": "GROUP", "values": ["a"]}]}, "list of strings"),
        ({"intervalPeriod": {"start": "soon"}}, "is no time"),
        ({"duration": "P1M"}, "no fixed length"),
        ({"priority": -1}, "not within"),
        ({"programID": None}, "programID"),
        ({"intervals": [{"id": 0, "payloads": [{"type": "X", "values": [None]}]}]}, "unknown value"),
    ],
)
def test_what_does_not_fit_the_description_is_refused_in_a_sentence(operator: Any, event: dict[str, Any], change: Any, says: str) -> None:
    refused = operator("POST", "/events", {**event, **change})
    assert refused.status_code == 400
    assert says in refused.json()["detail"]


def test_what_is_named_must_be_there(operator: Any, ven: Any, event: dict[str, Any]) -> None:
    assert operator("POST", "/events", {**event, "programID": "none"}).status_code == 409
    assert ven("POST", "/reports", report_for("none")).status_code == 409
    resource = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": "none"}
    assert ven("POST", "/resources", resource).status_code == 404
    assert operator("POST", "/programs", {"programName": "v2g"}).status_code == 409


def test_who_may_write_what(operator: Any, ven: Any, event: dict[str, Any]) -> None:
    assert ven("POST", "/events", event).status_code == 403
    assert ven("POST", "/programs", {"programName": "mine"}).status_code == 403
    event_id = operator("POST", "/events", event).json()["id"]
    assert operator("POST", "/reports", report_for(event_id)).status_code == 403
    assert ven("POST", "/reports", report_for(event_id)).status_code == 201
    assert ven("DELETE", f"/events/{event_id}").status_code == 403


def test_a_report_is_one_by_event_client_and_name_and_may_be_corrected(operator: Any, ven: Any, event: dict[str, Any]) -> None:
    event_id = operator("POST", "/events", event).json()["id"]
    first = ven("POST", "/reports", report_for(event_id)).json()
    assert (first["clientID"], "programID" in first) == ("ven", False)
    assert ven("POST", "/reports", report_for(event_id)).status_code == 409
    assert ven("PUT", f"/reports/{first['id']}", {**report_for(event_id), "clientName": "v2g"}).status_code == 200
    assert [one["id"] for one in ven("GET", "/reports", eventID=event_id, clientName="v2g").json()] == [first["id"]]
    assert ven("GET", "/reports", clientName="other").json() == []


def test_3_1_privacy_an_event_with_targets_is_for_those_who_were_granted_one(operator: Any, ven: Any, event: dict[str, Any]) -> None:
    event_id = operator("POST", "/events", {**event, "targets": ["vpp-north"]}).json()["id"]
    mine = ven("POST", "/vens", {"objectType": "VEN_VEN_REQUEST", "venName": "v2g", "targets": ["vpp-north"]}).json()
    assert "targets" not in mine  # a VEN cannot grant itself what it likes
    assert ven("GET", f"/events/{event_id}").status_code == 404
    assert ven("GET", "/events").json() == []
    granted = {"objectType": "BL_VEN_REQUEST", "clientID": "ven", "venName": "v2g", "targets": ["vpp-north"]}
    assert operator("PUT", f"/vens/{mine['id']}", granted).json()["targets"] == ["vpp-north"]
    assert [one["id"] for one in ven("GET", "/events").json()] == [event_id]
    again = ven("PUT", f"/vens/{mine['id']}", {"objectType": "VEN_VEN_REQUEST", "venName": "v2g"}).json()
    assert again["targets"] == ["vpp-north"]


def test_a_client_sees_only_its_own_vens_and_reports() -> None:
    other = Client(client_id="other", secret="s", role=Role.VEN)
    with beside(clients=(OPERATOR, VEN, other)) as vtn:
        from_ = {one.client_id: _asker(vtn, one) for one in (VEN, other)}
        made = from_["ven"].post("/vens", json={"objectType": "VEN_VEN_REQUEST", "venName": "v2g"}).json()
        assert from_["other"].get("/vens").json() == []
        assert from_["other"].get(f"/vens/{made['id']}").status_code == 404
        assert from_["other"].post("/vens", json={"objectType": "VEN_VEN_REQUEST", "venName": "v2g"}).status_code == 409


def _asker(vtn: Vtn, client: Client) -> httpx.Client:
    form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.secret}
    token = httpx.post(f"{vtn.url()}/auth/token", data=form).json()["access_token"]
    return httpx.Client(base_url=vtn.url(), headers={"authorization": f"Bearer {token}"})


def test_both_versions_show_the_same_objects_in_their_own_words(
    operator: Any, ven_v30: Any, operator_v30: Any, event: dict[str, Any]
) -> None:
    event_id = operator("POST", "/events", {**event, "targets": ["vpp-north"]}).json()["id"]
    in_v30 = ven_v30("GET", f"/events/{event_id}").json()
    assert in_v30["targets"] == [{"type": "GROUP", "values": ["vpp-north"]}]
    assert [one["id"] for one in ven_v30("GET", "/events", targetType="GROUP", targetValues=["vpp-north"]).json()] == [event_id]
    assert ven_v30("GET", "/events", targetType="GROUP", targetValues=["other"]).json() == []
    made = ven_v30("POST", "/vens", {"objectType": "VEN", "venName": "v2g"}).json()
    resource = ven_v30("POST", f"/vens/{made['id']}/resources", {"resourceName": "pool"})
    assert (resource.status_code, resource.json()["venID"], resource.json()["objectType"]) == (201, made["id"], "RESOURCE")
    assert [one["resourceName"] for one in operator("GET", "/resources", venID=made["id"]).json()] == ["pool"]
    assert ven_v30("GET", "/resources").status_code == 404
    assert ven_v30("POST", "/reports", report_for(event_id)).status_code == 400
    with_program = {**report_for(event_id), "programID": event["programID"]}
    assert ven_v30("POST", "/reports", with_program).json()["programID"] == event["programID"]
    now = operator_v30("POST", "/events", {**event, "intervalPeriod": {"start": "0000-00-00", "duration": "PT15M"}}).json()
    assert now["intervalPeriod"]["start"] == "0000-00-00"
    assert operator("GET", f"/events/{now['id']}").json()["intervalPeriod"]["start"] == "0001-01-01T00:00:00Z"


def test_notifiers_and_topics() -> None:
    with beside(mqtt_url="mqtt://127.0.0.1:1883") as vtn:
        operator, ven = _asker(vtn, OPERATOR), _asker(vtn, VEN)
        assert ven.get("/notifiers").json() == {
            "WEBHOOK": True,
            "MQTT": {"URIS": ["mqtt://127.0.0.1:1883"], "serialization": "JSON", "authentication": {"method": "ANONYMOUS"}},
        }
        program_id = operator.post("/programs", json={"programName": "v2g"}).json()["id"]
        ven_id = ven.post("/vens", json={"objectType": "VEN_VEN_REQUEST", "venName": "v2g"}).json()["id"]
        assert ven.get(f"/notifiers/mqtt/topics/vens/{ven_id}/events").json()["topics"] == {
            "CREATE": f"vens/{ven_id}/events/create",
            "UPDATE": f"vens/{ven_id}/events/update",
            "DELETE": f"vens/{ven_id}/events/delete",
            "ALL": f"vens/{ven_id}/events/+",
        }
        assert "CREATE" not in ven.get(f"/notifiers/mqtt/topics/programs/{program_id}").json()["topics"]
        assert ven.get("/notifiers/mqtt/topics/events").status_code == 403
        assert operator.get("/notifiers/mqtt/topics/events").status_code == 200
        assert ven.get("/notifiers/mqtt/topics/weather").status_code == 404
        assert ven.get("/notifiers/mqtt/topics/vens/none/events").status_code == 404
    with beside() as vtn:
        assert _asker(vtn, VEN).get("/notifiers/mqtt/topics/programs").status_code == 404
