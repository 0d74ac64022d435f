"""What all pages show alike, fetched once for everybody: the fleet, open dispatches, notices, and the live course of each dispatch.

So ten viewers cost the server what one costs. While nobody looks, it looks now and then only.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from counterflow.console.api import Api, ApiError

LOOK_EVERY_S = 1.0
DISPATCHES_SEEN = 100
"""So many of the newest, and all that are open; years of them may be known."""
LOOK_IDLE_S = 10.0
COURSE_POINTS = 3_900
"""An hour of seconds, and what belongs to the edges."""
COURSE_STEPS = 900
"""Into so many steps the whole window is parted."""
HOUR_S = 3_600.0
ALL = "all"
"""The pool of the whole fleet."""
NOTICES_KEPT = 500
RETRY_S = 2.0
LOOK_WITHIN_S = 15.0
"""Longer than a server takes that is busy: one that takes longer hangs."""
OPEN = frozenset({"scheduled", "running", "resuming"})
OTHERS = frozenset({"conflicts.found", "conflicts.priority", "station.held_out", "station.released"})
"""Notices after which it may be another who steers, or leads."""
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
    """Something that happened to a dispatch, for the chart; `text` names the station, where it is about one."""

    at_s: float
    kind: str
    text: str


class Course:
    """The live course of one dispatch, and what was before anybody looked."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=COURSE_POINTS)
        """The newest hour, each second."""
        self.whole: list[Point] = []
        """All of it, one point in `step_s`."""
        self.marks: deque[Mark] = deque(maxlen=500)
        self.tolerance_frac = 0.0
        self.step_s = 1.0
        self.is_read = False
        """What was before is read back."""

    def point(self, at_s: float) -> Point:
        """The point of this second."""
        second = float(int(at_s))
        if not self.points or self.points[-1].at_s < second:
            self.points.append(Point(second))
            if not self.whole or second - self.whole[-1].at_s >= self.step_s:
                self.whole.append(self.points[-1])
        return self.points[-1]

    def begin_with(self, hour: dict[str, Any], whole: dict[str, Any], step_s: float) -> None:
        """Put what the server has kept before what was heard since."""
        read_to_s = whole["at_s"]
        newer = [point for point in self.points if point.at_s > read_to_s]
        marks = [Mark(one["at_s"], one["kind"], located(one["station_id"], one["text"])) for one in whole["marks"]]
        # The server answers once what it has told is written; what came since is later than its answer.
        marks += [mark for mark in self.marks if mark.at_s > read_to_s]
        self.points = deque((*points_of(hour["points"]), *newer), maxlen=COURSE_POINTS)
        self.whole = [*points_of(whole["points"]), *(point for point in self.whole if point.at_s > read_to_s)]
        self.marks = deque(sorted(marks, key=lambda mark: mark.at_s), maxlen=500)
        self.tolerance_frac, self.step_s, self.is_read = whole["tolerance_frac"], step_s, True


def points_of(ticks: list[dict[str, Any]]) -> list[Point]:
    """Ticks of a course as points of a chart."""
    return [Point(one["at_s"], one["target_power_w"], one["delivered_power_w"], one["headroom_power_w"]) for one in ticks]


def located(station_id: object, text: str) -> str:
    return f"{station_id}: {text}" if station_id else text


def about(notice: dict[str, Any]) -> tuple[object, object]:
    """What a notice is about, and the dispatch that it belongs to, if it says so."""
    return notice["subject"], (notice.get("values") or {}).get("dispatch_id")


def told(notice: dict[str, Any]) -> str:
    """A notice in words, with what it is about."""
    station_id = (notice.get("values") or {}).get("station_id")
    return located(station_id or notice["subject"], notice.get("text") or "")


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
        self.limits: list[dict[str, Any]] | None = None
        """None until the server has said once which there are."""
        self.meters: dict[str, dict[str, Any]] = {}
        """The newest telemetry record of each pool that is recorded and of interest."""
        self._wanted: dict[str, str] = {}
        self._unrecorded: set[str] = set()
        self.notices: deque[dict[str, Any]] = deque(maxlen=NOTICES_KEPT)
        self.others_told = 0
        """How often anything was heard of who else steers."""
        self.courses: dict[str, Course] = {}
        self._not_seen = "The server has not been asked yet."
        self._not_heard = ""
        self.looked_at_s = 0.0

    async def keep(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._keep_looking(), self._keep_listening())

    @property
    def trouble(self) -> str:
        """Why what is shown is old, in a sentence; empty = it is fresh."""
        return self._not_seen or self._not_heard

    @property
    def is_known(self) -> bool:
        """Whether the server has answered at all: until then nothing is known, and that there is nothing least of all."""
        return self.looked_at_s > 0.0

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

    def want(self, view: dict[str, Any]) -> Course:
        """Somebody looks at this dispatch: with the next look, what was before is read back, and its pool's meters are asked for."""
        instruction = view["instruction"]
        self._wanted[instruction["dispatch_id"]] = instruction["pool"]
        return self.course(instruction["dispatch_id"])

    def meter_age_s(self, pool: str) -> float | None:
        """How old the oldest meter value is that counts in a pool's sum (in that of the fleet where a pool is not recorded)."""
        record = self.meters.get(pool) or self.meters.get(ALL)
        age_s = None if record is None else record["meter_age_s"]
        return None if record is None or age_s is None else age_s + max(0.0, self._now_s() - record["at_s"])

    async def look(self) -> None:
        """Ask for everything once; whatever comes of it, it ends and is said."""
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                await self._look()
        except ApiError as error:
            self._not_seen = error.sentence
        except TimeoutError:
            self._not_seen = "The server does not answer."
        except Exception as error:  # noqa: BLE001  # an answer that is not understood must not end the feed of all pages
            self._not_seen = f"An answer of the server is not understood ({type(error).__name__})."

    async def _look(self) -> None:
        self.health = await self._api.health()
        self.fleet = await self._api.get(self._token, "/fleet")
        self.dispatches = await self._api.get(self._token, "/dispatches", most=DISPATCHES_SEEN)
        self.limits = await self._api.get(self._token, "/limits")
        await self._look_closely()
        self._not_seen, self.looked_at_s = "", self._now_s()
        known = {view["instruction"]["dispatch_id"] for view in self.dispatches}
        for gone in self.courses.keys() - known:
            del self.courses[gone]

    async def _look_closely(self) -> None:
        """What belongs to the dispatches that somebody looks at."""
        wanted, self._wanted = self._wanted, {}
        for pool in {ALL, *wanted.values()} - self._unrecorded:
            try:
                newest = await self._api.get(self._token, "/telemetry", pool=pool)
            except ApiError as error:
                if error.status != 404:
                    raise
                self._unrecorded.add(pool)
                continue
            self.meters |= {record["pool"]: record for record in newest}
        for dispatch_id in wanted:
            view = self.dispatch(dispatch_id)
            if view is not None and not self.course(dispatch_id).is_read:
                await self._read_back(dispatch_id, view["instruction"])

    async def _read_back(self, dispatch_id: str, instruction: dict[str, Any]) -> None:
        step_s = max(1.0, (instruction["end_s"] - instruction["start_s"]) / COURSE_STEPS)
        path = f"/dispatches/{quote(dispatch_id, safe='')}/course"
        whole = await self._api.get(self._token, path, step_s=step_s)
        since = datetime.fromtimestamp(self._now_s() - HOUR_S, UTC).isoformat()
        hour = whole if step_s == 1.0 else await self._api.get(self._token, path, since=since)
        self.course(dispatch_id).begin_with(hour, whole, step_s)

    def hear(self, notice: dict[str, Any]) -> None:
        """One notice of the event stream."""
        kind, values, subject = notice["kind"], notice.get("values") or {}, notice["subject"]
        if kind not in LOUD:
            self.notices.append(notice)
        self.others_told += kind in OTHERS
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
            mark = Mark(notice["at_s"], kind, told(notice))
            running = [view["instruction"]["dispatch_id"] for view in self.dispatches if view["instruction"]["state"] == "running"]
            for dispatch_id in [values["dispatch_id"]] if values.get("dispatch_id") else running:
                self.course(dispatch_id).marks.append(mark)

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
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
                    if notice is not None:
                        self.hear(notice)
                    self._not_heard = ""
            except ApiError as error:
                self._not_heard = error.sentence
            except Exception as error:  # noqa: BLE001  # the same; the stream is read on from the notice behind
                self._not_heard = f"A notice of the server is not understood ({type(error).__name__})."
            await asyncio.sleep(RETRY_S)
