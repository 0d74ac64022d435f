"""The live process: gateway, API, journal and timer around one control room, on one event loop."""

import asyncio
import time
from collections.abc import Coroutine
from hashlib import sha256
from pathlib import Path
from secrets import token_hex, token_urlsafe

import structlog
from fastapi import FastAPI

from counterflow.adapters.ocpp.credentials import hash_password
from counterflow.adapters.ocpp.gateway import Gateway
from counterflow.adapters.ocpp.listeners import ListenerSettings
from counterflow.adapters.ocpp.redaction import SECRET_HINTS, hide_secrets
from counterflow.adapters.storage.concealing import IDENTIFIER_HINTS, conceal
from counterflow.adapters.storage.frames import FrameRing, Hiding
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.adapters.storage.retention import Retention
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.adapters.storage.telemetry_store import open_telemetry
from counterflow.adapters.web.api import create_app
from counterflow.app.clock import SystemClock
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.capacity_desk import CapacityDesk
from counterflow.app.desks.grid_desk import GridDesk
from counterflow.app.desks.operations import LiveOperations
from counterflow.app.drivers.authorizing import Question, Told, Verdict
from counterflow.app.drivers.http_authorizer import HttpAuthorizer
from counterflow.app.drivers.pseudonyms import Pseudonyms, ensure_key
from counterflow.app.hosting.api_server import ApiServer
from counterflow.app.hosting.console_process import ConsoleProcess
from counterflow.app.hosting.garbage import Garbage
from counterflow.app.hosting.process import allow_connections, give_back_memory
from counterflow.app.housework import Housework
from counterflow.app.lines import Lines
from counterflow.app.observing.metrics import ProcessMetrics
from counterflow.app.observing.notices import NoticeBoard
from counterflow.app.observing.recovery_metrics import RecoveryMetrics
from counterflow.app.observing.stored import stored
from counterflow.app.observing.telemetry_metrics import TelemetryMetrics
from counterflow.app.observing.wire_alarms import WireAlarms
from counterflow.app.offers.firm_figures import FirmFigures
from counterflow.app.security.certifying import Certifying
from counterflow.app.security.listener_certificates import ListenerCertificates
from counterflow.app.security.own_certificates import OwnCertificates
from counterflow.app.security.token import ensure_token
from counterflow.app.settlement.rendering import render_evidence, render_report
from counterflow.app.settlement.reporting import Reporting
from counterflow.app.settlement.settling import Settling
from counterflow.app.stations.message_ids import new_message_ids
from counterflow.app.telemetry.pool_figures import PoolFigures
from counterflow.app.telemetry.pool_records import PoolRecords
from counterflow.app.wires import Wires
from counterflow.console.settings import ConsoleOrders
from counterflow.domain.access import ApiToken
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId, SiteId
from counterflow.domain.units import DAY_S
from counterflow.domain.views import Notice, Refusal
from counterflow.engine.control.book import OPEN_STATES
from counterflow.engine.ports import Clock

CONSOLE_WITHIN_S = 20.0

log = structlog.get_logger("counterflow")


class Server:
    """`start()`, then `stop()`. Ports may be 0; `ocpp_port` and `api_port` tell what was taken."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, alone: bool = False) -> None:
        """`alone`: nothing else of weight lives in this process, so that the server may say when its cycle collector runs."""
        self.settings = settings
        self._alone = alone
        self._clock = SystemClock()
        self._now_s = (clock or self._clock).now_s
        self._data_dir = Path(settings.server.data_dir)
        self._tasks: set[asyncio.Task[None]] = set()
        self.console: ConsoleProcess | None = None

    async def start(self) -> None:
        """Open the data dir, restore what was known, then let stations and people in."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._limit = allow_connections(self.settings.gateway.max_connections, self.settings.api.max_connections)
        token = ensure_token(self._data_dir)
        self._build_room()
        self._build_station_side()
        self._build_desks()
        self._api = ApiServer(self._app(token), self.settings.api)
        await self._let_in()

    def _build_room(self) -> None:
        """What is kept on the disk, and the room that knows again what was known."""
        self.journal = SqliteJournal(self._data_dir / "counterflow.sqlite3", self.settings.storage)
        pseudonym = Pseudonyms(ensure_key(self._data_dir))
        storage = self.settings.storage
        hidings = [Hiding(SECRET_HINTS, hide_secrets)]
        if not storage.frames_in_clear:
            hidings.append(Hiding(IDENTIFIER_HINTS, lambda text: conceal(text, pseudonym)))
        self.frames = FrameRing(self._data_dir / "frames", storage.frame_ring_bytes, hidings=hidings)
        self._authorizer = HttpAuthorizer(self.settings.authorization, self._now_s) if self.settings.authorization.url else None
        self.board = NoticeBoard(token_hex(4))
        self.reports = ReportFiles(self._data_dir / "reports")
        self.settling = Settling(
            self._settle, lambda dispatch_id: bool(self.reports.versions(dispatch_id)), self.settings.settlement.recovery_s
        )
        self.room = ControlRoom(
            self.settings,
            self.journal,
            new_message_id=new_message_ids(),
            notify=self._heard,
            stopwatch=time.perf_counter,
            pseudonym=pseudonym,
            ask=self._ask if self._authorizer is not None else None,
        )
        self.room.restore(self._now_s())

    def _build_station_side(self) -> None:
        """Lines, certificates, gateway."""
        self.lines = Lines(self.room, self.journal, self.frames, self._now_s)
        self.certificates = OwnCertificates(self._data_dir, self._now_s)
        self.certifying = Certifying(
            self.settings.certificates,
            authority=self.certificates.authority,
            registry=self.room.registry,
            log=self.room.security,
            call=self.room.call,
            kick=self.lines.kick,
            now_s=self._now_s,
        )
        self.room.certifier = self.certifying
        self.gateway = Gateway(self.lines, self.settings.gateway, self.certificates.context_of, self.certificates.revocations_of)
        self.listener_certificates = ListenerCertificates(self.certificates, self.gateway, self._listening, self._now_s)

    def _build_desks(self) -> None:
        """What people and grid operators may see and ask, and their wires."""
        self.reporting = Reporting(
            self.journal,
            self.reports,
            self.settings.settlement,
            self.reports.newest,
            lambda: tuple(self.room.dispatcher.book.instructions.values()),
        )
        self.reporting.late.tell = self.settling.late
        self.room.on_ended = self.reporting.late.ended
        self.retention = Retention(self.journal, self.reports, self.settings.storage)
        wire_alarms = WireAlarms()
        self.operations = LiveOperations(
            self.room,
            board=self.board,
            reporting=self.reporting,
            now_s=self._now_s,
            settled=self.lines.settled,
            alarms=self.alarms,
            disconnect=self.lines.disconnect,
            certificates=self.listener_certificates,
            frames=self.frames.newest,
            storage=lambda: stored(self._data_dir, self.settings),
            wire_alarms=lambda: (*wire_alarms.all(), *self._console_alarms()),
        )
        keep_s = self.settings.telemetry.keep_days * DAY_S
        figures = PoolFigures(
            self.room,
            self.settings.programs,
            broken=lambda: not self.operations.health().ready,
            firm=lambda pool: self.firm.of(pool, self._now_s()),
        )
        self.firm = FirmFigures(self.operations, figures.pools)
        self.pool_records = PoolRecords(
            self.room,
            lambda told: open_telemetry(self._data_dir / "telemetry.sqlite3", keep_s, told),
            figures,
            now_s=self._now_s,
            stopwatch=time.perf_counter,
        )
        self.grid = GridDesk(
            self.operations,
            self.settings.programs,
            self.journal,
            settings=self.settings.orders,
            settled=self.lines.settled,
            alarms=wire_alarms,
            notify=self.board.publish,
            records=self.pool_records,
            capacity=CapacityDesk(self.room, self.journal),
        )
        self.grid.restore()
        self.wires = Wires(self.settings, self.grid)

    def _app(self, token: str) -> FastAPI:
        recovery = RecoveryMetrics(self.room, self._clock, lambda: self.lines.void_texts)
        telemetry = TelemetryMetrics(self.pool_records.store, lambda: self.pool_records.took_s)
        wires = self.wires.metrics()
        metrics = ProcessMetrics(self.room, self.gateway.counters, self.journal, self.frames, recovery, telemetry, wires)
        return create_app(
            self.operations,
            self.grid,
            {token},
            metrics,
            self.settings.api,
            render_report=render_report,
            render_evidence=render_evidence,
            hash_password=hash_password,
            default_site=SiteId(self.settings.stations.default_site),
        )

    async def _let_in(self) -> None:
        """People first, then stations, then the wires; and what goes on beside."""
        self._spawn(self._api.serve())
        await self._api.until_started()
        await self.pool_records.begin()
        self._spawn(self.pool_records.keep())
        self._garbage = Garbage(lambda: bool(self.room.dispatcher.book.tasks), give_back_memory)
        if self._alone:
            self._garbage.begin(time.monotonic())  # its long look comes before a station could wait for it
        await self.gateway.start()
        housework = Housework(self.room, self.settings, retention=self.retention, settling=self.settling, firm=self.firm, now_s=self._now_s)
        self._spawn(housework.keep_house())
        self._spawn(housework.settle())
        self._spawn(housework.forecast())
        self._spawn(housework.identify())
        self._spawn(self.grid.keep())
        await self.wires.open(self._spawn)
        self.lines.kick()
        if self._alone:
            self._spawn(self._garbage.keep(time.monotonic))
        if self._limit:
            log.warning("few files", text=self._limit)
        log.info("serving", ocpp=self.ocpp_url, api=self.api_url, data_dir=str(self._data_dir))

    async def stop(self) -> None:
        """Close lines and API; orders at stations carry their own end, and the next start knows them."""
        await self.wires.close()
        await self.gateway.stop()
        self.certifying.close()
        self.lines.close()
        if self._authorizer is not None:
            await self._authorizer.close()
        self._api.should_exit = True
        for task in tuple(self._tasks):
            if task.get_name() != "api":
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._alone:
            self._garbage.end()
        self.frames.close()
        self.pool_records.close()
        self.retention.close()
        self.journal.close()

    async def start_console(self) -> str | None:
        """Start the console's process beside this one; returns where it is, or None when it does not start in time (an alarm says why)."""
        token = token_urlsafe(32)
        digest = sha256(token.encode()).hexdigest()
        self.operations.own_tokens = (
            ApiToken(name="console", role="viewer", digest=digest, added_at_s=self._now_s(), added_by="this process"),
        )
        orders = ConsoleOrders(
            settings=self.settings.console, api_url=self.api_url, feed_token=token, api_certificate=self.settings.api.tls_certificate
        )
        self.console = ConsoleProcess(orders)
        listens: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._spawn(self.console.keep(lambda url: None if listens.done() else listens.set_result(url)))
        try:
            async with asyncio.timeout(CONSOLE_WITHIN_S):
                return await listens
        except TimeoutError:
            return None

    def _console_alarms(self) -> tuple[str, ...]:
        return () if self.console is None or self.console.trouble is None else (self.console.trouble,)

    def _ask(self, question: Question, told: Told) -> None:
        """The call-out about a token; its answer may let a message leave."""
        assert self._authorizer is not None, "a call-out is only made where there is one"

        def heard(verdict: Verdict | None, now_s: float) -> None:
            told(verdict, now_s)
            self.lines.kick()

        self._authorizer(question, heard)

    def alarms(self) -> tuple[str, ...]:
        """What an operator must know before ordering."""
        housekeeping = (self.retention.alarm,) if self.retention.alarm else ()
        frames = (f"Raw frames are not kept: {self.frames.failed}",) if self.frames.failed else ()
        clock = tuple(text for text in (self._clock.alarm(),) if text is not None)
        return (
            *self.journal.alarms(),
            *housekeeping,
            *clock,
            *frames,
            *self.pool_records.alarms(),
            *self.settling.alarms(),
            *self.certificates.alarms(),
        )

    @property
    def ocpp_port(self) -> int:
        """The port stations connect to."""
        return self.gateway.port

    @property
    def api_port(self) -> int:
        """The port of the HTTP API."""
        return self._api.port

    @property
    def ocpp_url(self) -> str:
        """Where stations connect; they append their identity."""
        return f"ws://{self.settings.gateway.host}:{self.ocpp_port}{self.settings.gateway.path_prefix}"

    @property
    def ocpp_urls(self) -> tuple[str, ...]:
        """Where stations connect, with each security profile."""
        gateway = self.settings.gateway
        return (self.ocpp_url, *(f"wss://{listener.host}:{port}{gateway.path_prefix}" for listener, port in self._listening()))

    def reload_certificates(self) -> str | None:
        """Read the certificates again; open lines stay. Returns what is wrong, and then nothing has changed."""
        return self.listener_certificates.reload_certificates()

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return self._api.url

    def _listening(self) -> list[tuple[ListenerSettings, int]]:
        return list(zip(self.settings.gateway.listeners, self.gateway.ports, strict=True))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="api" if not self._tasks else "work")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report_failure)

    async def _settle(self, dispatch_id: DispatchId) -> DeliveryReport | Refusal:
        report = await self.operations.report(dispatch_id)
        if isinstance(report, DeliveryReport):
            self.room.dispatcher.commitments.settled(report)
            text = "its final report is ready" if report.final else "a report is ready, not final yet"
            values: dict[str, float | int | str | bool | None] = {"final": report.final}
            self.board.publish(Notice(at_s=self._now_s(), kind="dispatch.report", subject=dispatch_id, text=text, values=values))
        return report

    def _heard(self, notice: Notice) -> None:
        """A notice of the control room: to all who listen, and straight to whoever settles (the board drops what is not read soon)."""
        self.board.publish(notice)
        if notice.kind == "dispatch.state":
            instruction = self.room.dispatcher.book.instructions[DispatchId(notice.subject)]
            if instruction.state not in OPEN_STATES:
                self.settling.ended(instruction.dispatch_id, notice.at_s)


def _report_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task failed", task=task.get_name(), error=repr(error))
