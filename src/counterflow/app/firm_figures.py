"""What each pool can give firmly beside what it gives now, for its telemetry: worked out now and then, off the loop."""

from collections.abc import Sequence

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.app.offer_desk import OfferDesk
from counterflow.domain.ids import PoolId
from counterflow.domain.instructions import DispatchState
from counterflow.domain.offers import LEVELS, Offer
from counterflow.engine.grid.telemetry import Firm

WINDOW_S = 900.0
"""Firm is what is held for a quarter of an hour (P90), as balancing products ask."""
EVERY_S = 60.0
OLD_S = 180.0
"""Figures that are older are not shown any more."""
_P90 = LEVELS.index(0.9)


class FirmFigures:
    """The newest figures of each pool. Part of the server: telemetry reads them each few seconds."""

    def __init__(self, room: ControlRoom, desk: OfferDesk, pools: Sequence[PoolId]) -> None:
        self._room = room
        self._desk = desk
        self._pools = pools
        self._known: dict[PoolId, tuple[float, Firm]] = {}
        self._next_s = 0.0

    def of(self, pool: PoolId, now_s: float) -> Firm | None:
        """What is known of a pool; None = nothing that is new enough."""
        at_s, firm = self._known.get(pool, (-np.inf, None))
        return firm if now_s - at_s <= OLD_S else None

    async def refresh(self, now_s: float) -> None:
        """Work the figures out anew when it is time."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        for pool in self._pools:
            offer = await self._desk.firm(pool, WINDOW_S)
            if isinstance(offer, Offer):
                self._known[pool] = (now_s, self._figures(pool, offer, now_s))

    def _figures(self, pool: PoolId, offer: Offer, now_s: float) -> Firm:
        """`up`: what is firm less what is asked already; `down`: what is discharged now, all of which can be taken back."""
        sites = self._room.topology.pool_mask(pool)
        book = self._room.dispatcher.book
        asked_w = sum(
            book.target_w(running, now_s)
            for running in book.in_state(DispatchState.RUNNING)
            if not (self._room.topology.pool_mask(running.pool) & ~sites).any()
        )
        up_w = max(0.0, offer.levels[_P90].power_w - asked_w)
        meters = self._room.fleet.meters(now_s)
        mine = meters.occupied & sites[np.maximum(meters.site, 0)] & (meters.power_w < 0.0)
        return Firm(
            up_power_w=up_w,
            up_energy_wh=up_w * WINDOW_S / 3600.0,
            down_power_w=0.0 - float(meters.power_w[mine].sum()),
            ramp_w_per_s=None,
        )
