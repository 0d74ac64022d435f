"""The door with TLS: who gets through each security profile, what is refused and counted, and new certificates under open lines."""

import asyncio
import gc
import ssl
import time
import weakref
from typing import Any

import pytest

from counterflow.adapters.ocpp.client import ClientLine, HandshakeRefusedError, connect
from counterflow.adapters.ocpp.door import Visit
from counterflow.adapters.ocpp.listeners import ListenerSettings, SecurityProfile
from counterflow.adapters.ocpp.tls import CertificateFileError, server_context

SUITES = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "AES128-GCM-SHA256", "AES256-GCM-SHA384")
"""What A00.FR.318 and A00.FR.418 list, as OpenSSL spells them."""


def listener(pki: Any, profile: int, **more: Any) -> ListenerSettings:
    known = {"certificates": (pki.server(), pki.server("rsa")), "client_authority": pki.root()}
    return ListenerSettings(profile=profile, port=0, **(known | more))


async def call(gateway: Any, name: str, context: ssl.SSLContext, password: str | None = None, port: int | None = None) -> ClientLine:
    url = f"wss://127.0.0.1:{port or gateway.ports[0]}/ocpp/{name}"
    ignore = {"on_text": lambda _line, _text: None, "on_close": lambda _line, _reason: None}
    return await connect(url, subprotocols=["ocpp2.1"], context=context, password=password, **ignore)


def test_a00_profile_2_password_and_messages_go_through_tls(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 2),)) as (gateway, recorder):
            recorder.on_received = lambda line, text: line.send(text)
            heard: list[bytes] = []
            line = await connect(
                f"wss://127.0.0.1:{gateway.ports[0]}/ocpp/CS1",
                subprotocols=["ocpp2.1"],
                context=pki.client(),
                password="sixteen chars ok",
                on_text=lambda _line, text: heard.append(text),
                on_close=lambda _line, _reason: None,
            )
            (shown,) = recorder.shown
            assert (shown.profile, shown.certificate_names) == (SecurityProfile.BASIC_TLS, ())
            assert shown.credentials.password == "sixteen chars ok"
            sent = [b"x" * size for size in (1, 100, 5_000, 200_000)]
            for text in sent:
                line.send(text)
            await stage.until(lambda: len(heard) == len(sent))
            assert heard == sent
            assert len(gateway.addresses) == 0, "loopback is exempt"

    stage.run(story())


def test_a00_profile_3_the_certificates_names_reach_the_register(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 3),)) as (gateway, recorder):
            await call(gateway, "CS1", pki.client(pki.station("CS1")))
            (shown,) = recorder.shown
            assert (shown.profile, shown.credentials, shown.certificate_names) == (SecurityProfile.MUTUAL_TLS, None, ("CS1",))
            assert recorder.lines["CS1"].certificate_names == ("CS1",)

    stage.run(story())


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (lambda _pki: None, "peer did not return a certificate"),
        (lambda pki: pki.station("CS1", authority="theirs"), "self-signed certificate in certificate chain"),
        (lambda pki: pki.station("CS1", at_s=pki.now_s - 3 * 86_400.0), "certificate has expired"),
        (lambda pki: pki.station("CS1", at_s=pki.now_s + 3 * 86_400.0), "certificate is not yet valid"),
        (lambda pki: pki.server(), "unsuitable certificate purpose"),
    ],
    ids=["none", "another authority", "expired", "not yet valid", "a server's"],
)
def test_a00_fr_404_a_certificate_that_does_not_verify_gets_nobody_in(stage: Any, pki: Any, certificate: Any, reason: str) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 3),)) as (gateway, recorder):
            with pytest.raises((OSError, HandshakeRefusedError)):
                await call(gateway, "CS1", pki.client(certificate(pki)))
            await stage.until(lambda: bool(gateway.counters.refused))
            ((counted, times),) = gateway.counters.refused.items()
            assert reason in counted
            assert times == 1
            assert recorder.shown == []

    stage.run(story())


def test_a_server_of_another_authority_is_left_by_the_station(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 2),)) as (gateway, recorder):
            with pytest.raises(ssl.SSLCertVerificationError):
                await call(gateway, "CS1", pki.client(trusts="theirs"))
            assert recorder.shown == []

    stage.run(story())


def test_plain_websocket_on_a_tls_port_and_tls_on_the_plain_port_get_nothing(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 2),), handshake_timeout_s=0.3) as (gateway, recorder):
            client = await stage.tcp(gateway, port=gateway.ports[0])
            client.writer.write(b"GET /ocpp/CS1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
            assert b"HTTP/1.1 101" not in await client.reader.read()
            assert gateway.counters.refused == {"tls: http request": 1}
            with pytest.raises(OSError):
                await asyncio.wait_for(call(gateway, "CS1", pki.client(), port=gateway.port), 60.0)
            assert recorder.shown == []

    stage.run(story())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a00_fr_314_tls_before_1_2_is_refused(stage: Any, pki: Any, version: ssl.TLSVersion) -> None:
    async def story() -> None:
        context = pki.client()
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        async with stage.gateway(listeners=(listener(pki, 2),)) as (gateway, recorder):
            with pytest.raises(OSError):
                await call(gateway, "CS1", context)
            await stage.until(lambda: gateway.counters.refused == {"tls: unsupported protocol": 1})
            assert recorder.shown == []

    stage.run(story())


@pytest.mark.parametrize("suite", SUITES)
def test_a00_fr_318_every_suite_of_the_standard_is_served(stage: Any, pki: Any, suite: str) -> None:
    async def story() -> None:
        context = pki.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suite)
        async with stage.gateway(listeners=(listener(pki, 2),)) as (gateway, _recorder):
            line = await call(gateway, "CS1", context)
            tls = line._transport.underlying_transport.get_extra_info("ssl_object")
            assert tls.cipher()[0] == suite
            assert tls.version() == "TLSv1.2"
            assert tls.compression() is None

    stage.run(story())


def test_rsa_key_exchange_can_be_turned_off_and_is_never_preferred(stage: Any, pki: Any) -> None:
    async def story() -> None:
        both = pki.client()
        both.maximum_version = ssl.TLSVersion.TLSv1_2
        both.set_ciphers("AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256")
        only = pki.client()
        only.maximum_version = ssl.TLSVersion.TLSv1_2
        only.set_ciphers("AES256-GCM-SHA384")
        listeners = (listener(pki, 2), listener(pki, 2, rsa_key_exchange=False))
        async with stage.gateway(listeners=listeners) as (gateway, _recorder):
            line = await call(gateway, "CS1", both)
            tls = line._transport.underlying_transport.get_extra_info("ssl_object")
            assert tls.cipher()[0] == "ECDHE-RSA-AES128-GCM-SHA256"
            with pytest.raises(OSError):
                await call(gateway, "CS2", only, port=gateway.ports[1])
            await stage.until(lambda: gateway.counters.refused == {"tls: no shared cipher": 1})

    stage.run(story())


def test_tls_1_3_is_what_a_modern_station_gets(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 2),)) as (gateway, _recorder):
            line = await call(gateway, "CS1", pki.client())
            tls = line._transport.underlying_transport.get_extra_info("ssl_object")
            assert tls.version() == "TLSv1.3"
            assert tls.compression() is None

    stage.run(story())


def serial_number(line: ClientLine) -> str:
    """Of the certificate that the server showed on this line."""
    tls = line._transport.underlying_transport.get_extra_info("ssl_object")
    return str(tls.getpeercert()["serialNumber"])


def test_new_certificates_are_shown_to_new_stations_while_open_lines_stay(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 3),)) as (gateway, recorder):
            recorder.on_received = lambda line, text: line.send(text)
            old = await call(gateway, "CS1", pki.client(pki.station("CS1")))
            # The server's certificate changes, and stations of another authority are taken from now on.
            pki.server()
            pki.authority("theirs")
            ours = pki.folder / "ours" / "root.pem"
            kept = ours.read_text()
            ours.write_text((pki.folder / "theirs" / "root.pem").read_text())
            gateway.reload_certificates()
            ours.write_text(kept)
            new = await call(gateway, "CS2", pki.client(pki.station("CS2", authority="theirs")))
            assert serial_number(new) != serial_number(old)
            with pytest.raises((OSError, HandshakeRefusedError)):
                await call(gateway, "CS3", pki.client(pki.station("CS3")))
            old.send(b"still here")
            await stage.until(lambda: recorder.texts("CS1") == [b"still here"])
            assert recorder.ends("CS1") == []

    stage.run(story())


@pytest.mark.parametrize("damage", ["", "no PEM at all", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_broken_certificate_file_changes_nothing_and_says_so(stage: Any, pki: Any, damage: str) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 2),)) as (gateway, _recorder):
            (pki.folder / "server-ecdsa.pem").write_text(damage)
            with pytest.raises(CertificateFileError, match=r"The certificate .*server-ecdsa\.pem with the key .* cannot be used: "):
                gateway.reload_certificates()
            await call(gateway, "CS1", pki.client())

    stage.run(story())


def test_an_encrypted_key_is_refused_instead_of_asking_for_its_password_on_the_terminal(pki: Any) -> None:
    from cryptography.hazmat.primitives import serialization

    path = pki.folder / "server-ecdsa.pem"
    pki.server()
    text = path.read_bytes()
    key = serialization.load_pem_private_key(text, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    path.write_bytes(locked + text[text.index(b"-----BEGIN CERTIFICATE") :])
    with pytest.raises(CertificateFileError, match="the key is encrypted"):
        server_context(ListenerSettings(profile=2, certificates=(str(path),)))


def test_slowloris_on_a_tls_port_is_cut_and_others_are_served_meanwhile(stage: Any, pki: Any) -> None:
    async def story() -> None:
        settings = {"listeners": (listener(pki, 2),), "handshake_timeout_s": 1.5}
        async with stage.gateway(**settings) as (gateway, _recorder):
            silent = [await stage.tcp(gateway, port=gateway.ports[0]) for _ in range(50)]
            for client in silent:
                client.writer.write(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
            began_s = time.process_time()
            await call(gateway, "CS1", pki.client())
            assert time.process_time() - began_s < 0.3
            assert gateway.counters.refused == {}, "it did not have to wait until they were cut"
            assert all(await asyncio.gather(*(client.gone() for client in silent)))
            await stage.until(lambda: gateway.counters.refused == {"tls: timed out or hung up during the handshake": 50})

    stage.run(story())


@pytest.mark.parametrize("way", ["close", "too large", "refused", "lost", "tls"])
def test_a_connection_that_is_gone_leaves_nothing_for_the_cycle_collector(stage: Any, pki: Any, way: str) -> None:
    """The server lets the collector look at everything once an hour: what a connection has read must not lie there until then."""

    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 2),)) as (gateway, recorder):
            visits: list[weakref.ref[Visit]] = []
            answer, context = gateway._enter, pki.client()
            for door in gateway._doors:
                door._answer = lambda request, visit: (visits.append(weakref.ref(visit)), answer(request, visit))[1]
            gc.collect()
            gc.disable()
            try:
                for number in range(3):
                    if way == "tls":
                        (await call(gateway, f"CS{number}", context)).close()
                        continue
                    client = await stage.station(gateway, f"CS{number}", target="/nowhere" if way == "refused" else None)
                    if way == "close":
                        client.send(stage.CLOSE, b"\x03\xe8")
                    elif way == "too large":
                        client.send(stage.TEXT, b"x" * 2_000_000)
                    if way in ("close", "too large"):
                        await client.gone()
                    client.writer.close()
                    del client
                recorder.lines.clear()
                await stage.until(lambda: len(visits) == 3 and not any(visit() for visit in visits))
            finally:
                gc.enable()

    stage.run(story())


async def turned_away(stage: Any, gateway: Any) -> bool:
    """A connection that is reset, during connecting or after it."""
    try:
        return await (await stage.tcp(gateway)).gone()
    except ConnectionResetError:
        return True


def test_one_address_may_hold_so_many_connections_and_unfinished_handshakes(stage: Any) -> None:
    async def story() -> None:
        limits = {"connections": 3, "unfinished": 2, "handshakes_per_s": 1.0, "handshake_burst": 6.0, "exempt": ()}
        async with stage.gateway(address=limits, handshake_timeout_s=5.0) as (gateway, recorder):
            first = await stage.station(gateway, "CS1")
            for _ in range(2):
                await stage.tcp(gateway)
            await stage.until(lambda: len(gateway.addresses) == 1)
            assert await turned_away(stage, gateway)
            assert gateway.counters.refused == {"too many connections from one address": 1}
            first.writer.close()
            await stage.until(lambda: recorder.ends("CS1") != [])
            assert await turned_away(stage, gateway)
            assert gateway.counters.refused["too many unfinished handshakes from one address"] == 1
            assert await turned_away(stage, gateway)  # the sixth of the burst
            assert await turned_away(stage, gateway)
            assert gateway.counters.refused["too many handshakes from one address"] == 1

    stage.run(story())


def test_a_flood_of_handshakes_from_one_address_is_closed_unread_and_another_address_is_served(stage: Any, pki: Any) -> None:
    async def story() -> None:
        limits = {"handshakes_per_s": 20.0, "handshake_burst": 20.0, "unfinished": 10, "exempt": ()}
        async with stage.gateway(listeners=(listener(pki, 2),), address=limits) as (gateway, recorder):
            recorder.on_received = lambda line, text: line.send(text)
            good = await stage.station(gateway, "GOOD")
            hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 32

            async def flood() -> None:
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", gateway.ports[0], local_addr=("127.0.0.2", 0))
                        writer.write(hello)
                        writer.close()
                    except OSError:
                        await asyncio.sleep(0)

            floods = [asyncio.create_task(flood()) for _ in range(4)]
            try:
                await stage.until(lambda: gateway.counters.refused.get("too many handshakes from one address", 0) > 200)
                assert await stage.best_wait_s(good, 30, place=15, enough_s=0.02) < 0.02
                let_in_s = []
                for number in range(5):
                    began_s = time.perf_counter()
                    await call(gateway, f"NEW{number}", pki.client())
                    let_in_s.append(time.perf_counter() - began_s)
                assert min(let_in_s) < 1.0
            finally:
                for task in floods:
                    task.cancel()
            assert recorder.ends("GOOD") == []

    stage.run(story())


def test_tls_handshakes_are_begun_at_a_bounded_rate_and_the_rest_waits_in_the_kernel(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, 2),), tls_handshakes_per_s=40.0) as (gateway, _recorder):
            context = pki.client()
            began_s = time.perf_counter()
            await asyncio.gather(*(call(gateway, f"CS{number}", context) for number in range(30)))
            assert time.perf_counter() - began_s > 0.4
            assert gateway.counters.accepted == 30
            assert gateway.counters.refused == {}

    stage.run(story())
