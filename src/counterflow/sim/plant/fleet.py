"""What is known of a drawn fleet on both sides of the wire: nameplates, batteries, wishes of the drivers."""

from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

F8 = NDArray[np.float64]
I4 = NDArray[np.int32]


class Wishes(Struct, frozen=True, kw_only=True):
    """How a fleet is drawn. Ranges are (low, high), uniform; fractions 0..1; times in s from the start."""

    cars: int
    power_w: tuple[float, float] = (3_700.0, 22_000.0)
    min_share: float = 0.0
    """Below this share of its power a car can neither charge nor discharge."""
    capacity_wh: tuple[float, float] = (80_000.0, 80_000.0)
    soc_frac: tuple[float, float] = (0.85, 0.85)
    floor_frac: tuple[float, float] = (0.3, 0.3)
    target_frac: tuple[float, float] = (0.6, 0.6)
    stay_s: tuple[float, float] = (8 * 3600.0, 8 * 3600.0)
    sites: int = 0
    """Sites beside the default one, filled in turn; 0 = all cars stand at the default site."""


class Fleet(Struct, frozen=True, kw_only=True):
    """N cars; every array is (N,). Powers are magnitudes."""

    max_w: F8
    min_w: F8
    capacity_wh: F8
    soc_frac: F8
    floor_frac: F8
    target_frac: F8
    departure_s: F8
    site: I4

    @classmethod
    def drawn(cls, wishes: Wishes, start_s: float, rng: np.random.Generator) -> Self:
        """A fleet of that kind; the same generator state gives the same fleet."""
        cars = wishes.cars
        max_w = rng.uniform(*wishes.power_w, cars)
        return cls(
            max_w=max_w,
            min_w=wishes.min_share * max_w,
            capacity_wh=rng.uniform(*wishes.capacity_wh, cars),
            soc_frac=rng.uniform(*wishes.soc_frac, cars),
            floor_frac=rng.uniform(*wishes.floor_frac, cars),
            target_frac=rng.uniform(*wishes.target_frac, cars),
            departure_s=start_s + rng.uniform(*wishes.stay_s, cars),
            site=(1 + np.arange(cars) % wishes.sites if wishes.sites else np.zeros(cars)).astype(np.int32),
        )

    def __len__(self) -> int:
        """Number of cars."""
        return len(self.max_w)
