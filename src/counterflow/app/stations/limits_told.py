"""Limits that others set, the inverter runs under, or a composite schedule proves: how we learn of them (OCPP 2.1 K12, K08, block R)."""

from collections.abc import Callable
from math import inf
from typing import NamedTuple

from counterflow.app.stations.known_profiles import KnownStations
from counterflow.app.stations.registry import Registry
from counterflow.domain.commands import ProfileKind, ReadComposite, ReadDerLimits
from counterflow.domain.conflicts import DerLimit
from counterflow.domain.ids import EvseId, SessionUid, StationId
from counterflow.domain.records import ProfileState
from counterflow.domain.telemetry import CompositeReported, DerControlChanged, DerLimitsReported, ExternalLimitChanged
from counterflow.engine.conflicts.composite import OrderInForce, shown_impossible
from counterflow.engine.conflicts.deviation import deviating
from counterflow.engine.conflicts.register import COMPOSITE_SOURCE, DER_SOURCE, with_der_limits, with_limit, without_der_limits
from counterflow.engine.conflicts.settings import ConflictSettings
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import StationLink


class _Asked(NamedTuple):
    """A question for the composite schedule: when, and when our Dynamic profile would lapse by what the station had heard by then."""

    at_s: float = -inf
    lapses_s: float = inf


class LimitsTold:
    """Writes limits into what is known of each station. `may_ask` is false for stations that are away, and under the emergency stop."""

    def __init__(
        self,
        *,
        known: KnownStations,
        fleet: FleetState,
        ledger: ProfileLedger,
        link: StationLink,
        registry: Registry,
        settings: ConflictSettings,
        new_request_id: Callable[[float], int],
        may_ask: Callable[[StationId], bool],
    ) -> None:
        self._known = known
        self._fleet = fleet
        self._ledger = ledger
        self._link = link
        self._registry = registry
        self._settings = settings
        self._new_request_id = new_request_id
        self._may_ask = may_ask
        self._der_parts: dict[StationId, list[DerLimit]] = {}
        self._proof_asked: dict[tuple[StationId, EvseId], _Asked] = {}
        self._deviation_asked: dict[StationId, tuple[int, float]] = {}

    def limited(self, event: ExternalLimitChanged, now_s: float) -> None:
        """NotifyChargingLimit, ClearedChargingLimit. One that does not say how much is proved by the composite schedule."""
        known = with_limit(self._known.of(event.station_id), event.evse_id, event.source, event.periods if event.active else (), now_s)
        self._known.keep(known)

    def inverter_limited(self, event: DerLimitsReported | DerControlChanged, now_s: float) -> None:
        """The grid code's limit of discharge, from the inverter itself (block R)."""
        station_id = event.station_id
        if isinstance(event, DerControlChanged):
            over = event.superseded if event.started else (*event.superseded, event.control_id)
            self._known.keep(without_der_limits(self._known.of(station_id), over))
            if event.started:
                self.ask_inverter(station_id, now_s)
        else:
            parts = self._der_parts.setdefault(station_id, [])
            parts += event.limits
            if event.last:
                discovery = self._registry.discoveries.get(station_id)
                rated_w = {evse.evse_id: evse.max_discharge_power_w for evse in discovery.evses} if discovery else {}
                self._known.keep(with_der_limits(self._known.of(station_id), self._der_parts.pop(station_id), rated_w, now_s))

    def station_changed(self, station_id: StationId, now_s: float) -> None:
        """The station is back, or told what it can do: one that discharges under a grid code is asked for its limits."""
        discovery = self._registry.discoveries.get(station_id)
        if discovery is None and station_id not in self._known:
            return
        modes = () if discovery is None else (mode for evse in discovery.evses for mode in evse.energy_transfer_modes)
        told = any(limit.source.startswith(DER_SOURCE) for limit in self._known.of(station_id).limits)
        if told or any(mode.upper().endswith("_DER") for mode in modes):
            self.ask_inverter(station_id, now_s)

    def ask_inverter(self, station_id: StationId, now_s: float) -> None:
        """Ask for the grid code's limits of discharge (R02)."""
        if not self._may_ask(station_id):
            return
        self._der_parts.pop(station_id, None)
        self._link.submit(ReadDerLimits(station_id=station_id, request_id=self._new_request_id(now_s)), now_s)

    def ask_for_proof(self, station_id: StationId, evse_id: EvseId, now_s: float) -> None:
        """Ask what the station would do at an EVSE by all the profiles that it knows (K08)."""
        if evse_id != 0 and self._may_ask(station_id):
            uid = self._fleet.uid_at(station_id, evse_id)
            self._proof_asked[station_id, evse_id] = _Asked(now_s, inf if uid is None else self._lapses_s(uid))
            self._link.submit(ReadComposite(station_id=station_id, evse_id=evse_id, duration_s=self._settings.composite_s), now_s)

    def proved(self, event: CompositeReported, now_s: float) -> None:
        """What the composite schedule shows to be impossible is not promised for as long as it speaks of."""
        uid = self._fleet.uid_at(event.station_id, event.evse_id)
        asked = self._proof_asked.pop((event.station_id, event.evse_id), _Asked())
        limits = shown_impossible(event.periods, None if uid is None else self._order_in_force(uid, asked))
        self._known.keep(with_limit(self._known.of(event.station_id), event.evse_id, COMPOSITE_SOURCE, limits, now_s))

    def watch(self, image: FleetImage, now_s: float) -> None:
        """At each control tick: a car that is long after its setpoint nowhere near it makes us ask what its station would do."""
        for row in deviating(image, now_s, self._settings.deviation_after_s):
            key = image.keys[row]
            asked = (int(image.uid[row]), float(image.setpoint_at_s[row]))
            if key is not None and self._deviation_asked.get(key[0]) != asked:
                self._deviation_asked[key[0]] = asked
                self.ask_for_proof(key[0], EvseId(int(image.evse_id[row])), now_s)

    def _order_in_force(self, uid: SessionUid, asked: _Asked) -> OrderInForce | None:
        in_force = self._fleet.discharge_in_force(uid, asked.at_s)
        if in_force is None:
            return None
        beneath = (record.power_w for record in self._ledger.of_session(uid) if record.kind is ProfileKind.FALLBACK)
        return OrderInForce(power_w=in_force[0], until_s=in_force[1], lapses_s=asked.lapses_s, fallback_w=next(beneath, None))

    def _lapses_s(self, uid: SessionUid) -> float:
        """When our Dynamic profile lapses if nothing more is heard; inf = it has no watchdog."""
        for record in self._ledger.of_session(uid):
            if record.kind is ProfileKind.DISCHARGE and record.watchdog_s is not None:
                # What is still under way may not count there yet: it is sent a third of the watchdog after what does.
                heard = 1.0 if record.state is ProfileState.PLACED else 2.0 / 3.0
                return record.placed_at_s + heard * record.watchdog_s
        return inf
