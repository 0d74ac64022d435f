"""What the pool of a program can surely give, as it goes to the broker: in the modes that count, and as its schema says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiomqtt
import jsonschema_rs
import msgspec
import pytest

from counterflow.adapters.mqtt.offers_out import OffersOut
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.grid import Wire
from counterflow.domain.program_translation import Terms
from counterflow.sim.settings import WorldSettings

MIX = {"soc_min": 0.2, "soc_max": 0.4}
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "offers.json").read_text())


class Once:
    """Takes one message, and then the line is gone."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def say(self, topic: str, words: Any, *, retain: bool = False) -> int:
        self.said.append((topic, json.loads(msgspec.json.encode(words)), retain))
        raise aiomqtt.MqttError("gone")


@pytest.mark.parametrize(
    ("mode", "settings", "modes"),
    [
        ("net_export", {}, ["net_export"]),
        ("gross_export", {}, ["gross_export"]),
        ("relative", {}, ["relative"]),
        ("relative", {"offer_modes": ["net_export", "relative"]}, ["net_export", "relative"]),
    ],
)
def test_offers_are_of_the_mode_that_counts_for_the_program_or_of_those_that_are_set_and_say_so(
    program: dict[str, Any], mode: str, settings: dict[str, Any], modes: list[str]
) -> None:
    house = {"programs": [program | {"mode": mode}], "stations": {"accept_unknown": True}, "drivers": {"default": {"pausing": True}}}
    world = msgspec.convert({"stations": 8, "mix": MIX}, WorldSettings)
    place = Replay(msgspec.convert(house, Settings), world, 1, journal=MemoryJournal())
    place.run(120.0)
    (north,) = place.grid.programs(Wire.MQTT)
    told = msgspec.convert({"host": "x", "offer_windows_min": [15.0, 60.0], **settings}, MqttSettings)
    line: Any = Once()
    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(OffersOut(place.grid, Terms(north), told).run(line))
    [(topic, words, retained)] = line.said
    assert (topic, retained) == ("counterflow/north/offers", True)
    wanted = [(one, window_s) for one in modes for window_s in (900.0, 3_600.0)]
    assert [(one["mode"], one["window_s"]) for one in words["offers"]] == wanted
    # Nobody may be discharged here: only what counts charging that is given up is more than nothing.
    assert {one["mode"] for one in words["offers"] if one["power"] > 0.0} == {"relative"} & set(modes)
    jsonschema_rs.validate(SCHEMA, words)
