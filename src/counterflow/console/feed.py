"""What all pages show alike, fetched once for everybody: the fleet, open dispatches, notices, and the live course of each dispatch.

So ten viewers cost the server what one costs. While nobody looks, it looks now and then only.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from counterflow.console.api import Api, ApiError

LOOK_EVERY_S = 1.0
LOOK_IDLE_S = 10.0
COURSE_POINTS = 3_900
"""An hour of seconds, and what belongs to the edges."""
NOTICES_KEPT = 500
RETRY_S = 2.0
OPEN = frozenset({"scheduled", "running", "resuming"})
LOUD = frozenset({"dispatch.second", "dispatch.tick", "fleet.second"})
"""Notices that come each second: they make the course, and are no news to read."""


class Point(Struct):
    """One second of a dispatch; unknown is None, and is drawn as a gap."""

    at_s: float
    target_w: float | None = None
    delivered_w: float | None = None
    headroom_w: float | None = None
    energy_wh: float | None = None


class Mark(Struct, frozen=True):
    """Something that happened to a dispatch, for the chart."""

    at_s: float
    kind: str
    text: str


class Course:
    """The live course of one dispatch."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=COURSE_POINTS)
        self.marks: deque[Mark] = deque(maxlen=500)

    def point(self, at_s: float) -> Point:
        """The point of this second."""
        second = float(int(at_s))
        if not self.points or self.points[-1].at_s < second:
            self.points.append(Point(second))
        return self.points[-1]


class Feed:
    """`keep()` runs for ever. Everything is read by pages on the same event loop."""

    def __init__(self, api: Api, token: str, now_s: Callable[[], float]) -> None:
        self._api = api
        self._token = token
        self._now_s = now_s
        self.viewers = 0
        """Pages that are open."""
        self.fleet: dict[str, Any] = {}
        self.health: dict[str, Any] = {}
        self.dispatches: list[dict[str, Any]] = []
        self.limits: list[dict[str, Any]] = []
        self.notices: deque[dict[str, Any]] = deque(maxlen=NOTICES_KEPT)
        self.courses: dict[str, Course] = {}
        self.trouble = "The server has not been asked yet."
        """Why what is shown is old, in a sentence; empty = it is fresh."""
        self.looked_at_s = 0.0

    async def keep(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._keep_looking(), self._keep_listening())

    def dispatch(self, dispatch_id: str) -> dict[str, Any] | None:
        """One dispatch as last seen."""
        return next((view for view in self.dispatches if view["instruction"]["dispatch_id"] == dispatch_id), None)

    def open_dispatches(self) -> list[dict[str, Any]]:
        """Those that are scheduled, run, or resume charging; the running first."""
        found = [view for view in self.dispatches if view["instruction"]["state"] in OPEN]
        return sorted(found, key=lambda view: (view["instruction"]["state"] == "scheduled", view["instruction"]["start_s"]))

    def course(self, dispatch_id: str) -> Course:
        """The live course of a dispatch, as far as it was heard."""
        return self.courses.setdefault(dispatch_id, Course())

    async def look(self) -> None:
        """Ask for everything once."""
        try:
            self.health = await self._api.health()
            self.fleet = await self._api.get(self._token, "/fleet")
            self.dispatches = await self._api.get(self._token, "/dispatches")
            self.limits = await self._api.get(self._token, "/limits")
        except ApiError as error:
            self.trouble = error.sentence
            return
        self.trouble, self.looked_at_s = "", self._now_s()
        known = {view["instruction"]["dispatch_id"] for view in self.dispatches}
        for gone in self.courses.keys() - known:
            del self.courses[gone]

    def hear(self, notice: dict[str, Any]) -> None:
        """One notice of the event stream."""
        kind, values, subject = notice["kind"], notice.get("values") or {}, notice["subject"]
        if kind not in LOUD:
            self.notices.append(notice)
        if kind == "dispatch.second":
            point = self.course(subject).point(notice["at_s"])
            point.delivered_w = values.get("delivered_power_w")
            point.energy_wh = values.get("delivered_energy_wh")
        elif kind == "dispatch.tick":
            point = self.course(subject).point(notice["at_s"])
            point.target_w, point.headroom_w = values.get("target_power_w"), values.get("headroom_power_w")
        elif kind.startswith("dispatch."):
            self.course(subject).marks.append(Mark(notice["at_s"], kind, notice.get("text", "")))
        elif kind in ("session.dropped_out", "session.refused", "session.guarded"):
            # A notice of a session names no dispatch: it concerns those that run.
            for view in self.dispatches:
                if view["instruction"]["state"] == "running":
                    self.course(view["instruction"]["dispatch_id"]).marks.append(Mark(notice["at_s"], kind, notice.get("text", "")))

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # an answer that is not understood must not end the feed of all pages
                self.trouble = f"An answer of the server is not understood ({type(error).__name__})."
            for _ in range(round((LOOK_EVERY_S if self.viewers else LOOK_IDLE_S) / LOOK_EVERY_S)):
                await asyncio.sleep(LOOK_EVERY_S)
                if self.viewers:
                    break

    async def _keep_listening(self) -> None:
        after: str | None = None
        while True:
            try:
                async for number, notice in self._api.events(self._token, after):
                    after = number or after
                    self.hear(notice)
            except ApiError as error:
                self.trouble = error.sentence
            except Exception as error:  # noqa: BLE001  # the same; the stream is read on from the notice behind
                self.trouble = f"A notice of the server is not understood ({type(error).__name__})."
            await asyncio.sleep(RETRY_S)
