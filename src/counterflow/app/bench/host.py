"""The server under test: ours as shipped (gateway, control room, fleet state, SQLite journal, raw frames), in a process of its own.

Run as `python -m counterflow.app.bench.host CORE`, asked over its standard input (see `processes`).
"""

import asyncio
import gc
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop
from msgspec.structs import replace

from counterflow.adapters.ocpp.credentials import hash_password
from counterflow.adapters.ocpp.gateway import Gateway
from counterflow.adapters.storage.frames import FrameRing
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.app.bench.messages import PASSWORD, station_id
from counterflow.app.bench.processes import answer_requests, need_files, pin_from_command_line
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.lines import Lines
from counterflow.app.logs import configure_logging
from counterflow.app.notices import NoticeBoard
from counterflow.app.operations import LiveOperations
from counterflow.app.reporting import Reporting
from counterflow.domain.ids import DispatchId, SiteId, StationId
from counterflow.domain.instructions import AllocationPolicy, DispatchOrder
from counterflow.domain.records import DocumentKind
from counterflow.domain.resources import DriverTerms, StationRegistration
from counterflow.domain.views import Refusal
from counterflow.engine.control.book import LIVE_STATES
from counterflow.engine.fleet.terms import TermsSettings

_POLL_S = 0.002
_WINDOW_S = 3600.0


def _settings() -> Settings:
    """The defaults, on a free port; every driver has agreed to discharge, else nothing could be dispatched."""
    defaults = Settings()
    return replace(
        defaults,
        gateway=replace(defaults.gateway, port=0),
        drivers=TermsSettings(default=DriverTerms(consent=True)),
    )


class Host:
    """The rooms, composed as in `app.server`, without the HTTP API."""

    async def start(self, stations: int, folder: str) -> dict[str, Any]:
        """Open a fresh database, register `stations` with their passwords, and listen."""
        need_files(stations)
        self._folder = Path(tempfile.mkdtemp(prefix="host-", dir=folder))
        settings = _settings()
        self.journal = SqliteJournal(self._folder / "counterflow.sqlite3", settings.storage)
        password_hash = hash_password(PASSWORD)
        for number in range(stations):
            name = StationId(station_id(number))
            registration = StationRegistration(station_id=name, site_id=SiteId("default"), password_hash=password_hash)
            self.journal.put(DocumentKind.STATION, name, registration)
        self.journal.flush()
        self.frames = FrameRing(self._folder / "frames", settings.storage.frame_ring_bytes)
        board = NoticeBoard()
        self.room = ControlRoom(settings, self.journal, new_message_id=lambda: str(uuid4()), notify=board.publish)
        self.room.restore(time.time())
        self.lines = Lines(self.room, self.journal, self.frames, time.time)
        self.gateway = Gateway(self.lines, settings.gateway)
        self.operations = LiveOperations(
            self.room,
            board=board,
            reporting=Reporting(self.journal, ReportFiles(self._folder / "reports"), settings.settlement),
            now_s=time.time,
            settled=self.lines.settled,
            alarms=self.journal.alarms,
            disconnect=self.lines.disconnect,
        )
        await self.gateway.start()
        self.lines.kick()
        return {"port": self.gateway.port}

    async def standing(self) -> dict[str, Any]:
        """What has happened so far; the garbage collector is run first, so that memory can be read."""
        gc.collect()
        counters, ocpp, room = self.gateway.counters, self.room.csms.counters, self.room
        return {
            "connections": counters.connections,
            "messages_in": counters.messages_in,
            "discovered": sum(bool(record.evses) for record in room.registry.discoveries.values()),
            "sessions": len(room.fleet),
            "troubles": counters.faults + ocpp.handler_failures + ocpp.violations + counters.violations + counters.cut_off,
            "open_dispatches": len(room.dispatcher.book.in_state(*LIVE_STATES)),
        }

    async def dispatch(self, share: float, policy: str, within_s: float) -> dict[str, Any]:
        """Order `share` of what the fleet offers; answers when every SetChargingProfile that follows has been answered."""
        sent, answered = self._counts()
        order = DispatchOrder(discharge_power_w=1.0, duration_s=_WINDOW_S, policy=AllocationPolicy(policy), ordered_by="bench")
        offered = await self.operations.order(order, None, True)
        if isinstance(offered, Refusal):
            return {"refused": offered.sentence}
        power_w = share * offered.dispatch.feasibility.expected_power_w
        started_s = time.monotonic()
        accepted = await self.operations.order(replace(order, discharge_power_w=power_w), None, False)
        accepted_s = time.monotonic()
        if isinstance(accepted, Refusal):
            return {"refused": accepted.sentence}
        room = self.room
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
        await self.operations.cancel(DispatchId(dispatch_id), "bench")
        return {}

    async def stop(self) -> dict[str, Any]:
        """Close everything and remove the database."""
        await self.gateway.stop()
        self.lines.close()
        self.frames.close()
        self.journal.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return {}

    def _counts(self) -> tuple[int, int]:
        """Calls of ours sent and ended. Only SetChargingProfile is under way once discovery is over."""
        counters = self.room.csms.counters
        return sum(counters.calls.values()), sum(counters.outcomes.values())


async def _main() -> None:
    host = Host()
    await answer_requests(
        {"start": host.start, "standing": host.standing, "dispatch": host.dispatch, "cancel": host.cancel, "stop": host.stop}
    )


if __name__ == "__main__":
    pin_from_command_line()
    configure_logging("error")
    uvloop.run(_main())
