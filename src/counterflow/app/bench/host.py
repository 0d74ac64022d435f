"""The server under test: `counterflow serve` as shipped, in a process of its own.

Run as `python -m counterflow.app.bench.host CORE`, asked over its standard input (see `processes`).
"""

import asyncio
import gc
import tempfile
import time
from math import nan
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from counterflow.adapters.ocpp.credentials import hash_password
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.app.bench.messages import PASSWORD, station_id
from counterflow.app.bench.processes import answer_requests, need_files, pin_from_command_line
from counterflow.app.config import ServerSettings, Settings
from counterflow.app.hosting.process import give_back_memory, run
from counterflow.app.observing.logs import configure_logging
from counterflow.app.security.token import find_token
from counterflow.app.server import Server
from counterflow.domain.ids import DispatchId, SiteId, StationId
from counterflow.domain.instructions import AllocationPolicy, DispatchOrder
from counterflow.domain.records import DocumentKind
from counterflow.domain.resources import DriverTerms, StationRegistration
from counterflow.domain.views import Refusal
from counterflow.engine.control.book import LIVE_STATES
from counterflow.engine.fleet.terms import TermsSettings

_POLL_S = 0.002
_WINDOW_S = 3600.0
LAG_EVERY_S = 0.02


def bench_settings(folder: Path) -> Settings:
    """The defaults, on free ports; every driver has agreed to discharge, else nothing could be dispatched; discovery is not waited for."""
    defaults = Settings()
    return replace(
        defaults,
        server=ServerSettings(data_dir=str(folder), log_level="error"),
        gateway=replace(defaults.gateway, port=0),
        ocpp=replace(defaults.ocpp, discovery_per_s=1_000.0),
        api=replace(defaults.api, port=0),
        drivers=TermsSettings(default=DriverTerms(consent=True)),
    )


def _register(folder: Path, settings: Settings, stations: int) -> None:
    """Stations and their passwords into a fresh database, as an operator would have done before."""
    password_hash = hash_password(PASSWORD)
    with SqliteJournal(folder / "counterflow.sqlite3", settings.storage) as journal:
        for number in range(stations):
            name = StationId(station_id(number))
            registration = StationRegistration(station_id=name, site_id=SiteId("default"), password_hash=password_hash)
            journal.put(DocumentKind.STATION, name, registration)


class Host:
    """The server, and what the bench asks of it."""

    def __init__(self) -> None:
        self._ticks: list[tuple[float, float, float]] = []
        self._lags_s: list[float] = []

    async def start(self, stations: int, folder: str) -> dict[str, Any]:
        """Register `stations` in a fresh database, start the server."""
        need_files(stations)
        own_folder = Path(tempfile.mkdtemp(prefix="host-", dir=folder))
        settings = bench_settings(own_folder)
        _register(own_folder, settings, stations)
        self._server = Server(settings, alone=True)
        await self._server.start()
        self._token = find_token(own_folder)
        return {"port": self._server.ocpp_port}

    async def watch(self) -> dict[str, Any]:
        """Where the API is, and a token for it. From now on it is noted how long ticks take and how late the loop comes round."""
        self._watch_ticks()
        self._lagging = asyncio.create_task(self._watch_lag())
        return {"api_url": self._server.api_url, "token": self._token}

    async def standing(self) -> dict[str, Any]:
        """What has happened so far; what `Garbage` does in calm minutes is done first, so that memory can be read."""
        gc.collect()
        give_back_memory()
        room = self._server.room
        counters, ocpp = self._server.gateway.counters, room.csms.counters
        return {
            "connections": counters.connections,
            "messages_in": counters.messages_in,
            "discovered": sum(bool(record.evses) for record in room.registry.discoveries.values()),
            "sessions": len(room.fleet),
            "troubles": counters.faults + ocpp.handler_failures + ocpp.violations + counters.violations + counters.cut_off,
            "drop_outs": room.dispatcher.book.drop_outs,
            "open_dispatches": len(room.dispatcher.book.in_state(*LIVE_STATES)),
        }

    async def dispatch(self, share: float, policy: str, within_s: float) -> dict[str, Any]:
        """Order `share` of what the fleet offers; answers when every SetChargingProfile that follows has been answered."""
        sent, answered = self._counts()
        order = DispatchOrder(discharge_power_w=1.0, duration_s=_WINDOW_S, policy=AllocationPolicy(policy), ordered_by="bench")
        offered = await self._server.operations.order(order, None, True)
        if isinstance(offered, Refusal):
            return {"refused": offered.sentence}
        power_w = share * offered.dispatch.feasibility.expected_power_w
        started_s = time.monotonic()
        accepted = await self._server.operations.order(replace(order, discharge_power_w=power_w), None, False)
        accepted_s = time.monotonic()
        if isinstance(accepted, Refusal):
            return {"refused": accepted.sentence}
        room = self._server.room
        while time.monotonic() - started_s < within_s:
            sent_now, answered_now = self._counts()
            if room.dispatcher.carrying.pending == 0 and sent_now - sent == answered_now - answered:
                break
            await asyncio.sleep(_POLL_S)
        return {
            "dispatch_id": accepted.dispatch.instruction.dispatch_id,
            "started_s": started_s,
            "accepted_s": accepted_s - started_s,
            "answered_s": time.monotonic() - started_s,
            "profiles": answered_now - answered,
            "power_w": power_w,
        }

    async def cancel(self, dispatch_id: str) -> dict[str, Any]:
        """Cancel a dispatch."""
        await self._server.operations.cancel(DispatchId(dispatch_id), "bench")
        return {}

    async def ticks(self) -> dict[str, Any]:
        """Since this was last asked: how long each control tick took, by the clock and of the processor, how late it began, and how late
        the loop came to what waited; s."""
        seen, lags_s, self._ticks, self._lags_s = self._ticks, self._lags_s, [], []
        late_s = [late_s for _, _, late_s in seen if late_s == late_s]
        return {"took_s": [took_s for took_s, _, _ in seen], "cpu_s": [cpu_s for _, cpu_s, _ in seen], "late_s": late_s, "lag_s": lags_s}

    async def _watch_lag(self) -> None:
        """What waits for the loop to come round, asked some dozen times a second."""
        while True:
            due_s = time.monotonic() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lags_s.append(max(0.0, time.monotonic() - due_s))

    def _watch_ticks(self) -> None:
        """Note duration and delay of each tick from now on."""
        dispatcher = self._server.room.dispatcher
        run_tick, rhythm = dispatcher.run_tick, dispatcher.rhythm

        def watched(now_s: float) -> None:
            due_s, began_s = rhythm.next_s, time.time()
            late_s = began_s - due_s if due_s <= now_s else nan  # a tick that an order called for was due at no time
            spent_s = time.thread_time()
            run_tick(now_s)
            self._ticks.append((dispatcher.last_tick_took_s, time.thread_time() - spent_s, late_s))

        dispatcher.run_tick = watched  # type: ignore[method-assign]  # the server as shipped, watched from outside

    def _counts(self) -> tuple[int, int]:
        """Calls of ours sent and ended. Only SetChargingProfile is under way once discovery is over."""
        counters = self._server.room.csms.counters
        return sum(counters.calls.values()), sum(counters.outcomes.values())


async def _main() -> None:
    host = Host()
    asked = (host.start, host.standing, host.dispatch, host.cancel, host.watch, host.ticks)
    await answer_requests({method.__name__: method for method in asked})


if __name__ == "__main__":
    pin_from_command_line()
    configure_logging("error")
    run(_main())
