"""The WebSocket server that stations connect to: picows for the frames, the rest of RFC 6455 here. It knows no OCPP.

picows hands over single frames and checks their shape; joining, compression, reserved bits, control frames, close handshakes, liveness
and back-pressure are ours. One object per line and no task per line: a single sweep pings the silent ones.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import assert_never

import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from counterflow.adapters.ocpp import handshake
from counterflow.adapters.ocpp.door import Door, Visit
from counterflow.adapters.ocpp.limits import AddressBook
from counterflow.adapters.ocpp.listeners import ListenerSettings, NothingRevoked, Revocations, SecurityProfile
from counterflow.adapters.ocpp.station_line import StationLine, TurnedAway, stack_of
from counterflow.adapters.ocpp.tls import certificate_names, server_context
from counterflow.adapters.ocpp.transport import Admitted, CloseCode, GatewayCounters, GatewaySettings, LineHandler, Refused, Shown
from counterflow.domain.ids import StationId

_log = structlog.get_logger("counterflow.gateway")

_CHUNK_CERTIFICATES = 50
"""Certificates read in one turn of the event loop, each about 40 µs."""
_LONGEST_SLICE_S = 0.02
"""A slice that took longer was waiting for its station."""
_CHUNK_LINES = 500
"""Lines touched in one turn of the event loop by a walk over all of them."""


class Gateway:
    """Listens, admits stations, and keeps their lines. `handler` is called on the event loop that `start` ran on.

    `context_of` makes the TLS context of a listener from what its files hold now, `revocations_of` what is revoked; both raise
    `CertificateFileError`.
    """

    def __init__(
        self,
        handler: LineHandler,
        settings: GatewaySettings,
        context_of: Callable[[ListenerSettings], ssl.SSLContext] = server_context,
        revocations_of: Callable[[ListenerSettings], Revocations] = lambda _listener: NothingRevoked(),
    ) -> None:
        self.handler = handler
        self.settings = settings
        self.counters = GatewayCounters()
        self._lines: dict[StationId, StationLine] = {}
        self._waiting: deque[StationLine] = deque()  # those that have spent their slice
        self._reading: StationLine | None = None  # the one whose turn it is
        self._turn: asyncio.TimerHandle | None = None
        self._turn_at_s = 0.0
        self._slice_s = 0.001  # how long the last slice took
        self._sockets = 0  # upgraded connections not yet gone, lines and ended lines alike
        self._all_gone = asyncio.Event()
        self._stopping = False
        self._context_of = context_of
        self._revocations_of = revocations_of
        self._ending: asyncio.Task[None] | None = None
        self._doors: list[Door] = []
        self._sweep: asyncio.Task[None] | None = None
        self.addresses = AddressBook(settings.address)

    @property
    def port(self) -> int:
        """The TCP port of security profile 1; the real one after `start`, also when the setting says 0."""
        return self._doors[0].port if self._doors else self.settings.port

    @property
    def ports(self) -> tuple[int, ...]:
        """The real ports of the TLS listeners, in the order of the settings."""
        return tuple(door.port for door in self._doors[1:])

    async def start(self) -> None:
        """Begin to listen. Raises `OSError` when an address cannot be had, `CertificateFileError` for a certificate that cannot be used."""
        settings = self.settings
        doors = [Door(self, settings.host, settings.port, SecurityProfile.BASIC, None, self._enter)]
        for listener in settings.listeners:
            profile, context = SecurityProfile(listener.profile), self._context_of(listener)
            doors.append(Door(self, listener.host, listener.port, profile, context, self._enter))
            doors[-1].revocations = self._revocations_of(listener)
        try:
            for door in doors:
                door.open()
        except OSError:
            for door in doors:
                door.close()
            raise
        self._doors = doors
        self._sweep = asyncio.get_running_loop().create_task(self._sweep_forever(), name="gateway sweep")
        path = f"{settings.path_prefix}/<station id>"
        for door in doors:
            _log.info("gateway listens", host=door.host, port=door.port, profile=int(door.profile), path=path)

    def reload_certificates(self) -> None:
        """Read all certificates and revocation lists again; the next handshake uses them. Open lines stay, but for those whose certificate
        is revoked now.

        Raises `CertificateFileError`, and then nothing has changed.
        """
        read = [(self._context_of(listener), self._revocations_of(listener)) for listener in self.settings.listeners]
        for door, (context, revocations) in zip(self._doors[1:], read, strict=True):
            door.context, door.revocations = context, revocations
        _log.info("certificates reloaded", listeners=len(read))
        self.end_revoked()

    def end_revoked(self) -> None:
        """End the lines whose certificate is revoked now, some in each turn of the event loop."""
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().create_task(self._end_revoked(), name="gateway revocations")

    async def _end_revoked(self) -> None:
        lists = [door.revocations for door in self._doors if door.profile is SecurityProfile.MUTUAL_TLS]
        shown = [line for line in self._lines.values() if line.certificate_names] if lists else []
        for number, line in enumerate(shown, start=1):
            der = line.certificate_der()
            if der is not None and any(one.revoked(der) for one in lists):
                _log.warning("certificate revoked", station_id=line.station_id, peer=line.peer)
                line.end(CloseCode.POLICY_VIOLATION, "certificate revoked")
            if number % _CHUNK_CERTIFICATES == 0:
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """Stop listening, close every line with 1001 and wait until they are gone (at most `close_timeout_s` and a little)."""
        self._stopping = True
        for door in self._doors:
            door.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for waiting in (self._ending, self._turn):
            if waiting is not None:
                waiting.cancel()
        for number, line in enumerate(list(self._lines.values()), start=1):
            line.close(CloseCode.GOING_AWAY, "the server is stopping")
            if number % _CHUNK_LINES == 0:
                await asyncio.sleep(0)
        while self._sockets > 0:
            self._all_gone.clear()
            await self._all_gone.wait()  # ends: each closing line aborts itself after close_timeout_s
        await asyncio.sleep(0)  # let the last deferred `closed` calls run

    def line(self, station_id: StationId) -> StationLine | None:
        """The open line of a station."""
        return self._lines.get(station_id)

    # Called by the entrances and the lines.

    def why_no_room(self, station_id: StationId) -> str | None:
        """Why this station cannot come in now; None when it can. One that is already in may always replace its line."""
        if self._stopping:
            return "stopping"
        if len(self._lines) >= self.settings.max_connections and station_id not in self._lines:
            return "too many stations"
        return None

    def count_refusal(self, reason: str) -> None:
        """A handshake was turned away."""
        self.counters.refused[reason] = self.counters.refused.get(reason, 0) + 1

    def socket_opened(self) -> None:
        """An upgraded connection exists."""
        self._sockets += 1

    def socket_gone(self) -> None:
        """It does not any more."""
        self._sockets -= 1
        if self._sockets == 0:
            self._all_gone.set()

    def enter(self, line: StationLine) -> None:
        """A line has opened: end an older one of the same station, then tell the handler."""
        older = self._lines.get(line.station_id)
        if older is not None:
            older.end(CloseCode.REPLACED, "replaced by a newer connection")
        self._lines[line.station_id] = line
        self.counters.connections = len(self._lines)
        self.counters.accepted += 1

    def leave(self, line: StationLine) -> None:
        """A line has ended."""
        del self._lines[line.station_id]  # it is this very line: an older one left before its successor was entered
        self.counters.connections = len(self._lines)

    def wait_for_turn(self, line: StationLine) -> None:
        """A line has spent its slice. Those that wait are read on one by one, however many they are, and after each slice there is a rest
        as long as the last one took: a crowd that shouts gets half of our time, and costs each of the others a slice now and then."""
        if line is self._reading:
            self._slice_s, self._reading = min(_LONGEST_SLICE_S, time.monotonic() - self._turn_at_s), None
        self._waiting.append(line)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_later(self._slice_s, self._next_turn)

    def _next_turn(self) -> None:
        self._turn = None
        self._reading, self._turn_at_s = self._waiting.popleft(), time.monotonic()
        self._reading.read_on()
        if self._waiting:
            self._turn = asyncio.get_running_loop().call_later(2.0 * self._slice_s, self._next_turn)

    def _enter(self, request: WSUpgradeRequest, visit: Visit) -> WSUpgradeResponseWithListener:
        return Entrance(self, visit).answer(request)

    async def _sweep_forever(self) -> None:
        """Ping lines that have been silent, end those that stay so. All times are multiples of one tick."""
        tick_s = min(self.settings.ping_interval_s, self.settings.ping_timeout_s) / 4
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(tick_s)
            now_s = loop.time()
            self.addresses.sweep(now_s)
            for number, line in enumerate(list(self._lines.values()), start=1):
                line.look_after(now_s)
                if number % _CHUNK_LINES == 0:
                    await asyncio.sleep(0)


class Entrance:
    """Answers the one HTTP request of one connection; then dropped."""

    __slots__ = ("_gateway", "_visit")

    def __init__(self, gateway: Gateway, visit: Visit) -> None:
        self._gateway = gateway
        self._visit = visit

    def answer(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Let the station in, or say why not."""
        gateway, peer = self._gateway, self._visit.peer
        station_id = handshake.station_id_of(request.path, gateway.settings.path_prefix)
        if station_id is None:
            return self._refuse(None, peer, Refused(HTTPStatus.NOT_FOUND, "no such path"))
        if not handshake.is_upgrade(request):
            return self._refuse(station_id, peer, Refused(HTTPStatus.UPGRADE_REQUIRED, "WebSocket connections only"))
        no_room = gateway.why_no_room(station_id)
        if no_room is not None:
            return self._refuse(station_id, peer, Refused(HTTPStatus.SERVICE_UNAVAILABLE, no_room))
        offered = handshake.offered_subprotocols(request)
        authorization = handshake.authorization_of(request, station_id)
        if isinstance(authorization, Refused):
            return self._refuse(station_id, peer, authorization)
        profile = self._visit.door.profile
        mutual = profile is SecurityProfile.MUTUAL_TLS
        names = certificate_names(self._visit.certificate()) if mutual else ()
        try:
            void = self._visit.door.revocations.why_void(self._visit.certificate_der()) if mutual else None
            admission = gateway.handler.admit(station_id, offered, Shown(profile, authorization, names, void), peer)
        except Exception as error:  # noqa: BLE001  # a fault of ours in one handshake must not reach picows, which would show its text
            gateway.counters.faults += 1
            _log.error("admit failed", station_id=station_id, peer=peer, error=type(error).__name__, stack=stack_of(error))
            admission = Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
        match admission:
            case Refused():
                return self._refuse(station_id, peer, admission)
            case Admitted():
                return self._admit(request, station_id, admission.subprotocol, names)
            case _:
                assert_never(admission)

    def _admit(
        self, request: WSUpgradeRequest, station_id: StationId, subprotocol: str | None, names: tuple[str, ...]
    ) -> WSUpgradeResponseWithListener:
        peer = self._visit.peer
        if subprotocol is None:
            self._gateway.count_refusal("no common subprotocol")
            _log.info("station offers no version we speak", station_id=station_id, peer=peer)
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(), TurnedAway(self._gateway))
        answer = {"Sec-WebSocket-Protocol": subprotocol}
        agreed = handshake.offered_compression(request) if self._gateway.settings.deflate else None
        if agreed is not None:
            answer["Sec-WebSocket-Extensions"] = agreed[1]
        line = StationLine(self._gateway, station_id, subprotocol, peer, None if agreed is None else agreed[0], names)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(extra_headers=answer), line)

    def _refuse(self, station_id: StationId | None, peer: str, refused: Refused) -> WSUpgradeResponseWithListener:
        self._gateway.count_refusal(refused.reason)
        _log.info("station refused", station_id=station_id, peer=peer, status=int(refused.http_status), reason=refused.reason)
        headers = handshake.CHALLENGE if refused.http_status == HTTPStatus.UNAUTHORIZED else None
        response = WSUpgradeResponse.create_error_response(refused.http_status, refused.reason.encode(), headers)
        return WSUpgradeResponseWithListener(response, None)
