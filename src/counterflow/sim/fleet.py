"""A fleet: cars drawn from a mix, one station with one EVSE for each, all on one plant."""

from collections.abc import Iterable

import numpy as np

from counterflow.sim.draws import Draws
from counterflow.sim.evse import SimEvse
from counterflow.sim.settings import MixSettings, PlantSettings, StationSettings
from counterflow.sim.station import SimStation
from counterflow.sim.vehicle import Cars, Plant


def draw_cars(mix: MixSettings, count: int, generator: np.random.Generator) -> Cars:
    """`count` cars. A free car's target can be reached with at least half of its stay to spare; a tight car has no time to give away."""
    sizes_w = generator.choice(np.array(mix.sizes_w), count, p=np.array(mix.size_shares) / sum(mix.size_shares))
    capacity_wh = generator.uniform(mix.capacity_min_wh, mix.capacity_max_wh, count)
    soc = generator.uniform(mix.soc_min, mix.soc_max, count)
    stay_s = generator.uniform(mix.departure_min_s, mix.departure_max_s, count)
    target = generator.uniform(mix.target_soc_min, mix.target_soc_max, count)
    # Half of what it could charge in its stay beyond the first hour and a half, at an efficiency that no car falls short of.
    reach = 0.5 * sizes_w * 0.85 * np.maximum(stay_s / 3600.0 - 1.5, 0.0) / capacity_wh
    target = np.minimum(target, np.maximum(soc - 0.05, soc - 0.15 + reach))
    tight = generator.random(count) < mix.tight_share
    rush_s = generator.uniform(1_200.0, 4_800.0, count)
    return Cars(
        max_power_w=sizes_w,
        min_power_w=np.maximum(500.0, mix.min_power_frac * sizes_w),
        capacity_wh=capacity_wh,
        soc_frac=np.where(tight, np.minimum(soc, 0.8), soc),
        floor_soc_frac=np.full(count, mix.floor_soc),
        target_soc_frac=np.where(tight, 0.98, target),
        stay_s=np.where(tight, rush_s, stay_s),
    )


def station_name(prefix: str, number: int) -> str:
    """Identity of the station with this number, from 1: `SIM-00001`."""
    return f"{prefix}-{number:05d}"


class Fleet:
    """N stations `<prefix>-00001` ... on one plant; row i of the plant is the car at station i."""

    def __init__(
        self,
        count: int,
        prefix: str,
        seed: int,
        plant: PlantSettings,
        station: StationSettings,
        mix: MixSettings,
        *,
        cars: Cars | None = None,
    ) -> None:
        self.draws = Draws(np.random.default_rng(seed))
        generator = self.draws.generator
        cars = draw_cars(mix, count, generator) if cars is None else cars
        self.plant = Plant(plant, cars, self.draws)
        is_dc = generator.random(count) < mix.dc_share
        self.stations: list[SimStation] = []
        for row in range(count):
            evse = SimEvse(
                1,
                self.plant,
                row,
                is_dc=bool(is_dc[row]),
                stay_s=float(cars.stay_s[row]),
                id_token=f"DECFW{row + 1:09d}",
                evccid=f"{0x0A0000000000 + row + 1:012X}",
            )
            evse.scheduled_control = mix.scheduled_every > 0 and row % mix.scheduled_every == 0
            self.stations.append(SimStation(station_name(prefix, row + 1), [evse], self.draws, station))
        self.by_id = {station.station_id: station for station in self.stations}

    def true_power_w(self) -> float:
        """What the whole fleet draws from the grid, to the watt (negative = discharge)."""
        return float(self.plant.power_w.sum())

    def step_plant(self, now_s: float, dt_s: float = 1.0) -> list[SimStation]:
        """One step of physics, and the cars that leave in it; the stations whose car left are returned, since they have news."""
        self.plant.step(now_s, dt_s)
        gone = []
        for row, silently in self.plant.leavers(dt_s):
            station = self.stations[row]
            self.leave(station, now_s, silently=silently)
            gone.append(station)
        return gone

    def drop_out(self, share: float, silent_share: float, now_s: float) -> list[SimStation]:
        """A share of the cars in a session leaves now, part of them without a word."""
        present = [station for station in self.stations if station.sessions > 0]
        count = round(share * len(present))
        picked = self.draws.generator.permutation(len(present))[:count]
        silent = round(silent_share * count)
        gone = [present[int(place)] for place in picked]
        for number, station in enumerate(gone):
            self.leave(station, now_s, silently=number < silent)
        return gone

    @staticmethod
    def leave(station: SimStation, now_s: float, *, silently: bool) -> None:
        """The car at a station leaves now."""
        if silently:
            station.go_silent(now_s)
        else:
            station.unplug(now_s)

    def violations(self) -> list[str]:
        """What the CSMS did against the rules, at any station."""
        return [sentence for station in self.stations for sentence in station.violations]

    def remaining_profiles(self, station_ids: Iterable[str] | None = None) -> list[tuple[str, int]]:
        """(station id, profile id) of every profile that is still stored."""
        stations = self.stations if station_ids is None else [self.by_id[one] for one in station_ids]
        return [(station.station_id, one.profile.id) for station in stations for one in station.installed_profiles]
