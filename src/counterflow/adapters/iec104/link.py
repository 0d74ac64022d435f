"""The socket side: a c104 server with threads of its own. The only file that imports c104, which is an extra.

c104 calls back on its threads; each call is handed to the event loop and waited for. The loop never calls c104 itself: it would wait
for locks that those threads hold while they wait for the loop. `show` and the others run on one thread of our own.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import TimeoutError as LateError
from typing import Any

import c104
import structlog

from counterflow.adapters.iec104.commands import CP56_OCTETS, SetpointCommand, instant_of
from counterflow.adapters.iec104.front import INNER_HOST
from counterflow.adapters.iec104.outstation import Cause, Showing
from counterflow.adapters.iec104.points import POINTS, UNKNOWN, PointType, Qds, Reading, address_of, in_a_row, type_of
from counterflow.adapters.iec104.settings import CommandMode, Iec104Settings, SetpointSettings, StationSettings

_log = structlog.get_logger("counterflow")

_TICK_MS = 100
_EXPECTED_S = 2.0
"""A connection that the door has announced comes within this time, or not at all."""
_LEAVING = 8
"""c104 counts connections that have just ended for a moment more."""
_LONGEST_BATCH = 15
"""Measured values with CP56Time2a take 15 octets each, and an ASDU holds 249 (IEC 60870-5-104, 5)."""
_CAUSES = {Cause.PERIODIC: c104.Cot.PERIODIC, Cause.SPONTANEOUS: c104.Cot.SPONTANEOUS}
_BITS = {
    Qds.OVERFLOW: c104.Quality.Overflow,
    Qds.BLOCKED: c104.Quality.Blocked,
    Qds.SUBSTITUTED: c104.Quality.Substituted,
    Qds.NOT_TOPICAL: c104.Quality.NonTopical,
    Qds.INVALID: c104.Quality.Invalid,
}
Decide = Callable[[int, SetpointCommand], Coroutine[object, object, bool]]
"""(common address, command) -> taken."""


class C104Link:
    """`start()`, any number of `show()`, `stop()`: never on the event loop's thread."""

    def __init__(self, settings: Iec104Settings, loop: asyncio.AbstractEventLoop, decide: Decide) -> None:
        self._settings = settings
        self._loop = loop
        self._decide = decide
        self._guard = threading.Lock()
        self._expected: list[float] = []
        self._initialized: set[int] = set()
        self.late_answers = 0
        """Commands that were confirmed negatively since their answer took too long."""
        self.port = _free_port()
        """Where it listens, on this machine."""
        self._server = c104.Server(
            ip=INNER_HOST,
            port=self.port,
            tick_rate_ms=_TICK_MS,
            select_timeout_ms=round(settings.select_within_s * 1e3),
            max_connections=settings.max_masters + _LEAVING,
        )
        self._server.on_connect(self._admit())
        self._stations = {one.common_address: self._add_station(one) for one in settings.stations}

    def start(self) -> None:
        """Listen. Raises OSError when the port cannot be had."""
        try:
            self._server.start()
        except RuntimeError:
            raise OSError(f"The port {self.port} of this machine cannot be opened for IEC 104; start again.") from None

    def stop(self) -> None:
        """End all connections and listen no more."""
        self._server.stop()

    def show(self, common_address: int, showing: Showing) -> None:
        """Set what interrogations are answered with, and send what is to be sent.

        The time tag of a value is the time of its setting.
        """
        station = self._stations[common_address]
        for reading in showing.changed:
            _set(_point(station, reading.address), reading)
        if self._server.has_active_connections:
            if common_address not in self._initialized:  # once, to those that are there first: they ask for everything after it
                self._initialized.add(common_address)
                station.signal_initialized(c104.Coi.LOCAL_POWER_ON)
            for batch in _batches(showing.sent):
                self._send([_point(station, reading.address) for reading in batch], _CAUSES[showing.cause])

    def _send(self, points: Sequence[c104.Point], cause: c104.Cot) -> None:
        if in_a_row([point.io_address for point in points]):
            for point in points:
                point.transmit(cause)
        else:
            self._server.transmit_batch(c104.Batch(cause=cause, points=list(points)))

    def _add_station(self, settings: StationSettings) -> c104.Station:
        station = self._server.add_station(common_address=settings.common_address)
        assert station is not None, "no common address stands twice"
        for point in POINTS:
            if address := address_of(point, settings.points):
                shown = station.add_point(io_address=address, type=_type(type_of(point).value))
                assert shown is not None, "no address stands twice"
                shown.quality = _quality(UNKNOWN)  # until the first look
        for setpoint in settings.setpoints:
            commanded = station.add_point(io_address=setpoint.address, type=_type(setpoint.type.value), command_mode=_mode(setpoint))
            assert commanded is not None, "no address stands twice"
            commanded.on_receive(self._receive(settings.common_address))
        return station

    def _receive(self, common_address: int) -> Callable[[c104.Point, c104.Information, c104.IncomingMessage], c104.ResponseState]:
        """c104 checks the annotations of what it is given, so this is a plain function and no method."""

        def received(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:  # noqa: ARG001
            taken = self._wait(self._decide(common_address, _command(message)))
            return c104.ResponseState.SUCCESS if taken else c104.ResponseState.FAILURE

        return received

    def _wait(self, work: Coroutine[object, object, bool]) -> bool:
        """The loop's answer, or no when it takes too long: then it may still be yes, and the echo shows what is in force."""
        if not self._loop.is_running():
            work.close()
            return False
        answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return answer.result(self._settings.confirm_within_s)
        except LateError:
            self.late_answers += 1
            _log.warning("set-point confirmed negatively: no answer in time", wire="iec104", within_s=self._settings.confirm_within_s)
            return False
        except Exception as error:  # noqa: BLE001  # whatever it was, the master is answered
            _log.error("set-point failed", wire="iec104", error=repr(error))
            return False

    def expect(self) -> Callable[[], None]:
        """One connection comes from our own door; call what is returned when it does not."""
        until_s = time.monotonic() + _EXPECTED_S
        with self._guard:
            self._expected.append(until_s)

        def shut() -> None:
            # Connections do not tell which of those that are expected they are: there is one less, whichever.
            with self._guard:
                if self._expected and until_s > time.monotonic():
                    self._expected.pop(0)

        return shut

    def _admit(self) -> Callable[[c104.Server, str], bool]:
        def admit(server: c104.Server, ip: str) -> bool:  # noqa: ARG001
            """Whoever comes from elsewhere on this machine would pass by the list of masters and by TLS."""
            with self._guard:
                self._expected = [until_s for until_s in self._expected if until_s > time.monotonic()]
                return bool(self._expected and self._expected.pop(0))

        return admit


def _free_port() -> int:
    with socket.create_server((INNER_HOST, 0)) as one:
        port: int = one.getsockname()[1]
        return port


def _type(name: str) -> c104.Type:
    kind: c104.Type = getattr(c104.Type, name)
    return kind


def _mode(setpoint: SetpointSettings) -> c104.CommandMode:
    return c104.CommandMode.SELECT_AND_EXECUTE if setpoint.mode is CommandMode.SELECT else c104.CommandMode.DIRECT


def _command(message: c104.IncomingMessage) -> SetpointCommand:
    """The time is read from the octets: c104 gives it in the machine's own time zone."""
    info = message.info
    assert isinstance(info, c104.ShortCmd), "only such points are commanded"
    if message.type != c104.Type.C_SE_TC_1:
        return SetpointCommand(value=info.target, test=message.is_test)
    said_at_s = instant_of(message.raw[-CP56_OCTETS:])
    return SetpointCommand(value=info.target, said_at_s=said_at_s, time_valid=said_at_s is not None, test=message.is_test)


def _point(station: c104.Station, address: int) -> c104.Point:
    point = station.get_point(address)
    assert point is not None, "every reading has its point"
    return point


def _set(point: c104.Point, reading: Reading) -> None:
    """Value and quality one after the other, since an interrogation may come between: in the order in which nothing bad looks good."""
    quality = _quality(reading.qds)
    value = bool(reading.value) if reading.type is PointType.SINGLE else reading.value
    if reading.qds is Qds.GOOD:
        point.value = value
        point.quality = quality
    else:
        point.quality = quality
        point.value = value


def _quality(qds: Qds) -> c104.Quality:
    bits: Any = c104.Quality()  # an enumeration of flags, which its types do not tell
    for bit, flag in _BITS.items():
        if qds & bit:
            bits |= flag
    quality: c104.Quality = bits
    return quality


def _batches(sent: Sequence[Reading]) -> Iterable[Sequence[Reading]]:
    """By type, as many as fit an ASDU."""
    for kind in PointType:
        same = [reading for reading in sent if reading.type is kind]
        for first in range(0, len(same), _LONGEST_BATCH):
            yield same[first : first + _LONGEST_BATCH]
