"""Whether what a station shows at the door is enough for it (OCPP 2.1 part 2, A00)."""

from counterflow.adapters.ocpp.credentials import Credentials, verify
from counterflow.adapters.ocpp.listeners import SecurityProfile
from counterflow.adapters.ocpp.transport import Refused, Shown
from counterflow.domain.ids import StationId
from counterflow.domain.resources import StationIdentity, StationRegistration


def by_password(
    registration: StationRegistration | None, credentials: Credentials | None, profile: SecurityProfile
) -> Refused | str | None:
    """Refused, or the stored hash that the password fits; None where none is asked.

    Profile 1 may go without where the operator said so; profile 2 always has a password.
    """
    if registration is None or registration.password_hash is None:
        return Refused(401, "no password is set for this station") if profile is SecurityProfile.BASIC_TLS else None
    if credentials is None:
        return Refused(401, "password missing")
    candidates = (registration.password_hash, *registration.pending_password_hashes)
    fitting = next((stored for stored in candidates if verify(stored, credentials.password)), None)
    return Refused(401, "password wrong") if fitting is None else fitting


def by_certificate(station_id: StationId, registration: StationRegistration | None, shown: Shown) -> Refused | None:
    """The certificate must name the station: by its identity, or by the serial number it is registered with (A00, profile 3). And it must
    not be revoked."""
    names = shown.certificate_names
    serial_number = None if registration is None else registration.serial_number
    if station_id not in names and (serial_number is None or serial_number not in names):
        return Refused(403, "certificate of another station")
    return None if shown.void is None else Refused(403, shown.void)


def contradiction(
    names: tuple[str, ...], station_id: StationId, identity: StationIdentity, registered: str | None = None, *, always: bool = False
) -> str | None:
    """Why a BootNotification does not fit the certificate of its line; None when it does, or when there is none (B01.FR.11, B01.FR.12).

    A certificate names the station's serial number, and then the station must say the same; or its identity, which the address has
    already been compared with. The serial number that the station is `registered` with must be said in either case. `always` is the
    requirement to the letter: the common name must be the serial number.
    """
    if not names:
        return None
    said = f"says the serial number '{identity.serial_number}'" if identity.serial_number else "says no serial number"
    if not (identity.serial_number == names[0] if always else station_id in names or identity.serial_number in names):
        return f"BootNotification {said}; the certificate is of '{names[0]}'."
    if registered is not None and identity.serial_number != registered:
        return f"BootNotification {said}; the station is registered with '{registered}'."
    return None
