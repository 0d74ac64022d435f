"""What is asked of single stations, and of their security: raw calls, events, passwords, certificates."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

from counterflow.adapters.ocpp.credentials import hash_password, new_password
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.driver_operations import DriverDesk
from counterflow.domain.ids import StationId
from counterflow.domain.records import SecurityRecord
from counterflow.domain.security_views import CertificateView, IssuedCertificateView, PasswordView, SecurityEventView
from counterflow.domain.setpoints import CommandResult, Offline, RawAnswer, Rejected
from counterflow.domain.station_views import CallAnswer
from counterflow.domain.views import Refusal, RefusalKind

CHANGED, REFUSED, UNKNOWN = "changed", "refused", "unknown"
_BOTH = "the old password and the new one are accepted until it shows the new one"


_RAW_REFUSALS = {
    "InvalidRequest": (RefusalKind.INVALID, "See the OCPP 2.1 schema of this request."),
    "QueueFull": (RefusalKind.OVERLOADED, "Wait until the calls that are under way are answered."),
}
"""Why a raw call was not sent, by the reason that the OCPP side gives."""


class ServerCertificates(Protocol):
    """What the running server can do with its certificates."""

    def reload_certificates(self) -> str | None:
        """Read the files again; a sentence when they cannot be used."""
        ...

    def shown(self) -> Sequence[CertificateView]:
        """What each listener shows now."""
        ...

    def root_pem(self) -> str:
        """The root of the authority that issued them: the built-in one."""
        ...

    def issued(self) -> Sequence[IssuedCertificateView]:
        """What that authority has issued to stations. Raises OSError."""
        ...

    def revoke(self, names: Collection[str], serial: str | None, reason: str) -> Sequence[IssuedCertificateView]:
        """Revoke what it has issued for these names, or by serial number; returns that. Raises OSError. May be called in a thread."""
        ...

    def enforce_revocations(self) -> None:
        """What is revoked lets nobody in from now on, and open lines with it end. Raises OSError."""
        ...


class NoCertificates:
    """Of a server without sockets, as in a replay."""

    def reload_certificates(self) -> str | None:
        """There are none."""
        return "This server has no listener with TLS."

    def shown(self) -> Sequence[CertificateView]:
        """None."""
        return ()

    def root_pem(self) -> str:
        """None."""
        return ""

    def issued(self) -> Sequence[IssuedCertificateView]:
        """None."""
        return ()

    def revoke(self, names: Collection[str], serial: str | None, reason: str) -> Sequence[IssuedCertificateView]:
        """None."""
        return ()

    def enforce_revocations(self) -> None:
        """Nobody has come in with one."""


class SecurityDesk(DriverDesk):
    """Base of `LiveOperations`. Commands answer once their effect is durable."""

    def __init__(
        self, room: ControlRoom, now_s: Callable[[], float], settled: Callable[[], Awaitable[None]], certificates: ServerCertificates
    ) -> None:
        super().__init__(room, now_s, settled)
        self._certificates = certificates

    def security_events(self, station_id: StationId | None, limit: int) -> Sequence[SecurityEventView] | Refusal:
        """The newest security events of one station or of all, newest first."""
        if station_id is None:
            return [event_view(record) for record in self._room.security.newest(limit)]
        if station_id not in self._room.registry.registrations:
            return _nobody(station_id)
        return [event_view(record) for record in self._room.security.of(station_id, limit)]

    async def rotate_password(self, station_id: StationId, by: str) -> PasswordView | Refusal:
        """Give a connected station a new random password (A01). Nobody sees it: the station has it, we keep its hash."""
        registry, now_s = self._room.registry, self._now_s()
        if station_id not in registry.registrations:
            return _nobody(station_id)
        password = new_password()
        fresh = hash_password(password)
        # Durable before the request leaves: whatever happens after it, the station can come back.
        if not registry.expect_password(station_id, fresh):
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"The outcome of several password changes of station {station_id} is unknown.",
                remedy="Wait until it has reconnected with one of them, or register it with a new password.",
            )
        outcome: asyncio.Future[PasswordView | Refusal] = asyncio.get_running_loop().create_future()

        def done(result: CommandResult) -> None:
            # Here and not below: whoever asked may have gone away meanwhile.
            state, text = self._password_outcome(station_id, fresh, result)
            self._room.security.note(station_id, "server", f"password {state}", f"{text} (asked by {by})", self._now_s())
            if not outcome.done():
                outcome.set_result(
                    _offline(station_id) if isinstance(result, Offline) else PasswordView(station_id=station_id, outcome=state, text=text)
                )

        variable = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}, "attributeValue": password}
        self._room.call(station_id, "SetVariables", {"setVariableData": [variable]}, now_s, done)
        await self._settled()
        said = await outcome
        await self._settled()
        return said

    def _password_outcome(self, station_id: StationId, fresh: str, result: CommandResult) -> tuple[str, str]:
        """What became of a change: only a clear word settles which password is void, a time-out never does."""
        registry = self._room.registry
        if isinstance(result, RawAnswer):
            status = _status_of(result)
            if status == "Accepted":
                registry.settle_password(station_id, fresh, taken=True)
                return CHANGED, "The station took it; the old password is void."
            if status == "RebootRequired":
                return UNKNOWN, f"The station takes it at its next reboot; {_BOTH}."
            if status is not None or result.error_code is not None:
                registry.settle_password(station_id, fresh, taken=False)
                return REFUSED, f"The station refused it ({status or result.error_code}); the old password stays."
            return UNKNOWN, f"The station's answer makes no sense; {_BOTH}."
        if isinstance(result, Rejected | Offline):
            registry.settle_password(station_id, fresh, taken=False)
            return REFUSED, "The request never left; the old password stays."
        return UNKNOWN, f"The station did not answer in time; {_BOTH}."

    def certificates(self) -> Sequence[CertificateView]:
        """What this server's listeners show to stations."""
        return self._certificates.shown()

    async def reload_certificates(self) -> Sequence[CertificateView] | Refusal:
        """Read the certificate files again; open lines stay."""
        wrong = self._certificates.reload_certificates()
        if wrong is None:
            return self._certificates.shown()
        return Refusal(kind=RefusalKind.CONFLICT, sentence=wrong, remedy="Put the files right and reload again; the old ones are in use.")

    async def issued_certificates(self) -> Sequence[IssuedCertificateView] | Refusal:
        """The certificates that the built-in authority has issued to stations and that are not over, newest first."""
        try:
            return list(reversed(await asyncio.to_thread(self._certificates.issued)))
        except OSError as error:
            return _damaged(error)

    async def revoke_certificates(
        self, station_id: StationId | None, serial: str | None, reason: str, by: str
    ) -> Sequence[IssuedCertificateView] | Refusal:
        """Revoke all of one station, or one by its serial number (hexadecimal), for ever; open lines with them end. Returns those."""
        registration = None if station_id is None else self._room.registry.registrations.get(station_id)
        names = {str(name) for name in (station_id, registration and registration.serial_number) if name}
        try:
            revoked = await asyncio.to_thread(self._certificates.revoke, names, None if serial is None else f"{int(serial, 16):x}", reason)
            self._certificates.enforce_revocations()
        except OSError as error:
            return _damaged(error)
        if not revoked:
            whose = f"station '{station_id}'" if serial is None else f"the serial number {serial}"
            return Refusal(
                kind=RefusalKind.NOT_FOUND,
                sentence=f"No certificate of {whose} is in force.",
                remedy="counterflow certificates issued shows what the built-in authority has issued, and what is revoked.",
            )
        concerned = StationId(revoked[0].name) if station_id is None else station_id
        if concerned in self._room.registry.registrations:
            self._room.security.note(concerned, "server", "certificate revoked", f"{len(revoked)}: {reason} (asked by {by})", self._now_s())
        await self._settled()
        return revoked

    async def install_authority(self, station_id: StationId, use: str, certificate: str | None) -> CallAnswer | Refusal:
        """InstallCertificate (A05, M05): give a station a root; None = that of the built-in authority."""
        pem = self._certificates.root_pem() if certificate is None else certificate
        return await self.call_station(station_id, "InstallCertificate", {"certificateType": use, "certificate": pem})

    async def call_station(self, station_id: StationId, action: str, payload: dict[str, Any]) -> CallAnswer | Refusal:
        """Send any OCPP request and wait for the answer."""
        if station_id not in self._room.registry.registrations:
            return _nobody(station_id)
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()

        def done(result: CommandResult) -> None:
            if not answer.done():
                answer.set_result(result)

        self._room.call(station_id, action, payload, self._now_s(), done)
        await self._settled()
        result = await answer
        if isinstance(result, RawAnswer):
            return CallAnswer(action=action, payload=result.payload, error_code=result.error_code, error_text=result.error_text)
        if isinstance(result, Rejected):
            kind, remedy = _RAW_REFUSALS.get(result.reason_code, (RefusalKind.CONFLICT, "Try again once the station has booted."))
            return Refusal(kind=kind, sentence=result.text, remedy=remedy)
        if isinstance(result, Offline):
            return Refusal(
                kind=RefusalKind.OFFLINE, sentence=f"Station {station_id} is not connected.", remedy="Try again once it is back."
            )
        return Refusal(
            kind=RefusalKind.TIMED_OUT,
            sentence=f"Station {station_id} did not answer in time; whether it acted is unknown.",
            remedy="Read the state back before sending it again.",
        )


def event_view(record: SecurityRecord) -> SecurityEventView:
    """A security event as people see it."""
    return SecurityEventView(
        station_id=record.station_id,
        at_s=record.at_s,
        last_at_s=record.last_at_s,
        said_at_s=record.said_at_s,
        count=record.count,
        origin=record.origin,
        kind=record.kind,
        text=record.text,
    )


def _damaged(error: OSError) -> Refusal:
    return Refusal(kind=RefusalKind.CONFLICT, sentence=str(error), remedy="Put the files of the authority right and ask again.")


def _status_of(answer: RawAnswer) -> str | None:
    results = (answer.payload or {}).get("setVariableResult")
    if not isinstance(results, list) or not results:
        return None
    status = results[0].get("attributeStatus")
    return status if isinstance(status, str) else None


def _nobody(station_id: StationId) -> Refusal:
    return Refusal(
        kind=RefusalKind.NOT_FOUND, sentence=f"There is no station '{station_id}'.", remedy="counterflow stations list shows them."
    )


def _offline(station_id: StationId) -> Refusal:
    return Refusal(
        kind=RefusalKind.OFFLINE,
        sentence=f"Station {station_id} is not connected; its password is unchanged.",
        remedy="Try again once it is back.",
    )
