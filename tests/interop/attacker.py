"""A program that attacks a server until it is told to stop (SIGTERM), and then says how often it struck: `attacker.py NAME OCPP TLS API`.

The three numbers are ports of 127.0.0.1; it comes from 127.0.0.2, so that what an address may do is held against it. A process of its
own, so that what it costs is not taken for what it does to others. `test_others_under_attack.py` starts it.
"""

import asyncio
import base64
import contextlib
import os
import random
import signal
import ssl
import sys
import zlib
from collections.abc import Awaitable, Callable

FROM = ("127.0.0.2", 0)
BOOT = b'[2,"boot","BootNotification",{"reason":"PowerUp","chargingStation":{"model":"M","vendorName":"V"}}]'
DEEP = 20_000


class Attack:
    """Where to strike, and how often that was done."""

    def __init__(self, ocpp_port: int, tls_port: int, api_port: int) -> None:
        self.ocpp_port = ocpp_port
        self.tls_port = tls_port
        self.api_port = api_port
        self.strikes = 0
        self.names = iter(range(1_000_000))

    async def connect(self, port: int, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port, local_addr=FROM, ssl=context)

    async def line(self, name: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A WebSocket that the server has taken, booted."""
        reader, writer = await self.connect(self.ocpp_port)
        writer.write(upgrade(f"/ocpp/{name}", *headers))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            writer.close()
            raise ConnectionError(head)
        writer.write(frame(BOOT))
        await reader.read(1024)
        return reader, writer

    async def flood(self, *texts: bytes, pause_s: float = 0.0) -> None:
        """Say these again and again on one line, and take what comes back."""
        reader, writer = await self.line(f"ATTACKER-{os.getpid()}-{next(self.names)}")
        reading = asyncio.ensure_future(drain(reader))
        frames = [frame(text) for text in texts]
        try:
            while True:
                writer.write(b"".join(frames))
                await writer.drain()
                self.strikes += len(frames)
                await asyncio.sleep(pause_s)
        finally:
            reading.cancel()
            writer.close()

    async def knock(self, port: int, sent: bytes, *, wait: bool = True) -> None:
        """One connection that says this, and is gone when the server has had its say."""
        reader, writer = await self.connect(port)
        writer.write(sent)
        self.strikes += 1
        if wait:
            await reader.read(65536)
        writer.close()


def upgrade(path: str, *headers: str) -> bytes:
    usual = (
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: ocpp2.1",
    )
    return "\r\n".join((f"GET {path} HTTP/1.1", *usual, *headers, "", "")).encode("latin-1")


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """One frame, masked with zeros."""
    size = len(payload)
    length = (
        bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    )
    return bytes([first]) + length + b"\0\0\0\0" + payload


async def drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


async def calls(attack: Attack) -> None:
    """Valid requests without a pause."""
    await attack.flood(*[b'[2,"x","Heartbeat",{}]'] * 200)


async def nonsense(attack: Attack) -> None:
    """Frames of noise, and requests with everything wrong about them."""
    rng = random.Random(os.getpid())
    await attack.flood(
        *(rng.randbytes(rng.randrange(300)).replace(b"\x00", b"[") for _ in range(100)), b'[2,"x","TransactionEvent",{"evse":[]}]'
    )


async def nesting(attack: Attack) -> None:
    """JSON as deep as it fits."""
    await attack.flood(b"[" * DEEP, b'[2,"x","DataTransfer",{"vendorId":"v","data":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}]")


async def oversized(attack: Attack) -> None:
    """Messages of many megabytes, announced and begun."""
    reader, writer = await attack.line("ATTACKER-BIG")
    writer.write(frame(b"x" * 3_000_000))
    attack.strikes += 1
    await drain(reader)
    writer.close()


async def bombs(attack: Attack) -> None:
    """A kilobyte that is a hundred megabytes when inflated."""
    reader, writer = await attack.line("ATTACKER-BOMB", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12")
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    writer.write(frame((packer.compress(b"\0" * 20_000_000) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4], 0xC1))
    attack.strikes += 1
    await drain(reader)
    writer.close()


async def slowly(attack: Attack) -> None:
    """Handshakes and frames that are begun and then go on byte by byte."""
    reader, writer = await attack.connect(attack.ocpp_port)
    text = upgrade("/ocpp/ATTACKER-SLOW")
    if next(attack.names) % 2:
        writer.write(text + frame(b"x" * 60_000)[:30_000])
        await reader.readuntil(b"\r\n\r\n")
        text = b"y" * 1000
    attack.strikes += 1
    for number in range(len(text)):
        writer.write(text[number : number + 1])
        await asyncio.sleep(0.3)


async def deaf(attack: Attack) -> None:
    """Whoever asks and never reads."""
    _, writer = await attack.line(f"ATTACKER-DEAF-{next(attack.names)}")
    call = frame(b'[2,"%b","NoSuchAction",{}]' % (b"i" * 1000))
    while True:
        writer.write(call * 100)
        attack.strikes += 100
        await writer.drain()


async def passwords(attack: Attack) -> None:
    """Guesses at the password of a station that is there, and others' passwords for it."""
    for user in ("SECRET", "ATTACKER"):
        shown = base64.b64encode(f"{user}:{random.randbytes(12).hex()}".encode()).decode()
        await attack.knock(attack.ocpp_port, upgrade("/ocpp/SECRET", f"Authorization: Basic {shown}"))


async def twins(attack: Attack) -> None:
    """One identity that comes again and again, each time in place of itself."""
    await attack.line("ATTACKER-TWIN")
    attack.strikes += 1


async def paths(attack: Attack) -> None:
    """Addresses that mean something else to somebody."""
    for path in (
        "/ocpp/..%2f..%2fetc%2fpasswd",
        "/ocpp/%00",
        "/ocpp/%2e%2e",
        "/ocpp/%c0%ae",
        "/ocpp/" + "A" * 4000,
        "/ocpp/SIM-00001/../SECRET",
    ):
        await attack.knock(attack.ocpp_port, upgrade(f"/ocpp/{path}"))


async def tokens(attack: Attack) -> None:
    """The HTTP API with tokens that are none, in every place, and bodies without end."""
    head = "Host: x\r\nContent-Type: application/json\r\n"
    for request in (
        f"GET /api/v1/fleet HTTP/1.1\r\n{head}Authorization: Bearer {random.randbytes(32).hex()}\r\n\r\n",
        f"GET /api/v1/fleet?token={random.randbytes(32).hex()} HTTP/1.1\r\n{head}\r\n",
        f"POST /api/v1/dispatches HTTP/1.1\r\n{head}Content-Length: 9999999999\r\n\r\n[[[[",
        f"POST /api/v1/dispatches HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
    ):
        reader, writer = await attack.connect(attack.api_port)
        writer.write(request.encode())
        attack.strikes += 1
        await reader.read(4096)
        writer.close()


async def handshakes(attack: Attack) -> None:
    """TLS handshakes, whole ones and halves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    attack.strikes += 1
    _, writer = await attack.connect(attack.tls_port, context)
    writer.close()
    await attack.knock(attack.tls_port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(40), wait=False)


ATTACKS: dict[str, tuple[Callable[[Attack], Awaitable[None]], int]] = {
    "calls": (calls, 4),
    "nonsense": (nonsense, 4),
    "nesting": (nesting, 3),
    "oversized": (oversized, 4),
    "bombs": (bombs, 4),
    "slowly": (slowly, 150),
    "deaf": (deaf, 3),
    "passwords": (passwords, 8),
    "twins": (twins, 4),
    "paths": (paths, 8),
    "tokens": (tokens, 4),
    "handshakes": (handshakes, 8),
}
"""What is done, and how often at the same time."""


async def main(name: str, *ports: str) -> None:
    attack, (strike, times) = Attack(*map(int, ports)), ATTACKS[name]

    async def go_on() -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await strike(attack)
            await asyncio.sleep(0.001)

    work = [asyncio.ensure_future(go_on()) for _ in range(times)]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    while not attack.strikes:
        await asyncio.sleep(0.001)
    print("it strikes", flush=True)
    await stop.wait()
    for task in work:
        task.cancel()
    print(attack.strikes, flush=True)
    os._exit(0)  # whatever is still open is the server's to clear away


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
