"""The fleet as real WebSocket clients: the same stations and cars as in `world`, on asyncio and the wall clock.

One task steps the plant and the stations that are due; one short task per station opens its line and opens it again with a growing wait
whenever it breaks. Ten thousand stations fit into one process.
"""

import asyncio
import contextlib
import gc
import heapq
import random
import ssl
import time
import urllib.parse
from collections.abc import Callable
from math import floor
from pathlib import Path
from typing import Final

from msgspec import Struct

from counterflow.adapters.ocpp.client import ClientLine, HandshakeRefusedError, connect
from counterflow.adapters.ocpp.tls import CertificateFileError, client_context
from counterflow.sim.fleet import Fleet
from counterflow.sim.settings import FleetClientSettings
from counterflow.sim.station import SimStation

SUBPROTOCOL: Final = "ocpp2.1"
BEAT_S: Final = 0.05
"""How often due stations are looked after; far below the plant's own delays."""
READY_POLL_S: Final = 0.2
MAX_CATCH_UP_STEPS: Final = 30
"""Plant steps made up for after a stall of the process; a longer one (a suspended laptop) is skipped."""
_CONNECT_ERRORS: Final = (OSError, HandshakeRefusedError, TimeoutError, CertificateFileError)


class FleetProgress(Struct, frozen=True, kw_only=True):
    """How the fleet stands. `true_power_w` is import positive."""

    stations: int
    connected: int
    booted: int
    sessions: int
    pending: int
    """Stations whose car is not charging yet."""
    messages_in: int
    messages_out: int
    true_power_w: float
    refused: str | None
    """Why the latest connection attempt failed, None if it did not."""

    @property
    def ready(self) -> bool:
        """Every station is connected and booted, and the car at it in a session (unless it has left already)."""
        return self.connected == self.booted == self.stations and self.pending == 0


class _Seat:
    """A station and its line."""

    __slots__ = ("attempts", "due_s", "ended", "line", "password", "reopening", "station")

    def __init__(self, station: SimStation) -> None:
        self.station = station
        self.line: ClientLine | None = None
        self.due_s = float("inf")
        self.ended: ClientLine | None = None
        self.attempts = 0
        self.password: str | None = None
        """What the CSMS has set; until then the one of the settings."""
        self.reopening: asyncio.Task[None] | None = None


class FleetClient:
    """A fleet that can be started, watched, hurt and stopped."""

    def __init__(self, settings: FleetClientSettings) -> None:
        self.settings = settings
        self.fleet = Fleet(settings.stations, settings.prefix, settings.seed, settings.plant, settings.station, settings.mix)
        self.messages_in = 0
        self.messages_out = 0
        self.refused: str | None = None
        self._seats = [_Seat(station) for station in self.fleet.stations]
        self._by_id = {seat.station.station_id: seat for seat in self._seats}
        self._due: list[tuple[float, int, _Seat]] = []
        self._sequence = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._forgotten: list[ClientLine] = []
        self._stopping = False
        self._plant_s = 0.0
        self.began_s = 0.0
        """When the plant began to run, on a whole second as in `world`."""
        self.each_step: Callable[[float], object] | None = None
        """Called after each second of the plant with the time up to which it has run."""
        self._back_off = random.Random(settings.seed)
        self._shared_context: ssl.SSLContext | None = None

    # ---- start and stop

    async def start(self) -> None:
        """Begin to connect; returns at once. `wait_ready` tells when the fleet stands."""
        now_s = time.time()
        self._plant_s = self.began_s = floor(now_s)
        for seat in self._seats:
            seat.station.plug_in(now_s)
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._connect_all())]

    async def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Until every station is connected, booted and has a session. Raises TimeoutError with what is missing."""
        deadline_s = time.monotonic() + timeout_s
        while not (progress := self.progress()).ready:
            if time.monotonic() > deadline_s:
                raise TimeoutError(
                    f"After {timeout_s:g} s {progress.connected} of {progress.stations} stations are connected, {progress.booted} booted, "
                    f"{progress.pending} cars wait to charge; latest failure: {progress.refused or 'none'}."
                )
            await asyncio.sleep(READY_POLL_S)

    async def stop(self) -> None:
        """Close every line and end every task."""
        self._stopping = True
        tasks = self._tasks + [seat.reopening for seat in self._seats if seat.reopening is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for seat in self._seats:
            if seat.line is not None:
                seat.line.close()
        for line in tuple(self._forgotten):
            line.abort()
        deadline_s = time.monotonic() + 2.0
        while any(seat.line is not None for seat in self._seats) and time.monotonic() < deadline_s:
            await asyncio.sleep(BEAT_S)

    # ---- what can be seen and done

    def progress(self) -> FleetProgress:
        """How the fleet stands now."""
        return FleetProgress(
            stations=len(self._seats),
            connected=sum(seat.line is not None for seat in self._seats),
            booted=sum(seat.station.booted for seat in self._seats),
            sessions=sum(seat.station.sessions for seat in self._seats),
            pending=sum(not seat.station.settled for seat in self._seats),
            messages_in=self.messages_in,
            messages_out=self.messages_out,
            true_power_w=self.true_power_w(),
            refused=self.refused,
        )

    def true_power_w(self) -> float:
        """True power of the whole fleet, import positive."""
        return self.fleet.true_power_w()

    def drop_out(self, share: float, silent_share: float) -> list[str]:
        """A share of the cars in a session leaves now, part of them without a word; returns their stations' ids."""
        gone = self.fleet.drop_out(share, silent_share, time.time())
        for station in gone:
            self._flush(self._by_id[station.station_id])
        return [station.station_id for station in gone]

    def leave(self, station_id: str, *, silently: bool) -> None:
        """The car at a station leaves now."""
        seat = self._by_id[station_id]
        self.fleet.leave(seat.station, time.time(), silently=silently)
        self._flush(seat)

    # ---- what can go wrong

    def cut(self, station_id: str) -> None:
        """A station's line breaks without a word."""
        line = self._by_id[station_id].line
        if line is not None:
            line.abort()

    def half_open(self, station_id: str) -> None:
        """A station forgets its line and opens another; the old one stays open and silent until the server ends it."""
        seat = self._by_id[station_id]
        if seat.line is None:
            return
        self._forgotten.append(seat.line)
        seat.line = None
        seat.station.disconnect(time.time())
        self._schedule(seat)
        self._open_later(seat, self._next_wait_s(seat))

    def power_cycle(self, station_id: str, *, keeps_profiles: bool, keeps_transaction: bool, keeps_queue: bool) -> None:
        """A station loses power and comes back."""
        self._by_id[station_id].station.power_cycle(
            time.time(), keeps_profiles=keeps_profiles, keeps_transaction=keeps_transaction, keeps_queue=keeps_queue
        )
        self.cut(station_id)

    def remaining_profiles(self) -> list[tuple[str, int]]:
        """(station id, profile id) of every profile still stored at any station."""
        return self.fleet.remaining_profiles()

    def violations(self) -> list[str]:
        """What the CSMS did against the rules, at any station."""
        return self.fleet.violations()

    # ---- lines

    async def _connect_all(self) -> None:
        """Open the lines at the chosen rate."""
        started_s = time.monotonic()
        for number, seat in enumerate(self._seats):
            wait_s = started_s + number / self.settings.connect_rate_per_s - time.monotonic()
            if wait_s > 0.0:
                await asyncio.sleep(wait_s)
            self._open_later(seat, 0.0)

    def _open_later(self, seat: _Seat, wait_s: float) -> None:
        if not self._stopping and seat.reopening is None:
            seat.reopening = asyncio.create_task(self._open(seat, wait_s))

    async def _open(self, seat: _Seat, wait_s: float) -> None:
        """Open one line, with a growing wait between attempts (part 4, 5.4)."""
        settings, station_id = self.settings, seat.station.station_id
        url = f"{settings.url.rstrip('/')}/{urllib.parse.quote(station_id, safe='')}"
        while not self._stopping:
            if wait_s > 0.0:
                await asyncio.sleep(wait_s)
            try:
                line = await connect(
                    url,
                    subprotocols=[SUBPROTOCOL],
                    password=seat.password or settings.passwords.get(station_id, settings.password),
                    deflate=settings.deflate,
                    context=self._context(station_id),
                    on_text=lambda line, text: self._on_text(seat, line, text),
                    on_close=lambda line, reason: self._on_close(seat, line, reason),
                )
            except _CONNECT_ERRORS as error:
                self.refused = f"{station_id}: {str(error) or type(error).__name__}"
                wait_s = self._next_wait_s(seat)
                continue
            if seat.ended is line or line in self._forgotten:  # closed, or left half-open, before `connect` came back
                wait_s = self._next_wait_s(seat)
                continue
            seat.reopening = None
            self._adopt(seat, line)
            return

    def _context(self, station_id: str) -> ssl.SSLContext | None:
        """TLS for a wss: server; one context for all stations unless each shows a certificate of its own."""
        settings = self.settings
        if not settings.url.startswith("wss:"):
            return None
        if settings.certificates_dir is not None:
            return client_context(settings.authority_file, str(Path(settings.certificates_dir) / f"{station_id}.pem"))
        if self._shared_context is None:
            self._shared_context = client_context(settings.authority_file)
        return self._shared_context

    def _adopt(self, seat: _Seat, line: ClientLine) -> None:
        """The line is up: the station starts to speak."""
        if seat.line is line:
            return
        if line.subprotocol != SUBPROTOCOL:
            self.refused = f"{seat.station.station_id}: the CSMS does not speak {SUBPROTOCOL}"
        seat.line = line
        seat.station.connect(time.time())
        self._flush(seat)

    def _next_wait_s(self, seat: _Seat) -> float:
        seat.attempts += 1
        doubled_s: float = self.settings.back_off_min_s * 2.0 ** min(seat.attempts - 1, 10)
        return min(self.settings.back_off_max_s, doubled_s) * self._back_off.uniform(0.7, 1.0)

    def _on_text(self, seat: _Seat, line: ClientLine, text: bytes) -> None:
        if line in self._forgotten:
            return
        self._adopt(seat, line)  # a CSMS may speak before `connect` has come back
        self.messages_in += 1
        seat.attempts = 0
        seat.station.receive(text, time.time())
        self._flush(seat)

    def _on_close(self, seat: _Seat, line: ClientLine, reason: str) -> None:
        if line in self._forgotten:
            self._forgotten.remove(line)
            return
        seat.ended = line
        if seat.line is line:
            seat.line = None
            seat.station.disconnect(time.time())
            self._schedule(seat)
        if not self._stopping:
            self.refused = f"{seat.station.station_id}: {reason}"
            self._open_later(seat, self._next_wait_s(seat))

    def _flush(self, seat: _Seat) -> None:
        """Send what the station has to say, and note when it is due next."""
        line = seat.line
        for frame in seat.station.take_outbox():
            self.messages_out += 1
            if line is not None:
                line.send(frame)
        self._schedule(seat)
        renewed = seat.station.state.new_password != seat.password
        seat.password = seat.station.state.new_password
        if (seat.station.drop_line or renewed) and line is not None:
            line.close()

    # ---- time

    def _schedule(self, seat: _Seat) -> None:
        due_s = seat.station.next_due_s()
        if due_s is not None and due_s < seat.due_s:
            seat.due_s = due_s
            self._sequence += 1
            heapq.heappush(self._due, (due_s, self._sequence, seat))

    async def _beat(self) -> None:
        """Look after everything that is due, again and again."""
        while True:
            now_s = time.time()
            self._step_plant(now_s)
            self._step_stations(now_s)
            await asyncio.sleep(BEAT_S)

    def _step_plant(self, now_s: float) -> None:
        if now_s - self._plant_s > MAX_CATCH_UP_STEPS:
            self._plant_s = now_s - MAX_CATCH_UP_STEPS
        while self._plant_s + 1.0 <= now_s:
            for station in self.fleet.step_plant(self._plant_s, 1.0):
                self._flush(self._by_id[station.station_id])
            self._plant_s += 1.0
            if self.each_step is not None:
                self.each_step(self._plant_s)

    def _step_stations(self, now_s: float) -> None:
        due = self._due
        while due and due[0][0] <= now_s:
            due_s, _, seat = heapq.heappop(due)
            if seat.due_s == due_s:
                seat.due_s = float("inf")
                seat.station.step(now_s)
                self._flush(seat)


async def run_fleet(
    settings: FleetClientSettings,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[FleetClient], None] | None = None,
    on_progress: Callable[[FleetProgress], None] | None = None,
    progress_every_s: float = 1.0,
) -> FleetProgress:
    """Run a fleet until `stop` is set; returns how it stood at the end. `on_ready` is called once, when the whole fleet stands."""
    client, ready = FleetClient(settings), False
    await client.start()
    try:
        while not stop.is_set():
            progress = client.progress()
            if on_progress is not None:
                on_progress(progress)
            if progress.ready and not ready:
                ready = True
                # What stands now stays: a full collection over it would hold up ten thousand stations at once.
                gc.freeze()
                if on_ready is not None:
                    on_ready(client)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(progress_every_s):
                    await stop.wait()
        return client.progress()
    finally:
        await client.stop()
