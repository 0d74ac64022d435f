"""One listening port: accepts connections within the limits, shakes hands for TLS, and hands each to picows.

We accept ourselves rather than by the event loop's server: so an address is held to its limits before it has cost a TLS handshake, a
failed handshake is counted with its reason, and new certificates are in force for the next connection without touching an open one.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, Protocol

import aiofastnet
import structlog
from picows import WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]  # missing in the stubs

from counterflow.adapters.ocpp.limits import AddressBook, Bucket
from counterflow.adapters.ocpp.listeners import NothingRevoked, Revocations, SecurityProfile
from counterflow.adapters.ocpp.transport import GatewaySettings
from counterflow.adapters.ocpp.wire import READ_BUFFER_BYTES, silent_logger

_log = structlog.get_logger("counterflow.gateway")

_BACKLOG = 4096
"""Connections the kernel may hold before we accept them: a whole fleet comes back at once after an outage."""
_ACCEPTS_AT_ONCE = 64
_REST_S = 0.5
"""Pause when the process has no file left to open."""
_NO_LINGER = struct.pack("ii", 1, 0)
_NO_FILES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_LOGGER = silent_logger()


class DoorOwner(Protocol):
    """What a door needs of its gateway."""

    settings: GatewaySettings
    addresses: AddressBook

    def count_refusal(self, reason: str) -> None: ...


class Visit:
    """One accepted connection, until it is gone. Also picows' factory of listeners: called with the one HTTP request."""

    __slots__ = ("__weakref__", "_addresses", "_answer", "_finished", "_gone", "address", "door", "peer", "protocol")

    def __init__(self, door: "Door", addresses: AddressBook, address: str, peer: str, answer: "Answer") -> None:
        self.door = door
        self.address = address
        self.peer = peer
        self.protocol: WSProtocol = None  # set by the door before picows can call us
        self._addresses = addresses
        self._answer: Answer | None = answer
        self._finished = False
        self._gone = False

    def __call__(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        answer, self._answer = self._answer, None
        self.finish()
        if answer is None:
            raise AssertionError("picows asks once")
        return answer(request, self)

    def finish(self) -> None:
        """The request is complete: the connection is none of the unfinished ones any more."""
        if not self._finished and not self._gone:
            self._finished = True
            self._addresses.finished(self.address)

    def leave(self) -> None:
        """The connection is gone. Twice is fine."""
        if not self._gone:
            self._gone = True
            self._addresses.leave(self.address, finished=self._finished)
            self.protocol = None  # each knows the other: what it has read into goes now, and not with the garbage some time later

    def certificate(self) -> dict[str, Any] | None:
        """The station's verified certificate as Python's `ssl` gives it."""
        certificate: dict[str, Any] | None = self.protocol.transport.underlying_transport.get_extra_info("peercert")
        return certificate

    def certificate_der(self) -> bytes:
        """The same as it came; there must be one."""
        der: bytes = self.protocol.transport.underlying_transport.get_extra_info("ssl_object").getpeercert(True)
        return der


Answer = Callable[[WSUpgradeRequest, Visit], WSUpgradeResponseWithListener]


class _StationSocket(socket.socket):
    """Says its family and kind as the numbers that they are: Python's makes an enum each time that it is asked, five times a connection."""

    __slots__ = ()
    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]

    def accept(self) -> "tuple[_StationSocket, Any]":
        """The next connection, and where it comes from."""
        descriptor, name = self._accept()  # type: ignore[attr-defined]  # what Python's is built on, missing in the stubs
        return _StationSocket(self.family, self.type, self.proto, descriptor), name


class _StationProtocol(WSProtocol):  # type: ignore[misc]  # missing in the stubs
    """picows' protocol, which tells nobody when a connection goes before its upgrade."""

    __slots__ = ("visit",)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.visit.leave()


class Door:
    """A listening port of one security profile. `answer` is called with each HTTP request; `context` is None for plain TCP."""

    def __init__(
        self,
        owner: DoorOwner,
        host: str,
        port: int,
        profile: SecurityProfile,
        context: ssl.SSLContext | None,
        answer: Answer,
    ) -> None:
        self.host = host
        self.port = port
        self.profile = profile
        self.context = context
        self.revocations: Revocations = NothingRevoked()
        self._owner = owner
        self._answer = answer
        self._socket: _StationSocket | None = None
        self._pace: Bucket | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._welcomes: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Begin to listen; `port` is then the real one. Raises `OSError` when the address cannot be had."""
        settings = self._owner.settings
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        created = socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        listening = _StationSocket(family, socket.SOCK_STREAM, created.proto, created.detach())
        # Accepted connections inherit these: they bound what the kernel, and picows' read buffer behind it, hold for one station.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.socket_buffer_bytes)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.socket_buffer_bytes)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._socket = listening
        if self.context is not None:
            self._pace = Bucket(settings.tls_handshakes_per_s, settings.tls_handshakes_per_s / 4.0, self._loop.time())
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening; handshakes under way are dropped, lines stay."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        for task in self._welcomes:
            task.cancel()

    def _accept(self) -> None:
        """The kernel holds new connections: take some of them, the rest in the next turn."""
        owner, now_s = self._owner, self._loop.time()
        for _ in range(_ACCEPTS_AT_ONCE):
            if self._socket is None:
                return
            if self._pace is not None and self._pace.wait_s(now_s) > 0.0:
                self._pause(self._pace.wait_s(now_s))
                return
            try:
                arrived, name = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NO_FILES:
                    _log.error("no more connections can be opened", error=error.strerror)
                    self._pause(_REST_S)
                    return
                continue  # it was gone before we took it
            reason = owner.addresses.enter(name[0], now_s)
            if reason is not None:
                owner.count_refusal(reason)
                _drop(arrived)
                continue
            if self._pace is not None:
                self._pace.take(now_s)
            visit = Visit(self, owner.addresses, name[0], f"{name[0]}:{name[1]}", self._answer)
            task = self._loop.create_task(self._welcome(arrived, visit))
            self._welcomes.add(task)
            task.add_done_callback(self._welcomes.discard)

    def _pause(self, pause_s: float) -> None:
        """Leave new connections with the kernel for a while."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._rest = self._loop.call_later(pause_s, self._resume)

    def _resume(self) -> None:
        self._rest = None
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._accept)
            self._accept()

    async def _welcome(self, arrived: socket.socket, visit: Visit) -> None:
        """Shake hands and give the connection to picows; what fails is counted by its reason and concerns nobody else."""
        arrived.setblocking(False)
        timeout_s = self._owner.settings.handshake_timeout_s
        try:
            if self.context is None:
                # Without aiofastnet, which on plain TCP would only add 5 KiB per connection.
                await self._loop.connect_accepted_socket(lambda: self._protocol(visit), arrived)
            else:
                await aiofastnet.connect_accepted_socket(
                    self._loop, lambda: self._protocol(visit), arrived, ssl=self.context, ssl_handshake_timeout=timeout_s
                )
        except (OSError, TimeoutError) as error:  # SSLError is an OSError
            visit.leave()
            reason = _tls_reason(error)
            self._owner.count_refusal(reason)
            _log.info("handshake failed", peer=visit.peer, port=self.port, reason=reason)
            with contextlib.suppress(OSError):
                arrived.close()
        except asyncio.CancelledError:
            visit.leave()
            arrived.close()
            raise

    def _protocol(self, visit: Visit) -> WSProtocol:
        """One picows connection."""
        settings = self._owner.settings
        protocol = _StationProtocol(
            None,  # host and port: client side only
            None,  # path: client side only
            False,  # is_client_side
            visit,
            _LOGGER,
            True,  # disconnect_on_exception: only a fault of the line's own code could get there
            settings.handshake_timeout_s,
            False,  # enable_auto_ping: a task per line; the sweep does it
            settings.ping_interval_s,
            settings.ping_interval_s,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong: it would answer pings past every bound
            settings.max_message_bytes,
            None,  # extra_headers: client side only
            READ_BUFFER_BYTES,
        )
        protocol.visit = visit
        visit.protocol = protocol
        return protocol


def _drop(arrived: socket.socket) -> None:
    """Close without a word and without a trace: a flood must leave no sockets in TIME_WAIT."""
    with contextlib.suppress(OSError):
        arrived.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    arrived.close()


def _tls_reason(error: BaseException) -> str:
    """A short fixed phrase for what went wrong; OpenSSL's reasons are a closed list."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: {error.verify_message}" if error.verify_message else "tls: certificate verify failed"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"tls: {error.reason.lower().replace('_', ' ')}"
    return "tls: timed out or hung up during the handshake"
