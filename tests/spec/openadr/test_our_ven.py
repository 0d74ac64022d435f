"""Our VEN on real sockets: `counterflow serve` follows a program, and the official descriptions judge what it says; its reports add up."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.served_openadr import settings_of, stations

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.models import Event, Interval, IntervalPeriod, Report, ReportDescriptor, ValuesMap, Version
from counterflow.adapters.openadr.times import NOW_S
from counterflow.sim.vtn.serving import OPERATOR, Vtn, serving

Until = Callable[..., Awaitable[Any]]
STATIONS = 6
PIECE_S = 4.0
FOLLOWED = """
resources = [{{ name = "depot", max_export_power_w = 66000.0 }}]
programs = [{{ program = "north" }}]
[openadr.vtns.reports]
grace_s = 4.0
[openadr.vtns.webhook]
url = "http://127.0.0.1:{port}/oadr"
port = {port}
"""


def wish(kind: str, units: str | None = None, **fields: Any) -> ReportDescriptor:
    return ReportDescriptor(payload_type=kind, units=units, aggregate=True, **fields)


def posted(vtn: Vtn, **fields: Any) -> Event:
    store = vtn.house.store
    program = next(iter(store.all_of(models.Program)), None) or store.create(OPERATOR, models.Program(program_name="v2g"), Version.V3_1_0)
    event = store.create(OPERATOR, Event(program_id=program.id, **fields), Version.V3_1_0)
    assert isinstance(event, Event)
    return event


def ordered(vtn: Vtn, kw: float, pieces: int, start_s: float = NOW_S) -> Event:
    each = {"frequency": 1, "repeat": -1}
    return posted(
        vtn,
        event_name="disp",
        interval_period=IntervalPeriod(start_s=start_s, duration_s=PIECE_S),
        intervals=tuple(Interval(id=n, payloads=(ValuesMap(type="DISPATCH_SETPOINT", values=(kw,)),)) for n in range(pieces)),
        report_descriptors=(
            wish("DEMAND", "KW", **each), wish("SETPOINT", "KW", **each), wish("OPERATING_STATE", **each), wish("USAGE", "KWH"),
        ),
    )  # fmt: skip


def settings_for(vtn: Vtn, version: Version, tmp_path: Any) -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    return settings_of(vtn, tmp_path, FOLLOWED.format(port=port), version)


def reports_of(vtn: Vtn) -> dict[str, Report]:
    return {one.report_name or "": one for one in vtn.house.store.all_of(Report)}


def values_of(report: Report, kind: str) -> list[Any]:
    return [one.values[0] for interval in report.resources[0].intervals for one in interval.payloads if one.type == kind]


def test_reports_of_a_dispatch_add_up_to_its_settlement_and_all_that_was_said_fits_the_description(
    serve: Any, until: Until, tmp_path: Any, judge: Any, watching: Any
) -> None:
    async def life() -> None:
        async with serving() as vtn:
            exchanges = watching(vtn.app)
            posted(
                vtn,
                event_name="capability",
                interval_period=IntervalPeriod(start_s=NOW_S, duration_s=3600.0),
                report_descriptors=(
                    wish("GENERATION_DELTA_AVAILABLE", historical=False, num_intervals=2),
                    wish("STORAGE_USABLE_CAPACITY", historical=False, num_intervals=2),
                ),
            )
            with_stations = settings_for(vtn, Version.V3_1_0, tmp_path)
            served = await asyncio.to_thread(serve, with_stations, "--accept-unknown-stations", "--default-consent")
            async with stations(served, STATIONS), served.api() as api:
                await until(lambda: _fleet_is_ready(api), 60.0, 0.2)
                await until(lambda: _subscribed(vtn))
                ordered(vtn, -30.0, 4)
                await until(lambda: _has(vtn, "disp/1.0"), 120.0, 0.2)
                # On a busy machine meter values come after the reports; corrected ones follow after a minute, and after two.
                await until(lambda: _adds_up(api, vtn), 240.0, 0.5)
            told = reports_of(vtn)
            names = {"disp/state", *(f"disp/0.{n}" for n in range(4)), "disp/1.0"}
            assert names <= told.keys()
            assert {one.resources[0].resource_name for one in told.values()} == {"AGGREGATED_REPORT"}
            assert len(values_of(told["disp/1.0"], "USAGE")) == 4
            assert values_of(told["disp/0.3"], "DEMAND")[0] == pytest.approx(-30.0, rel=0.1)
            assert {values_of(told[f"disp/0.{n}"], "OPERATING_STATE")[0] for n in range(1, 4)} == {"RUNNING_CURTAILED"}
            assert {one.created_s == one.modified_s for one in told.values() if one.report_name == "disp/state"} == {True}
            assert [one.status for one in vtn.house.teller.told] == [200] * len(vtn.house.teller.told)
            assert vtn.house.teller.told != []
            await asyncio.to_thread(served.stop)
            assert judge.faults(exchanges) == []
            event = vtn.house.store.all_of(Event)[-1]
            assert judge.notification_faults(vtn.house.teller.body("CREATE", event, Version.V3_1_0), Version.V3_1_0) == []

    asyncio.run(life())


def test_in_3_0_1_our_ven_speaks_as_its_description_says(serve: Any, until: Until, tmp_path: Any, judge: Any, watching: Any) -> None:
    async def life() -> None:
        async with serving() as vtn:
            exchanges = watching(vtn.app)
            vtn.house.store.create(OPERATOR, models.Program(program_name="v2g"), Version.V3_0_1)
            served = await asyncio.to_thread(serve, settings_for(vtn, Version.V3_0_1, tmp_path))
            await until(lambda: _subscribed(vtn))
            event = ordered(vtn, -30.0, 2, round(time.time()) + 2.0)
            await until(lambda: _has(vtn, "disp/state"))
            await until(lambda: _has(vtn, "disp/0.1"))
            told = reports_of(vtn)
            assert told["disp/state"].program_id == event.program_id
            assert values_of(told["disp/state"], "OPERATING_STATE")[0].endswith(("_NORMAL", "_CURTAILED", "_OPTED_OUT"))
            assert [one.resource_name for one in vtn.house.store.all_of(models.Resource)] == ["depot"]
            await asyncio.to_thread(served.stop)
            asked = {(one.method, one.path.split("/")[3]) for one in exchanges}
            assert ("DELETE", "subscriptions") in asked
            assert {("POST", kind) for kind in ("vens", "subscriptions", "reports")} <= asked
            assert judge.faults(exchanges) == []
            if judge.knows(Version.V3_0_1):
                body = vtn.house.teller.body("CREATE", event, Version.V3_0_1)
                assert judge.notification_faults(body, Version.V3_0_1) == []

    asyncio.run(life())


async def _fleet_is_ready(api: Any) -> bool:
    return bool((await api.get("/api/v1/fleet")).json()["sessions_ready"] == STATIONS)


async def _adds_up(api: Any, vtn: Vtn) -> bool:
    """What the VTN was told, as energy and as power, and what is settled: to the Wh, but that powers are not of whole Wh."""
    (view,) = (await api.get("/api/v1/dispatches")).json()
    settled = (await api.get(f"/api/v1/dispatches/{view['instruction']['dispatch_id']}/report")).json()
    told = reports_of(vtn)
    by_power = [one for n in range(4) for one in values_of(told[f"disp/0.{n}"], "DEMAND")]
    usage_wh = -1000.0 * sum(values_of(told["disp/1.0"], "USAGE"))
    return round(usage_wh) == round(settled["delivered_energy_wh"]) and abs(-sum(by_power) * PIECE_S / 3.6 - usage_wh) < 5.0


async def _subscribed(vtn: Vtn) -> bool:
    return vtn.house.store.all_of(models.Subscription) != []


async def _has(vtn: Vtn, name: str) -> bool:
    return name in reports_of(vtn)
