"""Real sockets, real `kill -9`: what stations had before us is known again, and they get it back on request."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, StationSettings

Until = Callable[..., Awaitable[Any]]
FORMER = {"TxUpdatedInterval": "45", "Interval": "0"}


def test_killed_right_after_a_set_up_the_former_settings_are_known_and_given_back(serve: Callable[..., Any], until: Until) -> None:
    asyncio.run(_killed_and_given_back(serve("", "--accept-unknown-stations"), until))


async def _killed_and_given_back(served: Any, until: Until) -> None:
    fleet = FleetClient(
        FleetClientSettings(
            url=served.ocpp_url, stations=3, station=StationSettings(meter_interval_s=45), back_off_min_s=0.1, back_off_max_s=0.5
        )
    )
    await fleet.start()
    try:
        async with served.api() as api:

            async def views() -> list[dict[str, Any]]:
                return list((await api.get("/api/v1/stations")).json())

            async def all_set_up() -> bool:
                found = await views()
                return len(found) == 3 and all(view["meter_interval_s"] == 10.0 for view in found)

            await until(all_set_up)
            served.kill()
            await served.restart()

            async def all_back() -> bool:
                return all(view["connected"] for view in await views())

            await until(all_back)
            for view in await views():
                told = {
                    change["variable"]["name"]: change["former"]
                    for change in view["changed_settings"]
                    if not change["variable"]["instance"]
                }
                assert {name: told[name] for name in FORMER} == FORMER
        said = await served.command("stations", "restore", "SIM-00002")
        assert "has its own settings" in said
        state = fleet.fleet.stations[1].state
        assert (state.meter_interval_s, state.aligned["Interval"], state.setpoint_measurands) == (45, "0", ())
        served.kill()
        await served.restart()
        shown = json.loads(await served.command("stations", "show", "SIM-00002", "--json"))
        assert (shown["hands_off"], shown["changed_settings"], shown["meter_interval_s"]) == (True, [], 45.0)
        await until(lambda: fleet.fleet.stations[1].uplink.online)
        again = json.loads(await served.command("stations", "discover", "SIM-00002", "--json"))
        assert (again["hands_off"], again["meter_interval_s"]) == (False, 10.0)
        assert state.meter_interval_s == 10
    finally:
        await fleet.stop()
