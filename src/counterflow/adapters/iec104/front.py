"""The door: who may come in, TLS, and nothing but whole frames for the protocol library behind it, which listens on this machine only."""

import asyncio
import contextlib
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Callable, Coroutine
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from math import inf

import structlog

from counterflow.adapters.iec104.frames import HEAD_OCTETS, clock_of, fault_of, length_of
from counterflow.adapters.iec104.outstation import CannotOpenError
from counterflow.adapters.iec104.settings import Iec104Settings

_log = structlog.get_logger("counterflow")
INNER_HOST = "127.0.0.1"
_HANDSHAKE_S = 5.0
_SAID_AGAIN_S = 60.0
_CHUNK_OCTETS = 65_536


class Front:
    """`open()` it in front of a port of this machine; `close()` ends all connections."""

    def __init__(self, settings: Iec104Settings, expect: Callable[[], Callable[[], None]], now_s: Callable[[], float]) -> None:
        """`expect` is called before each connection to the library, which lets nobody else in; what it returns, when none came of it."""
        self._settings = settings
        self._now_s = now_s
        self._expect = expect
        self._networks = [IPv4Network(master) for master in settings.masters]
        self._open: set[Writer] = set()
        self._said: dict[tuple[str, str], float] = {}
        self.turned_away = 0
        """Connections of masters that are not on the list, or too many."""
        self.malformed = 0
        """Connections that were ended over octets that are no frame."""

    @property
    def masters(self) -> int:
        """Connected now."""
        return len(self._open)

    async def open(self, inner_port: int, security: ssl.SSLContext | None) -> None:
        """Let control systems in. Raises OSError when the port cannot be had."""
        self._inner_port = inner_port
        timeout_s = None if security is None else _HANDSHAKE_S
        self._server = await asyncio.start_server(
            self._serve, self._settings.host, self._settings.port, ssl=security, ssl_handshake_timeout=timeout_s, reuse_address=True
        )

    async def close(self) -> None:
        """End all connections and listen no more."""
        self._server.close()
        for writer in tuple(self._open):
            writer.close()

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        address = _address_of(writer)
        if not self._is_master(address):
            self._turn_away(writer, address, "not in iec104.masters")
            return
        if len(self._open) >= self._settings.max_masters:
            self._turn_away(writer, address, "more than iec104.max_masters")
            return
        self._open.add(writer)
        try:
            inner_reader, inner_writer = await self._open_inner()
            try:
                await _first_of(self._frames(reader, inner_writer, address), _copy(inner_reader, writer))
            finally:
                inner_writer.close()
        except OSError as error:
            self._say("control system cut off", address, repr(error))
        finally:
            self._open.discard(writer)
            writer.close()

    async def _open_inner(self) -> tuple[Reader, Writer]:
        """A connection to the library. Without one, the way in is shut at once: the next process of this machine would take it."""
        shut = self._expect()
        try:
            return await asyncio.open_connection(INNER_HOST, self._inner_port)
        except BaseException:
            shut()
            raise

    def _is_master(self, address: str) -> bool:
        try:
            found = IPv4Address(address)
        except AddressValueError:  # of another family, or gone already: on no list
            return False
        return any(found in network for network in self._networks)

    def _turn_away(self, writer: Writer, address: str, why: str) -> None:
        self.turned_away += 1
        self._say("control system turned away", address, why)
        writer.close()

    def _say(self, event: str, address: str, why: str) -> None:
        """In the log, of each address once in a while: who knocks a thousand times does not fill it."""
        now_s = self._now_s()
        if now_s - self._said.get((event, address), -inf) >= _SAID_AGAIN_S:
            self._said = {key: at_s for key, at_s in self._said.items() if now_s - at_s < _SAID_AGAIN_S}
            self._said[event, address] = now_s
            _log.warning(event, wire="iec104", address=address, why=why)

    async def _frames(self, reader: Reader, sink: Writer, address: str) -> None:
        """Hand on whole frames; whoever sends anything else is cut off."""
        while True:
            head = await reader.readexactly(HEAD_OCTETS)
            length = length_of(head)
            body = b"" if length is None else await reader.readexactly(length)
            fault = "no begin of a frame" if length is None else fault_of(body)
            if fault is not None:
                self.malformed += 1
                self._say("control system cut off: it sent what is no frame", address, fault)
                return
            self._compare_clock(body, address)
            sink.write(head + body)
            await sink.drain()

    def _compare_clock(self, body: bytes, address: str) -> None:
        """Our clock is not set from here; a control system whose clock is off will see its timed commands refused."""
        said_s = clock_of(body)
        if said_s is not None and abs(said_s - self._now_s()) > self._settings.command_max_age_s:
            self._say("the clock of a control system is off", address, f"by {said_s - self._now_s():.1f} s")


def security_of(settings: Iec104Settings) -> ssl.SSLContext | None:
    """IEC 62351-3: both ends show a certificate, TLS 1.2 or newer. Raises `CannotOpenError`."""
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        context.load_verify_locations(settings.tls_authority)
    except (ssl.SSLError, OSError) as error:
        raise CannotOpenError(f"A certificate or key of [iec104] cannot be used: {error}.") from None
    return context


def _address_of(writer: Writer) -> str:
    """Of the other side; "unknown" when it was gone before it could be asked for."""
    peer = writer.get_extra_info("peername")
    return str(peer[0]) if peer else "unknown"


async def _copy(reader: Reader, sink: Writer) -> None:
    while octets := await reader.read(_CHUNK_OCTETS):
        sink.write(octets)
        await sink.drain()


async def _first_of(*works: Coroutine[object, object, None]) -> None:
    """Until one of them ends; the others are given up. What broke a line is no fault of ours."""
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            await task
