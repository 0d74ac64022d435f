"""Cars, a server, a broker and an operator's system, and each of the last three dies in turn: nothing is lost, all is in order, doubles
are recognisable."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, MixSettings, PlantSettings, StationSettings

PROGRAM = """
[[programs]]
name = "north"
wire = "mqtt"
sign = "generator"
unit = "kW"
max_discharge_power_w = 2_000_000
"""
STATIONS = 6


def fleet_at(url: str) -> FleetClient:
    mix = MixSettings(
        sizes_w=(11_000.0,), size_shares=(1.0,), soc_min=0.7, soc_max=0.75, target_soc_min=0.8, target_soc_max=0.8,
        departure_min_s=36_000.0, tight_share=0.0,
    )  # fmt: skip
    station = StationSettings(meter_interval_s=1)
    return FleetClient(
        FleetClientSettings(
            url=url, stations=STATIONS, plant=PlantSettings.ideal(), station=station, mix=mix, back_off_min_s=0.1, back_off_max_s=0.5
        )
    )


def a_session() -> dict[str, Any]:
    """The operator's session outlives its line: what is sent meanwhile waits at the broker."""
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    return {"identifier": "operator", "clean_start": False, "protocol": aiomqtt.ProtocolVersion.V5, "properties": properties}


def whole(heard: list[tuple[str, Any]]) -> dict[int, Any]:
    """All records that ever came, by number: none is missing, a double says the same, and each topic keeps its order."""
    live = [words for topic, words in heard if topic == "telemetry"]
    batches = [words for topic, words in heard if topic == "telemetry/replayed"]
    assert all(batch["replayed"] for batch in batches)
    records: dict[int, Any] = {}
    for record in [*live, *(record for batch in batches for record in batch["records"])]:
        assert records.setdefault(record["sequence"], record) == record
    numbers = [record["sequence"] for record in live]
    assert numbers == sorted(numbers)
    return records


async def records_behind(served: Any, sequence: int, count: int) -> list[int]:
    """The same over HTTP: numbers that the stream tells who comes back with the last one that he has read."""
    found: list[int] = []
    where, last = "/api/v1/telemetry/stream", {"Last-Event-ID": str(sequence)}
    async with served.api() as api, api.stream("GET", where, headers=last) as answer:
        async for line in answer.aiter_lines():
            found += [int(line.removeprefix("id: "))] if line.startswith("id: ") else []
            if len(found) == count:
                break
    return found


def is_whole(records: dict[int, Any]) -> bool:
    return len(records) == max(records) - min(records) + 1


def test_nothing_is_lost_whoever_dies(brokers: Any, serve: Any, settings_at: Any, peer: Any, until: Any) -> None:
    broker = brokers()
    served = serve(settings_at(broker.port, replay_batch=2) + PROGRAM, "--accept-unknown-stations", "--default-consent")
    heard: list[tuple[str, Any]] = []

    async def life() -> None:
        fleet = fleet_at(served.ocpp_url)
        await fleet.start()
        try:
            await fleet.wait_ready(60.0)
            await with_cars()
        finally:
            await fleet.stop()

    async def with_cars() -> None:
        async with peer(broker.port, **a_session()) as operator:
            operator.heard = heard
            await until(lambda: operator.heard_anywhere("counterflow/status", online=True))
            await until(lambda: operator.heard_anywhere("telemetry", sessions_ready=STATIONS))
            end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            now = datetime.now(UTC).isoformat()
            await operator.say("order", {"key": "o-1", "unit": "kW", "steps": [{"from": now, "value": 30}], "end": end})
            assert (await operator.answer(1))["outcome"] == "accepted"
            await until(lambda: operator.on("telemetry")[-1]["following"])
            await until(lambda: operator.on("telemetry")[-1]["delivered_power"] == pytest.approx(30.0, abs=1.5))
            assert operator.on("telemetry")[-1]["quality"] == "good"
            (offer, *_) = await until(lambda: operator.on("offers"))
            assert [one["window_s"] for one in offer["offers"]] == [900.0, 3_600.0, 14_400.0]
            assert {one["mode"] for one in offer["offers"]} == {"net_export"}
            assert (offer["unit"], [level["confidence"] for level in offer["offers"][0]["levels"]]) == ("kW", [0.5, 0.9, 0.95, 0.99])
            heard_s = time.time()
            await until(lambda: broker.saved_since(heard_s))
            broker.kill()
        await asyncio.sleep(2.1)
        broker.start()
        async with peer(broker.port, **a_session()) as operator:
            operator.heard = heard
            await until(lambda: operator.on("telemetry/replayed"))
            await until(lambda: is_whole(whole(heard)))
            before = max(whole(heard))
            served.kill()
            await until(lambda: operator.heard_anywhere("counterflow/status", online=False))
            await operator.say("withdraw", {"key": "while-away"})
            await served.restart()
            await until(lambda: operator.heard_anywhere("counterflow/status", online=True))
            # What was said meanwhile has waited.
            answer = await operator.answer(2)
            assert (answer["key"], answer["outcome"]) == ("while-away", "refused")
            await until(lambda: max(whole(heard)) > before + 2)
            await until(lambda: is_whole(whole(heard)))
            # The dispatch of before the crash is the same, and goes on.
            await until(lambda: operator.on("telemetry")[-1]["delivered_power"] == pytest.approx(30.0, abs=1.5))
            streamed = await records_behind(served, min(whole(heard)), len(whole(heard)))
            assert streamed == list(range(min(whole(heard)) + 1, min(whole(heard)) + 1 + len(streamed)))
            orders = operator.on("orders")[-1]["orders"]
            assert [(one["key"], one["state"], one["revision"]) for one in orders] == [("o-1", "running", 1)]

    asyncio.run(life())
