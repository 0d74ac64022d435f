"""What each pool can give firmly, for its telemetry: worked out now and then, off the loop."""

from collections.abc import Sequence

import numpy as np

from counterflow.app.desks.offer_desk import OfferDesk
from counterflow.domain.ids import PoolId
from counterflow.domain.offers import LEVELS, Offer
from counterflow.engine.grid.telemetry import Firm

WINDOW_S = 900.0
"""Firm is what is held for a quarter of an hour (P90), as balancing products ask."""
EVERY_S = 60.0
SOON_S = 10.0
"""Where a pool can give nothing it is looked at again: after a start its stations are only just coming back."""
OLD_S = 180.0
"""Figures that are older are not shown any more."""
_P90 = LEVELS.index(0.9)


class FirmFigures:
    """The newest figures of each pool. Part of the server: telemetry reads them each few seconds."""

    def __init__(self, desk: OfferDesk, pools: Sequence[PoolId]) -> None:
        self._desk = desk
        self._pools = pools
        self._known: dict[PoolId, tuple[float, Firm]] = {}
        self._next_s = dict.fromkeys(pools, 0.0)

    def of(self, pool: PoolId, now_s: float) -> Firm | None:
        """What is known of a pool; None = nothing that is new enough."""
        at_s, firm = self._known.get(pool, (-np.inf, None))
        return firm if now_s - at_s <= OLD_S else None

    async def refresh(self, now_s: float) -> None:
        """Work the figures out anew of those pools for which it is time."""
        for pool in self._pools:
            if now_s < self._next_s[pool]:
                continue
            self._next_s[pool] = now_s + EVERY_S
            offer = await self._desk.firm(pool, WINDOW_S)
            if isinstance(offer, Offer):
                firm = Firm(power_w=offer.levels[_P90].power_w, window_s=WINDOW_S)
                self._known[pool] = (now_s, firm)
                if firm.power_w <= 0.0:
                    self._next_s[pool] = now_s + SOON_S
