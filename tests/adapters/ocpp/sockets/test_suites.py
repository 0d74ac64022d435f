"""Which cipher suites the TLS port takes, by handmade ClientHellos of exactly one suite: no client library can be asked for all of these,
and none has to be able to speak them. The answer is a ServerHello with that suite, or the end of the connection."""

import asyncio
import os
import struct
from typing import Any

import pytest

from counterflow.adapters.ocpp.listeners import ListenerSettings

TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = 0x0301, 0x0302, 0x0303, 0x0304
OF_THE_STANDARD = {
    "ECDHE_ECDSA_AES_128_GCM_SHA256": 0xC02B,
    "ECDHE_ECDSA_AES_256_GCM_SHA384": 0xC02C,
    "RSA_AES_128_GCM_SHA256": 0x009C,
    "RSA_AES_256_GCM_SHA384": 0x009D,
}
"""A00.FR.318, A00.FR.418."""
OURS_TOO = {"ECDHE_RSA_AES_128_GCM_SHA256": 0xC02F, "ECDHE_RSA_AES_256_GCM_SHA384": 0xC030}
OF_1_3 = {"AES_128_GCM_SHA256": 0x1301, "AES_256_GCM_SHA384": 0x1302, "CHACHA20_POLY1305_SHA256": 0x1303}
NEVER = {
    "NULL_NULL": 0x0000,
    "RSA_NULL_SHA256": 0x003B,
    "RSA_EXPORT_RC4_40": 0x0003,
    "RSA_RC4_128_SHA": 0x0005,
    "RSA_DES_CBC_SHA": 0x0009,
    "RSA_3DES_EDE_CBC_SHA": 0x000A,
    "RSA_AES_128_CBC_SHA": 0x002F,
    "RSA_AES_256_CBC_SHA": 0x0035,
    "RSA_AES_128_CBC_SHA256": 0x003C,
    "RSA_AES_256_CBC_SHA256": 0x003D,
    "RSA_AES_128_CCM": 0xC09C,
    "DHE_RSA_AES_128_CBC_SHA": 0x0033,
    "DHE_RSA_AES_128_GCM_SHA256": 0x009E,
    "DHE_RSA_AES_256_GCM_SHA384": 0x009F,
    "DH_anon_AES_128_GCM_SHA256": 0x00A6,
    "PSK_AES_128_GCM_SHA256": 0x00A8,
    "ECDH_ECDSA_AES_128_GCM_SHA256": 0xC02D,
    "ECDHE_ECDSA_NULL_SHA": 0xC006,
    "ECDHE_ECDSA_RC4_128_SHA": 0xC007,
    "ECDHE_ECDSA_AES_128_CBC_SHA": 0xC009,
    "ECDHE_ECDSA_AES_256_CBC_SHA": 0xC00A,
    "ECDHE_RSA_AES_128_CBC_SHA": 0xC013,
    "ECDHE_RSA_AES_256_CBC_SHA": 0xC014,
    "ECDHE_ECDSA_AES_128_CBC_SHA256": 0xC023,
    "ECDHE_RSA_AES_128_CBC_SHA256": 0xC027,
    "ECDHE_ECDSA_AES_128_CCM": 0xC0AC,
    "ECDHE_ECDSA_CHACHA20_POLY1305": 0xCCA9,
    "ECDHE_RSA_CHACHA20_POLY1305": 0xCCA8,
    "ECDHE_ECDSA_CAMELLIA_128_GCM": 0xC086,
    "ECDHE_ECDSA_ARIA_128_GCM": 0xC05C,
}
NEVER_IN_1_3 = {"AES_128_CCM_SHA256": 0x1304, "AES_128_CCM_8_SHA256": 0x1305, "an old one": 0xC02B}


def client_hello(version: int, *suites: int) -> bytes:
    """A ClientHello record that offers these suites, of at most this version."""
    groups = _vector(struct.pack(">HH", 0x001D, 0x0017), 2)
    signatures = _vector(b"".join(struct.pack(">H", one) for one in (0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0201)), 2)
    extensions = [(0x000A, groups), (0x000B, b"\x01\x00"), (0x000D, signatures), (0x0017, b"")]
    if version == TLS_1_3:
        share = struct.pack(">H", 0x001D) + _vector(os.urandom(32), 2)
        extensions += [(0x002B, _vector(struct.pack(">H", TLS_1_3), 1)), (0x0033, _vector(share, 2))]
    body = (
        struct.pack(">H", min(version, TLS_1_2))
        + os.urandom(32)
        + _vector(os.urandom(32), 1)
        + _vector(b"".join(struct.pack(">H", one) for one in suites), 2)
        + (b"\x01\x00" if version == TLS_1_3 else b"\x02\x01\x00")  # compression: none; before 1.3, deflate before none
        + _vector(b"".join(struct.pack(">H", kind) + _vector(content, 2) for kind, content in extensions), 2)
    )
    return b"\x16\x03\x01" + _vector(b"\x01" + _vector(body, 3), 2)


def _vector(content: bytes, length_bytes: int) -> bytes:
    return len(content).to_bytes(length_bytes, "big") + content


def listener(pki: Any, **more: Any) -> ListenerSettings:
    return ListenerSettings(profile=2, port=0, certificates=(pki.server(), pki.server("rsa")), client_authority=pki.root(), **more)


async def chosen(stage: Any, gateway: Any, hello: bytes) -> tuple[int, int] | None:
    """The suite and compression that the server takes; None for an alert or the end."""
    client = await stage.tcp(gateway, port=gateway.ports[0])
    client.writer.write(hello)
    try:
        kind, _, size = struct.unpack(">BHH", await client.reader.readexactly(5))
        record = await client.reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
    finally:
        client.writer.close()
    if kind == 0x15:
        return None
    assert (kind, record[0]) == (0x16, 0x02), "neither an alert nor a ServerHello"
    after = 4 + 2 + 32 + 1 + record[38]  # header, version, random, session id
    return int.from_bytes(record[after : after + 2], "big"), record[after + 2]


@pytest.mark.parametrize(
    ("version", "good", "bad"),
    [(TLS_1_2, OF_THE_STANDARD | OURS_TOO, NEVER | OF_1_3), (TLS_1_3, OF_1_3, NEVER_IN_1_3), (TLS_1_1, {}, OF_THE_STANDARD | NEVER)],
    ids=["TLS 1.2", "TLS 1.3", "TLS 1.1"],
)
def test_a00_fr_318_a_suite_is_taken_if_and_only_if_it_is_one_of_these(
    stage: Any, pki: Any, version: int, good: dict[str, int], bad: dict[str, int]
) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki),)) as (gateway, _recorder):
            taken = {name: await chosen(stage, gateway, client_hello(version, suite)) for name, suite in (good | bad).items()}
            assert taken == dict.fromkeys(bad) | {name: (suite, 0) for name, suite in good.items()}  # and never compressed
            reasons = {"tls: no shared cipher", "tls: unsupported protocol", "tls: no ciphers specified", "tls: no ciphers available"}
            assert set(gateway.counters.refused) <= reasons | {"tls: timed out or hung up during the handshake"}
            assert sum(gateway.counters.refused[reason] for reason in reasons & set(gateway.counters.refused)) >= len(bad)

    stage.run(story())


def test_of_many_the_server_takes_the_one_that_keeps_past_secrets(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki),)) as (gateway, _recorder):
            weak_first = [*NEVER.values(), *OF_THE_STANDARD.values()][::-1]
            assert await chosen(stage, gateway, client_hello(TLS_1_2, 0x009C, 0x009D, *weak_first)) == (0xC02B, 0)

    stage.run(story())


def test_rsa_key_exchange_is_gone_where_it_is_turned_off(stage: Any, pki: Any) -> None:
    async def story() -> None:
        async with stage.gateway(listeners=(listener(pki, rsa_key_exchange=False),)) as (gateway, _recorder):
            assert [await chosen(stage, gateway, client_hello(TLS_1_2, suite)) for suite in (0x009C, 0x009D, 0xC02F)] == [
                None,
                None,
                (0xC02F, 0),
            ]

    stage.run(story())
