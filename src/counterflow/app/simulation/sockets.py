"""The same over real sockets: a served process that is killed, thousands of stations whose lines break, and the reckoning in the end."""

import asyncio
import contextlib
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct

from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.app.bench.processes import need_files
from counterflow.domain.records import DocumentKind
from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, MixSettings, PlantSettings, StationSettings

MESSAGES_A_SECOND = 200
"""Meter values of the whole fleet; stations are sampled as rarely as that takes."""
START_WITHIN_S = 60.0
LEFT_WITHIN_S = 300.0
"""After the last fault: a clear that stayed without an answer several times is repeated after up to 90 s."""
SERVE: Final = (sys.executable, "-c", "from counterflow.app.cli import main; main()", "serve")

Profile = tuple[str, int]


class SocketResult(Struct, frozen=True, kw_only=True):
    """How it went. `stray` = profiles at stations that the journal did not know when the server had just been killed."""

    stations: int
    took_s: float
    faults: Counter[str]
    stray: tuple[Profile, ...]
    in_ledger: tuple[Profile, ...]
    """What the ledger still had in the end."""
    at_stations: tuple[Profile, ...]
    """What the stations still held in the end."""
    violations: tuple[str, ...]
    connected: int

    @property
    def held(self) -> bool:
        """Ledger and stations are equal, and nothing is left."""
        return not (self.stray or self.in_ledger or self.at_stations or self.violations) and self.connected == self.stations


class ServedProcess:
    """`counterflow serve` on ports that stay the same through its lives."""

    def __init__(self, folder: Path, interval_s: int) -> None:
        self._folder = folder
        self.ocpp_port, self.api_port = _free_ports(2)
        self.data_dir = folder / "data"
        (folder / "counterflow.toml").write_text(
            f"[ocpp]\nsampling_interval_s = {interval_s}\ncall_timeout_s = 10.0\n"
            "[resume]\nresume_over_s = 10.0\n[ledger]\nclear_retry_s = 3.0\n[orders]\nmin_duration_s = 5.0\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a life; what it says goes to a file."""
        options = ("--ocpp-port", str(self.ocpp_port), "--api-port", str(self.api_port), "--data-dir", str(self.data_dir))
        config = ("--config", str(self._folder / "counterflow.toml"), "--accept-unknown-stations", "--default-consent")
        with (self._folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen([*SERVE, *options, *config], stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def profiles(self) -> set[Profile]:
        """The ledger as the journal has it; only while no process has it open."""
        with SqliteJournal(self.data_dir / "counterflow.sqlite3", StorageSettings()) as journal:
            return {(str(record.station_id), int(record.profile_id)) for _, record in journal.documents(DocumentKind.PROFILE)}

    async def up(self) -> None:
        """Wait until it answers. Raises TimeoutError."""
        deadline_s = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(httpx.HTTPError, OSError):
                async with self.api() as api:
                    if (await api.get("/api/v1/fleet")).status_code == 200:
                        return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"The server did not start within {START_WITHIN_S:.0f} s; its words are in {self._folder / 'serve.log'}.")

    def api(self) -> httpx.AsyncClient:
        """The HTTP API, with the token that the server made."""
        token = (self.data_dir / "api-token").read_text().strip()
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.api_port}", headers={"Authorization": f"Bearer {token}"}, timeout=30.0)


class SocketSoak:
    """One server, one fleet, one random number generator."""

    def __init__(self, stations: int, seed: int, folder: Path, say: Callable[[str], object]) -> None:
        need_files(stations)
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.stray: set[Profile] = set()
        self._stations = stations
        self._say = say
        interval_s = max(1, stations // MESSAGES_A_SECOND)
        self.server = ServedProcess(folder, interval_s)
        self.fleet = FleetClient(_fleet_settings(self.server.ocpp_port, stations, seed, interval_s))
        self._ids = [station.station_id for station in self.fleet.fleet.stations]

    async def run(self, lasting_s: float) -> SocketResult:
        """Trouble for `lasting_s`, then peace and the reckoning."""
        began_s = time.monotonic()
        self.server.start()
        try:
            await self.server.up()
            await self.fleet.start()
            await self.fleet.wait_ready(120.0)
            await self._trouble(time.monotonic() + lasting_s)
            await self._peace()
            return self._reckon(time.monotonic() - began_s)
        finally:
            await self.fleet.stop()
            self.server.kill()

    async def _trouble(self, until_s: float) -> None:
        await self._order()
        step = 0
        while time.monotonic() < until_s:
            step += 1
            for _ in range(max(1, self._stations // 40)):
                self._hurt(self.random.choice(self._ids))
            if step % 8 == 4:
                await self._kill()
            if step % 5 == 0:
                await self._order()
            await asyncio.sleep(self.random.uniform(0.5, 1.5))

    def _hurt(self, station_id: str) -> None:
        name = self.random.choice(("line cut", "line cut", "half-open", "reboot"))
        self.faults[name] += 1
        if name == "line cut":
            self.fleet.cut(station_id)
        elif name == "half-open":
            self.fleet.half_open(station_id)
        else:
            keeps = [self.random.random() < 0.6 for _ in range(3)]
            self.fleet.power_cycle(station_id, keeps_profiles=keeps[0], keeps_transaction=keeps[1], keeps_queue=keeps[2])

    async def _kill(self) -> None:
        """kill -9; whatever stations hold now must be in the journal as the crash left it."""
        self.faults["kill -9 of the server"] += 1
        self.server.kill()
        await asyncio.sleep(0.2)  # what is on its way arrives
        self.stray |= set(self.fleet.remaining_profiles()) - self.server.profiles()
        await asyncio.sleep(self.random.uniform(0.0, 3.0))
        self.server.start()
        await self.server.up()
        self._say(f"killed and started again; {self.fleet.progress().connected} stations are connected")

    async def _order(self) -> None:
        body: dict[str, Any] = {"discharge_power_w": 1e9, "duration_s": 60.0, "dry_run": True, "priority": sum(self.faults.values())}
        offer = await self._asked(lambda api: api.post("/api/v1/dispatches", json=body))
        if offer is None:
            return
        offer_w = offer["dispatch"]["feasibility"]["expected_power_w"]
        body |= {"discharge_power_w": max(1_000.0, round(0.6 * offer_w, -3)), "dry_run": False}
        self.faults["order"] += await self._asked(lambda api: api.post("/api/v1/dispatches", json=body)) is not None

    async def _peace(self) -> None:
        """Everything is called off; wait until nothing is left, or the time is over."""
        await self._asked(lambda api: api.post("/api/v1/clear-all"))
        deadline_s = time.monotonic() + LEFT_WITHIN_S
        while time.monotonic() < deadline_s:
            fleet = await self._asked(lambda api: api.get("/api/v1/fleet"))
            left = len(self.fleet.remaining_profiles())
            calm = fleet is not None and fleet["profiles_placed"] == left == 0 and self.fleet.progress().connected == self._stations
            if calm:
                # Answered once all that went before is on the disk, which the server is then killed over.
                await self._asked(lambda api: api.post("/api/v1/clear-all"))
                return
            await asyncio.sleep(0.5)

    def _reckon(self, took_s: float) -> SocketResult:
        connected = self.fleet.progress().connected
        self.server.kill()
        return SocketResult(
            stations=self._stations,
            took_s=took_s,
            faults=self.faults,
            stray=tuple(sorted(self.stray)),
            in_ledger=tuple(sorted(self.server.profiles())),
            at_stations=tuple(sorted(self.fleet.remaining_profiles())),
            violations=tuple(self.fleet.violations()),
            connected=connected,
        )

    async def _asked(self, ask: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]) -> dict[str, Any] | None:
        """The answer as JSON; None when it was refused."""
        async with self.server.api() as api:
            response = await ask(api)
        answer: dict[str, Any] = response.json()
        return answer if response.status_code < 300 else None


def soak_sockets(stations: int, lasting_s: float, seed: int, say: Callable[[str], object] = lambda _words: None) -> SocketResult:
    """A whole soak in a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="counterflow-soak-") as folder:
        return asyncio.run(_soak(stations, lasting_s, seed, Path(folder), say))


async def _soak(stations: int, lasting_s: float, seed: int, folder: Path, say: Callable[[str], object]) -> SocketResult:
    return await SocketSoak(stations, seed, folder, say).run(lasting_s)


def _fleet_settings(port: int, stations: int, seed: int, interval_s: int) -> FleetClientSettings:
    """Quick cars with time to spare, so that what goes wrong is the lines' and the server's doing."""
    return FleetClientSettings(
        url=f"ws://127.0.0.1:{port}/ocpp",
        stations=stations,
        seed=seed,
        plant=PlantSettings.ideal(),
        station=StationSettings(meter_interval_s=interval_s),
        mix=MixSettings(soc_min=0.6, soc_max=0.75, target_soc_min=0.9, target_soc_max=0.9, departure_min_s=36_000.0, tight_share=0.0),
        back_off_min_s=0.2,
        back_off_max_s=3.0,
    )


def _free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to outgoing connections: a restart must find them free."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, contextlib.suppress(OSError):
            port = random.randrange(20_000, 32_000)
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found
