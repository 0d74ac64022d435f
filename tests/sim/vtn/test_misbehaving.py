"""Quirks of real VTNs, faults of the network, and notifications: each as it was asked for."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from counterflow.adapters.openadr.reading import read_notification
from counterflow.sim.vtn.faults import Fault
from counterflow.sim.vtn.serving import VEN, Vtn


class Callback:
    """A webhook on a free port that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, str]] = []
        self.echoes: list[str] = []
        self.answers_echo = True
        self.came = threading.Event()
        callback = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                split = urlsplit(self.path)
                callback.echoes.append(split.path)
                self._say(parse_qs(split.query)["echo"][0] if callback.answers_echo else "what?")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                callback.told.append((self.headers["authorization"], body))
                self._say("")
                callback.came.set()

            def _say(self, text: str) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: Any) -> None:
                """Nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/oadr"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def next(self) -> tuple[str | None, str]:
        assert self.came.wait(60.0)
        self.came.clear()
        return self.told[-1]


@pytest.fixture
def callback() -> Iterator[Callback]:
    listening = Callback()
    yield listening
    listening.server.shutdown()
    listening.server.server_close()


def subscription(callback: Callback, *operations: str, **fields: Any) -> dict[str, Any]:
    wish = {"objects": ["EVENT"], "operations": list(operations), "callbackUrl": callback.url, "bearerToken": "mine"}
    return {"clientName": "v2g", "objectOperations": [wish], **fields}


def test_changes_are_told_with_the_bearer_token_to_those_who_wished_it(
    operator: Any, ven: Any, event: dict[str, Any], callback: Callback
) -> None:
    assert ven("POST", "/subscriptions", subscription(callback, "CREATE", "DELETE")).status_code == 201
    assert callback.echoes == ["/oadr"]
    made = operator("POST", "/events", event).json()
    token, body = callback.next()
    assert token == "Bearer mine"
    assert json.loads(body) == {"objectType": "EVENT", "operation": "CREATE", "object": made}
    operator("PUT", f"/events/{made['id']}", event)
    operator("DELETE", f"/events/{made['id']}")
    assert read_notification(callback.next()[1]).operation == "DELETE"
    assert len(callback.told) == 2


def test_an_event_that_one_may_not_read_or_of_another_program_is_not_told(
    vtn: Vtn, operator: Any, ven: Any, event: dict[str, Any], callback: Callback
) -> None:
    other = operator("POST", "/programs", {"programName": "other"}).json()["id"]
    ven("POST", "/subscriptions", subscription(callback, "CREATE", programID=event["programID"]))
    operator("POST", "/events", {**event, "targets": ["vpp-north"]})
    operator("POST", "/events", {**event, "programID": other})
    last = operator("POST", "/events", event).json()["id"]
    assert read_notification(callback.next()[1]).object.id == last
    assert len(callback.told) == 1


def test_a_callback_that_does_not_echo_is_not_subscribed(vtn: Vtn, ven: Any, callback: Callback) -> None:
    callback.answers_echo = False
    refused = ven("POST", "/subscriptions", subscription(callback, "CREATE"))
    assert (refused.status_code, "echo" in refused.json()["detail"]) == (400, True)
    callback.answers_echo = True
    vtn.house.quirks.echo_in_path = True
    assert ven("POST", "/subscriptions", subscription(callback, "CREATE")).status_code == 201
    assert callback.echoes[-1] == "/oadr/echo"
    nobody = subscription(callback, "CREATE")
    nobody["objectOperations"][0]["callbackUrl"] = "http://127.0.0.1:9/oadr"
    assert "cannot be reached" in ven("POST", "/subscriptions", nobody).json()["detail"]


def test_a_subscriber_of_3_0_1_is_told_in_its_words(operator: Any, ven_v30: Any, event: dict[str, Any], callback: Callback) -> None:
    wished = subscription(callback, "POST", programID=event["programID"], targets=[{"type": "GROUP", "values": ["vpp-north"]}])
    assert ven_v30("POST", "/subscriptions", wished).status_code == 201
    operator("POST", "/events", {**event, "targets": ["vpp-north"]})
    told = json.loads(callback.next()[1])
    assert (told["operation"], told["object"]["targets"]) == ("POST", [{"type": "GROUP", "values": ["vpp-north"]}])


def test_notifications_as_the_reference_vtn_sends_them(
    vtn: Vtn, operator: Any, ven: Any, event: dict[str, Any], callback: Callback
) -> None:
    ven("POST", "/subscriptions", subscription(callback, "CREATE"))
    vtn.house.quirks.snake_case_notifications = vtn.house.quirks.double_encoded_notifications = True
    vtn.house.quirks.plain_times = True
    operator("POST", "/events", event)
    body = callback.next()[1]
    inner = json.loads(json.loads(body))
    assert inner["object"]["program_id"] == event["programID"]
    assert inner["object"]["interval_period"]["start"] == "2026-11-22 17:00:00"
    assert read_notification(body).object == read_notification(json.dumps(inner)).object


def test_answers_as_other_vtns_send_them(vtn: Vtn, operator: Any, ven: Any, event: dict[str, Any]) -> None:
    vtn.house.quirks.plain_times = vtn.house.quirks.endless_rewritten = vtn.house.quirks.unknown_fields = True
    endless = operator("POST", "/events", {**event, "intervalPeriod": {"start": "2026-11-22T17:00:00Z", "duration": "P9999Y"}}).json()
    assert endless["intervalPeriod"] == {"start": "2026-11-22 17:00:00", "duration": "P9999Y0M0DT0H0M0S"}
    assert "T" not in endless["createdDateTime"]
    assert "vendorExtension" in endless
    vtn.house.quirks.nested_targets = True
    assert ven("POST", "/vens", {"objectType": "VEN_VEN_REQUEST", "venName": "v2g"}).json()["targets"] == [[], []]
    vtn.house.quirks.filters_ignored = True
    assert len(ven("GET", "/events", programID="none", active="true").json()) == 1
    vtn.house.quirks.no_webhook_key = vtn.house.quirks.no_expires_in = True
    assert ven("GET", "/notifiers").json() == {}
    form = {"grant_type": "client_credentials", "client_id": VEN.client_id, "client_secret": VEN.secret}
    assert "expires_in" not in httpx.post(f"{vtn.url()}/auth/token", data=form).json()
    vtn.house.quirks.date_ahead_s = 86400.0
    assert ven("GET", "/programs").headers["date"] > ""


def test_faults_strike_the_requests_they_are_for(vtn: Vtn, operator: Any, ven: Any, event: dict[str, Any]) -> None:
    vtn.house.faults.add(Fault(path="/events", status=429, retry_after_s=3))
    assert ven("GET", "/programs").status_code == 200
    busy = ven("GET", "/events")
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "3")
    assert ven("GET", "/events").status_code == 200
    vtn.house.faults.add(Fault(method="GET", path="/events", status=503, times=2))
    assert [ven("GET", "/events").status_code for _ in range(3)] == [503, 503, 200]
    vtn.house.faults.add(Fault(path="/programs", delay_s=0.3))
    with pytest.raises(httpx.ReadTimeout):
        ven.http.get("/programs", timeout=httpx.Timeout(30.0, read=0.05))
    assert ven("GET", "/programs").status_code == 200
    assert vtn.house.faults.requests[-1] == ("GET", "/openadr3/3.1.0/programs")


def test_a_lost_answer_leaves_the_request_carried_out(vtn: Vtn, operator: Any, ven: Any, event: dict[str, Any]) -> None:
    vtn.house.faults.add(Fault(method="POST", path="/events", lost=True))
    with pytest.raises(httpx.RemoteProtocolError):
        operator("POST", "/events", event)
    assert len(ven("GET", "/events").json()) == 1


class Broker:
    """Stands for a connection to a broker; a real one is in the VEN's tests."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, payload))


def test_changes_are_published_where_the_topics_say(vtn: Vtn, operator: Any, ven: Any, event: dict[str, Any]) -> None:
    broker = vtn.house.teller.publisher = Broker()
    ven_id = ven("POST", "/vens", {"objectType": "VEN_VEN_REQUEST", "venName": "v2g"}).json()["id"]
    ven("POST", "/resources", {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": ven_id})
    operator("POST", "/events", event)
    operator("POST", "/events", {**event, "targets": ["vpp-north"]})
    # They are published after the answers, each in its turn.
    deadline_s = time.monotonic() + 20.0
    while len(of_events := [said for said in broker.published if "events/" in said[0]]) < 5 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    topics = [topic for topic, _ in of_events]
    of_program = f"programs/{event['programID']}/events/create"
    assert topics == ["events/create", of_program, f"vens/{ven_id}/events/create", "events/create", of_program]
    assert read_notification(of_events[0][1]).operation == "CREATE"
