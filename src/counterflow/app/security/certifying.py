"""SignCertificate of stations (A02, A03): checked at once, signed here or by an external authority, sent back as CertificateSigned."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from counterflow.adapters.certificates.authority import Authority, AuthorityError
from counterflow.adapters.certificates.call_out import CallOutError, sign_by_call_out
from counterflow.adapters.certificates.requests import RequestRefusedError, check_names, common_name, read_request
from counterflow.app.security.certificate_settings import CertificateSettings
from counterflow.app.security.own_certificates import STATION_AUTHORITY, VEHICLE_AUTHORITY
from counterflow.app.security.security_log import SecurityLog
from counterflow.app.stations.registry import Registry
from counterflow.domain.ids import StationId
from counterflow.domain.setpoints import CommandResult, RawAnswer
from counterflow.domain.telemetry import CertificateRequested

_log = structlog.get_logger("counterflow.certificates")

STATION_CERTIFICATE = "ChargingStationCertificate"


class CallStation(Protocol):
    """How a request goes to a station (`ControlRoom.call`)."""

    def __call__(
        self, station_id: StationId, action: str, payload: dict[str, Any], now_s: float, done: Callable[[CommandResult], None]
    ) -> None: ...


class Certifying:
    """One instance a process. Everything runs on the event loop; only the external authority is waited for."""

    def __init__(
        self,
        settings: CertificateSettings,
        *,
        authority: Callable[[str], Authority],
        registry: Registry,
        log: SecurityLog,
        call: CallStation,
        kick: Callable[[], None],
        now_s: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._registry = registry
        self._log = log
        self._call = call
        self._kick = kick
        self._now_s = now_s
        self._last_s: dict[tuple[StationId, str], float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def refuse(self, station_id: StationId, csr: str, kind: str, now_s: float) -> str | None:
        """Why a request is not taken; None when it is. Called while the station waits, so it only looks."""
        settings = self._settings
        if settings.signer == "none":
            return "This server signs no certificates."
        last_s = self._last_s.get((station_id, kind))
        if last_s is not None and now_s - last_s < settings.pause_s:
            return "A certificate of this kind was just asked for; wait a while."
        try:
            request = read_request(csr)
            if kind == STATION_CERTIFICATE:
                check_names(request, self._own_names(station_id))
            else:
                common_name(request)
        except RequestRefusedError as error:
            self._log.note(station_id, "server", "signing request refused", str(error), now_s)
            return str(error)
        self._last_s[(station_id, kind)] = now_s
        return None

    def begin(self, asked: CertificateRequested, now_s: float) -> None:
        """A request was taken: sign it and send it, now or once the external authority has answered."""
        if self._settings.signer == "call-out":
            task = asyncio.get_running_loop().create_task(self._by_call_out(asked))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            return
        try:
            chain = self._signed(asked, now_s)
        except (AuthorityError, RequestRefusedError) as error:
            self._failed(asked, str(error))
        else:
            self._send(asked, chain)

    def close(self) -> None:
        """Wait for no answer any more; a station whose request gets none asks again (A02.FR.17)."""
        for task in self._asking:
            task.cancel()

    def _own_names(self, station_id: StationId) -> set[str]:
        registration = self._registry.registrations.get(station_id)
        serial_number = None if registration is None else registration.serial_number
        return {str(station_id)} if serial_number is None else {str(station_id), serial_number}

    def _signed(self, asked: CertificateRequested, now_s: float) -> str:
        settings, request = self._settings, read_request(asked.csr)
        if asked.kind == STATION_CERTIFICATE:
            name = check_names(request, self._own_names(asked.station_id))
            authority = self._authority(STATION_AUTHORITY)
            return authority.issue_for_station(name, request.public_key(), days=settings.station_days, now_s=now_s)
        return self._authority(VEHICLE_AUTHORITY).issue_for_vehicles(request, days=settings.vehicle_days, now_s=now_s)

    async def _by_call_out(self, asked: CertificateRequested) -> None:
        question = {"station_id": asked.station_id, "certificate_type": asked.kind, "csr": asked.csr, "request_id": asked.request_id}
        try:
            chain = await sign_by_call_out(self._settings.call_out_url, question, self._settings.call_out_timeout_s)
        except CallOutError as error:
            self._failed(asked, str(error))
        else:
            self._send(asked, chain)
        self._kick()

    def _send(self, asked: CertificateRequested, chain: str) -> None:
        payload: dict[str, Any] = {"certificateChain": chain, "certificateType": asked.kind}
        if asked.request_id is not None:
            payload["requestId"] = asked.request_id
        self._call(asked.station_id, "CertificateSigned", payload, self._now_s(), lambda result: self._answered(asked, result))

    def _answered(self, asked: CertificateRequested, result: CommandResult) -> None:
        status = (result.payload or {}).get("status") if isinstance(result, RawAnswer) else None
        if status == "Accepted":
            self._log.note(asked.station_id, "server", "certificate signed", f"{asked.kind}: in use at the station", self._now_s())
        else:
            self._failed(asked, f"The station did not take it: {status or type(result).__name__}.")

    def _failed(self, asked: CertificateRequested, why: str) -> None:
        _log.warning("no certificate for a station", station_id=asked.station_id, kind=asked.kind, text=why)
        self._log.note(asked.station_id, "server", "certificate not signed", f"{asked.kind}: {why}", self._now_s())
