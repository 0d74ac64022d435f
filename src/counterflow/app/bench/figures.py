"""What a bench finds: figures with their aims, the sizes it runs at, and the words for what could not be measured."""

from collections.abc import Sequence
from statistics import median
from typing import Literal

from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """One figure, with its value in each repeat; no values = not measured, and `note` says why."""

    key: str
    title: str
    unit: str
    values: tuple[float, ...]
    aim: float | None = None
    better: Literal["less", "more"] = "less"
    note: str = ""

    @property
    def median(self) -> float | None:
        """The value that is judged, None when nothing was measured."""
        return median(self.values) if self.values else None

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the aim; None without an aim or a value."""
        middle = self.median
        if self.aim is None or middle is None:
            return None
        return middle <= self.aim if self.better == "less" else middle >= self.aim


class Sizes(Struct, frozen=True, kw_only=True):
    """How large and how long. Durations in s, rates per s."""

    connections: tuple[int, ...] = (1_000, 10_000)
    window_s: float = 2.0
    warm_up_s: float = 1.0
    repeats: int = 3
    paced_per_s: float = 2_000.0
    peer_window_s: float = 2.5
    fan_out_stations: int = 10_000
    allocation_sessions: tuple[int, ...] = (10_000, 100_000)
    memory_stations: int = 4_000
    ingest_samples: int = 300_000
    storm_stations: int = 10_000
    console_sessions: int = 10_000
    console_pairs: int = 5
    console_window_s: float = 12.0
    console_settle_s: float = 16.0


FULL = Sizes()
QUICK = Sizes(
    connections=(1_000,),
    window_s=1.0,
    warm_up_s=0.5,
    repeats=2,
    peer_window_s=1.5,
    fan_out_stations=2_000,
    memory_stations=1_000,
    ingest_samples=100_000,
    storm_stations=2_000,
    console_sessions=2_000,
    console_pairs=2,
    console_window_s=6.0,
    console_settle_s=6.0,
)


class CannotError(Exception):
    """This machine cannot do what a figure asks for; the text is a sentence."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all values do not exceed; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
