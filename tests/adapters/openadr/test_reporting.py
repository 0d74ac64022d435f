"""Reports are filed once, corrected when they must be, and found again after crashes and lost answers: against our VTN, without sockets."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from counterflow.adapters.openadr.client import VtnClient
from counterflow.adapters.openadr.introduction import Followed, Introduction
from counterflow.adapters.openadr.models import (
    Event,
    Interval,
    IntervalPeriod,
    Report,
    ReportDescriptor,
    ValuesMap,
    Version,
)
from counterflow.adapters.openadr.models import Program as OperatorsProgram
from counterflow.adapters.openadr.report_filing import VenName
from counterflow.adapters.openadr.report_settings import ReportSettings
from counterflow.adapters.openadr.reporting import Reporting
from counterflow.adapters.openadr.settings import FollowedProgram, VtnSettings
from counterflow.adapters.openadr.times import NOW_S
from counterflow.domain.grid import GridOrder, GridOrderRecord, GridOutcome, GridStep, GridUnit, PoolTelemetry, Program, Sign, Wire
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Offer
from counterflow.domain.settlement import IntervalFigures, Quality
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.sim.vtn.faults import Fault
from counterflow.sim.vtn.serving import OPERATOR, VEN, Vtn, build

T0 = 1_795_348_800.0
QUARTER = 900.0
PROGRAM = Program(name="v2g", wire=Wire.OPENADR, max_discharge_power_w=5e6, sign=Sign.LOAD, unit=GridUnit.KW)


class Grid:
    """`GridSide` as far as reports ask: two dispatches at most, and a pool that says what a test lets it say."""

    def __init__(self) -> None:
        self.at_s = T0 - 100.0
        self.kept: dict[str, Any] = {}
        self.alarms: dict[str, str] = {}
        self.records: list[GridOrderRecord] = []
        self.version = 1
        self.missing_wh = 0.0
        self.pool: list[PoolTelemetry] = []
        self.asked: list[Sequence[float]] = []
        self.offers: list[tuple[float, float | None]] = []
        self.modes: list[DispatchMode] = []

    def now_s(self) -> float:
        return self.at_s

    def notes(self, wire: Wire) -> Mapping[str, Any]:
        return dict(self.kept)

    def note(self, wire: Wire, key: str, body: Any) -> None:
        if body is None:
            self.kept.pop(key, None)
        else:
            self.kept[key] = msgspec.json.decode(msgspec.json.encode(body))

    def alarm(self, wire: Wire, subject: str, sentence: str | None) -> None:
        if sentence is None:
            self.alarms.pop(subject, None)
        else:
            self.alarms[subject] = sentence

    def standing(self, program: str) -> Sequence[GridOrderRecord]:
        return self.records

    async def intervals(self, dispatch_id: DispatchId, edges_s: Sequence[float]) -> Sequence[IntervalFigures] | Refusal:
        self.asked.append(edges_s)
        found = []
        for from_s, to_s in pairwise(edges_s):
            hours = (to_s - from_s) / 3600.0
            wh = 2_000_000.0 * hours - self.missing_wh
            figures = IntervalFigures(
                start_s=from_s, duration_s=to_s - from_s, mean_power_w=wh / hours, energy_wh=wh, baseline_wh=0.0, delivered_wh=wh,
                target_power_w=2e6, quality=Quality.ESTIMATED if self.missing_wh else Quality.GOOD, version=self.version,
            )  # fmt: skip
            found.append(figures)
        return found

    async def offer(
        self, pool: PoolId, window_s: float, confidence: float | None, start_s: float | None, mode: DispatchMode
    ) -> Offer | Refusal:
        self.offers.append((window_s, start_s))
        self.modes.append(mode)
        return Refusal(kind=RefusalKind.CONFLICT, sentence="Nothing is plugged in.", remedy="Wait.")

    def telemetry(self, pool: PoolId) -> PoolTelemetry:
        if not self.pool:
            raise KeyError(pool)
        return self.pool[-1]

    async def telemetry_since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        return [one for one in self.pool if one.sequence > sequence][:most]


class Stage:
    """A VTN with an event, a grid with its dispatch, and reporting between them."""

    def __init__(self, grid: Grid, vtn: Vtn, version: Version = Version.V3_1_0) -> None:
        self.grid = grid
        self.vtn = vtn
        self.version = version
        self.introduction: Introduction | None = None
        self.events: dict[str, Event] = {}
        self.sleeps: list[float] = []
        settings = VtnSettings(name="op", url=vtn.url(version), client_id=VEN.client_id, client_secret_env="SECRET", version=version)
        transport = httpx.ASGITransport(app=vtn.app, raise_app_exceptions=False)

        async def sleep(pause_s: float) -> None:
            self.sleeps.append(pause_s)

        self.client = VtnClient(settings, grid.now_s, transport=transport, sleep=sleep)
        self.reporting = self.restarted()

    def restarted(self) -> Reporting:
        name = VenName(vtn="op", client_name="depot", version=self.version)
        self.reporting = Reporting(name, ReportSettings(), self.grid, self.client, self)  # type: ignore[arg-type]
        return self.reporting

    def post(self, *wishes: ReportDescriptor, **fields: Any) -> Event:
        """The operator posts an event, and its order is accepted."""
        store = self.vtn.house.store
        if self.introduction is None:
            program = store.create(OPERATOR, OperatorsProgram(program_name="v2g"), self.version)
            follow = FollowedProgram(program="v2g")
            followed = {program.id: Followed(program, ((follow, PROGRAM),))}  # type: ignore[arg-type]
            self.introduction = Introduction("ven-1", followed, frozenset(), ())
        values: dict[str, Any] = {
            "program_id": next(iter(self.introduction.followed)),
            "event_name": "disp",
            "report_descriptors": wishes,
            "interval_period": IntervalPeriod(start_s=T0, duration_s=QUARTER),
            "intervals": tuple(Interval(id=n, payloads=(ValuesMap(type="DISPATCH_SETPOINT", values=(-2000.0,)),)) for n in (0, 1)),
            **fields,
        }
        event = store.create(OPERATOR, Event(**values), self.version)
        assert isinstance(event, Event)
        self.events[event.id] = event
        order = GridOrder(program="v2g", key=event.id, steps=(GridStep(from_s=T0, discharge_power_w=2e6),), end_s=T0 + 2 * QUARTER)
        accepted = GridOutcome.ACCEPTED
        self.grid.records = [GridOrderRecord(order=order, revision=1, heard_at_s=T0, outcome=accepted, dispatch_id=DispatchId("d-1"))]
        return event

    def at(self, at_s: float) -> None:
        self.grid.at_s = at_s
        asyncio.run(self.reporting.step())

    def reports(self) -> dict[str, Report]:
        found = self.vtn.house.store.all_of(Report)
        assert len({one.report_name for one in found}) == len(found)
        return {one.report_name or "": one for one in found}

    def said(self, name: str) -> list[dict[str, Any]]:
        return [{one.type: one.values[0] for one in interval.payloads} for interval in self.reports()[name].resources[0].intervals]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("SECRET", VEN.secret)
    grid = Grid()
    return Stage(grid, build("http://vtn", now_s=grid.now_s, run="t"))


USAGE = ReportDescriptor(payload_type="USAGE", units="KWH", aggregate=True)
EACH = ReportDescriptor(payload_type="DEMAND", units="KW", aggregate=True, frequency=1, repeat=-1)


def test_a_report_is_filed_once_after_the_grace(stage: Stage) -> None:
    stage.post(USAGE)
    for at_s in (T0, T0 + 2 * QUARTER, T0 + 2 * QUARTER + 29.0):
        stage.at(at_s)
    assert stage.reports() == {}
    for step in range(3):
        stage.at(T0 + 2 * QUARTER + 30.0 + step)
    report = stage.reports()["disp/0.0"]
    assert (report.client_name, report.resources[0].resource_name) == ("depot", "AGGREGATED_REPORT")
    assert stage.said("disp/0.0") == [{"USAGE": -500.0}, {"USAGE": -500.0}]
    assert stage.reporting.counts == {"posted": 1}


def test_a_report_each_interval_and_their_sum_is_that_of_the_whole(stage: Stage) -> None:
    each = msgspec.structs.replace(USAGE, frequency=1, repeat=-1, report_intervals="SUB_INTERVALS")
    stage.post(USAGE, each)
    for step in range(35):
        stage.at(T0 + 60.0 * step + 30.0)
    assert sorted(stage.reports()) == ["disp/0.0", "disp/1.0", "disp/1.1"]
    parts = [value["USAGE"] for name in ("disp/1.0", "disp/1.1") for value in stage.said(name)]
    assert (len(parts), round(sum(parts), 3)) == (30, -1000.0)
    assert [one.id for one in stage.reports()["disp/1.1"].resources[0].intervals] == list(range(15))


def test_who_asks_for_data_quality_once_gets_it_in_every_report_of_the_event(stage: Stage) -> None:
    stage.grid.pool = [pool_at(T0 - 100.0, 1)]
    state = ReportDescriptor(payload_type="OPERATING_STATE", aggregate=True, frequency=1, repeat=-1)
    stage.post(EACH, ReportDescriptor(payload_type="DATA_QUALITY"), USAGE, state)
    stage.at(T0 - 92.0)
    stage.at(T0 - 90.0)
    assert stage.said("disp/state") == [{"OPERATING_STATE": "RUNNING_NORMAL", "DATA_QUALITY": "OK"}]
    for at_s in (T0 + QUARTER + 30.0, T0 + 2 * QUARTER + 30.0):
        stage.at(at_s)
    assert sorted(stage.reports()) == ["disp/0.0", "disp/0.1", "disp/1.0", "disp/state"]
    assert stage.said("disp/1.0") == [{"USAGE": -500.0, "DATA_QUALITY": "OK"}] * 2
    assert stage.said("disp/0.0") == [{"DEMAND": -2000.0, "DATA_QUALITY": "OK"}]


def test_late_meter_values_put_a_corrected_version(stage: Stage) -> None:
    stage.grid.missing_wh = 1000.0
    stage.post(USAGE)
    stage.at(T0 + 2 * QUARTER + 30.0)
    assert stage.said("disp/0.0") == [{"USAGE": -499.0, "DATA_QUALITY": "ESTIMATED"}] * 2
    first = stage.reports()["disp/0.0"]
    stage.at(T0 + 2 * QUARTER + 95.0)
    assert stage.reports()["disp/0.0"] == first
    stage.grid.missing_wh, stage.grid.version = 0.0, 2
    stage.at(T0 + 2 * QUARTER + 400.0)
    corrected = stage.reports()["disp/0.0"]
    assert stage.said("disp/0.0") == [{"USAGE": -500.0}] * 2
    assert (corrected.id, corrected.modified_s != first.modified_s) == (first.id, True)
    assert stage.reporting.counts["corrected"] == 1


def test_after_a_restart_nothing_is_sent_twice_and_corrections_go_on(stage: Stage) -> None:
    stage.grid.missing_wh = 1000.0
    stage.post(USAGE, EACH)
    stage.at(T0 + 2 * QUARTER + 30.0)
    assert len(stage.reports()) == 3
    stage.restarted()
    before = len(stage.vtn.house.faults.requests)
    stage.at(T0 + 2 * QUARTER + 31.0)
    assert len(stage.vtn.house.faults.requests) == before
    stage.grid.missing_wh, stage.grid.version = 0.0, 2
    stage.at(T0 + 2 * QUARTER + 120.0)
    assert stage.reporting.counts["corrected"] == 3
    assert len(stage.reports()) == 3


def test_after_a_restart_days_later_what_was_filed_is_still_corrected_and_what_was_not_is_not_made_up_for(stage: Stage) -> None:
    stage.grid.missing_wh = 1000.0
    stage.post(USAGE)
    stage.at(T0 + 2 * QUARTER + 30.0)
    (event,) = stage.events.values()
    more = msgspec.structs.replace(event, report_descriptors=(USAGE, EACH))
    stage.events[event.id] = more  # as if the second had never been filed
    stage.restarted()
    stage.grid.missing_wh, stage.grid.version = 0.0, 2
    days_later = T0 + 3 * 86_400.0
    stage.at(days_later)
    stage.at(days_later + 61.0)
    assert stage.said("disp/0.0") == [{"USAGE": -500.0}] * 2
    assert set(stage.reports()) == {"disp/0.0"}


def test_a_crash_between_the_answer_and_the_note_does_not_file_it_twice(stage: Stage) -> None:
    event = stage.post(USAGE)
    stage.at(T0 + 2 * QUARTER + 30.0)
    key = f"op/report/{event.id}/disp/0.0"
    stage.grid.kept[key] = ["", "", T0]  # what was noted before it was sent
    stage.restarted()
    stage.at(T0 + 2 * QUARTER + 40.0)
    assert list(stage.reports()) == ["disp/0.0"]
    assert stage.grid.kept[key][0] == stage.reports()["disp/0.0"].id


def test_a_note_that_died_with_the_run_does_not_file_it_twice(stage: Stage) -> None:
    stage.post(USAGE)
    stage.at(T0 + 2 * QUARTER + 30.0)
    stage.grid.kept.clear()
    stage.restarted()
    stage.at(T0 + 2 * QUARTER + 40.0)
    assert list(stage.reports()) == ["disp/0.0"]
    assert [method for method, path in stage.vtn.house.faults.requests if path.endswith("/reports")].count("POST") == 1


def test_a_lost_answer_is_looked_up_and_not_sent_again(stage: Stage) -> None:
    stage.post(USAGE)
    stage.vtn.house.faults.add(Fault(method="POST", path="/reports", lost=True))
    stage.at(T0 + 2 * QUARTER + 30.0)
    stage.vtn.house.faults.waiting.clear()
    stage.at(T0 + 2 * QUARTER + 60.0)
    assert list(stage.reports()) == ["disp/0.0"]
    posts = [one for one in stage.vtn.house.faults.requests if one == ("POST", "/openadr3/3.1.0/reports")]
    assert len(posts) == 1


def test_a_vtn_that_is_away_gets_its_reports_when_it_is_back(stage: Stage) -> None:
    stage.post(USAGE, EACH)
    stage.vtn.house.faults.add(Fault(path="/reports", status=503, times=1000))
    for at_s in (1000.0, 1010.0, 1050.0, 1200.0, 1400.0, 2000.0):
        stage.at(T0 + at_s)
    assert stage.reports() == {}
    assert stage.reporting.waiting > 0
    assert any("is not taken yet" in sentence for sentence in stage.grid.alarms.values())
    stage.vtn.house.faults.waiting.clear()
    for at_s in (2400.0, 2800.0):
        stage.at(T0 + at_s)
    assert sorted(stage.reports()) == ["disp/0.0", "disp/1.0", "disp/1.1"]
    assert stage.grid.alarms == {}
    assert stage.reporting.waiting == 0


def test_a_report_that_the_vtn_refuses_is_given_up_in_a_sentence(stage: Stage) -> None:
    event = stage.post(USAGE)
    stage.vtn.house.faults.add(Fault(method="POST", path="/reports", status=400))
    for at_s in (2000.0, 2001.0, 3000.0):
        stage.at(T0 + at_s)
    assert stage.reports() == {}
    assert list(stage.grid.alarms) == [f"op: report disp/0.0 of {event.id}"]
    del stage.events[event.id]
    stage.at(T0 + 3001.0)
    assert stage.grid.alarms == {}


def test_an_order_is_answered_by_its_operating_state(stage: Stage) -> None:
    stage.grid.pool = [pool_at(T0 - 100.0, 1)]
    event = stage.post(ReportDescriptor(payload_type="OPERATING_STATE", aggregate=True))
    stage.at(T0 - 92.0)
    assert stage.reports() == {}  # its order may not be placed yet
    stage.at(T0 - 90.0)
    assert stage.said("disp/state") == [{"OPERATING_STATE": "RUNNING_NORMAL"}]
    stage.grid.records = [msgspec.structs.replace(stage.grid.records[0], outcome=GridOutcome.REFUSED)]
    stage.restarted()
    stage.at(T0 - 80.0)
    stage.at(T0 - 78.0)
    assert stage.said("disp/state") == [{"OPERATING_STATE": "RUNNING_NORMAL"}], "it was answered before the restart"
    stage.events[event.id] = msgspec.structs.replace(event, priority=0)
    stage.at(T0 - 70.0)
    stage.at(T0 - 68.0)
    assert stage.said("disp/state") == [{"OPERATING_STATE": "RUNNING_OPTED_OUT"}], "what was changed is answered again"


def test_a_cancelled_event_is_reported_as_far_as_it_went(stage: Stage) -> None:
    event = stage.post(USAGE)
    stage.at(T0 + 60.0)
    cancelled = msgspec.structs.replace(event, interval_period=IntervalPeriod(start_s=NOW_S, duration_s=0.0))
    stage.events[event.id] = cancelled
    order = msgspec.structs.replace(stage.grid.records[0].order, end_s=T0 + 300.0)
    stage.grid.records = [msgspec.structs.replace(stage.grid.records[0], order=order, outcome=GridOutcome.WITHDRAWN)]
    stage.at(T0 + 300.0)
    stage.at(T0 + 330.0)
    report = stage.reports()["disp/0.0"]
    assert report.resources[0].interval_period == IntervalPeriod(start_s=T0, duration_s=300.0)
    assert len(report.resources[0].intervals) == 1


def test_a_deleted_event_is_reported_as_far_as_it_went_if_the_vtn_takes_it(stage: Stage) -> None:
    event = stage.post(USAGE)
    stage.at(T0 + 60.0)
    del stage.events[event.id]
    stage.at(T0 + 100.0)
    stage.at(T0 + 130.0)
    assert stage.reports()["disp/0.0"].resources[0].interval_period == IntervalPeriod(start_s=T0, duration_s=100.0)


def test_what_is_told_without_a_dispatch_comes_from_telemetry_and_is_estimated(stage: Stage) -> None:
    stage.post(EACH)
    stage.grid.records = []
    stage.grid.pool = [pool_at(T0 + 10.0 * n, n + 1) for n in range(90)]
    stage.at(T0 + QUARTER + 30.0)
    assert stage.said("disp/0.0") == [{"DEMAND": 7.0, "DATA_QUALITY": "ESTIMATED"}]


def test_a_dispatch_that_covers_a_part_of_an_interval_does_not_speak_for_the_whole(stage: Stage) -> None:
    stage.post(msgspec.structs.replace(USAGE, num_intervals=1, start_interval=0), intervals=(Interval(id=0, payloads=()),))
    short = msgspec.structs.replace(stage.grid.records[0].order, end_s=T0 + QUARTER / 2)
    stage.grid.records = [msgspec.structs.replace(stage.grid.records[0], order=short)]
    stage.grid.pool = [pool_at(T0 + 10.0 * n, n + 1) for n in range(90)]
    stage.at(T0 + QUARTER + 30.0)
    assert stage.said("disp/0.0") == [{"USAGE": 1.75, "DATA_QUALITY": "ESTIMATED"}]


def test_what_telemetry_told_stands_when_a_part_of_its_records_is_gone(stage: Stage) -> None:
    stage.post(USAGE)
    stage.grid.records = []
    stage.grid.pool = [pool_at(T0 + 10.0 * n, n + 1) for n in range(180)]
    stage.at(T0 + 2 * QUARTER + 30.0)
    before = stage.reports()["disp/0.0"]
    assert stage.said("disp/0.0") == [{"USAGE": 1.75, "DATA_QUALITY": "ESTIMATED"}] * 2
    stage.restarted()
    stage.grid.pool = stage.grid.pool[90:]
    for wait_s in (40.0, 120.0, 400.0):
        stage.at(T0 + 2 * QUARTER + wait_s)
    assert stage.reports()["disp/0.0"] == before


@pytest.mark.parametrize(
    ("mode", "payload_type", "modes"),
    [
        (DispatchMode.NET_EXPORT, "UP_REGULATION_AVAILABLE", [DispatchMode.NET_EXPORT]),
        (DispatchMode.GROSS_EXPORT, "GENERATION_DELTA_AVAILABLE", [DispatchMode.GROSS_EXPORT]),
        (DispatchMode.RELATIVE, "GENERATION_DELTA_AVAILABLE", [DispatchMode.NET_EXPORT]),
        (DispatchMode.RELATIVE, "UP_REGULATION_AVAILABLE", [DispatchMode.NET_EXPORT, DispatchMode.RELATIVE]),
    ],
)
def test_offers_are_asked_in_the_mode_that_counts_for_the_program(
    stage: Stage, mode: DispatchMode, payload_type: str, modes: list[DispatchMode]
) -> None:
    wish = ReportDescriptor(payload_type=payload_type, historical=False)
    stage.post(wish, intervals=(), interval_period=IntervalPeriod(start_s=T0, duration_s=3600.0))
    assert stage.introduction is not None
    followed = {
        name: replace(one, ours=tuple((follow, replace(program, mode=mode)) for follow, program in one.ours))
        for name, one in stage.introduction.followed.items()
    }
    stage.introduction = replace(stage.introduction, followed=followed)
    stage.at(T0 + 600.0)
    assert stage.grid.modes == modes * 25


def test_offers_are_asked_for_each_interval_of_a_forecast_that_is_near(stage: Stage) -> None:
    wish = ReportDescriptor(
        payload_type="GENERATION_DELTA_AVAILABLE", historical=False, start_interval=0, num_intervals=48, frequency=1, repeat=-1
    )
    stage.post(wish, intervals=(), interval_period=IntervalPeriod(start_s=T0, duration_s=3600.0))
    stage.at(T0 + 600.0)
    assert stage.grid.offers[:3] == [(3000.0, None), (3600.0, T0 + 3600.0), (3600.0, T0 + 7200.0)]
    assert len(stage.grid.offers) == 25
    assert stage.reports() == {}  # nothing can be promised, and nothing is said


def test_an_event_for_others_is_not_reported_on(stage: Stage) -> None:
    stage.post(USAGE, targets=("somebody-else",))
    stage.at(T0 + 3000.0)
    assert stage.reports() == {}


def test_version_3_0_1_names_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", VEN.secret)
    grid = Grid()
    stage = Stage(grid, build("http://vtn", now_s=grid.now_s, run="t"), Version.V3_0_1)
    event = stage.post(USAGE)
    stage.at(T0 + 2 * QUARTER + 30.0)
    assert stage.reports()["disp/0.0"].program_id == event.program_id


def test_notes_of_reports_are_forgotten_in_the_end(stage: Stage) -> None:
    event = stage.post(USAGE)
    stage.at(T0 + 2 * QUARTER + 30.0)
    del stage.events[event.id]
    stage.at(T0 + 8 * 86_400.0)
    assert len(stage.grid.kept) == 1
    stage.at(T0 + 10 * 86_400.0)
    assert stage.grid.kept == {}


def pool_at(at_s: float, sequence: int) -> PoolTelemetry:
    return PoolTelemetry(
        sequence=sequence, at_s=at_s, pool=PoolId("all"), measured_power_w=-7000.0, baseline_power_w=None, target_power_w=None,
        delivered_power_w=None, committed_power_w=None, up_power_w=None, up_energy_wh=None, down_power_w=None, ramp_w_per_s=None,
        sessions=1, sessions_ready=1, unmeasured_sessions=0, meter_age_s=1.0, quality=Quality.GOOD, available=True,
        following=False, fault=False,
    )  # fmt: skip
