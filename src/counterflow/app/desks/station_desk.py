"""The part of `Operations` about single stations: the register, what each can do, what lies there and what went over its line."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from counterflow.adapters.ocpp.discovery.dialogue import Errand
from counterflow.adapters.storage.frames import Frame
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.history_desk import no_station
from counterflow.app.desks.listings import station_list
from counterflow.app.desks.security_operations import event_view
from counterflow.app.desks.site_desk import no_site
from counterflow.app.desks.station_pages import station_page
from counterflow.app.desks.views import profile_view, station_view
from counterflow.domain.ids import StationId
from counterflow.domain.resources import StationRegistration
from counterflow.domain.station_views import FrameView, ProfileView, StationPage, StationQuery, StationView
from counterflow.domain.telemetry import CapabilitiesDiscovered
from counterflow.domain.views import Refusal, RefusalKind

SECURITY_EVENTS_SHOWN = 10
FRAMES_SEARCHED = 5_000
"""A text is looked for in so many frames of a station, the newest."""


class StationDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _settled: Callable[[], Awaitable[None]]
    _disconnect: Callable[[StationId], None]
    _frames: Callable[[StationId, int], Sequence[Frame]]

    async def stations(self) -> Sequence[StationView]:
        """Registered and connected stations, by id, worked out in portions."""
        return await station_list(self._room)

    def station(self, station_id: StationId) -> StationView | Refusal:
        """One station."""
        view = station_view(self._room, station_id)
        if view is None:
            return no_station(station_id)
        events = self._room.security.of(station_id, SECURITY_EVENTS_SHOWN)
        return replace(view, security_events=tuple(event_view(record) for record in events))

    def station_page(self, query: StationQuery) -> StationPage:
        """A part of the stations, filtered and sorted."""
        return station_page(self._room, query)

    async def frames(self, station_id: StationId, search: str, most: int) -> Sequence[FrameView] | Refusal:
        """The newest raw frames of a station that hold a text; read from the disk on a thread."""
        if station_id not in self._room.registry.registrations:
            return no_station(station_id)
        wanted = search.casefold()
        found = await asyncio.to_thread(self._frames, station_id, FRAMES_SEARCHED if search else most)
        views = [FrameView(at_s=one.received_s, direction=one.direction, text=one.text) for one in found if wanted in one.text.casefold()]
        return views[-most:]

    def profiles(self, station_id: StationId) -> Sequence[ProfileView] | Refusal:
        """Profiles of ours that may be at a station."""
        if station_id not in self._room.registry.registrations:
            return no_station(station_id)
        return [profile_view(record) for record in self._room.ledger.of_station(station_id)]

    async def add_station(self, registration: StationRegistration) -> StationView | Refusal:
        """Register a station so that it may connect; a known one is changed."""
        if registration.site_id not in self._room.topology.site_ids:
            return no_site(self._room.topology, registration.site_id)
        self._room.registry.add(replace(registration, added_at_s=self._now_s()))
        self._room.fleet.register(registration.station_id, registration.site_id)
        self._room.conflicts.station_changed(registration.station_id, self._now_s())
        await self._settled()
        return self.station(registration.station_id)

    async def remove_station(self, station_id: StationId) -> StationView | Refusal:
        """Forget a station and close its connection. Refused while profiles of ours may be there."""
        view = self.station(station_id)
        if isinstance(view, Refusal):
            return view
        if view.profiles:
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"Station {station_id} may still hold {view.profiles} profiles of ours.",
                remedy="Cancel the dispatch or POST /api/v1/clear-all (counterflow clear-all), wait until they are gone, then remove it.",
            )
        self._room.forget_station(station_id, self._now_s())
        self._disconnect(station_id)
        await self._settled()
        return view

    async def discover_station(self, station_id: StationId) -> StationView | Refusal:
        """Ask a station anew what it can do, and set its sampling; answers once that is over."""
        return await self._ask_anew(station_id, Errand())

    async def give_settings_back(self, station_id: StationId) -> StationView | Refusal:
        """Set what we changed at a station to what it was, and leave its settings alone until discovery is asked for."""
        former = self._room.registry.former.get(station_id)
        return await self._ask_anew(station_id, Errand(set_up=False, give_back=former.changes if former else ()))

    async def _ask_anew(self, station_id: StationId, errand: Errand) -> StationView | Refusal:
        if isinstance(view := self.station(station_id), Refusal):
            return view
        over: asyncio.Future[CapabilitiesDiscovered | None] = asyncio.get_running_loop().create_future()

        def done(found: CapabilitiesDiscovered | None) -> None:
            if not over.done():
                over.set_result(found)

        asked = self._room.discover(station_id, errand, self._now_s(), done)
        await self._settled()
        if not asked:
            return _not_connected(station_id)
        if await over is None:
            return Refusal(
                kind=RefusalKind.OFFLINE,
                sentence=f"Station {station_id} went away before it had answered everything.",
                remedy="Ask again once it is back.",
            )
        await self._settled()
        return self.station(station_id)

    async def release_station(self, station_id: StationId, by: str, note: str) -> StationView | Refusal:
        """A person lets a station that contradicted itself, or never said that its DER alarm is over, take part again."""
        if isinstance(view := self.station(station_id), Refusal):
            return view
        lifted = self._room.lift_alarms(station_id, by, self._now_s())
        if not self._room.conflicts.release(station_id, by, note, self._now_s()) and not lifted:
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"Station {station_id} is not held out, and has no grid fault.",
                remedy="counterflow conflicts shows which stations are held out, counterflow sessions where there is a grid fault.",
            )
        await self._settled()
        return self.station(station_id)


def _not_connected(station_id: StationId) -> Refusal:
    return Refusal(kind=RefusalKind.OFFLINE, sentence=f"Station {station_id} is not connected.", remedy="Try again once it is back.")
