"""What the VEN tells people of events that it does not carry out. The rest of it plays against a VTN: tests/interop/test_openadr2.py."""

import asyncio
from typing import Any

from counterflow.adapters.openadr2.settings import OpenAdr2Settings
from counterflow.adapters.openadr2.ven import Ven


class Side:
    """The grid side of a server that has no program for anybody."""

    def __init__(self) -> None:
        self.alarms: dict[str, str | None] = {}

    def programs(self, _wire: Any) -> list[Any]:
        return []

    def now_s(self) -> float:
        return 0.0

    def turned_away(self, *_: Any) -> None:
        pass

    def alarm(self, _wire: Any, subject: str, sentence: str | None) -> None:
        self.alarms[subject] = sentence


def test_the_alarm_of_an_event_for_nobody_is_over_when_the_vtn_lists_it_no_more() -> None:
    side = Side()
    ven = Ven(side, OpenAdr2Settings(vtn_url="http://127.0.0.1:1", ven_name="v2g"))  # type: ignore[arg-type]

    async def life() -> None:
        for key in ("e-1", "e-2"):
            assert await ven._on_event({"event_descriptor": {"event_id": key, "market_context": "elsewhere"}}) == "optOut"
        assert all(side.alarms.values())
        await ven._synced(["e-2"])

    asyncio.run(life())
    assert side.alarms["event e-1"] is None
    assert "elsewhere" in str(side.alarms["event e-2"])
