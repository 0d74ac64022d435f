"""While a server is attacked, in every way that there is, the stations that behave are answered in time and deliver what was ordered,
people get their answers, and afterwards nothing is left of it: no memory, no socket, no fault. Everything over real sockets.
"""

import asyncio
import contextlib
import json
import re
import runpy
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
import websockets
from websockets.sync.client import connect as connect_and_wait

from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, MixSettings, PlantSettings, StationSettings

ATTACKER = Path(__file__).parent / "attacker.py"
ATTACKS = list(runpy.run_path(str(ATTACKER))["ATTACKS"])
STATIONS = 12
PASSWORD = "sixteen chars ok"
ATTACK_S = 0.9
"""How long each attack lasts, after it has begun to strike."""
MEDIAN_S, LONGEST_S = 0.25, 1.0
"""A station that behaves, and a person who asks, are answered this soon half of the time, and always (of the processes that run, the
attacker is not the only one that the machine has to share its cores with)..."""
CALM_TIMES = 5.0
"""...and beyond that take so many times what they took in calm, on a machine that may be busy with something else."""
DELIVERY_SHARE = 0.08
"""The delivered power stays this close to the order."""
MEMORY_BYTES = 120e6
SETTINGS = """
[gateway]
handshake_timeout_s = 2.0
ping_interval_s = 1.0
ping_timeout_s = 5.0
[gateway.address]
unfinished = 100
handshakes_per_s = 400.0
[[gateway.listeners]]
profile = 2
port = 0
[ocpp]
sampling_interval_s = 1
[control]
tick_interval_s = 1.0
[response]
prior_gain = 1.0
settle_base_s = 3.0
[capability]
silence_min_s = 6.0
[orders]
min_duration_s = 5.0
"""


class Fleet:
    """Simulated stations that behave, on a thread of their own; their true power and the state of their lines are noted all the time."""

    def __init__(self, url: str) -> None:
        self.client = FleetClient(
            FleetClientSettings(
                url=url,
                stations=STATIONS,
                plant=PlantSettings.ideal(),
                station=StationSettings(meter_interval_s=1),
                mix=MixSettings(
                    sizes_w=(11_000.0,),
                    size_shares=(1.0,),
                    soc_min=0.6,
                    soc_max=0.75,
                    target_soc_min=0.9,
                    target_soc_max=0.9,
                    departure_min_s=36_000.0,
                    tight_share=0.0,
                ),
            )
        )
        self.seen: list[tuple[float, int, float]] = []
        """(time, connected, delivered W)."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._live()))
        self._thread.start()

    async def _live(self) -> None:
        await self.client.start()
        while not self._done.is_set():
            progress = self.client.progress()
            self.seen.append((time.monotonic(), progress.connected, -progress.true_power_w))
            await asyncio.sleep(0.05)
        await self.client.stop()

    def since(self, begin_s: float) -> list[tuple[float, int, float]]:
        return [one for one in self.seen if one[0] >= begin_s]

    def close(self) -> None:
        self._done.set()
        self._thread.join(60.0)


class Probe:
    """Asks the server something again and again, on a thread of its own, and notes how long each answer took."""

    def __init__(self, asking: contextlib.AbstractContextManager[Callable[[], object]]) -> None:
        self.waits: list[tuple[float, float]] = []
        """(when asked, s until the answer)."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._go_on, args=(asking,))
        self._thread.start()

    def _go_on(self, asking: contextlib.AbstractContextManager[Callable[[], object]]) -> None:
        with asking as ask:
            while not self._done.wait(0.02):
                began_s = time.monotonic()
                ask()
                self.waits.append((began_s, time.monotonic() - began_s))

    def since(self, begin_s: float) -> list[float]:
        assert self._thread.is_alive(), "it got no answer"
        return [wait_s for at_s, wait_s in self.waits if at_s >= begin_s]

    def close(self) -> None:
        self._done.set()
        self._thread.join(60.0)


@contextlib.contextmanager
def heartbeats(url: str) -> Iterator[Callable[[], object]]:
    """A station that says a Heartbeat and waits for the answer."""
    with connect_and_wait(url, subprotocols=[websockets.Subprotocol("ocpp2.1")], open_timeout=60) as line:

        def ask(action: str = "Heartbeat", payload: object = None) -> None:
            line.send(json.dumps([2, "b", action, payload or {}]))
            while (frame := json.loads(line.recv(timeout=60.0)))[0] != 3:
                if frame[0] == 2:
                    line.send(json.dumps([4, frame[1], "NotSupported", "", {}]))

        ask("BootNotification", {"reason": "PowerUp", "chargingStation": {"model": "M1", "vendorName": "Acme"}})
        yield ask


@contextlib.contextmanager
def looks(served: Any) -> Iterator[Callable[[], object]]:
    """A person who looks at the fleet."""
    with httpx.Client(base_url=served.api_url, headers=served.authorization, timeout=60.0) as api:
        yield lambda: api.get("/api/v1/fleet").raise_for_status()


class Scene:
    """A served process, a fleet that delivers an order, a station and a person who ask all the time."""

    def __init__(self, served: Any, fleet: Fleet) -> None:
        self.served = served
        self.fleet = fleet
        self.target_w = _ordered_w(served)
        self.station = Probe(heartbeats(f"{served.ocpp_url}/PROBE"))
        self.person = Probe(looks(served))
        deadline_s = time.monotonic() + 90.0
        while abs(fleet.seen[-1][2] / self.target_w - 1.0) > DELIVERY_SHARE / 2.0:
            assert time.monotonic() < deadline_s, (fleet.seen[-1], self.target_w)
            time.sleep(0.1)
        self.calm = [self._calm(probe) for probe in (self.station, self.person)]
        """(median, longest) wait of each in calm, s."""
        self.sockets, self.memory_bytes = self.held()

    def _calm(self, probe: Probe) -> tuple[float, float]:
        waits_s = probe.since(0.0)
        return statistics.median(waits_s), max(waits_s)

    def held(self) -> tuple[int, float]:
        """What the server process holds: open files, and memory in bytes."""
        folder = Path(f"/proc/{self.served.process_id}")
        (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", (folder / "status").read_text())
        return len(list((folder / "fd").iterdir())), 1024.0 * float(kilobytes)

    def close(self) -> None:
        for one in (self.station, self.person, self.fleet):
            one.close()


def _ordered_w(served: Any) -> float:
    """Half of what the fleet offers is ordered; how much that is."""
    with httpx.Client(base_url=served.api_url, headers=served.authorization, timeout=60.0) as api:
        while api.get("/api/v1/fleet").json()["sessions_ready"] < STATIONS:
            assert served.alive, served.log
            time.sleep(0.1)
        api.post("/api/v1/stations", json={"station_id": "SECRET", "password": PASSWORD}).raise_for_status()
        body = {"discharge_power_w": 1e9, "duration_s": 600, "dry_run": True}
        offer_w = api.post("/api/v1/dispatches", json=body).json()["dispatch"]["feasibility"]["expected_power_w"]
        target_w = float(round(0.5 * offer_w, -3))
        api.post("/api/v1/dispatches", json=body | {"discharge_power_w": target_w, "dry_run": False}).raise_for_status()
    return target_w


@pytest.fixture(scope="module")
def scene(serve_all: Any) -> Iterator[Scene]:
    served = serve_all(SETTINGS, "--accept-unknown-stations", "--default-consent")
    fleet = Fleet(served.ocpp_url)
    try:
        there = Scene(served, fleet)
    except BaseException:
        fleet.close()
        raise
    yield there
    there.close()


@pytest.mark.parametrize("name", ATTACKS)
def test_stations_that_behave_are_answered_and_deliver_while(scene: Scene, name: str) -> None:
    served = scene.served
    (tls_port,) = re.findall(r"wss://127\.0\.0\.1:(\d+)/ocpp", served.log)
    ports = (str(served.ocpp_port), tls_port, str(served.api_port))
    attacker = subprocess.Popen([sys.executable, ATTACKER, name, *ports], stdout=subprocess.PIPE, text=True)
    try:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "it strikes\n"
        began_s = time.monotonic()
        time.sleep(ATTACK_S)  # real processes know no virtual clock
        while min(len(scene.station.since(began_s)), len(scene.person.since(began_s))) < 3 and time.monotonic() - began_s < 60.0:
            time.sleep(0.05)
        answers, looked, fleet = scene.station.since(began_s), scene.person.since(began_s), scene.fleet.since(began_s)
        attacker.send_signal(signal.SIGTERM)
        assert int(attacker.communicate(timeout=60.0)[0]) > 0, "the attack never struck"
    finally:
        attacker.kill()
        attacker.wait()
    for waits_s, (median_s, longest_s) in zip((answers, looked), scene.calm, strict=True):
        assert len(waits_s) >= 3
        half_s = statistics.median(waits_s)
        assert half_s < MEDIAN_S + CALM_TIMES * median_s, f"{half_s:.3f} s, in calm {median_s:.3f} s"
        assert max(waits_s) < LONGEST_S + CALM_TIMES * longest_s, f"{max(waits_s):.3f} s, in calm {longest_s:.3f} s"
    assert {connected for _, connected, _ in fleet} == {STATIONS}
    delivered_w = statistics.fmean(power_w for _, _, power_w in fleet)
    assert abs(delivered_w / scene.target_w - 1.0) < DELIVERY_SHARE, f"{delivered_w:.0f} W of {scene.target_w:.0f} W"


def test_nothing_is_left_of_any_attack(scene: Scene) -> None:
    deadline_s = time.monotonic() + 60.0
    while scene.held()[0] > scene.sockets + 5:  # half-open ones go at their time-out
        assert time.monotonic() < deadline_s, f"{scene.held()[0]} open files, {scene.sockets} before"
        time.sleep(0.2)
    assert scene.held()[1] - scene.memory_bytes < MEMORY_BYTES, f"{(scene.held()[1] - scene.memory_bytes) / 1e6:.0f} MB more"
    assert scene.served.alive
    for fault in ("Traceback", "handler failed", "control failed", "admit failed"):
        assert fault not in scene.served.log
    for secret in (PASSWORD, scene.served.authorization["Authorization"].removeprefix("Bearer ")):
        assert secret not in scene.served.log
