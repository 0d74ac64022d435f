"""What is played, all of it from the seed: the fleet, the signal, who leaves when. Both clocks play the same course."""

from functools import cached_property

import numpy as np
from msgspec import Struct

from counterflow.app.bench.scenarios.regulation import BASE, HOLD_S, SWING, regulation
from counterflow.domain.instructions import StreamTerms
from counterflow.engine.fleet.snapshot import F8
from counterflow.sim.fleet import station_name
from counterflow.sim.settings import MixSettings, PlantSettings, StationSettings

PREFIX = "SIM"
LOSS = 0.01
PLANT = PlantSettings(command_loss=0.0, meter_loss=LOSS, attrition_per_h=0.0)
"""The reference plant. What is lost is lost on the line (`STATION`) and at the meter; cars leave when the course says so."""
STATION = StationSettings(unread_share=LOSS, unanswered_share=LOSS)
MIX = MixSettings()
CONNECT_PER_S = 500.0
TERMS = StreamTerms(timeout_s=30.0, hold_s=60.0, ramp_down_s=60.0)
DROP_OUT, SILENT = 0.1, 0.2
"""Share of the cars that leaves in mid-window, and share of those that goes without a word."""
SETTLE_S = 60
"""What the cars need from charging to their target is not judged."""


class Course(Struct, frozen=True, kw_only=True, dict=True):
    """`seconds` of a regulation signal, a new value every two seconds, up to `peak_share` of the fleet's nameplate power.

    The fleet gathers for `gather_s`, then the order is placed, and begins `notice_s` later. `settle_s` from the start on are not judged.
    """

    stations: int = 1_000
    seconds: int = 900
    seed: int = 1
    peak_share: float = 0.7
    gather_s: int = 60
    notice_s: int = 60
    settle_s: int = SETTLE_S
    plant: PlantSettings = PLANT
    station: StationSettings = STATION

    @cached_property
    def signal(self) -> F8:
        """-1..1, one value a second."""
        return regulation(self.seconds, self.seed)

    def target_w(self, rated_w: float) -> F8:
        """What is asked, one value a second, W; `rated_w` = nameplate power of the fleet."""
        return np.asarray(self.peak_w(rated_w) * (BASE + SWING * self.signal) / (BASE + SWING), dtype=np.float64)

    def peak_w(self, rated_w: float) -> float:
        """The most that is asked, W: what is ordered."""
        return self.peak_share * rated_w

    def values(self, rated_w: float) -> list[tuple[int, float]]:
        """(second of the window, W) of every value of the stream. The first is told with the order, and again until the window begins."""
        target_w = self.target_w(rated_w)
        before = [(second, float(target_w[0])) for second in range(-self.notice_s, 0, 10)]
        return before + [(second, float(target_w[second])) for second in range(0, self.seconds, HOLD_S)]

    @property
    def drop_out_at(self) -> int:
        """Second of the window at which cars leave."""
        return self.seconds // 2

    def leavers(self) -> list[tuple[str, bool]]:
        """(station id, without a word) of the cars that leave."""
        rng = np.random.default_rng((self.seed, 0xD0))
        rows = rng.permutation(self.stations)[: round(DROP_OUT * self.stations)]
        silent = round(SILENT * len(rows))
        return [(station_name(PREFIX, int(row) + 1), number < silent) for number, row in enumerate(rows)]


def course_of(stations: int, minutes: float, seed: int) -> Course:
    """A course of that size; a large fleet takes longer to gather (it is asked for its capabilities by and by)."""
    return Course(stations=stations, seconds=round(60.0 * minutes), seed=seed, gather_s=40 + stations // 50)
