"""What a pool can give firmly is worked out once a minute, and sooner again where it was nothing: stations may only just be coming back."""

import asyncio
from typing import Any

import msgspec
from msgspec.structs import replace

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.app.offers.firm_figures import EVERY_S, OLD_S, SOON_S, FirmFigures
from counterflow.domain.ids import PoolId
from counterflow.domain.offers import Offer

OFFER = msgspec.convert(msgspec.to_builtins(EXAMPLES[Offer]), Offer)
POOL = PoolId("all")


class Desk:
    def __init__(self) -> None:
        self.asked = 0
        self.power_w = 0.0
        self.empty = PoolId("")
        self.pools: list[PoolId] = []

    async def firm(self, pool: PoolId, window_s: float) -> Offer:
        self.asked += 1
        self.pools.append(pool)
        power_w = 0.0 if pool == self.empty else self.power_w
        return replace(OFFER, levels=tuple(replace(level, power_w=power_w) for level in OFFER.levels))


def test_nothing_is_looked_at_again_soon_and_something_once_a_minute() -> None:
    desk: Any = Desk()
    figures = FirmFigures(desk, [POOL])

    def at(now_s: float) -> tuple[int, float | None]:
        asyncio.run(figures.refresh(now_s))
        firm = figures.of(POOL, now_s)
        return desk.asked, None if firm is None else firm.power_w

    assert figures.of(POOL, 0.0) is None
    assert at(100.0) == (1, 0.0)
    desk.power_w = 5e4
    assert at(100.0 + SOON_S - 1.0) == (1, 0.0)
    assert at(100.0 + SOON_S) == (2, 5e4)
    assert at(100.0 + SOON_S + EVERY_S - 1.0) == (2, 5e4)
    assert at(100.0 + SOON_S + EVERY_S) == (3, 5e4)
    assert figures.of(POOL, 100.0 + SOON_S + EVERY_S + OLD_S + 1.0) is None


def test_a_pool_that_is_empty_for_long_does_not_have_the_others_looked_at_sooner() -> None:
    desk: Any = Desk()
    desk.power_w, desk.empty = 5e4, PoolId("night")
    figures = FirmFigures(desk, [POOL, desk.empty])
    for second in range(int(EVERY_S)):
        asyncio.run(figures.refresh(100.0 + second))
    assert desk.pools.count(POOL) == 1
    assert desk.pools.count(desk.empty) == int(EVERY_S / SOON_S)
