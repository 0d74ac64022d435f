"""The stations of a bench: thousands of light WebSocket clients in one process that answer at once.

Run as `python -m counterflow.app.bench.load CORE`, asked over its standard input (see `processes`).
"""

import asyncio
import time
from enum import IntEnum, auto
from functools import partial
from typing import Any

import uvloop

from counterflow.adapters.ocpp.client import ClientLine, connect
from counterflow.app.bench import messages
from counterflow.app.bench.figures import percentile
from counterflow.app.bench.processes import answer_requests, need_files, pin_from_command_line

_PACE_S = 0.001
_WAIT_S = 0.005
_HANDSHAKE_S = 60.0


class _Step(IntEnum):
    """What a station has said last; the answer to it moves it on."""

    OPEN = auto()
    BOOTED = auto()
    STARTED = auto()
    NEEDS_TOLD = auto()
    READY = auto()
    ENDED = auto()


class _Station:
    """One station with at most one request of its own in flight."""

    __slots__ = ("exported_wh", "line", "number", "sent_s", "sequence", "step", "transaction_id")

    def __init__(self, number: int) -> None:
        self.number = number
        self.line: ClientLine | None = None
        self.step = _Step.OPEN
        self.sequence = 0
        self.sent_s = 0.0
        self.exported_wh = 0
        self.transaction_id = b""


class Load:
    """All stations of the process, and what was measured at them. Times are of `time.monotonic`."""

    def __init__(self) -> None:
        self._stations: list[_Station] = []
        self._until = _Step.READY
        self._arrived = 0
        self._last_boot_s = 0.0
        self._answered = 0
        self._saturating = False
        self._samples: list[tuple[float, float]] = []
        self._late = 0
        self._pacing: asyncio.Task[None] | None = None
        self._profiles = {"fallback": 0, "discharge": 0}
        self._last_profile_s = {"fallback": 0.0, "discharge": 0.0}
        self._message = 0
        self._closed = 0

    # ---- requests of the bench

    async def connect(self, url: str, stations: int, until: str, deflate: bool, at_once: int, within_s: float) -> dict[str, Any]:
        """Open the lines, `at_once` at a time, and bring every station to the step `until` (open, booted or ready)."""
        need_files(stations)
        self._until = {"open": _Step.OPEN, "booted": _Step.BOOTED, "ready": _Step.READY}[until]
        self._stations = [_Station(number) for number in range(stations)]
        gate = asyncio.Semaphore(at_once)
        begun_s = time.monotonic()

        async def enter(station: _Station) -> None:
            async with gate:
                line = await connect(
                    f"{url}/{messages.station_id(station.number)}",
                    subprotocols=["ocpp2.1"],
                    password=messages.PASSWORD,
                    deflate=deflate,
                    on_text=partial(self._on_text, station),
                    on_close=self._on_close,
                    handshake_timeout_s=_HANDSHAKE_S,
                )
                station.line = line
                if self._until is _Step.OPEN:
                    station.step = _Step.READY
                    self._arrived += 1
                else:
                    self._say(station, _Step.BOOTED, "BootNotification", messages.boot())

        async with asyncio.timeout(within_s):
            await asyncio.gather(*(enter(station) for station in self._stations))
            opened_s = time.monotonic()
            while self._arrived < stations:
                await asyncio.sleep(_WAIT_S)
        return {"opened_s": opened_s - begun_s, "booted_s": self._last_boot_s - begun_s, "arrived_s": time.monotonic() - begun_s}

    async def saturate(self, on: bool, lines: int) -> dict[str, Any]:
        """Keep one sample in flight on each of the first `lines` lines from now on, or stop doing so and wait for the answers."""
        self._saturating = on
        if on:
            for station in self._stations[:lines]:
                self._send_sample(station)
        else:
            await self._quiet()
        return {}

    async def pace(self, per_s: float) -> dict[str, Any]:
        """Send `per_s` samples a second, spread over the stations, from now on; 0 stops and waits for the answers."""
        if self._pacing is not None:
            self._pacing.cancel()
            self._pacing = None
            await self._quiet()
        if per_s > 0.0:
            self._samples.clear()
            self._late = 0
            self._pacing = asyncio.create_task(self._pace(per_s))
        return {}

    async def count(self) -> dict[str, Any]:
        """Samples answered so far, and lines that have closed."""
        return {"answered": self._answered, "at_s": time.monotonic(), "closed": self._closed}

    async def latency(self, from_s: float, to_s: float) -> dict[str, Any]:
        """Of the samples answered in a stretch of time: how many, and how long they waited."""
        waited_s = [answered_s - sent_s for sent_s, answered_s in self._samples if from_s <= answered_s <= to_s]
        return {
            "samples": len(waited_s),
            "late": self._late,
            "p50_ms": 1e3 * percentile(waited_s, 0.5),
            "p99_ms": 1e3 * percentile(waited_s, 0.99),
        }

    async def profiles(self) -> dict[str, Any]:
        """SetChargingProfile requests answered since the last time this was asked, and when the last of each kind was."""
        found = {"count": dict(self._profiles), "last_s": dict(self._last_profile_s)}
        self._profiles = dict.fromkeys(self._profiles, 0)
        return found

    async def new_sessions(self, within_s: float) -> dict[str, Any]:
        """Every station ends the transaction that it has and starts another."""
        self._arrived = 0
        self._until = _Step.READY
        for station in self._stations:
            if not station.transaction_id:
                self._start(station, time.time())
                continue
            station.sequence += 1
            text = messages.ended(time.time(), station.sequence, station.transaction_id.decode())
            self._say(station, _Step.ENDED, "TransactionEvent", text)
        async with asyncio.timeout(within_s):
            while self._arrived < len(self._stations):
                await asyncio.sleep(_WAIT_S)
        return {}

    # ---- what stations do

    def _on_text(self, station: _Station, line: ClientLine, text: bytes) -> None:
        if text.startswith(b"[3"):
            if station.step is _Step.READY:
                self._on_sample_answered(station)
            else:
                self._go_on(station)
            return
        if text.startswith(b"[4"):
            raise RuntimeError(f"The server refused a message: {text[:300]!r}")
        if b'"SetChargingProfile"' in text[:64]:
            line.send(b'[3,"%b",{"status":"Accepted"}]' % text.split(b'"', 2)[1])
            kind = "discharge" if b'"CentralSetpoint"' in text else "fallback"
            self._profiles[kind] += 1
            self._last_profile_s[kind] = time.monotonic()
        else:
            line.send(messages.answer(text))

    def _on_close(self, line: ClientLine, reason: str) -> None:
        self._closed += 1

    def _on_sample_answered(self, station: _Station) -> None:
        self._answered += 1
        if self._pacing is not None:
            self._samples.append((station.sent_s, time.monotonic()))
        station.sent_s = 0.0
        if self._saturating:
            self._send_sample(station)

    def _go_on(self, station: _Station) -> None:
        """The answer to the last step is here: take the next."""
        now_s = time.time()
        match station.step:
            case _Step.BOOTED:
                self._last_boot_s = time.monotonic()
                if self._until is _Step.BOOTED:
                    station.step = _Step.READY
                    self._arrived += 1
                else:
                    self._start(station, now_s)
            case _Step.STARTED:
                self._say(station, _Step.NEEDS_TOLD, "NotifyEVChargingNeeds", messages.needs(now_s))
            case _Step.NEEDS_TOLD:
                station.step = _Step.READY
                self._arrived += 1
                self._send_sample(station)
            case _Step.ENDED:
                self._start(station, now_s)
            case _Step.OPEN | _Step.READY:
                raise RuntimeError(f"Station {station.number} was answered without having asked.")

    def _start(self, station: _Station, now_s: float) -> None:
        station.sequence = 0
        self._message += 1
        station.transaction_id = (messages.TRANSACTION_ID % self._message).encode()
        text = messages.started(now_s, station.number, station.transaction_id.decode())
        self._say(station, _Step.STARTED, "TransactionEvent", text)

    def _say(self, station: _Station, step: _Step, action: str, payload: dict[str, Any]) -> None:
        assert station.line is not None, "a station speaks on an open line"
        station.step = step
        self._message += 1
        station.line.send(messages.call(self._message, action, payload))

    def _send_sample(self, station: _Station) -> None:
        assert station.line is not None, "a station speaks on an open line"
        station.sequence += 1
        station.exported_wh += 3
        self._message += 1
        text = messages.sample(
            self._message,
            messages.stamp(time.time()),
            station.sequence,
            station.transaction_id or b"f2b1c9d4-11aa-4c1f-9d55-112233445566",
            messages.POWER_W - station.sequence % 100,
            station.exported_wh,
        )
        station.sent_s = time.monotonic()
        station.line.send(text)

    async def _pace(self, per_s: float) -> None:
        """Round and round the stations; one that still waits for its answer is passed over and counted."""
        begun_s, sent, stations = time.monotonic(), 0, self._stations
        while True:
            due = int((time.monotonic() - begun_s) * per_s)
            while sent < due:
                station = stations[sent % len(stations)]
                sent += 1
                if station.sent_s > 0.0 or station.step is not _Step.READY:
                    self._late += 1
                else:
                    self._send_sample(station)
            await asyncio.sleep(_PACE_S)

    async def _quiet(self) -> None:
        """Until no sample is in flight."""
        while any(station.sent_s > 0.0 for station in self._stations):
            await asyncio.sleep(_WAIT_S)


async def _main() -> None:
    load = Load()
    await answer_requests(
        {
            "connect": load.connect,
            "saturate": load.saturate,
            "pace": load.pace,
            "count": load.count,
            "latency": load.latency,
            "profiles": load.profiles,
            "new_sessions": load.new_sessions,
        }
    )


if __name__ == "__main__":
    pin_from_command_line()
    uvloop.run(_main())
