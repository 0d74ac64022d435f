"""Records of pools while cars are dispatched: what they say agrees with the plant, numbers go on, and who waits is told."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.adapters.storage.telemetry_store import TelemetryStore
from counterflow.app.config import Settings, SettingsError, load
from counterflow.app.replay import Replay
from counterflow.app.telemetry.pool_figures import PoolFigures
from counterflow.app.telemetry.pool_records import KEPT_IN_MEMORY, PoolRecords
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.grid import PoolTelemetry, Program, Quality, Sign, Wire
from counterflow.domain.ids import ALL_SITES, PoolId
from counterflow.domain.instructions import DispatchOrder
from counterflow.engine.grid.telemetry import Firm
from counterflow.sim.settings import WorldSettings

NORTH = PoolId("north")
SETTINGS: dict[str, Any] = {
    "stations": {"accept_unknown": True},
    "drivers": {"default": {"consent": True}},
    "sites": [{"site_id": "depot", "pools": ["north"]}],
}


def town(stations: int) -> Replay:
    world = msgspec.convert({"stations": stations}, WorldSettings)
    built = Replay(msgspec.convert(SETTINGS, Settings), world, 2, journal=MemoryJournal())
    return built.run(90.0)


class Recorder:
    """The records of one life of a process."""

    def __init__(self, folder: Path, place: Replay) -> None:
        program = Program(name="p", wire=Wire.MQTT, pool=NORTH, sign=Sign.GENERATOR, max_discharge_power_w=1e6)
        self.place = place
        self.broken = False
        self.records = PoolRecords(
            place.room,
            lambda told: TelemetryStore(folder / "telemetry.sqlite3", 5 * 86_400.0, told),
            PoolFigures(place.room, (program,), broken=lambda: self.broken),
            now_s=lambda: place.now_s,
        )

    async def shown(self, seconds: int) -> PoolTelemetry:
        """Let seconds pass, a record each; the newest."""
        for _ in range(seconds):
            self.place.run(1.0)
            await self.records.begin()
        return self.records.newest(ALL_SITES)


Live = Callable[[Callable[[Recorder], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def live(tmp_path: Path) -> Live:
    def run(test: Callable[[Recorder], Coroutine[Any, Any, None]]) -> None:
        async def life() -> None:
            recorder = Recorder(tmp_path, town(30))
            try:
                await recorder.records.begin()
                await test(recorder)
            finally:
                recorder.records.close()

        asyncio.run(life())

    return run


def test_a_dispatch_shows_with_its_target_and_what_the_plant_gives(live: Live) -> None:
    async def test(recorder: Recorder) -> None:
        place, idle = recorder.place, recorder.records.newest(ALL_SITES)
        assert (idle.target_power_w, idle.sessions, idle.available, idle.fault) == (None, 30, True, False)
        assert 0 < idle.sessions_ready <= 30
        answer = place.do(place.operations.order(DispatchOrder(discharge_power_w=60_000.0, duration_s=900.0), None, False))
        assert isinstance(answer, DispatchAnswer)
        told = await recorder.shown(120)
        assert told.target_power_w == 60_000.0
        assert told.committed_power_w == answer.dispatch.feasibility.committed_power_w
        assert told.delivered_power_w is not None
        assert told.delivered_power_w == pytest.approx(-float(np.mean(place.power_w[-10:])), rel=0.1)
        assert told.measured_power_w == pytest.approx(told.delivered_power_w, rel=0.2)
        assert (told.following, told.baseline_power_w, told.up_power_w) == (True, 0.0, None)
        assert told.meter_age_s is not None
        assert told.meter_age_s < 60.0
        assert told.quality is Quality.GOOD
        # All stand at the default site, and a dispatch of all sites is none of the north alone.
        north = recorder.records.newest(NORTH)
        assert (north.sessions, north.measured_power_w, north.target_power_w, north.following) == (0, 0.0, None, False)

    live(test)


def test_the_ramp_follows_the_lag_that_the_cars_were_seen_to_have(live: Live) -> None:
    async def test(recorder: Recorder) -> None:
        firm = Firm(power_w=80_000.0, window_s=900.0)
        figures = PoolFigures(recorder.place.room, (), broken=lambda: False, firm=lambda _pool: firm)
        await figures.look(recorder.place.now_s)
        (before,) = figures.at(recorder.place.now_s, {ALL_SITES: 1})
        assert (before.up_power_w, before.ramp_w_per_s) == (80_000.0, 80_000.0 / (2.0 * 8.0))  # nothing was seen yet
        outlook = recorder.place.room.dispatcher.outlook
        outlook.learn(recorder.place.room.fleet.snapshot(recorder.place.now_s))
        outlook.response = replace(outlook.response, prior_lag_s=4.0)
        recorder.place.run(20.0)
        await figures.look(recorder.place.now_s)
        (after,) = figures.at(recorder.place.now_s, {ALL_SITES: 2})
        assert after.ramp_w_per_s == pytest.approx(80_000.0 / (2.0 * 4.0))

    live(test)


def test_an_emergency_stop_and_a_fault_are_told_at_once(live: Live) -> None:
    async def test(recorder: Recorder) -> None:
        place = recorder.place
        place.do(place.operations.emergency_stop(True, "test"))
        told = await recorder.shown(1)
        assert (told.available, told.fault) == (False, False)
        place.do(place.operations.emergency_stop(False, "test"))
        recorder.broken = True
        told = await recorder.shown(1)
        assert (told.available, told.fault) == (False, True)

    live(test)


def test_numbers_go_on_over_a_restart_and_begin_at_the_time_where_the_file_is_lost(tmp_path: Path) -> None:
    place = town(3)

    async def life(folder: Path) -> list[int]:
        recorder = Recorder(folder, place)
        await recorder.shown(5)
        found = await recorder.records.since(ALL_SITES, 0, 1_000)
        recorder.records.close()
        return [record.sequence for record in found]

    began_s = int(place.now_s)
    first = asyncio.run(life(tmp_path))
    second = asyncio.run(life(tmp_path))
    (tmp_path / "lost").mkdir()
    third = asyncio.run(life(tmp_path / "lost"))
    assert first == list(range(began_s + 1, began_s + 6))
    assert second == list(range(began_s + 1, began_s + 11))
    assert third[0] > second[-1]


def test_who_is_behind_is_served_from_disk_and_who_is_not_from_memory(live: Live) -> None:
    async def test(recorder: Recorder) -> None:
        records = recorder.records
        for _ in range(KEPT_IN_MEMORY + 50):
            records.record(recorder.place.now_s)
        await records.begin()
        newest = records.newest(ALL_SITES).sequence
        first = newest - KEPT_IN_MEMORY - 50 - 1
        reads: list[int] = []
        read = records.store.since
        records.store.since = lambda pool, sequence, most: reads.append(sequence) or read(pool, sequence, most)  # type: ignore[method-assign, func-returns-value]
        old = await records.since(ALL_SITES, 0, 20)
        assert [record.sequence for record in old] == list(range(first, first + 20))
        assert reads == [0]
        new = await records.since(ALL_SITES, newest - 5, 3)
        assert [record.sequence for record in new] == [newest - 4, newest - 3, newest - 2]
        assert await records.since(ALL_SITES, newest, 10) == ()
        assert await records.since(ALL_SITES, newest + 7, 10) == ()
        assert reads == [0]
        with pytest.raises(KeyError):
            await records.since(PoolId("nobody"), 0, 1)

    live(test)


def test_who_waits_gets_the_next_one_at_once_and_nothing_after_its_time(live: Live) -> None:
    async def test(recorder: Recorder) -> None:
        records = recorder.records
        newest = records.newest(ALL_SITES).sequence
        waiting = asyncio.create_task(records.since(ALL_SITES, newest, 10, 30.0))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        records.record(recorder.place.now_s)
        (found,) = await asyncio.wait_for(waiting, 60.0)
        assert found.sequence == newest + 1
        assert await records.since(ALL_SITES, newest + 1, 10, 0.02) == ()

    live(test)


def test_a_wire_sees_the_pool_as_it_is_on_a_virtual_clock() -> None:
    place = town(5)
    one, other = place.grid.telemetry(ALL_SITES), place.grid.telemetry(ALL_SITES)
    assert (one.at_s, one.sessions, one.sessions_ready > 0, other.sequence) == (place.now_s, 5, True, one.sequence + 1)
    (found,) = place.do(place.grid.telemetry_since(ALL_SITES, other.sequence, 10))
    assert found.sequence == other.sequence + 1
    with pytest.raises(KeyError):
        place.grid.telemetry(PoolId("nobody"))


def test_a_pool_that_no_site_names_is_a_wrong_setting(tmp_path: Path) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text('[telemetry]\npools = ["North"]\n[[sites]]\nsite_id = "depot"\npools = ["north"]\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"'telemetry\.pools' names the pool 'North'.*Did you mean 'north'"):
        load(file, {}, {})


def test_each_round_instant_has_one_record_though_sleeps_end_a_little_early(live: Live, monkeypatch: Any) -> None:
    async def test(recorder: Recorder) -> None:
        records, clock = recorder.records, [1_000.3]
        records._now_s = lambda: clock[0]
        made: list[float] = []
        monkeypatch.setattr(records, "record", made.append)

        async def sleep(seconds: float) -> None:
            clock[0] += max(0.0, seconds - 0.0005)
            if len(made) == 4:
                raise asyncio.CancelledError

        monkeypatch.setattr(asyncio, "sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            await records.keep()
        assert made == pytest.approx([1_004.0, 1_008.0, 1_012.0, 1_016.0], abs=0.01)

    live(test)
