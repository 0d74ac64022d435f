"""`kill -9` of the served process, with simulated stations that know nothing of it: what was acknowledged is known again, a running
dispatch goes on, and without the server every order ends by itself."""

import asyncio
import contextlib
import functools
import json
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any

import httpx
from msgspec import UNSET

from counterflow.adapters.ocpp.events import Answered
from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.domain.records import DocumentKind
from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, MixSettings, PlantSettings, StationSettings

SETTINGS = """
[ocpp]
sampling_interval_s = 1
[control]
tick_interval_s = 1.0
dwell_s = 4.0
hold_min_s = 2.0
hold_max_s = 4.0
[dispatcher]
fan_out_per_turn = 2
[response]
prior_gain = 1.0
settle_base_s = 3.0
[resume]
resume_over_s = 4.0
[capability]
silence_min_s = 6.0
[ledger]
clear_retry_s = 3.0
[orders]
min_duration_s = 5.0
[storage]
commit_interval_s = 0.01
"""
STATIONS = 20
BACK_WITHIN_READINGS = 30
"""So many times a station is metered until those that are left deliver what was ordered again: once a second."""
OPTIONS = ("--accept-unknown-stations", "--default-consent")

Until = Callable[..., Awaitable[Any]]
Fields = dict[str, Any]


def new_fleet(served: Any) -> FleetClient:
    """Cars that do what they are told, have time to discharge, and want to charge else."""
    return FleetClient(
        FleetClientSettings(
            url=served.ocpp_url,
            stations=STATIONS,
            plant=PlantSettings.ideal(),
            station=StationSettings(meter_interval_s=1),
            mix=MixSettings(
                sizes_w=(11_000.0, 22_000.0),
                size_shares=(0.7, 0.3),
                soc_min=0.6,
                soc_max=0.75,
                target_soc_min=0.9,
                target_soc_max=0.9,
                departure_min_s=36_000.0,
                tight_share=0.0,
            ),
            back_off_min_s=0.2,
            back_off_max_s=1.0,
        )
    )


@contextlib.asynccontextmanager
async def standing(served: Any, until: Until) -> AsyncIterator[tuple[FleetClient, "Notes", httpx.AsyncClient]]:
    """A fleet whose every car can be discharged."""
    fleet = new_fleet(served)
    notes = Notes(fleet)
    watching = asyncio.create_task(notes.watch())
    await fleet.start()
    try:
        await fleet.wait_ready(60.0)
        async with served.api() as api:
            await until(lambda: sessions_ready(api), every_s=0.2)
            yield fleet, notes, api
    finally:
        watching.cancel()
        await fleet.stop()


async def sessions_ready(api: httpx.AsyncClient) -> bool:
    return bool((await json_of(api.get("/api/v1/fleet")))["sessions_ready"] == STATIONS)


async def json_of(answer: Awaitable[Any]) -> Any:
    response = await answer
    assert response.status_code < 300, response.text
    return response.json()


async def order(api: httpx.AsyncClient, duration_s: float, share: float = 0.5) -> Fields:
    body: Fields = {"discharge_power_w": 1e9, "duration_s": duration_s, "dry_run": True}
    offer_w = (await json_of(api.post("/api/v1/dispatches", json=body)))["dispatch"]["feasibility"]["expected_power_w"]
    body |= {"discharge_power_w": round(share * offer_w, -3), "dry_run": False}
    instruction: Fields = (await json_of(api.post("/api/v1/dispatches", json=body)))["dispatch"]["instruction"]
    return instruction


class Notes:
    """What the stations themselves saw: each metered TransactionEvent that was answered, and the strongest discharge of the fleet."""

    def __init__(self, fleet: FleetClient) -> None:
        self.answered: list[tuple[str, str, int, float]] = []
        self.most_w = 0.0
        self.at_next_answer: Callable[[], None] | None = None
        self._fleet = fleet
        for station in fleet.fleet.stations:
            station.uplink.event_done = functools.partial(self._done, station.station_id, station.uplink.event_done)  # type: ignore[method-assign]  # a spy

    def _done(self, station_id: str, event_done: Callable[..., None], queued: Any, outcome: Any, now_s: float) -> None:
        event_done(queued, outcome, now_s)
        request = queued.request
        if isinstance(outcome, Answered) and request.meter_value is not UNSET:
            at_s = request.meter_value[0].timestamp.timestamp()
            self.answered.append((station_id, request.transaction_info.transaction_id, request.seq_no, round(at_s, 3)))
            if self.at_next_answer is not None:
                self.at_next_answer()
                self.at_next_answer = None

    def look(self) -> float:
        """The fleet's true discharge now."""
        power_w = -self._fleet.true_power_w()
        self.most_w = max(self.most_w, power_w)
        return power_w

    async def watch(self) -> None:
        """Look all the time."""
        while True:
            self.look()
            await asyncio.sleep(0.02)


def assert_all_stored(data_dir: Path, answered: list[tuple[str, str, int, float]]) -> None:
    """Whatever was answered is in the database as the crash left it."""
    copy = data_dir.with_name("as-the-crash-left-it")
    shutil.copytree(data_dir, copy)
    journal = SqliteJournal(copy / "counterflow.sqlite3", StorageSettings())
    try:
        sessions = {(record.station_id, record.transaction_id): record.session_uid for _, record in journal.documents(DocumentKind.SESSION)}
        stored: dict[int, set[float]] = {}
        for sample in journal.samples(set(sessions.values()), 0.0, 1e12):
            stored.setdefault(sample.session_uid, set()).add(round(sample.at_s, 3))
        lost = [event for event in answered if event[3] not in stored.get(sessions[event[0], event[1]], set())]
        assert lost == []
    finally:
        journal.close()


def test_a_running_dispatch_goes_on_after_a_crash_without_double_dispatch(serve: Any, until: Until) -> None:
    asyncio.run(_goes_on(serve(SETTINGS, *OPTIONS), until))


async def _goes_on(served: Any, until: Until) -> None:
    async with standing(served, until) as (fleet, notes, api):
        instruction = await order(api, 600.0)
        target_w, dispatch_id = instruction["steps"][0]["discharge_power_w"], instruction["dispatch_id"]

        def on_target() -> bool:
            return abs(notes.look() - target_w) <= 0.05 * target_w

        await until(on_target)
        await until(lambda: len(notes.answered) > 3 * STATIONS)
        sessions = names_of(await json_of(api.get("/api/v1/sessions")))
        placed = (await json_of(api.get("/api/v1/fleet")))["profiles_placed"]
        notes.most_w = 0.0
        notes.at_next_answer = served.kill  # before the server can do anything more about what it has just acknowledged
        await until(lambda: not served.alive)
        assert_all_stored(served.data_dir, notes.answered)
        await served.restart()
        await until(lambda: fleet.progress().connected == STATIONS)
        back_s = time.time()
        assert names_of(await json_of(api.get("/api/v1/sessions"))) == sessions
        assert placed >= 2 * STATIONS
        assert (await json_of(api.get("/api/v1/fleet")))["profiles_placed"] == placed
        gone = fleet.drop_out(0.2, 0.0)  # others must take over, so that going on shows
        assert len(gone) == 4
        await until(on_target, 120.0)
        metered = Counter(station_id for station_id, _, _, at_s in notes.answered if at_s > back_s)
        assert max(metered.values()) <= BACK_WITHIN_READINGS
        view = await json_of(api.get(f"/api/v1/dispatches/{dispatch_id}"))
        assert (view["instruction"]["state"], view["drop_outs"]) == ("running", len(gone))
        owners = {one["dispatch_id"] for one in await json_of(api.get("/api/v1/sessions")) if one["setpoint_w"]}
        assert owners == {dispatch_id}
        await asyncio.sleep(2.0)  # real seconds, in which a second copy of the dispatch would show
        assert notes.most_w <= 1.05 * target_w
        await json_of(api.delete(f"/api/v1/dispatches/{dispatch_id}"))
        await nothing_remains(fleet, api, until)
        report = await json_of(api.get(f"/api/v1/dispatches/{dispatch_id}/report"))
        assert report["members"] == STATIONS
        assert report["delivered_energy_wh"] > 0.0


def names_of(sessions: list[Fields]) -> dict[int, tuple[str, str]]:
    return {one["session_uid"]: (one["station_id"], one["transaction_id"]) for one in sessions}


def test_when_the_server_dies_in_its_fan_out_for_good_every_order_ends_by_itself(serve: Any, until: Until) -> None:
    asyncio.run(_dies_for_good(serve(SETTINGS, *OPTIONS), until))


async def _dies_for_good(served: Any, until: Until) -> None:
    async with standing(served, until) as (fleet, notes, api):
        received = 0
        lasts_s: list[float] = []

        def receive_until_enough(receive: Callable[..., None], text: bytes, now_s: float) -> None:
            nonlocal received
            if b"SetChargingProfile" in text:
                received += 1
                lasts_s.extend(discharge_lasts_s(json.loads(text)[3]["chargingProfile"], now_s))
                if received == STATIONS + STATIONS // 2:
                    served.kill()
            if received <= STATIONS + STATIONS // 2:
                receive(text, now_s)

        for station in fleet.fleet.stations:
            station.receive = functools.partial(receive_until_enough, station.receive)  # type: ignore[method-assign]  # a spy
        with contextlib.suppress(httpx.HTTPError):  # it may die before its answer is out
            await order(api, 10.0)
        await until(lambda: not served.alive)
        await until(lambda: notes.look() > 0.0 or notes.most_w > 0.0)
        assert 0 < sum(fleet.fleet.plant.power_w < 0.0) < STATIONS
        assert_all_stored(served.data_dir, notes.answered)
        await until(lambda: bool((fleet.fleet.plant.power_w > 0.0).all()))
        assert lasts_s
        assert max(lasts_s) < 10.0 + 4.0 + 1.0, "window, hold, and what two clocks are apart"
        assert fleet.violations() == []


def discharge_lasts_s(profile: Fields, now_s: float) -> Iterator[float]:
    """How long from now on the discharge of a profile goes on by itself; inf = for ever."""
    for schedule in profile["chargingSchedule"]:
        if any(period.get("setpoint", 0.0) < 0.0 for period in schedule["chargingSchedulePeriod"]):
            begins_s = datetime.fromisoformat(schedule["startSchedule"]).timestamp()
            yield begins_s + schedule.get("duration", inf) - now_s


def test_the_emergency_stop_outlives_a_crash(serve: Any, until: Until) -> None:
    asyncio.run(_stays_stopped(serve(SETTINGS, *OPTIONS), until))


async def _stays_stopped(served: Any, until: Until) -> None:
    async with standing(served, until) as (fleet, notes, api):
        instruction = await order(api, 600.0)
        await until(lambda: notes.look() > 0.5 * instruction["steps"][0]["discharge_power_w"])
        assert (await json_of(api.post("/api/v1/emergency-stop")))["emergency_stop"]
        served.kill()
        await served.restart()
        assert (await json_of(api.get("/api/v1/fleet")))["emergency_stop"]
        refused = await api.post("/api/v1/dispatches", json={"discharge_power_w": 10_000, "duration_s": 60})
        assert refused.status_code == 409, refused.text
        assert "emergency stop" in refused.json()["detail"]
        await nothing_remains(fleet, api, until)
        assert (await json_of(api.get(f"/api/v1/dispatches/{instruction['dispatch_id']}")))["instruction"]["state"] == "aborted"
        assert not (await json_of(api.delete("/api/v1/emergency-stop")))["emergency_stop"]
        await until(lambda: sessions_ready(api))


def test_decision_16_a_value_that_was_acknowledged_and_its_dead_man_outlive_a_crash(serve: Any, until: Until) -> None:
    asyncio.run(_falls_silent(serve(SETTINGS, *OPTIONS), until))


async def _falls_silent(served: Any, until: Until) -> None:
    stream = {"timeout_s": 18.0, "hold_s": 1.0, "ramp_down_s": 2.0}
    async with served.api() as api:
        body = {"discharge_power_w": 10_000, "duration_s": 120, "stream": stream}
        dispatch_id = (await json_of(api.post("/api/v1/dispatches", json=body)))["dispatch"]["instruction"]["dispatch_id"]
        path = f"/api/v1/dispatches/{dispatch_id}"
        for number, power_w in enumerate((4_000, 5_000, 6_000)):
            told = await json_of(api.put(f"{path}/target", json={"discharge_power_w": power_w, "sequence": number}))
        served.kill()
        await served.restart()
        state = (await json_of(api.get(path)))["stream"]
        assert (state["value_power_w"], state["sequence"], state["heard_at_s"]) == (6_000.0, 2, told["at_s"])
        late = await json_of(api.put(f"{path}/target", json={"discharge_power_w": 1, "sequence": 1}))
        # After a silence whatever comes is taken: a new start of a busy machine may take as long as one.
        assert late["outcome"] == ("late" if late["at_s"] - told["at_s"] < stream["timeout_s"] else "taken")
        await until(lambda: is_phase(api, path, "silent"))
        assert (await json_of(api.get(path)))["target_power_w"] == 0.0
        alarms = (await json_of(api.get("/readyz")))["alarms"]
        assert any(dispatch_id in alarm for alarm in alarms)


async def is_phase(api: httpx.AsyncClient, path: str, phase: str) -> bool:
    return bool((await json_of(api.get(path)))["stream"]["phase"] == phase)


async def nothing_remains(fleet: FleetClient, api: httpx.AsyncClient, until: Until) -> None:
    """None of our profiles is at any station, we know it, every car charges again, and nobody was asked anything against the rules."""
    await until(lambda: fleet.remaining_profiles() == [])

    async def known() -> bool:
        return bool((await json_of(api.get("/api/v1/fleet")))["profiles_placed"] == 0)

    await until(known)
    plant = fleet.fleet.plant
    await until(lambda: bool((plant.power_w[plant.energised] > 0.0).all()))
    assert fleet.violations() == []
