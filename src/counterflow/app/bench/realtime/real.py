"""The course in real time: `counterflow serve` in a process of its own, stations as WebSocket clients in another, values over HTTP."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from counterflow.app.bench.processes import Child
from counterflow.app.bench.realtime.course import TERMS, Course
from counterflow.app.bench.realtime.played import Played
from counterflow.app.bench.realtime.truth import Standing
from counterflow.app.bench.realtime.virtual import RETURN_S, CannotPlayError
from counterflow.app.hosting.own_server import START_S, OwnServer, OwnServerError
from counterflow.domain.delivery import DeliveryReport

STATIONS = "counterflow.app.bench.realtime.stations"
ANY_CORE = 0
"""A child of a bench is told a core; this one is placed by the kernel."""
POLL_S = 0.05
SAY_EVERY_S = 10

Say = Callable[[str], None]


def play_really(course: Course, folder: Path, say: Say, config: Path | None = None) -> Played:
    """Play it with a settings file, if there is one. Raises `CannotPlayError`, and what a child raises.

    Its processes go with it, whatever happens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _served(folder, config) as server, Child(STATIONS, ANY_CORE, folder / "stations.log") as stations:
        headers = {"Authorization": f"Bearer {_token_of(server)}"}
        with httpx.Client(base_url=server.api_url, headers=headers, timeout=30.0) as api:
            return _Run(course, api, stations, say).play(server.ocpp_url)


class _Run:
    def __init__(self, course: Course, api: httpx.Client, stations: Child, say: Say) -> None:
        self._course, self._api, self._stations, self._say = course, api, stations, say
        self._late_s: list[float] = []
        self._answered_s: list[float] = []
        self._said_s = 0.0

    def play(self, url: str) -> Played:
        course = self._course
        began = self._stations.ask("start", url=url, course=msgspec.to_builtins(course))
        rated_w, start_s = began["rated_w"], began["began_s"] + course.gather_s + course.notice_s
        self._wait_until(start_s - course.notice_s, "stations connect, cars plug in")
        self._must_stand()
        body = {"discharge_power_w": course.peak_w(rated_w), "duration_s": course.seconds, "start_s": start_s}
        body["stream"] = msgspec.to_builtins(TERMS)
        dispatch_id = _granted(self._api.post("/api/v1/dispatches", json=body))["dispatch"]["instruction"]["dispatch_id"]
        before = self._counters()
        self._stream(f"/api/v1/dispatches/{dispatch_id}", start_s, rated_w)
        after = self._counters()
        self._wait_until(start_s + course.seconds, "the last values")
        self._await_return(f"/api/v1/dispatches/{dispatch_id}")
        truth = self._stations.ask("truth", start_s=start_s)
        report = msgspec.json.decode(
            self._api.get(f"/api/v1/dispatches/{dispatch_id}/report", params={"format": "json"}).content, type=DeliveryReport
        )
        self._stations.ask("stop")
        return Played(
            target_w=course.target_w(rated_w).tolist(),
            delivered_w=[float("nan") if power_w is None else power_w for power_w in truth["delivered_w"]],
            standing=msgspec.convert(truth["standing"], Standing),
            messages=report.messages_sent,
            metered_wh=report.delivered_energy_wh,
            disturbance=self._disturbance(truth["late_s"], before, after),
        )

    def _stream(self, path: str, start_s: float, rated_w: float) -> None:
        """Every value when it is due, and the cars leave when they do."""
        gone = False
        for number, (second, power_w) in enumerate(self._course.values(rated_w)):
            if second >= self._course.drop_out_at and not gone:
                gone = True
                self._wait_until(start_s + second, "")
                self._say(f"{self._stations.ask('drop_out')['cars']} cars leave")
            self._wait_until(start_s + second, "")
            began_s = time.time()
            self._late_s.append(began_s - start_s - second)
            _granted(self._api.put(f"{path}/target", json={"discharge_power_w": power_w, "sequence": number}))
            self._answered_s.append(time.time() - began_s)
            if time.monotonic() - self._said_s >= SAY_EVERY_S:
                self._said_s = time.monotonic()
                true_w = -self._stations.ask("progress")["true_power_w"]
                self._say(f"second {second:>4} of {self._course.seconds}: asked {power_w / 1e6:.3f} MW, given {true_w / 1e6:.3f} MW")

    def _must_stand(self) -> None:
        progress = self._stations.ask("progress")
        ready: int = _granted(self._api.get("/api/v1/fleet"))["sessions_ready"]
        if progress["booted"] < self._course.stations or progress["pending"] or ready < 0.8 * self._course.stations:
            raise CannotPlayError(
                f"After {self._course.gather_s} s {progress['booted']} of {self._course.stations} stations have booted, "
                f"{progress['pending']} cars wait to charge and {ready} can be discharged: the machine is too busy for this run."
            )

    def _await_return(self, path: str) -> None:
        deadline_s = time.monotonic() + RETURN_S
        while time.monotonic() < deadline_s:
            state = _granted(self._api.get(path))["instruction"]["state"]
            placed = _granted(self._api.get("/api/v1/fleet"))["profiles_placed"]
            self._say_sometimes(f"the window is over; {placed} profiles are still at stations")
            if state == "completed" and placed == 0:
                return
            time.sleep(1.0)

    def _wait_until(self, at_s: float, doing: str) -> None:
        while (left_s := at_s - time.time()) > 0.0:
            if doing:
                self._say_sometimes(doing)
            time.sleep(min(left_s, 1.0))

    def _say_sometimes(self, words: str) -> None:
        if time.monotonic() - self._said_s >= SAY_EVERY_S:
            self._said_s = time.monotonic()
            self._say(words)

    def _counters(self) -> dict[str, float]:
        """The server's own counters."""
        text = self._api.get("/metrics").raise_for_status().text
        return {
            sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples if not sample.labels
        }

    def _disturbance(self, plant_late_s: Sequence[float], before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
        """How late what was due came, here, at the stations and in the server."""
        counted = {
            name: after[f"counterflow_{name}_total"] - before[f"counterflow_{name}_total"]
            for name in ("ticks", "ticks_late", "ticks_missed")
        }
        return counted | {
            "value_sent_late_ms_p99": 1e3 * _quantile(self._late_s, 0.99),
            "value_sent_late_ms_max": 1e3 * _quantile(self._late_s, 1.0),
            "value_answered_ms_p50": 1e3 * _quantile(self._answered_s, 0.5),
            "value_answered_ms_p99": 1e3 * _quantile(self._answered_s, 0.99),
            "value_answered_ms_max": 1e3 * _quantile(self._answered_s, 1.0),
            "plant_late_ms_p99": 1e3 * _quantile(plant_late_s, 0.99),
            "plant_late_ms_max": 1e3 * _quantile(plant_late_s, 1.0),
        }


@contextmanager
def _served(folder: Path, config: Path | None) -> Iterator[OwnServer]:
    server = OwnServer(folder, config)
    try:
        yield server
    finally:
        server.stop()


def _token_of(server: OwnServer) -> str:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        try:
            token = server.token()
        except OwnServerError as error:
            raise CannotPlayError(str(error)) from None
        if token:
            return token
        time.sleep(POLL_S)
    raise CannotPlayError(f"the server did not come up within {START_S:g} s; see {server.log}.")


def _granted(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise CannotPlayError(f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text[:300]}")
    return answer.json()


def _quantile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(np.array(values), share)) if values else 0.0
