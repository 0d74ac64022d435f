"""The whole house on real sockets: a control system commands, simulated stations follow, and the points show it."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, PlantSettings

SETTINGS = """
[telemetry]
period_s = 1.0
look_s = 1.0

[ocpp]
sampling_interval_s = 1

[control]
tick_interval_s = 1.0

[resume]
resume_over_s = 5.0

[[programs]]
name = "afrr"
wire = "iec104"
sign = "generator"
unit = "kW"
max_discharge_power_w = 100000.0
stream_timeout_s = 5.0
stream_hold_s = 1.0
stream_ramp_down_s = 2.0

[iec104]
port = {port}
confirm_within_s = 2.0

[[iec104.stations]]
program = "afrr"
common_address = 47
cycle_s = 1.0
deadband_frac = 0.001
"""
CARS = msgspec.convert(
    {"delay_min_s": 0.1, "delay_max_s": 0.2, "ramp_min_w_per_s": 20_000.0, "ramp_max_w_per_s": 20_000.0, "gain_sd": 0.0, "meter_loss": 0.0},
    PlantSettings,
)


def test_a_set_point_moves_the_fleet_the_point_follows_and_silence_lets_go(
    serve: Callable[..., Any], until: Any, master_class: Any, free_port: Any
) -> None:
    port = free_port()
    served = serve(SETTINGS.format(port=port), "--accept-unknown-stations", "--default-consent")
    asyncio.run(_life(served, until, master_class(port)))


async def _life(served: Any, until: Any, control: Any) -> None:
    fleet = FleetClient(FleetClientSettings(url=served.ocpp_url, stations=10, plant=CARS))
    await fleet.start()
    try:
        await fleet.wait_ready()
        await asyncio.to_thread(control.connect)
        assert await asyncio.to_thread(control.interrogate)
        await until(lambda: (control.value(2012), control.value(2014)) == (10.0, 10.0))

        async def keep_telling(power_kw: float, done: Callable[[], bool]) -> None:
            async def told() -> bool:
                assert await asyncio.to_thread(control.command, 1001, power_kw), served.log
                return done()

            await until(told, every_s=0.5)

        await keep_telling(20.0, lambda: abs(control.value(2001) - 20.0) < 2.0)
        assert abs(-fleet.true_power_w() - 20e3) < 3e3
        assert (control.value(1002), control.value(3001), control.value(3011)) == (20.0, True, False)
        assert not await asyncio.to_thread(control.command, 1001, 101.0), "more than the program may ask"
        await until(lambda: control.value(3011) is True)
        await until(lambda: control.value(2017) == 0.0)
        async with served.api() as api:
            alarms = (await api.get("/healthz")).json()["alarms"]
            entries = (await api.get("/api/v1/audit")).json()
        assert [alarm for alarm in alarms if "has no source" in alarm]
        assert [entry["status"] for entry in entries if entry["who"] == "iec104:afrr"] == [422, 200]
        served.kill()
        await until(lambda: not control.connection.is_connected)
        await served.restart()
        await asyncio.to_thread(control.join)
        assert await asyncio.to_thread(control.interrogate)
        await keep_telling(10.0, lambda: (control.value(1002), control.value(3011)) == (10.0, False))
    finally:
        control.close()
        await fleet.stop()
