"""The application over an in-memory `Operations`, with and without a token."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from msgspec.structs import replace
from prometheus_client.core import GaugeMetricFamily

from counterflow.adapters.web.api import create_app
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.adapters.web.settings import ApiSettings
from counterflow.domain.access import ApiToken, AuditEntry, TokenView
from counterflow.domain.conflicts import SitePriority
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, Stored
from counterflow.domain.dispatch_views import ClearingView, DispatchAnswer, DispatchView, NoteView, TargetAnswer, VerificationView
from counterflow.domain.driver_views import DriverView, ErasureAnswer, ImportAnswer
from counterflow.domain.grid import (
    GridAnswer,
    GridOrder,
    GridOrderRecord,
    GridOutcome,
    GridStep,
    GridUnit,
    PoolTelemetry,
    Program,
    Sign,
    Wire,
)
from counterflow.domain.ids import DispatchId, SiteId
from counterflow.domain.instructions import DispatchMode, DispatchState
from counterflow.domain.offers import Commitment, CoverageView, Offer
from counterflow.domain.security_views import CertificateView, IssuedCertificateView, PasswordView, SecurityEventView
from counterflow.domain.session_views import ExplanationView, SessionPage, SessionQuery, SessionView
from counterflow.domain.settlement import ReportVersion
from counterflow.domain.station_views import CallAnswer, ConflictView, FrameView, ProfileView, StationPage, StationQuery, StationView
from counterflow.domain.views import FleetView, HealthView, LimitView, Notice, Refusal, RefusalKind, StorageView

TOKEN = "a-token-for-the-tests-0123456789"


class FakeOperations:
    """Does what the port promises, in memory. `refusal` is the answer to everything when it is set; `calls` is what came in."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refusal: Refusal | None = None
        self.failure: Exception | None = None
        self.ready = True
        self.stopped = False
        self.by_key: dict[str, DispatchView] = {}
        self.published: asyncio.Queue[Notice | None] = asyncio.Queue()
        self.listening = 0
        self.named: list[ApiToken] = []
        self.recorded: list[AuditEntry] = []

    def _does(self, *call: Any, otherwise: Any) -> Any:
        if call[0] not in ("station", "dispatch"):  # looking is no command: the audit log looks before and after each
            self.calls.append(call)
        if self.failure is not None:
            raise self.failure
        return self.refusal if self.refusal is not None else otherwise

    def live_tokens(self) -> list[ApiToken]:
        return self.named

    def tokens(self) -> list[TokenView]:
        return [EXAMPLES[TokenView]]

    async def add_token(self, name: str, role: Any, expires_at_s: float | None, by: str) -> TokenView | Refusal:
        return self._does("add_token", name, role, expires_at_s, by, otherwise=replace(EXAMPLES[TokenView], name=name))

    async def revoke_token(self, name: str) -> TokenView | Refusal:
        return self._does("revoke_token", name, otherwise=EXAMPLES[TokenView])

    def record(self, entry: AuditEntry) -> None:
        self.recorded.append(entry)

    def audit(self, since_s: float, most: int) -> list[AuditEntry]:
        return [EXAMPLES[AuditEntry]]

    def now_s(self) -> float:
        return 1_800_000_000.0

    def health(self) -> HealthView:
        return replace(EXAMPLES[HealthView], ready=self.ready, alarms=() if self.ready else ("The disk is full.",))

    def fleet(self) -> FleetView:
        return replace(EXAMPLES[FleetView], emergency_stop=self.stopped)

    async def stations(self) -> list[StationView]:
        return [EXAMPLES[StationView]]

    def station(self, station_id: str) -> StationView | Refusal:
        return self._does("station", station_id, otherwise=EXAMPLES[StationView])

    async def add_station(self, registration: Any) -> StationView | Refusal:
        return self._does("add", registration, otherwise=EXAMPLES[StationView])

    async def remove_station(self, station_id: str) -> StationView | Refusal:
        return self._does("remove", station_id, otherwise=EXAMPLES[StationView])

    async def discover_station(self, station_id: str) -> StationView | Refusal:
        return self._does("discover", station_id, otherwise=EXAMPLES[StationView])

    async def give_settings_back(self, station_id: str) -> StationView | Refusal:
        return self._does("give back", station_id, otherwise=EXAMPLES[StationView])

    async def release_station(self, station_id: str, by: str, note: str) -> StationView | Refusal:
        return self._does("release", station_id, by, note, otherwise=EXAMPLES[StationView])

    async def conflicts(self, *, untold: bool = True) -> list[ConflictView]:
        return self._does("conflicts", untold, otherwise=[EXAMPLES[ConflictView]])

    def priorities(self) -> list[SitePriority]:
        return [EXAMPLES[SitePriority]]

    async def confirm_priority(self, site_id: str, leader: Any, by: str, note: str) -> SitePriority | Refusal:
        return self._does("confirm", site_id, leader, by, note, otherwise=EXAMPLES[SitePriority])

    def limits(self) -> list[LimitView]:
        return [EXAMPLES[LimitView]]

    def note_load(self, group: str, power_w: float) -> LimitView | Refusal:
        return self._does("load", group, power_w, otherwise=EXAMPLES[LimitView])

    def security_events(self, station_id: Any, limit: int) -> list[SecurityEventView] | Refusal:
        return self._does("security_events", station_id, limit, otherwise=[EXAMPLES[SecurityEventView]])

    async def rotate_password(self, station_id: Any, by: str) -> PasswordView | Refusal:
        return self._does("rotate_password", station_id, by, otherwise=EXAMPLES[PasswordView])

    async def install_authority(self, station_id: Any, use: str, certificate: str | None) -> CallAnswer | Refusal:
        return self._does("install_authority", station_id, use, certificate, otherwise=EXAMPLES[CallAnswer])

    def certificates(self) -> list[CertificateView]:
        return [EXAMPLES[CertificateView]]

    async def reload_certificates(self) -> list[CertificateView] | Refusal:
        return self._does("reload_certificates", otherwise=[EXAMPLES[CertificateView]])

    async def issued_certificates(self) -> list[IssuedCertificateView] | Refusal:
        return self._does("issued_certificates", otherwise=[EXAMPLES[IssuedCertificateView]])

    async def revoke_certificates(
        self, station_id: str | None, serial: str | None, reason: str, by: str
    ) -> list[IssuedCertificateView] | Refusal:
        return self._does("revoke_certificates", station_id, serial, reason, by, otherwise=[EXAMPLES[IssuedCertificateView]])

    async def call_station(self, station_id: str, action: str, payload: dict[str, Any]) -> CallAnswer | Refusal:
        return self._does("call", station_id, action, payload, otherwise=EXAMPLES[CallAnswer])

    async def sessions(self) -> list[SessionView]:
        return [EXAMPLES[SessionView]]

    async def frames(self, station_id: str, search: str, most: int) -> list[FrameView] | Refusal:
        return self._does("frames", station_id, search, most, otherwise=[EXAMPLES[FrameView]])

    def profiles(self, station_id: str) -> list[ProfileView] | Refusal:
        return self._does("profiles", station_id, otherwise=[EXAMPLES[ProfileView]])

    async def note(self, dispatch_id: str, text: str, by: str) -> NoteView | Refusal:
        return self._does("note", dispatch_id, text, by, otherwise=EXAMPLES[NoteView])

    async def storage(self) -> StorageView:
        return EXAMPLES[StorageView]

    def station_page(self, query: StationQuery) -> StationPage:
        self.calls.append(("station_page", query))
        return EXAMPLES[StationPage]

    def session_page(self, query: SessionQuery) -> SessionPage:
        self.calls.append(("session_page", query))
        return EXAMPLES[SessionPage]

    def session(self, station_id: str, transaction_id: str) -> SessionView | Refusal:
        return self._does("session", station_id, transaction_id, otherwise=EXAMPLES[SessionView])

    def dispatches(self, most: int | None = None) -> list[DispatchView]:
        self.calls.append(("dispatches", most))
        return [EXAMPLES[DispatchView]]

    def dispatch(self, dispatch_id: str) -> DispatchView | Refusal:
        return self._does("dispatch", dispatch_id, otherwise=EXAMPLES[DispatchView])

    async def order(self, order: Any, idempotency_key: str | None, dry_run: bool) -> DispatchAnswer | Refusal:
        view = EXAMPLES[DispatchView]
        repeated = idempotency_key in self.by_key
        if idempotency_key is not None and not dry_run:
            self.by_key[idempotency_key] = view
        return self._does(
            "order", order, idempotency_key, dry_run, otherwise=DispatchAnswer(dispatch=view, repeated=repeated, dry_run=dry_run)
        )

    async def amend(self, dispatch_id: str, amendment: Any, by: str) -> DispatchView | Refusal:
        return self._does("amend", dispatch_id, amendment, by, otherwise=EXAMPLES[DispatchView])

    async def tell(self, dispatch_id: str, value: Any) -> TargetAnswer | Refusal:
        return self._does("tell", dispatch_id, value, otherwise=EXAMPLES[TargetAnswer])

    async def explain(self, session_uid: int, at_s: float | None) -> ExplanationView | Refusal:
        return self._does("explain", session_uid, at_s, otherwise=EXAMPLES[ExplanationView])

    async def cancel(self, dispatch_id: str, by: str) -> DispatchView | Refusal:
        view = EXAMPLES[DispatchView]
        cancelled = replace(view, instruction=replace(view.instruction, state=DispatchState.CANCELLED))
        return self._does("cancel", dispatch_id, by, otherwise=cancelled)

    async def series(self, dispatch_id: str, step_s: float) -> list[SeriesPoint] | Refusal:
        return self._does("series", dispatch_id, step_s, otherwise=[EXAMPLES[SeriesPoint]])

    async def report(self, dispatch_id: str, version: int | None = None) -> DeliveryReport | Refusal:
        return self._does("report", dispatch_id, version, otherwise=EXAMPLES[DeliveryReport])

    async def report_versions(self, dispatch_id: str) -> list[ReportVersion] | Refusal:
        return self._does("report_versions", dispatch_id, otherwise=[EXAMPLES[ReportVersion]])

    async def verification(self, dispatch_id: str, version: int | None = None) -> VerificationView | Refusal:
        return self._does("verification", dispatch_id, version, otherwise=EXAMPLES[VerificationView])

    async def evidence(self, dispatch_id: str, version: int | None = None) -> tuple[DeliveryReport, Stored] | Refusal:
        report = EXAMPLES[DeliveryReport]
        stored = Stored(instruction=report.instruction, log=(), samples=())
        return self._does("evidence", dispatch_id, version, otherwise=(report, stored))

    async def clear_all(self, by: str) -> ClearingView:
        return self._does("clear_all", by, otherwise=EXAMPLES[ClearingView])

    async def emergency_stop(self, on: bool, by: str) -> FleetView:
        self.stopped = on
        self._does("emergency_stop", on, by, otherwise=None)
        return self.fleet()

    def drivers(self) -> list[DriverView]:
        return [EXAMPLES[DriverView]]

    def driver(self, scope: str, subject: str) -> DriverView | Refusal:
        return self._does("driver", scope, subject, otherwise=EXAMPLES[DriverView])

    def find_driver(self, identifier: str) -> list[DriverView]:
        return self._does("find_driver", identifier, otherwise=[EXAMPLES[DriverView]])

    async def set_driver(self, scope: str, identifier: str, label: str | None, changes: dict[str, Any], by: str) -> DriverView | Refusal:
        return self._does("set_driver", scope, identifier, label, changes, by, otherwise=EXAMPLES[DriverView])

    async def remove_driver(self, scope: str, subject: str, by: str) -> DriverView | Refusal:
        return self._does("remove_driver", scope, subject, by, otherwise=EXAMPLES[DriverView])

    async def import_drivers(self, text: str, dry_run: bool, by: str) -> ImportAnswer | Refusal:
        return self._does("import_drivers", text, dry_run, by, otherwise=EXAMPLES[ImportAnswer])

    async def erase_driver(self, identifier: str, by: str) -> ErasureAnswer | Refusal:
        return self._does("erase_driver", identifier, by, otherwise=EXAMPLES[ErasureAnswer])

    async def override(self, station_id: str, transaction_id: str | None, said: Any) -> list[SessionView] | Refusal:
        return self._does("override", station_id, transaction_id, said, otherwise=[EXAMPLES[SessionView]])

    async def offer(
        self, pool: str, window_s: float, confidence: float | None, start_s: float | None, mode: DispatchMode
    ) -> Offer | Refusal:
        return self._does("offer", pool, window_s, confidence, start_s, mode.value, otherwise=EXAMPLES[Offer])

    async def horizons(self, pool: str, confidence: float | None, start_s: float | None, mode: DispatchMode) -> list[Offer] | Refusal:
        return self._does("horizons", pool, confidence, start_s, mode.value, otherwise=[EXAMPLES[Offer]])

    async def day(self, pool: str, mode: DispatchMode) -> list[Offer] | Refusal:
        return self._does("day", pool, mode.value, otherwise=[EXAMPLES[Offer]])

    def commitments(self) -> list[Commitment]:
        return [EXAMPLES[Commitment]]

    async def commit(self, offer_id: str, power_w: float | None, holder: str) -> Commitment | Refusal:
        return self._does("commit", offer_id, power_w, holder, otherwise=EXAMPLES[Commitment])

    async def withdraw_commitment(self, commitment_id: str, by: str) -> Commitment | Refusal:
        return self._does("withdraw_commitment", commitment_id, by, otherwise=EXAMPLES[Commitment])

    def coverage(self, pool: str | None, mode: DispatchMode | None) -> list[CoverageView]:
        return [EXAMPLES[CoverageView]] if pool in (None, "all") and mode in (None, DispatchMode.NET_EXPORT) else []

    async def notices(self, after: str | None = None) -> AsyncIterator[Notice]:
        self.calls.append(("notices", after))
        self.listening += 1
        try:
            while (notice := await self.published.get()) is not None:
                yield notice
        finally:
            self.listening -= 1


class FakeGrid:
    """The grid desk's port in memory: two programs over HTTP and MQTT, five records. `calls` is what came in."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answer = GridAnswer(outcome=GridOutcome.ACCEPTED, dispatch_id=DispatchId("d-1"))
        record = EXAMPLES[PoolTelemetry]
        assert isinstance(record, PoolTelemetry)
        self.records = [replace(record, sequence=number) for number in range(1, 6)]

    def now_s(self) -> float:
        return 1_800_000_000.0

    def programs(self, wire: Wire) -> list[Program]:
        terms: dict[str, Any] = {"sign": Sign.LOAD, "unit": GridUnit.KW, "max_discharge_power_w": 1e6}
        ours = [Program(name="north", wire=Wire.HTTP, external_id="tso", **terms), Program(name="south", wire=Wire.MQTT, **terms)]
        return [program for program in ours if program.wire is wire]

    async def place(self, order: Any) -> GridAnswer:
        self.calls.append(("place", order))
        return self.answer

    async def withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        self.calls.append(("withdraw", program, key, why))
        return self.answer

    async def tell(self, program: str, power_w: float, said_at_s: float | None, sequence: int | None) -> GridAnswer:
        self.calls.append(("tell", program, power_w, said_at_s, sequence))
        return self.answer

    def standing(self, program: str) -> list[GridOrderRecord]:
        step = GridStep(from_s=1_800_000_000.0, discharge_power_w=500_000.0)
        order = GridOrder(program=program, key="o-17", steps=(step,), end_s=1_800_003_600.0)
        known = {"revision": 1, "heard_at_s": 1_800_000_000.0, "outcome": GridOutcome.ACCEPTED, "dispatch_id": DispatchId("d-1")}
        return [GridOrderRecord(order=order, **known)]

    def dispatch(self, dispatch_id: str) -> DispatchView:
        view = EXAMPLES[DispatchView]
        assert isinstance(view, DispatchView)
        return view

    def telemetry(self, pool: str) -> PoolTelemetry:
        if pool != "all":
            raise KeyError(pool)
        return self.records[-1]

    async def telemetry_since(self, pool: str, sequence: int, most: int, wait_s: float = 0.0) -> list[PoolTelemetry]:
        found = [record for record in self.records if record.sequence > sequence][:most]
        if not found and wait_s:
            await asyncio.sleep(wait_s)
        return found


class MoreMetrics:
    def collect(self):
        yield GaugeMetricFamily("counterflow_gateway_connections", "Open connections.", value=7)


def hash_password(password: str) -> str:
    if len(password) < 16:
        raise ValueError("a password has 16 to 64 characters; this one has fewer.")
    return "hash:" + password[::-1]


def render_report(report: DeliveryReport, report_format: str) -> tuple[bytes, str, str]:
    return f"{report.dispatch_id} as {report_format}".encode(), "text/plain", f"report.{report_format}"


def render_evidence(report: DeliveryReport, stored: Stored) -> tuple[bytes, str, str]:
    return f"{report.dispatch_id} from {len(stored.samples)}".encode(), "text/plain", "evidence.parquet"


@pytest.fixture(scope="session")
def _one_fake() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def operations(_one_fake: FakeOperations) -> FakeOperations:
    """As new for every test, although one application lasts for all of them."""
    _one_fake.__init__()  # type: ignore[misc] # on purpose
    return _one_fake


@pytest.fixture(scope="session")
def _one_grid() -> FakeGrid:
    return FakeGrid()


@pytest.fixture
def grid(_one_grid: FakeGrid) -> FakeGrid:
    """As new for every test."""
    _one_grid.__init__()  # type: ignore[misc] # on purpose
    return _one_grid


@pytest.fixture(scope="session")
def make_app(_one_fake: FakeOperations, _one_grid: FakeGrid) -> Callable[..., FastAPI]:
    def make(**settings: Any) -> FastAPI:
        return create_app(
            _one_fake,
            _one_grid,
            {TOKEN},
            MoreMetrics(),
            ApiSettings(**settings),
            render_report=render_report,
            render_evidence=render_evidence,
            hash_password=hash_password,
            default_site=SiteId("depot"),
        )

    return make


@pytest.fixture(scope="session")
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app(max_body_bytes=4096)


class Client:
    """Requests without a network, from plain tests. `ask("GET", "/fleet")` is below `/api/v1`; `whole=True` for other paths."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def ask(
        self, method: str, path: str, *, whole: bool = False, token: str | None = TOKEN, headers: Any = None, **options: Any
    ) -> httpx.Response:
        shown = {} if token is None else {"Authorization": f"Bearer {token}"}
        sent = headers if isinstance(headers, list) else shown | (headers or {})

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(
                    method,
                    path if whole else "/api/v1" + path,
                    headers=sent,
                    **options,
                )

        return asyncio.run(send())


@pytest.fixture
def client(app: FastAPI, operations: FakeOperations) -> Client:
    return Client(app)


@pytest.fixture(scope="session")
def make_client(_one_fake: FakeOperations) -> Callable[[FastAPI], tuple[Client, FakeOperations]]:
    """For properties, which need a fresh fake for every example."""

    def make(app: FastAPI) -> tuple[Client, FakeOperations]:
        _one_fake.__init__()  # type: ignore[misc] # on purpose
        return Client(app), _one_fake

    return make


@pytest.fixture
def refuse(operations: FakeOperations) -> Callable[[RefusalKind], Refusal]:
    def make(kind: RefusalKind) -> Refusal:
        operations.refusal = Refusal(kind=kind, sentence="This does not work.", remedy="Do that instead.", conflicting="d-1")
        return operations.refusal

    return make


@pytest.fixture(scope="session")
def dispatch_id() -> DispatchId:
    return EXAMPLES[DispatchView].instruction.dispatch_id
