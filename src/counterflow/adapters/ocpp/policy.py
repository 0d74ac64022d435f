"""What only the application can decide when a station asks, and the answers it may give."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from counterflow.domain.ids import EvseId, ProfileId, StationId, TransactionId
from counterflow.domain.resources import StationIdentity
from counterflow.domain.telemetry import ChargingNeedsReported, PlannedPower


class BootStatus(StrEnum):
    """OCPP RegistrationStatusEnumType."""

    ACCEPTED = "Accepted"
    PENDING = "Pending"
    REJECTED = "Rejected"


class BootAnswer(NamedTuple):
    """Accepted: `interval_s` is the heartbeat interval. Pending, Rejected: how long to wait before the next BootNotification."""

    status: BootStatus
    interval_s: int


class AuthorizationAnswer(NamedTuple):
    """`status` as OCPP's AuthorizationStatusEnumType. Without `allowed_energy_transfer` the car may only be charged (Q01)."""

    status: str
    allowed_energy_transfer: tuple[str, ...] | None = None


class Deferred(NamedTuple):
    """The answer comes later, through `Csms.authorized` with this ticket."""

    ticket: int


class NeedsAnswer(StrEnum):
    """Answers to NotifyEVChargingNeeds. `Rejected` is not among them: it ends an ISO 15118-20 session (Q01)."""

    ACCEPTED = "Accepted"
    PROCESSING = "Processing"
    NO_PROFILE = "NoChargingProfile"


class AnswerPolicy(Protocol):
    """Implemented by the application; called while a station's request is being answered, so it must be quick."""

    def boot(self, station_id: StationId, identity: StationIdentity, now_s: float) -> BootAnswer:
        """May this station work with us?"""
        ...

    def refuse_signing(self, station_id: StationId, csr: str, kind: str, now_s: float) -> str | None:
        """Why a signing request (PEM) for a certificate of this kind is not taken; None = it is, and CertificateSigned will follow."""
        ...

    def authorize(self, station_id: StationId, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer | Deferred:
        """May this token charge, and which energy transfers are allowed? `evccid` is empty when the station named none."""
        ...

    def standing(self, station_id: StationId, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer:
        """The same as far as it is known now; for a token in a TransactionEvent, whose answer waits for nobody."""
        ...

    def needs(self, event: ChargingNeedsReported, now_s: float) -> NeedsAnswer:
        """Will a charging profile follow?"""
        ...

    def ev_plan(self, station_id: StationId, evse_id: EvseId, plan: Sequence[PlannedPower], tolerant: bool, now_s: float) -> str | None:
        """None when a car's own plan is within our schedule, else a sentence about what is not. `tolerant` = the car accepts some
        tolerance around its plan."""
        ...

    def pull_setpoint(self, station_id: StationId, profile_id: ProfileId, now_s: float) -> float | None:
        """The setpoint in W (import positive) of a dynamic profile of ours; None when there is no such profile."""
        ...

    def transaction_number(self, station_id: StationId, evse_id: EvseId, started_s: float, meter_start_wh: int, now_s: float) -> int:
        """The number of a transaction of OCPP 1.6: positive, never given before, durable before the answer leaves.

        The same again for a start that is sent again: one of the same EVSE, time and meter reading.
        """
        ...

    def open_transaction(self, station_id: StationId, evse_id: EvseId) -> TransactionId | None:
        """The transaction that is open on an EVSE."""
        ...
