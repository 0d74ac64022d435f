"""The gateway's door: who comes in, who does not, and how everybody leaves. Over real sockets."""

import asyncio
import base64
from http import HTTPStatus
from typing import Any

import pytest
from structlog.testing import capture_logs

from counterflow.adapters.ocpp.credentials import Credentials
from counterflow.adapters.ocpp.transport import Admitted, Refused


def basic(text: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(text.encode()).decode()


def test_ocppj_3_1_1_the_identity_is_the_decoded_last_segment(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway, target="/ocpp/RDAM%7C123")
            assert client.status == 101
            assert client.headers["sec-websocket-protocol"] == "ocpp2.1"
            station_id, offered, authorization, peer = recorder.seen[0]
            assert (station_id, offered, authorization) == ("RDAM|123", ["ocpp2.1"], None)
            assert peer.startswith("127.0.0.1:")
            await stage.until(lambda: recorder.events == [("opened", "RDAM|123")])
            line = recorder.lines["RDAM|123"]
            assert (line.station_id, line.subprotocol, line.peer) == ("RDAM|123", "ocpp2.1", peer)
            assert (gateway.counters.connections, gateway.counters.accepted) == (1, 1)

    stage.run(story())


@pytest.mark.parametrize("target", ["/", "/ocpp", "/ocpp/", "/ocpp/..", "/ocpp/a%2Fb", "/ocpp/CS1?x", "/ocpp/CS%3A1", "/x/CS1"])
def test_ocppj_3_1_1_any_other_path_is_404_and_nobody_is_asked(stage: Any, target: str) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway, target=target)
            assert client.status == 404
            assert recorder.seen == []
            assert gateway.counters.refused == {"no such path": 1}

    stage.run(story())


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_the_handlers_refusal_is_the_http_answer_before_any_upgrade(stage: Any, status: int) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            recorder.decide = lambda _: Refused(status, "not today")
            client = await stage.station(gateway)
            assert (client.status, client.body) == (status, b"not today")
            assert client.headers.get("www-authenticate", "").startswith("Basic ") == (status == 401)
            assert recorder.events == []
            assert gateway.counters.refused == {"not today": 1}
            assert gateway.counters.accepted == 0

    stage.run(story())


def test_a00_basic_credentials_reach_the_handler_colons_and_utf8_intact(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            await stage.station(gateway, headers=[basic("CS1:pass:wörd:")])
            assert recorder.seen[0][2] == Credentials("CS1", "pass:wörd:")
            transport = recorder.lines["CS1"]._transport
            assert "Authorization" not in transport.request.headers, "the password must not stay in memory"

    stage.run(story())


@pytest.mark.parametrize(
    "headers",
    [[basic("CS2:sixteen chars ok")], [basic("cs1:x")], [basic("no colon")], [("Authorization", "Bearer x")], [basic("CS1:x")] * 2],
)
def test_a00_credentials_of_another_user_or_unreadable_ones_are_401(stage: Any, headers: list[tuple[str, str]]) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway, headers=headers)
            assert client.status == 401
            assert client.headers["www-authenticate"] == 'Basic realm="OCPP", charset="UTF-8"'
            assert recorder.seen == []

    stage.run(story())


def test_no_refusal_logs_a_password(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            recorder.decide = lambda _: Refused(401, "wrong password")
            await stage.station(gateway, headers=[basic("CS1:topsecretpassword")])
            await stage.station(gateway, headers=[basic("CS2:topsecretpassword")])

    with capture_logs() as logs:
        stage.run(story())
    assert [log["status"] for log in logs if log["event"] == "station refused"] == [401, 401]
    assert "topsecret" not in str(logs)


def test_subprotocols_arrive_in_order_of_preference_from_one_header_or_several(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            recorder.decide = lambda _: Admitted("ocpp2.0.1")
            client = await stage.station(gateway, subprotocols=["ocpp2.1, ocpp2.0.1", "ocpp1.6"])
            assert recorder.seen[0][1] == ["ocpp2.1", "ocpp2.0.1", "ocpp1.6"]
            assert client.headers["sec-websocket-protocol"] == "ocpp2.0.1"
            assert recorder.lines["CS1"].subprotocol == "ocpp2.0.1"

    stage.run(story())


@pytest.mark.parametrize("offered", [["ocpp1.6"], []])
def test_ocppj_3_1_2_without_a_common_version_the_handshake_completes_and_the_line_closes_at_once(stage: Any, offered: list[str]) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway, subprotocols=offered)
            assert client.status == 101
            assert "sec-websocket-protocol" not in client.headers
            assert await client.read_close() == 1002
            client.send(stage.CLOSE, b"\x03\xea")
            assert await client.gone()
            assert recorder.events == []
            assert gateway.counters.refused == {"no common subprotocol": 1}

    stage.run(story())


def test_a_connection_header_with_keep_alive_beside_upgrade_is_an_upgrade(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, _):
            client = await stage.station(gateway, without="Connection", headers=[("Connection", "keep-alive, Upgrade")])
            assert client.status == 101

    stage.run(story())


@pytest.mark.parametrize(
    ("without", "status"), [("Upgrade", 426), ("Connection", 400), ("Sec-WebSocket-Key", 400), ("Sec-WebSocket-Version", 400)]
)
def test_a_request_that_is_no_websocket_handshake_opens_nothing(stage: Any, without: str, status: int) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway, without=without)
            assert client.status == status
            assert recorder.events == []
            assert gateway.counters.accepted == 0

    stage.run(story())


def test_a_fault_in_admit_is_500_without_its_text_and_the_next_station_comes_in(stage: Any) -> None:
    def failing(_station_id: str) -> Admitted:
        raise KeyError("internal matters")

    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            recorder.decide = failing
            client = await stage.station(gateway)
            assert client.status == HTTPStatus.INTERNAL_SERVER_ERROR
            assert b"matters" not in client.body
            assert gateway.counters.faults == 1
            recorder.decide = None
            assert (await stage.station(gateway)).status == 101

    stage.run(story())


def test_beyond_max_connections_stations_are_503_but_a_known_one_may_come_back(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(max_connections=1) as (gateway, _):
            await stage.station(gateway, "CS1")
            assert (await stage.station(gateway, "CS2")).status == 503
            assert (await stage.station(gateway, "CS1")).status == 101
            assert gateway.counters.refused == {"too many stations": 1}
            assert gateway.counters.connections == 1

    stage.run(story())


def test_a_second_connection_replaces_the_first_which_is_closed_before_the_new_one_opens(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            first = await stage.station(gateway)
            old = recorder.lines["CS1"]
            second = await stage.station(gateway)
            assert await first.read_close() == 4000
            await stage.until(lambda: len(recorder.events) == 3)
            assert [event[0] for event in recorder.events] == ["opened", "closed", "opened"]
            old.send(b"into the void")
            recorder.lines["CS1"].send(b"hello")
            assert await second.read() == (stage.TEXT, 0, b"hello")
            first.send(stage.TEXT, b"too late")
            first.send(stage.CLOSE, b"\x0f\xa0")
            assert await first.gone()
            second.send(stage.TEXT, b"still here")
            await stage.until(lambda: recorder.texts("CS1") == [b"still here"])
            assert recorder.ends("CS1") == ["closed by us: 4000 replaced by a newer connection"]
            assert gateway.line("CS1") is recorder.lines["CS1"]

    stage.run(story())


def test_a_connection_that_never_asks_is_dropped_after_the_handshake_timeout(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(handshake_timeout_s=0.1) as (gateway, _):
            silent, slow = await stage.tcp(gateway), await stage.tcp(gateway)
            slow.writer.write(b"GET /ocpp/CS1 HTTP/1.1\r\nHost: ")
            assert await silent.gone()
            assert await slow.gone()

    stage.run(story())


@pytest.mark.parametrize("request_bytes", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"A" * 20_000])
def test_what_is_not_http_is_turned_away_and_harms_nobody(stage: Any, request_bytes: bytes) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, _):
            client = await stage.tcp(gateway)
            client.writer.write(request_bytes)
            assert await client.gone()
            assert (await stage.station(gateway)).status == 101

    stage.run(story())


def test_stop_closes_every_line_with_1001_even_those_that_do_not_answer(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            clients = [await stage.station(gateway, f"CS{number}") for number in range(3)]
            stopping = asyncio.create_task(gateway.stop())
            assert [await client.read_close() for client in clients] == [1001] * 3
            clients[0].send(stage.CLOSE, b"\x03\xe9")
            await stopping  # the other two never answer
            assert all([await client.gone() for client in clients])
            assert [recorder.ends(f"CS{number}") for number in range(3)] == [["closed by us: 1001 the server is stopping"]] * 3
            assert gateway.counters.connections == 0
            with pytest.raises(OSError):
                await stage.tcp(gateway)

    stage.run(story())


def test_several_hundred_stations_at_once_all_come_in(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, _):
            clients = await asyncio.gather(*(stage.station(gateway, f"CS{number}") for number in range(300)))
            assert {client.status for client in clients} == {101}
            assert gateway.counters.connections == 300

    stage.run(story())


def test_an_address_in_use_is_an_os_error(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, _):
            with pytest.raises(OSError):
                async with stage.gateway(port=gateway.port):
                    pass

    stage.run(story())
