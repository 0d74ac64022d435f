"""The feed of all pages: what it makes of notices, and that nothing that a server says ends it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from counterflow.console import feed as module
from counterflow.console.api import ApiError
from counterflow.console.feed import Feed
from counterflow.console.frame import old_words, trouble_words

NOW_S = 1_800_000_000.0
INSTRUCTION = {"dispatch_id": "d-1", "state": "running", "pool": "unrecorded", "start_s": NOW_S - 100.0, "end_s": NOW_S + 7100.0}
COURSE = {
    "at_s": NOW_S - 10.0,
    "tolerance_frac": 0.05,
    "points": [
        {"at_s": NOW_S - 20.0 + 4.0 * tick, "target_power_w": 6.0, "delivered_power_w": 5.0, "headroom_power_w": None} for tick in range(3)
    ],
    "marks": [
        {"at_s": NOW_S - 15.0, "kind": "session.dropped_out", "station_id": "CS-1", "text": "its transaction has ended"},
        {"at_s": NOW_S - 14.0, "kind": "dispatch.note", "station_id": "", "text": "ann: by telephone"},
    ],
}


class Server:
    """Says what it is given; `odd` = the first so many answers and notices make no sense."""

    def __init__(self, odd: int = 0) -> None:
        self.odd = odd
        self.asked = 0
        self.streams: list[str | None] = []
        self.paths: list[tuple[str, ...]] = []

    async def health(self) -> Any:
        self.asked += 1
        if self.asked <= self.odd:
            raise ValueError("no JSON")
        return {"alarms": []}

    async def get(self, token: str, path: str, **params: Any) -> Any:
        self.paths.append((path, *params))
        if path == "/telemetry" and params["pool"] == "unrecorded":
            raise ApiError("There is no such pool.", 404)
        return {
            "/fleet": {"sessions": 3},
            "/dispatches": [{"instruction": INSTRUCTION}],
            "/limits": [],
            "/telemetry": [{"pool": params.get("pool"), "at_s": NOW_S - 1.0, "meter_age_s": 4.0}],
            "/dispatches/d-1/course": COURSE,
        }[path]

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

    feed = asyncio.run(asyncio.wait_for(life(), 60.0))
    assert feed.fleet == {"sessions": 3}
    assert server.streams[1] == "a-1", "it reads on behind what it could not read"


def test_what_was_before_is_read_back_once_somebody_looks_and_joins_what_is_heard() -> None:
    server = Server()

    async def life() -> Feed:
        feed = Feed(server, "token", lambda: NOW_S)  # type: ignore[arg-type]
        lost = {"station_id": "CS-2", "dispatch_id": "d-1"}
        for at_s, dispatch_id in ((NOW_S - 12.0, "d-1"), (NOW_S - 1.0, "d-1"), (NOW_S - 1.0, "d-other")):
            said = {"at_s": at_s, "kind": "session.dropped_out", "subject": "7", "text": "unplugged"}
            feed.hear(said | {"values": lost | {"dispatch_id": dispatch_id}})
        feed.hear(second(5.0))
        await feed.look()
        for _ in range(2):
            feed.want(feed.dispatches[0])
            await feed.look()
        return feed

    feed = asyncio.run(life())
    course = feed.course("d-1")
    assert [point.at_s for point in course.points] == [NOW_S - 20.0, NOW_S - 16.0, NOW_S - 12.0, NOW_S]
    assert [point.at_s for point in course.whole] == [point.at_s for point in course.points]
    # What was heard before it was read back is in there already, and is not shown twice.
    assert [mark.text for mark in course.marks] == ["CS-1: its transaction has ended", "ann: by telephone", "CS-2: unplugged"]
    assert (course.tolerance_frac, course.step_s) == (0.05, 8.0)
    assert [path for path in server.paths if "course" in path[0]] == [
        ("/dispatches/d-1/course", "step_s"),
        ("/dispatches/d-1/course", "since"),
    ]
    assert {path for path in server.paths if path[0] == "/dispatches"} == {("/dispatches", "most")}, "not all that were ever known"
    assert feed.meter_age_s("unrecorded") == 5.0, "of the whole fleet, since its pool is not recorded"
    assert feed.meter_age_s("all") == 5.0


def test_a_stream_that_is_refused_stays_in_sight_until_it_is_open_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing happens that it could tell: an open stream is enough."""
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    opens = asyncio.Event()

    class Refusing(Server):
        async def events(self, token: str, after: str | None) -> AsyncIterator[tuple[str | None, dict[str, Any] | None]]:
            if not opens.is_set():
                raise ApiError("Too many listen.")
            yield None, None
            await asyncio.Event().wait()

    async def life() -> Feed:
        feed = Feed(Refusing(), "token", lambda: NOW_S)  # type: ignore[arg-type]
        keeping = asyncio.create_task(feed._keep_listening())
        while not feed._not_heard:
            await asyncio.sleep(0)
        await feed.look()
        assert feed.trouble == "Too many listen.", "the course of a dispatch stands still, though the rest is fresh"
        opens.set()
        while feed.trouble:
            await asyncio.sleep(0)
        keeping.cancel()
        return feed

    assert not asyncio.run(asyncio.wait_for(life(), 60.0)).notices


def test_a_server_that_hangs_is_no_longer_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_WITHIN_S", 0.01)

    class Hanging(Server):
        async def health(self) -> Any:
            await asyncio.Event().wait()

    feed = Feed(Hanging(), "token", lambda: NOW_S)  # type: ignore[arg-type]
    asyncio.run(feed.look())
    assert feed.trouble == "The server does not answer."
    assert trouble_words(feed, NOW_S) == "The server does not answer. Nothing is known yet."
    assert old_words(feed, NOW_S) == "not known yet"


def test_what_is_old_says_of_when_it_is() -> None:
    now = [NOW_S]
    feed = Feed(Server(), "token", lambda: now[0])  # type: ignore[arg-type]
    asyncio.run(feed.look())
    assert trouble_words(feed, NOW_S + 4.0) == ""
    assert trouble_words(feed, NOW_S + 7.0) == "The server does not answer. What is shown is of 08:00:00 UTC."
    assert old_words(feed, NOW_S + 7.0) == "7 s"
