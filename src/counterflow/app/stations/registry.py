"""Which stations may connect, where they stand, and what discovery learned of them. Everything here is also in the journal."""

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from counterflow.adapters.ocpp.listeners import SecurityProfile
from counterflow.adapters.ocpp.settings import SUBPROTOCOLS
from counterflow.adapters.ocpp.transport import Admission, Admitted, Refused, Shown
from counterflow.app.stations.admission import by_certificate, by_password, contradiction
from counterflow.domain.ids import EvseId, SiteId, StationId
from counterflow.domain.records import DiscoveryRecord, DocumentKind
from counterflow.domain.resources import EvseCapability, StationIdentity, StationRegistration
from counterflow.domain.station_settings import FormerSettings, StationVariable, refused, remembered, returned
from counterflow.domain.telemetry import CapabilitiesDiscovered, CapabilitiesOutdated, ConnectedEvReported, SettingsChanging, StationBooted
from counterflow.engine.ports import Journal

PENDING_PASSWORDS = 4
"""Changes of unknown outcome that one station may have; each costs a check at the door."""


class RegistrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may connect."""

    accept_unknown: Annotated[
        bool,
        Meta(
            description="Stations that nobody registered may connect, without a password; for demos and closed networks.",
            extra={"unit": "-"},
        ),
    ] = False
    default_site: Annotated[str, Meta(description="Site of stations that name none.", extra={"unit": "-"}, min_length=1)] = "default"
    serial_number_check: Annotated[
        str,
        Meta(
            description="Profile 3: `where-named` = the serial number in BootNotification is held against certificates that name one, and "
            "against the one registered; `always` = it must be the certificate's common name (B01.FR.11 to the letter).",
            extra={"unit": "-"},
            pattern="^(where-named|always)$",
        ),
    ] = "where-named"


class Registry:
    """Single writer of registrations and discovery records."""

    def __init__(self, settings: RegistrySettings, journal: Journal, pseudonym: Callable[[str], str]) -> None:
        """`pseudonym` = what is kept of a car's identifier."""
        self._settings = settings
        self._journal = journal
        self._pseudonym = pseudonym
        self.registrations: dict[StationId, StationRegistration] = {}
        self.discoveries: dict[StationId, DiscoveryRecord] = {}
        self._proven: dict[StationId, str] = {}
        """Hashes of new passwords that stations have shown at the door, until their line is open."""
        self.certified: dict[StationId, tuple[str, ...]] = {}
        """Names in the certificates of the stations that are here now by profile 3."""
        self.former: dict[StationId, FormerSettings] = {}
        """What stations had where we set something."""

    def restore(self) -> None:
        """Everything from the journal."""
        self.registrations = {StationId(key): record for key, record in self._journal.documents(DocumentKind.STATION)}
        self.discoveries = {StationId(key): record for key, record in self._journal.documents(DocumentKind.DISCOVERY)}
        self.former = {StationId(key): record for key, record in self._journal.documents(DocumentKind.FORMER_SETTINGS)}

    def admit(self, station_id: StationId, offered: Sequence[str], shown: Shown) -> Admission:
        """Decide on a handshake from memory: 404 unknown, 401 wrong or missing password, 403 a port or certificate not meant for it.

        OCPP-J 3.1.2, 3.3; part 2, A00: profiles 1 and 2 by password, profile 3 by certificate. Of the versions that both speak the newest.
        """
        registration = self.registrations.get(station_id)
        if (registration is None or registration.accepted_unregistered) and not self._settings.accept_unknown:
            return Refused(404, "unknown station")
        if registration is not None and shown.profile < registration.security_profile:
            return Refused(403, "security profile too low for this station")
        if shown.profile is SecurityProfile.MUTUAL_TLS:
            verdict: Refused | str | None = by_certificate(station_id, registration, shown)
        else:
            verdict = by_password(registration, shown.credentials, shown.profile)
        if isinstance(verdict, Refused):
            return verdict
        if registration is not None and verdict in registration.pending_password_hashes:
            self._proven[station_id] = verdict
        else:
            self._proven.pop(station_id, None)
        common = next((name for name in SUBPROTOCOLS if name in offered), None)
        return Admitted(common)

    def contradicts(self, station_id: StationId, identity: StationIdentity) -> str | None:
        """Why what a station says of itself does not fit the certificate that it came with; None when it does, or came without."""
        names = self.certified.get(station_id)
        if names is None:
            return None
        registration = self.registrations.get(station_id)
        return contradiction(
            names,
            station_id,
            identity,
            None if registration is None else registration.serial_number,
            always=self._settings.serial_number_check == "always",
        )

    def entered(self, station_id: StationId, now_s: float) -> StationRegistration:
        """The line of a station is open: a new password that it has shown makes all others void (A01)."""
        proven = self._proven.pop(station_id, None)
        if proven is not None:
            self.settle_password(station_id, proven, taken=True)
        return self.ensure(station_id, now_s)

    def expect_password(self, station_id: StationId, password_hash: str) -> bool:
        """A new password is about to be sent: from now on it is accepted beside the old one. False = too many are open already."""
        registration = self.registrations[station_id]
        if len(registration.pending_password_hashes) >= PENDING_PASSWORDS:
            return False
        self.add(replace(registration, pending_password_hashes=(*registration.pending_password_hashes, password_hash)))
        return True

    def settle_password(self, station_id: StationId, password_hash: str, *, taken: bool) -> None:
        """The station has (or has not) taken a new password: the other one is void."""
        registration = self.registrations.get(station_id)
        if registration is None or password_hash not in registration.pending_password_hashes:
            return  # registered anew, or removed, meanwhile
        left = tuple(one for one in registration.pending_password_hashes if one != password_hash)
        if taken:
            self.add(replace(registration, password_hash=password_hash, pending_password_hashes=()))
        else:
            self.add(replace(registration, pending_password_hashes=left))

    def ensure(self, station_id: StationId, now_s: float) -> StationRegistration:
        """The registration of a station that has been let in; an unknown one is noted as such."""
        registration = self.registrations.get(station_id)
        if registration is None:
            registration = StationRegistration(
                station_id=station_id, site_id=SiteId(self._settings.default_site), added_at_s=now_s, accepted_unregistered=True
            )
            self.add(registration)
        return registration

    def site_of(self, station_id: StationId) -> SiteId:
        """Where a station stands; the default site for one that is not registered."""
        registration = self.registrations.get(station_id)
        return SiteId(self._settings.default_site) if registration is None else registration.site_id

    def model_of(self, station_id: StationId) -> str:
        """Vendor and model of a station; "" where it has not told."""
        known = self.discoveries.get(station_id)
        return f"{known.identity.vendor_name}/{known.identity.model}" if known is not None and known.identity.model else ""

    def add(self, registration: StationRegistration) -> None:
        """Register, or replace a registration."""
        self.registrations[registration.station_id] = registration
        self._journal.put(DocumentKind.STATION, registration.station_id, registration)

    def remove(self, station_id: StationId) -> None:
        """Forget a station and what it said of itself."""
        self.registrations.pop(station_id, None)
        self.discoveries.pop(station_id, None)
        self._journal.delete(DocumentKind.STATION, station_id)
        self._journal.delete(DocumentKind.DISCOVERY, station_id)
        if self.former.pop(station_id, None) is not None:
            self._journal.delete(DocumentKind.FORMER_SETTINGS, station_id)

    def booted(self, event: StationBooted) -> bool:
        """Keep what the station says it is; True if it said something else before (another firmware, another station)."""
        known = self.discoveries.get(event.station_id)
        if known is None:
            known = DiscoveryRecord(station_id=event.station_id, identity=event.identity, at_s=event.at_s)
        changed = known.identity not in (event.identity, StationIdentity.unknown())
        self._keep(replace(known, identity=event.identity))
        return changed

    def discovered(self, event: CapabilitiesDiscovered) -> None:
        """Keep what the station can do, and forget the former values of what it has back or never lost."""
        known = self.discoveries.get(event.station_id)
        self._keep(
            DiscoveryRecord(
                station_id=event.station_id,
                identity=known.identity if known else StationIdentity.unknown(),
                evses=tuple(self._under_pseudonym(evse) for evse in event.evses),
                meter_interval_s=event.meter_interval_s,
                at_s=event.at_s,
                refusals=event.refusals,
                facts=event.facts,
                set_up_for=event.set_up_for or "",
                hands_off=event.set_up_for is None,
                awaits_reboot=event.awaits_reboot,
                subprotocol=event.subprotocol,
            )
        )
        former = self.former.get(event.station_id)
        if former is not None:
            self._keep_former(refused(returned(former, event.given_back), event.refused_settings, event.began_at_s))

    def outdated(self, event: CapabilitiesOutdated) -> None:
        """What was learned is void: it is learned again, now or on the next connection."""
        known = self.discoveries.get(event.station_id)
        if known is not None:
            self._keep(replace(known, outdated=event.why))

    def car_seen(self, event: ConnectedEvReported) -> None:
        """Keep what the EVSE knows of its car now."""
        known = self.discoveries.get(event.station_id)
        if known is None:
            return
        seen = [replace(evse, connected_ev=event.car) for evse in known.evses if evse.evse_id == event.evse_id]
        others = [evse for evse in known.evses if evse.evse_id != event.evse_id]
        evses = sorted([*others, *map(self._under_pseudonym, seen)], key=lambda evse: evse.evse_id)
        self._keep(replace(known, evses=tuple(evses)))

    def changing(self, event: SettingsChanging) -> None:
        """Remember what the station had, before it is told otherwise."""
        former = self.former.get(event.station_id, FormerSettings(station_id=event.station_id))
        self._keep_former(remembered(former, event.changes))

    def setpoint_priority(self, station_id: StationId, value: str) -> None:
        """The station has taken this value of SetpointPriority."""
        known = self.discoveries.get(station_id)
        if known is not None:
            self._keep(replace(known, evses=tuple(replace(evse, setpoint_priority=value) for evse in known.evses)))

    def forget_change(self, station_id: StationId, variable: StationVariable) -> None:
        """The station has its former value again, or never lost it."""
        former = self.former.get(station_id)
        if former is not None:
            self._keep_former(returned(former, (variable,)))

    def capability_of(self, station_id: str, evse_id: EvseId) -> EvseCapability | None:
        """What discovery learned of one EVSE."""
        known = self.discoveries.get(StationId(station_id))
        if known is None:
            return None
        for evse in known.evses:
            if evse.evse_id == evse_id:
                return evse
        return None

    def _keep_former(self, record: FormerSettings) -> None:
        if record == self.former.get(record.station_id):
            return
        if record.changes:
            self.former[record.station_id] = record
            self._journal.put(DocumentKind.FORMER_SETTINGS, record.station_id, record)
        elif self.former.pop(record.station_id, None) is not None:
            self._journal.delete(DocumentKind.FORMER_SETTINGS, record.station_id)

    def _keep(self, record: DiscoveryRecord) -> None:
        if self.discoveries.get(record.station_id) != record:
            self.discoveries[record.station_id] = record
            self._journal.put(DocumentKind.DISCOVERY, record.station_id, record)

    def _under_pseudonym(self, evse: EvseCapability) -> EvseCapability:
        """A car's identifier is personal: only a pseudonym of it is kept."""
        car = evse.connected_ev
        if car is None or car.vehicle_id is None:
            return evse
        return replace(evse, connected_ev=replace(car, vehicle_id=self._pseudonym(car.vehicle_id)))
