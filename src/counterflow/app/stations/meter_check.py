"""The first discharge of an EVSE proves the signs of its meter; a station that contradicts itself is out until a person releases it."""

from collections.abc import Callable

from msgspec.structs import replace

from counterflow.app.stations.known_profiles import KnownStations
from counterflow.app.stations.registry import Registry
from counterflow.domain.conflicts import HeldOut, ProvedMeter
from counterflow.domain.ids import EvseId, StationId
from counterflow.engine.conflicts.signs import SIGN_WORDS, Sign, SignWatch
from counterflow.engine.fleet.snapshot import FleetImage


class MeterCheck:
    """Feeds the watch with each tick's image; `hold_out` is told of every contradiction."""

    def __init__(self, known: KnownStations, registry: Registry, hold_out: Callable[[HeldOut, float], None]) -> None:
        self._known = known
        self._registry = registry
        self._hold_out = hold_out
        self._watch = SignWatch()

    def look(self, image: FleetImage, now_s: float) -> None:
        """Take in the readings of cars that discharge at a meter that is not proved yet."""
        for row, sign in self._watch.step(image, lambda row: self._is_proved(image, row)):
            key = image.keys[row]
            assert key is not None, "a row that discharges has a session"
            meter = self._meter(key[0], EvseId(int(image.evse_id[row])))
            if sign is Sign.PROVED:
                known = self._known.of(key[0])
                others = tuple(one for one in known.proved_meters if one.evse_id != meter.evse_id)
                self._known.keep(replace(known, proved_meters=(*others, meter)))
            else:
                text = f"at EVSE {meter.evse_id} {SIGN_WORDS[sign]}"
                self._hold_out(HeldOut(station_id=key[0], at_s=now_s, text=text), now_s)

    def anew(self, station_id: StationId, uids: set[int]) -> None:
        """A person released the station: its meters are to be proved again, also in the sessions that are open."""
        self._known.keep(replace(self._known.of(station_id), proved_meters=()))
        self._watch.forget(uids)

    def _is_proved(self, image: FleetImage, row: int) -> bool:
        key = image.keys[row]
        if key is None:
            return True
        proved = self._known.of(key[0]).proved_meters
        return bool(proved) and self._meter(key[0], EvseId(int(image.evse_id[row]))) in proved

    def _meter(self, station_id: StationId, evse_id: EvseId) -> ProvedMeter:
        discovery = self._registry.discoveries.get(station_id)
        return ProvedMeter(evse_id, "" if discovery is None else discovery.identity.firmware_version)
