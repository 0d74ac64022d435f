"""What the application answers when a station asks: may it boot, who may charge, may the car be discharged (decisions 5)."""

from collections.abc import Callable, Sequence
from typing import Protocol

from counterflow.adapters.ocpp.policy import AuthorizationAnswer, BootAnswer, BootStatus, Deferred, NeedsAnswer
from counterflow.app.drivers.authorizing import Authorizing, Question, Verdict
from counterflow.app.stations.registry import Registry
from counterflow.app.stations.transaction_numbers import TransactionNumbers
from counterflow.domain.commands import ProfileKind
from counterflow.domain.ids import EvseId, ProfileId, SiteId, StationId, TransactionId
from counterflow.domain.records import ProfileState
from counterflow.domain.resources import StationIdentity
from counterflow.domain.telemetry import CertificateRequested, ChargingNeedsReported, PlannedPower
from counterflow.engine.control.ev_schedule import bounds_of, disagreement
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.fleet.roster import TermsOf

BIDIRECTIONAL_TRANSFERS = ("AC_BPT", "DC_BPT")
PLAN_TOLERANCE_SHARE = 0.05
"""A car that accepts a tolerance around its plan (powerToleranceAcceptance) may miss our setpoint by this share."""
ONE_WAY_TRANSFERS = ("AC_single_phase", "AC_two_phase", "AC_three_phase", "DC")


class Certifier(Protocol):
    """Who signs certificates of stations."""

    def refuse(self, station_id: StationId, csr: str, kind: str, now_s: float) -> str | None:
        """Why not; None = the request is taken."""
        ...

    def begin(self, asked: CertificateRequested, now_s: float) -> None:
        """Sign a request that was taken, and send it."""
        ...


class ConsentPolicy:
    """`AnswerPolicy` of the OCPP adapter, by the registry and the drivers' terms."""

    def __init__(
        self,
        registry: Registry,
        terms: TermsOf,
        pseudonym: Callable[[str], str],
        ledger: ProfileLedger,
        heartbeat_s: int,
        wanted: Callable[[SiteId], bool],
        expel: Callable[[StationId, str, float], None],
        refuse_signing: Callable[[StationId, str, str, float], str | None],
        authorizing: Authorizing,
        tell: Callable[[int, AuthorizationAnswer], None],
        numbers: TransactionNumbers,
        open_transaction: Callable[[StationId, EvseId], TransactionId | None],
    ) -> None:
        """`tell(ticket, answer)` hands in an answer that was deferred."""
        self._registry = registry
        self._terms = terms
        self._pseudonym = pseudonym
        self._ledger = ledger
        self._heartbeat_s = heartbeat_s
        self._wanted = wanted
        self._expel = expel
        self._refuse_signing = refuse_signing
        self._authorizing = authorizing
        self._tell = tell
        self._ticket = 0
        self._numbers = numbers
        self._open_transaction = open_transaction

    def boot(self, station_id: StationId, identity: StationIdentity, now_s: float) -> BootAnswer:
        """Whoever was admitted at the door may work with us, unless it contradicts its certificate (B01.FR.12)."""
        wrong = self._registry.contradicts(station_id, identity)
        if wrong is not None:
            self._expel(station_id, wrong, now_s)
            return BootAnswer(BootStatus.REJECTED, self._heartbeat_s)
        return BootAnswer(BootStatus.ACCEPTED, self._heartbeat_s)

    def refuse_signing(self, station_id: StationId, csr: str, kind: str, now_s: float) -> str | None:
        """Whoever signs certificates decides."""
        return self._refuse_signing(station_id, csr, kind, now_s)

    def authorize(self, station_id: StationId, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer | Deferred:
        """Lists and call-out say who may charge; bidirectional transfer is offered where there is consent besides (Q01)."""
        self._ticket += 1
        ticket, question = self._ticket, Question(station_id, id_token, token_type, evccid)
        verdict = self._authorizing.verdict(question, now_s, lambda told: self._tell(ticket, self._answer(question, told)))
        return Deferred(ticket) if verdict is None else self._answer(question, verdict)

    def standing(self, station_id: StationId, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer:
        """What is known now; a token that nobody was asked about is asked about meanwhile."""
        question = Question(station_id, id_token, token_type, evccid)
        verdict = self._authorizing.verdict(question, now_s)
        assert verdict is not None, "without somebody to tell, the verdict is there at once"
        return self._answer(question, verdict)

    def _answer(self, question: Question, verdict: Verdict) -> AuthorizationAnswer:
        if verdict.status != "Accepted":
            return AuthorizationAnswer(verdict.status)
        driver, vehicle = self._pseudonym(question.id_token), self._pseudonym(question.evccid)
        consent = verdict.discharge and self._terms(self._registry.site_of(question.station_id), driver, vehicle).consent
        return AuthorizationAnswer("Accepted", (*ONE_WAY_TRANSFERS, *BIDIRECTIONAL_TRANSFERS) if consent else None)

    def needs(self, event: ChargingNeedsReported, now_s: float) -> NeedsAnswer:
        """A profile follows when a dispatch that is running wants the car; else the station need not wait for one (3.2)."""
        wanted = event.bidirectional and self._wanted(self._registry.site_of(event.station_id))
        return NeedsAnswer.PROCESSING if wanted else NeedsAnswer.NO_PROFILE

    def ev_plan(self, station_id: StationId, evse_id: EvseId, plan: Sequence[PlannedPower], tolerant: bool, now_s: float) -> str | None:
        """A car's own plan against the orders and the fallback that the ledger has for its EVSE."""
        ours = [record for record in self._ledger.of_station(station_id) if record.evse_id == evse_id]
        return disagreement(plan, bounds_of(ours), now_s, PLAN_TOLERANCE_SHARE if tolerant else 0.0)

    def pull_setpoint(self, station_id: StationId, profile_id: ProfileId, now_s: float) -> float | None:
        """What a station that pulls is told: the setpoint on record, 0 W once its time is over."""
        record = self._ledger.get(station_id, profile_id)
        if record is None or record.kind is not ProfileKind.DISCHARGE or record.path:
            return None
        return record.power_at(now_s) if now_s < record.discharge_until_s and record.state is not ProfileState.CLEARING else 0.0

    def transaction_number(self, station_id: StationId, evse_id: EvseId, started_s: float, meter_start_wh: int, now_s: float) -> int:
        """By the journal."""
        return self._numbers.number_for(station_id, evse_id, started_s, meter_start_wh, now_s)

    def open_transaction(self, station_id: StationId, evse_id: EvseId) -> TransactionId | None:
        """By the fleet."""
        return self._open_transaction(station_id, evse_id)
