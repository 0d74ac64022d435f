"""Several VTNs at once, each apart from the others."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.adapters.openadr.stand_in import StandInGrid

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.models import Version
from counterflow.adapters.openadr.settings import FollowedProgram, OpenAdrSettings, VtnSettings, WebhookSettings
from counterflow.adapters.openadr.wire import OpenAdrWire
from counterflow.domain.grid import GridUnit, Program, Sign, Wire
from counterflow.sim.vtn.serving import OPERATOR, VEN, Vtn, serving

NORTH = Program(name="north", wire=Wire.OPENADR, sign=Sign.LOAD, unit=GridUnit.KW, max_discharge_power_w=5e6)
SOUTH = replace(NORTH, name="south")


def settings_of(folder: Path, name: str, url: str, program: str, **more: Any) -> VtnSettings:
    secret = folder / "secret"
    secret.write_text(VEN.secret)
    return VtnSettings(
        name=name,
        url=url,
        programs=(FollowedProgram(program=program),),
        client_id=VEN.client_id,
        client_secret_file=str(secret),
        poll_s=0.2,
        timeout_s=30.0,
        missed_polls=1,
        **more,
    )


def order_at(vtn: Vtn, program: str, grid: StandInGrid) -> Any:
    store = vtn.house.store
    made = store.create(OPERATOR, models.Program(program_name=program), Version.V3_1_0)
    interval = models.Interval(id=0, payloads=(models.ValuesMap(type="DISPATCH_SETPOINT", values=(-7.0,)),))
    period = models.IntervalPeriod(start_s=grid.at_s, duration_s=900.0)
    return store.create(OPERATOR, models.Event(program_id=made.id, interval_period=period, intervals=(interval,)), Version.V3_1_0)


@contextlib.asynccontextmanager
async def running(grid: StandInGrid, *vtns: VtnSettings) -> AsyncIterator[OpenAdrWire]:
    wire = OpenAdrWire(OpenAdrSettings(vtns=vtns), grid)  # type: ignore[arg-type]
    runs = asyncio.create_task(wire.run())
    try:
        yield wire
    finally:
        await wire.close()
        await runs


def test_two_vtns_are_followed_and_the_one_that_is_away_does_not_hold_up_the_other(tmp_path: Path, until: Any) -> None:
    async def life() -> None:
        grid = StandInGrid(NORTH, SOUTH)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            away = f"http://127.0.0.1:{nobody.getsockname()[1]}/openadr3/3.1.0"
            async with serving() as vtn:
                order_at(vtn, "north", grid)
                here = settings_of(tmp_path, "here", vtn.url(), "north")
                async with running(grid, here, settings_of(tmp_path, "away", away, "south")):
                    await until(lambda: grid.asks_w("north") == 7e3)
                    await until(lambda: "away: lost" in grid.alarms)
                    assert "here: lost" not in grid.alarms

    asyncio.run(life())


def test_a_port_that_is_taken_is_an_alarm_and_events_are_read_all_the_same(tmp_path: Path, until: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("counterflow.adapters.openadr.wire._LISTENING_S", 0.2)

    async def life() -> None:
        grid = StandInGrid(NORTH)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            async with serving() as vtn:
                order_at(vtn, "north", grid)
                hook = WebhookSettings(url=f"http://127.0.0.1:{port}/oadr", port=port)
                async with running(grid, settings_of(tmp_path, "dso", vtn.url(), "north", webhook=hook)):
                    await until(lambda: grid.asks_w("north") == 7e3)
                    await until(lambda: "No notifications come from VTN 'dso'" in grid.alarms.get("dso: push", ""))

    asyncio.run(life())


def test_a_fault_of_ours_in_a_part_is_begun_again(tmp_path: Path, until: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("counterflow.adapters.openadr.wire._AGAIN_S", 0.01)

    async def life() -> None:
        grid = StandInGrid(NORTH)
        async with serving() as vtn:
            order_at(vtn, "north", grid)
            wire = OpenAdrWire(OpenAdrSettings(vtns=(settings_of(tmp_path, "dso", vtn.url(), "north"),)), grid)  # type: ignore[arg-type]
            ven, faults = wire.lines["dso"].ven, 0
            run = ven.run

            async def faulty() -> None:
                nonlocal faults
                faults += 1
                if faults == 1:
                    raise KeyError("a fault that was put in")
                await run()

            ven.run = faulty  # type: ignore[method-assign]
            runs = asyncio.create_task(wire.run())
            await until(lambda: grid.asks_w("north") == 7e3)
            assert faults == 2
            await wire.close()
            await runs

    asyncio.run(life())


def test_without_a_vtn_nothing_is_done() -> None:
    asyncio.run(asyncio.wait_for(OpenAdrWire(OpenAdrSettings(), StandInGrid()).run(), 60.0))  # type: ignore[arg-type]


def test_a_program_that_is_not_there_is_a_broken_rule(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        OpenAdrWire(OpenAdrSettings(vtns=(settings_of(tmp_path, "dso", "http://127.0.0.1:1", "nobody"),)), StandInGrid())  # type: ignore[arg-type]
