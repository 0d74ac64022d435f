"""Commands that run for a while: serve, simulate, demo. The server and the simulated fleet are imported when they are asked for,
so that the commands that only talk to the API start at once."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from counterflow import __version__
from counterflow.app.cli.shared import FailedError, WrongUsageError, note, screen
from counterflow.app.cli.tables import visible
from counterflow.app.cli.words import power
from counterflow.app.hosting.garbage import starting
from counterflow.app.security.token import TOKEN_FILE
from counterflow.domain.units import parse_duration_s

if TYPE_CHECKING:
    from counterflow.app.config import Settings
    from counterflow.sim.client import FleetClient, FleetProgress
    from counterflow.sim.settings import FleetClientSettings

T = TypeVar("T")

LINE_EVERY_S = 10
"""Where there is no terminal, the simulated fleet writes a line this often."""
VIOLATIONS_SHOWN = 10
_HINTS = {
    404: "Is the station registered? Register it (counterflow stations add ID --no-password), or let the server accept unknown stations "
    "(counterflow serve --accept-unknown-stations).",
    401: "The server asks for another password: give the one that was registered with --password.",
}
"""What to do, by the HTTP status of a refused handshake."""


def register(app: typer.Typer) -> None:
    """Put the commands into the root."""
    app.command("serve", epilog="Example: counterflow serve --config counterflow.toml --data-dir /var/lib/counterflow")(serve)
    app.command("demo", epilog="Example: counterflow demo --stations 200 --for 4min --out out")(demo)
    app.command("simulate", epilog="Example: counterflow simulate --stations 1000 --url ws://127.0.0.1:9000/ocpp")(simulate)


def serve(
    config: Annotated[
        Path | None, typer.Option(envvar="COUNTERFLOW_CONFIG", metavar="FILE", help="Settings file (TOML); see docs/settings.md.")
    ] = None,
    ocpp_host: Annotated[str | None, typer.Option(metavar="HOST", help="Address for stations. Default: 127.0.0.1.")] = None,
    ocpp_port: Annotated[int | None, typer.Option(metavar="PORT", help="Port for stations; 0 takes a free one. Default: 9000.")] = None,
    api_host: Annotated[str | None, typer.Option(metavar="HOST", help="Address of the HTTP API. Default: 127.0.0.1.")] = None,
    api_port: Annotated[int | None, typer.Option(metavar="PORT", help="Port of the HTTP API; 0 takes a free one. Default: 8000.")] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Database, reports, token. Default: counterflow-data.")] = None,
    accept_unknown_stations: Annotated[
        bool | None,
        typer.Option("--accept-unknown-stations/--refuse-unknown-stations", help="Whether a station that nobody registered may connect."),
    ] = None,
    default_consent: Annotated[
        bool | None,
        typer.Option("--default-consent/--no-default-consent", help="Whether drivers have agreed to discharge where nothing else is said."),
    ] = None,
    console: Annotated[bool | None, typer.Option("--console/--no-console", help="Whether the console in the browser is started.")] = None,
    console_port: Annotated[int | None, typer.Option(metavar="PORT", help="Port of the console; 0 takes a free one. [8080]")] = None,
) -> None:
    """Run the server: OCPP for stations, the HTTP API for people and machines, the console in the browser. Ctrl-C stops it.

    Options win over environment variables (COUNTERFLOW_OCPP_PORT and so on), and these over the settings file.
    """
    options = {
        "ocpp_host": ocpp_host,
        "ocpp_port": ocpp_port,
        "api_host": api_host,
        "api_port": api_port,
        "data_dir": data_dir,
        "accept_unknown_stations": accept_unknown_stations,
        "default_consent": default_consent,
        "console": console,
        "console_port": console_port,
    }
    with starting():
        _load_and_serve(config, options)


def _load_and_serve(config: Path | None, options: dict[str, str | int | bool | None]) -> None:
    from counterflow.app.config import SettingsError, load  # brings in every room; the other commands need none

    try:
        settings = load(config, os.environ, options)
    except SettingsError as error:
        raise WrongUsageError(str(error)) from None
    try:
        _run(_serve(settings))
    except SystemExit:  # the web server's way to say that it cannot listen; its own words are in the log
        raise FailedError(f"The server cannot start: the API cannot listen on {settings.api.host}:{settings.api.port}.") from None


async def _serve(settings: "Settings") -> None:
    from counterflow.adapters.iec104.outstation import CannotOpenError
    from counterflow.adapters.ocpp.tls import CertificateFileError
    from counterflow.adapters.storage.schema import StorageError
    from counterflow.app.observing.logs import configure_logging
    from counterflow.app.server import Server  # loads the web framework and the database

    configure_logging(settings.server.log_level)
    stop = _stop_on_signals()
    server = Server(settings, alone=True)
    try:
        await server.start()
    except OSError as error:
        raise FailedError(f"The server cannot start: {_os_words(error)}.") from None
    except (StorageError, CertificateFileError, CannotOpenError) as error:
        raise FailedError(f"The server cannot start. {error}") from None
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.reload_certificates)
        console_url = await server.start_console() if settings.console.enabled else None
        typer.echo(welcome(server.ocpp_urls, server.api_url, Path(settings.server.data_dir), console_url))
        sys.stdout.flush()
        await stop.wait()
        note("Stopping. Orders at the stations carry their own end; the next start knows them.")
    finally:
        await server.stop()


def welcome(ocpp_urls: Sequence[str], api_url: str, data_dir: Path, console_url: str | None = None) -> str:
    """What a person needs to know when the server is up."""
    return "\n".join(
        (
            f"Counterflow {__version__} is serving. Ctrl-C stops it.",
            *(f"  Stations   {url.rstrip('/')}/<station id>" for url in ocpp_urls),
            f"  HTTP API   {api_url}",
            *((f"  Console    {console_url}",) if console_url is not None else ()),
            f"  Data dir   {data_dir.resolve()}",
            f"  API token  {data_dir.resolve() / TOKEN_FILE}",
        )
    )


def simulate(
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where stations connect, without the station's identity: ws://127.0.0.1:9000/ocpp")
    ],
    stations: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Number of stations, one car each.")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same cars.")] = 1,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Identities are this and a number: SIM-00001.")] = "SIM",
    password: Annotated[str | None, typer.Option(metavar="TEXT", help="Password of every station, if the server asks for one.")] = None,
    authority: Annotated[
        Path | None,
        typer.Option("--ca", metavar="FILE", help="Authority that signs a wss: server's certificate. Default: the machine's own."),
    ] = None,
    certificates: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of <identity>.pem, certificate and key, that the stations show (security profile 3)."),
    ] = None,
    modern: Annotated[
        bool, typer.Option("--modern", help="Stations report connectors by NotifyEvent, and discharge as negative import.")
    ] = False,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop after this time: 10min. Default: until Ctrl-C.")
    ] = None,
) -> None:
    """Run a fleet of simulated V2G stations against any OCPP 2.1 server. Ctrl-C stops it."""
    from counterflow.sim.fleet import station_name
    from counterflow.sim.settings import FleetClientSettings, StationSettings

    parts = urlsplit(url)
    if parts.scheme not in {"ws", "wss"} or not parts.netloc:
        raise WrongUsageError(f"'{url}' is not where stations connect: write it like ws://127.0.0.1:9000/ocpp.")
    if authority is not None and not authority.is_file():
        raise WrongUsageError(f"There is no authority's certificate at {authority} (--ca).")
    if certificates is not None:
        for number in range(1, stations + 1):
            shown = certificates / f"{station_name(prefix, number)}.pem"
            if not shown.is_file():
                raise WrongUsageError(f"There is no {shown}: --certificates needs <identity>.pem, certificate and key, for each station.")
    settings = FleetClientSettings(
        url=url,
        stations=stations,
        seed=seed,
        prefix=prefix,
        password=password,
        authority_file=None if authority is None else str(authority),
        certificates_dir=None if certificates is None else str(certificates),
        station=StationSettings(event_status=modern, signed_import=modern),
    )
    _run(_simulate(settings, None if lasting is None else parse_duration_s(lasting)))


def demo(
    stations: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Number of simulated stations.")] = 200,
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="Length of the dispatch.")] = "4min",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same cars.")] = 1,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the report, the picture and the server's data.")] = Path("out"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave server, cars and console running after the verdict, until Ctrl-C.")] = False,
) -> None:
    """The main job, live: a server, simulated stations, one dispatch in which cars leave, and the verdict."""
    from counterflow.app.demo.play import DemoSettings, run_demo

    settings = DemoSettings(stations=stations, duration_s=parse_duration_s(lasting), seed=seed, out=out, keep=keep)
    raise typer.Exit(run_demo(settings, Console(highlight=False)))


async def _simulate(settings: "FleetClientSettings", lasting_s: float | None) -> None:
    from counterflow.sim.client import run_fleet

    stop = _stop_on_signals()
    if lasting_s is not None:
        asyncio.get_running_loop().call_later(lasting_s, stop.set)
    console, fleets, most = screen(), list["FleetClient"](), 0
    shown = 0

    with Live(console=console, auto_refresh=False) as live:

        def show(progress: "FleetProgress") -> None:
            nonlocal shown, most
            most = max(most, progress.connected)
            text = Text(simulation_words(progress))
            if console.is_terminal:
                live.update(text, refresh=True)
            elif shown % LINE_EVERY_S == 0:
                typer.echo(text.plain.replace("\n", "; "))
            shown += 1

        last = await run_fleet(settings, stop=stop, on_ready=fleets.append, on_progress=show)
        if console.is_terminal:
            live.update(Text(simulation_words(last)), refresh=True)
    if not console.is_terminal:
        typer.echo(simulation_words(last).replace("\n", "; "))
    if max(most, last.connected) == 0:  # a fleet that is stopped within its first second was seen by no progress
        raise FailedError(f"No station could connect to {settings.url}: {refusal_words(last.refused or 'there was no time')}")
    broken = [sentence for fleet in fleets for sentence in fleet.violations()]
    if broken:
        note(f"The server broke the rules {len(broken)} times:")
        for sentence in broken[:VIOLATIONS_SHOWN]:
            note(f"  {sentence}")


def simulation_words(progress: "FleetProgress") -> str:
    """How the simulated fleet stands."""
    text = (
        f"{progress.connected} of {progress.stations} stations connected, {progress.booted} booted, {progress.sessions} sessions, "
        f"{power(abs(progress.true_power_w))} {'charging' if progress.true_power_w > 0.0 else 'discharging'}\n"
        f"{progress.messages_in} messages in, {progress.messages_out} out"
    )
    return text + (f"; latest failure: {refusal_words(progress.refused)}" if progress.refused is not None and not progress.ready else "")


def refusal_words(refused: str) -> str:
    """Why a simulated station is not let in, and what to do about it."""
    for status, remedy in _HINTS.items():
        if re.search(rf"\b{status}\b", refused.partition(": ")[2]):
            return f"{visible(refused)}. {remedy}"
    return f"{visible(refused)}."


def _run(work: Coroutine[object, object, T]) -> T:
    from counterflow.app.hosting.process import run  # brings in uvloop, which only the long-running commands need

    return run(work)


def _stop_on_signals() -> asyncio.Event:
    """An event that Ctrl-C or SIGTERM sets; a second one ends the process the hard way."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def ask_to_stop() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop)
    return stop


def _os_words(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{place}".rstrip(".")
