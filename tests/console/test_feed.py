"""The feed of all pages: what it makes of notices, and that nothing that a server says ends it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from counterflow.console import feed as module
from counterflow.console.api import ApiError
from counterflow.console.feed import Feed

NOW_S = 1_800_000_000.0


class Server:
    """Says what it is given; `odd` = the first so many answers and notices make no sense."""

    def __init__(self, odd: int = 0) -> None:
        self.odd = odd
        self.asked = 0
        self.streams: list[str | None] = []

    async def health(self) -> Any:
        self.asked += 1
        if self.asked <= self.odd:
            raise ValueError("no JSON")
        return {"alarms": []}

    async def get(self, token: str, path: str, **_: Any) -> Any:
        return {"/fleet": {"sessions": 3}, "/dispatches": [{"instruction": {"dispatch_id": "d-1", "state": "running"}}], "/limits": []}[
            path
        ]

    async def events(self, token: str, after: str | None) -> AsyncIterator[tuple[str | None, dict[str, Any]]]:
        self.streams.append(after)
        yield "a-1", {"odd": True} if len(self.streams) <= self.odd else second(1.0)
        raise ApiError("The event stream of the server broke off.")


def second(power_w: float) -> dict[str, Any]:
    values = {"delivered_power_w": power_w, "delivered_energy_wh": 2.0}
    return {"at_s": NOW_S + 0.4, "kind": "dispatch.second", "subject": "d-1", "values": values}


def test_seconds_make_the_course_and_are_no_news() -> None:
    feed = Feed(Server(), "token", lambda: NOW_S)  # type: ignore[arg-type]
    feed.hear(second(5.0))
    feed.hear({"at_s": NOW_S + 0.6, "kind": "dispatch.tick", "subject": "d-1", "values": {"target_power_w": 6.0, "headroom_power_w": 1.0}})
    feed.hear({"at_s": NOW_S + 1.0, "kind": "dispatch.note", "subject": "d-1", "text": "api:ann: by telephone", "values": {}})
    (point,) = feed.course("d-1").points
    assert (point.at_s, point.delivered_w, point.target_w, point.headroom_w) == (NOW_S, 5.0, 6.0, 1.0)
    assert [notice["kind"] for notice in feed.notices] == ["dispatch.note"]
    assert [mark.text for mark in feed.course("d-1").marks] == ["api:ann: by telephone"]


def test_what_is_not_understood_is_said_and_does_not_end_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.001)
    server = Server(odd=2)

    async def life() -> Feed:
        feed = Feed(server, "token", lambda: NOW_S)  # type: ignore[arg-type]
        feed.viewers = 1
        keeping = asyncio.create_task(feed.keep())
        troubles = set()
        while not (feed.fleet and feed.courses.get("d-1")):
            troubles.add(feed.trouble)
            assert not keeping.done()
            await asyncio.sleep(0)
        keeping.cancel()
        assert any("not understood" in trouble for trouble in troubles)
        return feed

    feed = asyncio.run(asyncio.wait_for(life(), 20.0))
    assert feed.fleet == {"sessions": 3}
    assert server.streams[1] == "a-1", "it reads on behind what it could not read"
