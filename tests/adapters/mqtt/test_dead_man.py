"""A source of set-points that falls silent, over real sockets: by MQTT, whose broker dies, and over HTTP. The cars are let go each time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, MixSettings, PlantSettings, StationSettings

STREAM = """
sign = "generator"
unit = "kW"
max_discharge_power_w = 100_000
stream_timeout_s = 2.0
stream_hold_s = 0.5
stream_ramp_down_s = 0.5
"""
SETTINGS = """
[resume]
resume_over_s = 2.0
[orders.targets]
min_timeout_s = 2.0
[[programs]]
name = "slow"
wire = "mqtt"
{stream}
[[programs]]
name = "fast"
wire = "http"
priority = 5
{stream}
"""
MIX = MixSettings(
    sizes_w=(11_000.0,), size_shares=(1.0,), soc_min=0.6, soc_max=0.65, target_soc_min=0.8, target_soc_max=0.8, departure_min_s=36_000.0,
    tight_share=0.0,
)  # fmt: skip


def test_sources_that_fall_silent_let_their_cars_go(brokers: Any, serve: Any, settings_at: Any, peer: Any, until: Any) -> None:
    broker = brokers()
    served = serve(settings_at(broker.port) + SETTINGS.format(stream=STREAM), "--accept-unknown-stations", "--default-consent")
    asyncio.run(_life(broker, served, peer, until))


async def _life(broker: Any, served: Any, peer: Any, until: Any) -> None:
    station = StationSettings(meter_interval_s=1)
    fleet = FleetClient(FleetClientSettings(url=served.ocpp_url, stations=4, plant=PlantSettings.ideal(), station=station, mix=MIX))
    await fleet.start()
    try:
        await fleet.wait_ready()
        async with served.api() as api:

            async def newest() -> Any:
                (record,) = (await api.get("/api/v1/telemetry")).json()
                return record

            async def overdue() -> list[str]:
                return [alarm for alarm in (await api.get("/healthz")).json()["alarms"] if "has no source" in alarm]

            async def nobody_follows() -> bool:
                told = await newest()
                return (told["target_power_w"], told["following"]) == (0.0, False)

            async def moves_and_is_let_go(tell: Callable[[], Awaitable[object]], falls_silent: Callable[[], object]) -> None:
                async def follows() -> bool:
                    await tell()
                    return (await newest())["target_power_w"] == 20e3 and abs(-fleet.true_power_w() - 20e3) < 3e3

                await until(follows, every_s=0.4)
                assert (await newest())["following"]
                falls_silent()
                await until(overdue)
                await until(lambda: fleet.true_power_w() >= 0.0)
                await until(nobody_follows)

            await until(lambda: _ready(api))
            async with peer(broker.port, "counterflow/slow/") as operator:
                await until(lambda: operator.heard_anywhere("counterflow/status", online=True))
                await moves_and_is_let_go(lambda: operator.say("setpoint", {"value": 20, "unit": "kW"}), broker.kill)

            async def told_over_http() -> None:
                said = await api.post("/api/v1/programs/fast/setpoint", json={"value": 20, "unit": "kW"})
                assert said.status_code == 200, said.text

            await moves_and_is_let_go(told_over_http, lambda: None)

            async def heard_again() -> bool:
                await told_over_http()
                return await overdue() == []

            await until(heard_again)
    finally:
        await fleet.stop()


async def _ready(api: Any) -> bool:
    return bool((await api.get("/api/v1/fleet")).json()["sessions_ready"] == 4)
