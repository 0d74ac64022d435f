"""`make demo`: a server, 200 simulated stations on real WebSockets, one dispatch with drop-outs, a verdict, a report, a picture."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.live import Live

from counterflow.app.cli.words import counted
from counterflow.app.demo.screen import Figures, plain, render
from counterflow.app.demo.verdict import GRACE_S, SETTLE_S, TOLERANCE_FRAC, Mean, Verdict, graces, judge, means_of
from counterflow.app.hosting.own_server import START_S, OwnServer, OwnServerError
from counterflow.app.security.token import TOKEN_FILE
from counterflow.domain.delivery import DeliveryReport, drop_out_words
from counterflow.domain.units import format_energy
from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings

REPORT_FORMATS = ("json", "csv", "parquet", "png")


class DemoSettings(Struct, frozen=True, kw_only=True):
    """What is shown. `share` of the expected offer is ordered; `drop_out` of the cars leave half-way, `silent` of them without a word."""

    stations: int = 200
    duration_s: float = 240.0
    share: float = 0.8
    drop_out: float = 0.1
    silent: float = 0.2
    seed: int = 1
    out: Path = Path("out")
    keep: bool = False
    """Server, fleet and console stay after the verdict, until Ctrl-C."""


class DemoFailedError(RuntimeError):
    """The demo could not be run; the text is a sentence."""


def run_demo(settings: DemoSettings, console: Console) -> int:
    """Run it; 0 = the promise was kept and nothing of ours remained at any station."""
    try:
        return asyncio.run(_Demo(settings, console).run())
    except (DemoFailedError, OwnServerError) as error:
        console.print(f"[red]The demo could not be run:[/] {error}")
        return 1


class _Outcome(Struct, kw_only=True):
    report: DeliveryReport
    metered: Verdict
    true: Verdict
    remaining: list[tuple[str, int]]
    violations: list[str]
    files: list[Path]

    @property
    def kept(self) -> bool:
        return self.metered.kept and self.true.kept and not self.remaining and not self.violations


class _Demo:
    def __init__(self, settings: DemoSettings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._folder = settings.out / time.strftime("demo-%Y%m%d-%H%M%S")
        self._figures = Figures(stations=settings.stations, duration_s=settings.duration_s, history=[])
        self._truth: list[tuple[float, float]] = []
        self._dropped_at_s: list[float] = []

    async def run(self) -> int:
        self._folder.mkdir(parents=True)
        server = OwnServer(self._folder, console=True)
        fleet = FleetClient(FleetClientSettings(url=server.ocpp_url, stations=self._settings.stations, seed=self._settings.seed))
        try:
            with self._screen() as redraw:
                token = await self._wait_for_server(server)
                headers = {"Authorization": f"Bearer {token}"}
                async with httpx.AsyncClient(base_url=server.api_url, headers=headers, timeout=30.0) as api:
                    await self._gather_fleet(api, fleet, redraw)
                    await self._say_console(server)
                    outcome = await self._play(api, fleet, redraw)
            self._print_verdict(outcome)
            if self._settings.keep:
                await self._stay(server)
        finally:
            await fleet.stop()
            server.stop()
        return 0 if outcome.kept else 1

    async def _say_console(self, server: OwnServer) -> None:
        """Where it is; it starts beside the server, and is ready a little later."""
        deadline_s = time.monotonic() + START_S
        while (url := server.console_url()) is None and time.monotonic() < deadline_s:
            await asyncio.sleep(0.05)
        if url is None:
            self._console.print(f"The console did not come up within {START_S:g} s; see {server.log}.", soft_wrap=True)
        else:
            self._console.print(f"The console is at {url} (token: {server.data_dir / TOKEN_FILE}).", soft_wrap=True)

    async def _stay(self, server: OwnServer) -> None:
        """Until Ctrl-C."""
        await self._say_console(server)
        self._console.print("Server and cars stay; Ctrl-C ends them.")
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()

    async def _play(self, api: httpx.AsyncClient, fleet: FleetClient, redraw: Callable[[], None]) -> "_Outcome":
        dispatch = await self._order(api)
        instruction = dispatch["instruction"]
        start_s, end_s = float(instruction["start_s"]), float(instruction["end_s"])
        target_w = float(instruction["steps"][0]["discharge_power_w"])
        await self._watch(api, fleet, redraw, instruction["dispatch_id"], start_s, end_s)
        await self._wait_for_end(api, fleet, redraw, instruction["dispatch_id"])
        report, files = await self._reports(api, instruction["dispatch_id"])
        series = _json(await api.get(f"/api/v1/dispatches/{instruction['dispatch_id']}/series", params={"step_s": 10}))
        # As metered the loss of a silent car begins with its last meter value: the report knows when that was, and judges by it.
        metered = judge(_metered_means(series, target_w), [(pause.from_s, pause.to_s) for pause in report.not_judged])
        true = judge(means_of(self._truth, start_s, end_s, target_w), graces(start_s, self._dropped_at_s))
        return _Outcome(
            report=report,
            metered=metered,
            true=true,
            remaining=fleet.remaining_profiles(),
            violations=fleet.violations(),
            files=files,
        )

    # --- phases --------------------------------------------------------------------------------------------------------------

    async def _wait_for_server(self, server: OwnServer) -> str:
        self._figures.phase = "starting the server"
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            token = server.token()
            if token:
                return token
            await asyncio.sleep(0.05)
        raise DemoFailedError(f"the server did not come up within {START_S:g} s; see {server.log}.")

    async def _gather_fleet(self, api: httpx.AsyncClient, fleet: FleetClient, redraw: Callable[[], None]) -> None:
        """Until every station is in, discovered and metered: the number of cars that can be discharged has stopped growing."""
        self._figures.phase = "stations connect, cars plug in"
        await fleet.start()
        ready, steady = -1, 0
        for _ in range(180):
            await asyncio.sleep(1.0)
            view = _json(await api.get("/api/v1/fleet"))
            self._figures.sessions, self._figures.delivered_w = view["sessions"], view["measured_power_w"]
            redraw()
            steady = steady + 1 if view["sessions_ready"] == ready and fleet.progress().ready else 0
            ready = view["sessions_ready"]
            if steady >= 12 and ready > 0:
                return
        raise DemoFailedError(f"only {ready} of {self._settings.stations} cars became ready within 180 s.")

    async def _order(self, api: httpx.AsyncClient) -> dict[str, Any]:
        body = {"discharge_power_w": 1e9, "duration_s": self._settings.duration_s, "dry_run": True}
        offer = _json(await api.post("/api/v1/dispatches", json=body))["dispatch"]["feasibility"]["expected_power_w"]
        body |= {"discharge_power_w": round(self._settings.share * offer, -3), "dry_run": False}
        dispatch: dict[str, Any] = _json(await api.post("/api/v1/dispatches", json=body))["dispatch"]
        return dispatch

    async def _watch(
        self, api: httpx.AsyncClient, fleet: FleetClient, redraw: Callable[[], None], dispatch_id: str, start_s: float, end_s: float
    ) -> None:
        figures = self._figures
        figures.phase = "discharging"
        while (now_s := time.time()) < end_s:
            if not self._dropped_at_s and now_s >= start_s + (end_s - start_s) / 2.0:
                gone = fleet.drop_out(self._settings.drop_out, self._settings.silent)
                self._dropped_at_s.append(now_s)
                at_s = round(now_s - start_s)
                figures.phase = f"discharging; {len(gone)} cars left at {at_s // 60}:{at_s % 60:02d}"
            self._truth.append((now_s, -fleet.true_power_w()))
            view = _json(await api.get(f"/api/v1/dispatches/{dispatch_id}"))
            self._take(view, fleet, now_s - start_s)
            redraw()
            await asyncio.sleep(max(0.0, 1.0 - (time.time() - now_s)))

    async def _wait_for_end(self, api: httpx.AsyncClient, fleet: FleetClient, redraw: Callable[[], None], dispatch_id: str) -> None:
        self._figures.phase = "the window is over; cars go back to charging one by one"
        for _ in range(240):
            view = _json(await api.get(f"/api/v1/dispatches/{dispatch_id}"))
            self._take(view, fleet, self._settings.duration_s)
            placed = _json(await api.get("/api/v1/fleet"))["profiles_placed"]
            redraw()
            if view["instruction"]["state"] == "completed" and placed == 0:
                return
            await asyncio.sleep(1.0)

    async def _reports(self, api: httpx.AsyncClient, dispatch_id: str) -> tuple[DeliveryReport, list[Path]]:
        files = []
        for name in REPORT_FORMATS:
            answer = await api.get(f"/api/v1/dispatches/{dispatch_id}/report", params={"format": name})
            answer.raise_for_status()
            path = self._folder / f"report.{name}"
            path.write_bytes(answer.content)
            files.append(path)
        return msgspec.json.decode((self._folder / "report.json").read_bytes(), type=DeliveryReport), files

    # --- showing -------------------------------------------------------------------------------------------------------------

    def _take(self, view: dict[str, Any], fleet: FleetClient, elapsed_s: float) -> None:
        figures = self._figures
        figures.elapsed_s = elapsed_s
        figures.target_w, figures.delivered_w = view["target_power_w"], view["delivered_power_w"]
        figures.headroom_w, figures.discharging = view["headroom_power_w"], view["discharging"]
        figures.drop_outs, figures.messages = view["drop_outs"], view["messages_sent"]
        figures.sessions, figures.true_w = fleet.progress().sessions, -fleet.true_power_w()
        if figures.target_w and figures.delivered_w is not None:
            figures.history.append(figures.delivered_w / figures.target_w)

    @contextlib.contextmanager
    def _screen(self) -> Iterator[Callable[[], None]]:
        if self._console.is_terminal:
            with Live(render(self._figures), console=self._console, auto_refresh=False, transient=True) as live:
                yield lambda: live.update(render(self._figures), refresh=True)
        else:
            yield self._print_sometimes

    def _print_sometimes(self) -> None:
        if int(time.monotonic()) % 10 == 0:
            self._console.print(plain(self._figures))

    def _print_verdict(self, outcome: _Outcome) -> None:
        say, report = self._console.print, outcome.report
        say("[bold green]The promise was kept.[/]" if outcome.kept else "[bold red]The promise was not kept.[/]")
        say(
            f"Ten-second means, from {SETTLE_S:.0f} s after the start but for {GRACE_S:.0f} s after a burst of drop-outs, "
            f"may differ by {TOLERANCE_FRAC:.0%}:"
        )
        for name, verdict in (("as metered", outcome.metered), ("true power (simulator)", outcome.true)):
            worst = "unknown" if verdict.worst_frac is None else f"{verdict.worst_frac:+.2%}"
            say(f"  {name:22}  worst {worst}, outside {verdict.outside} of {verdict.judged}")
        rmse = "unknown" if report.tracking_rmse_frac is None else f"{report.tracking_rmse_frac:.2%}"
        say(f"Tracking error of the same stretches, as metered: {rmse} RMS.")
        say(
            f"Delivered {format_energy(report.delivered_energy_wh)} ± {format_energy(report.uncertainty_wh)} of "
            f"{format_energy(report.target_energy_wh)} ordered; {drop_out_words(report.drop_outs)}, "
            f"{counted(report.messages_sent, 'message')}, {counted(len(report.gaps), 'meter gap')}."
        )
        say("Nothing of ours remained at any station." if not outcome.remaining else f"[red]{len(outcome.remaining)} profiles remained.[/]")
        for line in outcome.violations[:5]:
            say(f"[red]A station objects:[/] {line}")
        say("The report and the picture:")
        for path in outcome.files:
            say(f"  {path}", soft_wrap=True)


def _metered_means(series: list[dict[str, Any]], target_w: float) -> list[Mean]:
    return [Mean(from_s=point["from_s"], target_power_w=target_w, delivered_power_w=point["delivered_power_w"]) for point in series]


def _json(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise DemoFailedError(f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text[:300]}")
    return answer.json()
