"""The part of `Operations` about sites: who else steers there and who has priority, and what the grid can carry."""

from collections.abc import Awaitable, Callable, Sequence

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.conflict_views import conflict_views
from counterflow.app.desks.limit_views import limit_views
from counterflow.domain.conflicts import Leader, SitePriority
from counterflow.domain.ids import SiteId
from counterflow.domain.station_views import ConflictView
from counterflow.domain.views import LimitView, Refusal, RefusalKind
from counterflow.engine.fleet.topology import Topology


class SiteDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _settled: Callable[[], Awaitable[None]]

    async def conflicts(self, *, untold: bool = True) -> Sequence[ConflictView]:
        """Where somebody else steers, or may; without `untold` not where only the station cannot tell."""
        return await conflict_views(self._room.conflicts, self._room.registry, self._now_s(), untold=untold)

    def priorities(self) -> Sequence[SitePriority]:
        """What the operators of sites confirmed."""
        return self._room.conflicts.priorities.all()

    async def confirm_priority(self, site_id: SiteId, leader: Leader | None, by: str, note: str) -> SitePriority | Refusal:
        """The operator of a site says who has priority there; None takes an earlier word back."""
        if site_id not in self._room.topology.site_ids:
            return no_site(self._room.topology, site_id)
        if leader is None and self._room.conflicts.priorities.leader_at(site_id) is None:
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"Nobody has confirmed who has priority at site {site_id}.",
                remedy="counterflow conflicts shows what was confirmed.",
            )
        said = self._room.conflicts.confirm(site_id, leader, by, note, self._now_s())
        await self._settled()
        return said

    def limits(self) -> Sequence[LimitView]:
        """What feeders, sites and phases may carry, and what flows there now."""
        return limit_views(self._room, self._now_s())

    def note_load(self, group: str, power_w: float) -> LimitView | Refusal:
        """What draws at a feeder or site beside our cars was read, W, import positive."""
        try:
            self._room.topology.loads.note(group, power_w, self._now_s())
        except KeyError:
            return Refusal(
                kind=RefusalKind.INVALID,
                sentence=f"There is no feeder or site '{group}' whose load could be read.",
                remedy="counterflow limits names them, such as 'site depot'.",
            )
        return next(view for view in self.limits() if view.group == group)


def no_site(topology: Topology, site_id: SiteId) -> Refusal:
    """There is no such site."""
    known = ", ".join(topology.site_ids)
    return Refusal(kind=RefusalKind.INVALID, sentence=f"There is no site '{site_id}'.", remedy=f"Known sites: {known}.")
