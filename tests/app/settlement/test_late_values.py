"""Versions of a report on the virtual clock: what comes late makes a new one, until the gate closes."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.app.settlement.gathering import MARGIN_S, gather
from counterflow.app.settlement.late_values import LateValues
from counterflow.app.settlement.reporting import Reporting
from counterflow.domain.delivery import DeliveryReport, LogEntry, LogKind, Stored
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchInstruction, DispatchMode, DispatchOrder, DispatchState
from counterflow.domain.records import DocumentKind, SessionRecord
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.views import Refusal
from counterflow.engine.fleet.frozen import frozen_in
from counterflow.engine.settlement.settings import SettlementSettings
from counterflow.sim.settings import WorldSettings

OPEN_HOUSE: dict[str, Any] = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True, "pausing": True}}}
NOW_S = 1_800_000_000.0  # a Friday
DAY_S = 86_400.0
NAN = float("nan")


def dispatch(name: str = "d", start_s: float = NOW_S, **fields: Any) -> DispatchInstruction:
    tree: dict[str, Any] = {
        "dispatch_id": name,
        "start_s": start_s,
        "end_s": start_s + 600.0,
        "steps": (),
        "pool": "all",
        "policy": "hybrid",
    }
    tree |= {"mode": "relative", "priority": 0, "accepted_at_s": start_s, "state": "completed"}
    return msgspec.convert(tree | fields, DispatchInstruction)


@pytest.fixture(scope="module")
def played() -> Replay:
    """A relative order of two minutes, over for a while."""
    at = Replay(msgspec.convert(OPEN_HOUSE, Settings), WorldSettings(stations=12), 3, journal=MemoryJournal()).run(120)
    order = DispatchOrder(discharge_power_w=20_000.0, duration_s=120.0, mode=DispatchMode.RELATIVE, baseline=BaselineMethod.FORWARD)
    answer = at.do(at.operations.order(order, None, False))
    assert isinstance(answer, DispatchAnswer)
    return at.run(600)


def the_dispatch(at: Replay) -> DispatchInstruction:
    [instruction] = at.room.dispatcher.book.instructions.values()
    return instruction


def test_a_relative_order_logs_what_each_baseline_needs(played: Replay) -> None:
    instruction = the_dispatch(played)
    assert instruction.baseline is BaselineMethod.FORWARD
    log = played.journal.dispatch_log(instruction.dispatch_id)
    frozen = frozen_in(log)
    joined = [entry for entry in log if entry.kind == LogKind.JOINED]
    assert {entry.session_uid for entry in joined} <= set(frozen)
    assert joined
    assert all(entry.evse_id > 0 for entry in joined)
    assert all(one.car.soc_frac is not None and one.car.capacity_wh is not None for one in frozen.values())
    report = played.report(instruction.dispatch_id)
    assert report.baseline is not None
    assert report.baseline.method is BaselineMethod.FORWARD
    assert report.delivered_energy_wh > 0.0


def test_late_values_make_a_version_that_says_what_changed_and_after_the_gate_none(played: Replay, tmp_path: Path) -> None:
    instruction = the_dispatch(played)
    files = ReportFiles(tmp_path)
    told: list[tuple[DispatchId, float]] = []
    reporting = Reporting(played.journal, files, played.settings.settlement, files.newest, lambda: [instruction])
    reporting.late.tell = lambda *what: told.append(what)
    first = reporting.build(instruction, played.now_s)
    assert (first.version, first.revision) == (1, None)
    assert reporting.build(instruction, played.now_s + 60.0) == first
    # A reading of its last minute comes an hour late, and does not fit those that follow.
    uid = next(session.session_uid for session in first.sessions if session.exported_wh > 0.0)
    own = [sample for sample in played.journal.samples([uid], 0.0, 1e12) if sample.at_s <= instruction.end_s]
    later_s = instruction.end_s + 3_600.0
    for _ in range(2):
        played.journal.sample(uid, later_s, instruction.end_s - 0.5, own[-1].power_w, own[-1].export_wh + 5.0, own[-1].import_wh, NAN)
    played.journal.sample(SessionUid(999), later_s, later_s - 5.0 * MARGIN_S, 0.0, 1.0, NAN, NAN)
    assert told == [(instruction.dispatch_id, later_s)]
    late = [entry for entry in played.journal.dispatch_log(instruction.dispatch_id) if entry.kind == LogKind.LATE]
    assert [entry.at_s for entry in late] == [later_s // 60.0 * 60.0]
    second = reporting.build(instruction, later_s + 60.0)
    assert second.version == 2
    assert second.revision is not None
    assert second.revision.of_version == 1
    assert second.revision.sessions_changed >= 1
    assert second.delivered_energy_wh != first.delivered_energy_wh == second.revision.delivered_before_wh
    gate_s = instruction.end_s + 7.0 * DAY_S
    played.journal.sample(uid, gate_s + 5.0, instruction.end_s - 5.0, 0.0, own[-1].export_wh + 50.0, NAN, NAN)
    assert len(told) == 1
    assert reporting.build(instruction, gate_s + 100.0) == second
    assert files.versions(instruction.dispatch_id) == [1, 2]


def test_what_is_late_concerns_only_dispatches_that_are_over_and_near(tmp_path: Path) -> None:
    journal = MemoryJournal()
    others = [dispatch("over"), dispatch("under way", NOW_S + 550.0), dispatch("long ago", NOW_S - 10.0 * DAY_S)]
    late = LateValues(journal, lambda: others, SettlementSettings())
    told: list[str] = []
    late.tell = lambda name, _now_s: told.append(name)
    for second in range(0, 120, 10):
        journal.sample(SessionUid(1), NOW_S + 700.0 + second, NOW_S + 600.0 + second - 40.0, 1.0, NAN, NAN, NAN)
    # Once for each minute of receipt and each minute that it is about.
    assert told == ["over"] * 5
    assert {entry.at_s for entry in journal.dispatch_log(DispatchId("over"))} == {NOW_S + 660.0, NOW_S + 720.0, NOW_S + 780.0}


def test_an_end_inside_a_window_that_is_told_late_is_written_down_until_the_gate_closes() -> None:
    journal = MemoryJournal()
    late = LateValues(journal, lambda: [dispatch("over"), dispatch("under way", NOW_S + 550.0)], SettlementSettings())
    told: list[str] = []
    late.tell = lambda name, _now_s: told.append(name)
    record = session(1, NOW_S - 60.0, None)
    gate_s = NOW_S + 600.0 + 7.0 * DAY_S

    def ended(at_s: float, told_s: float, *, assumed: bool = False) -> list[str]:
        """Of which dispatches the log has it."""
        before = {name: len(journal.dispatch_log(DispatchId(name))) for name in ("over", "under way")}
        late.ended(msgspec.structs.replace(record, ended_s=NOW_S + at_s, end_assumed=assumed), NOW_S + told_s)
        return [name for name, count in before.items() if len(journal.dispatch_log(DispatchId(name))) > count]

    late.ended(record, NOW_S + 700.0)
    assert ended(300.0, 300.5) == [], "told at once, while it runs"
    assert ended(300.0, 700.0, assumed=True) == []
    assert ended(-1.0, 700.0) == ended(601.0 - 60.0, gate_s - NOW_S + 1.0) == []
    assert told == []
    assert ended(598.0, 601.0) == ["over"]
    assert told == ["over"]
    assert ended(300.0, 400.0) == ["over"]
    assert ended(560.0, 700.0) == ["over", "under way"]
    assert told == ["over", "over"], "a report of what is under way is still to be made"
    newest = journal.dispatch_log(DispatchId("over"))[-1]
    assert (newest.kind, newest.at_s, newest.session_uid, newest.ended_s) == (LogKind.ENDED, NOW_S + 700.0, 1, NOW_S + 560.0)
    # A report as of then does not know of it.
    assert [entry.at_s for entry in gathered(journal, dispatch("over"), NOW_S + 650.0).log] == [NOW_S + 601.0, NOW_S + 400.0]


def test_when_thousands_of_sessions_end_in_a_second_all_dispatches_ever_known_are_looked_through_once() -> None:
    looked: list[float] = []
    known = [dispatch("over"), *(dispatch(f"d-{days}", NOW_S - days * DAY_S) for days in range(8, 100))]
    late = LateValues(MemoryJournal(), lambda: looked.append(0.0) or known, SettlementSettings())
    told: list[str] = []
    late.tell = lambda name, _now_s: told.append(name)
    for uid in range(1, 51):
        late.ended(session(uid, NOW_S - 60.0, NOW_S + 300.0), NOW_S + 700.0 + uid / 100.0)
    assert (len(looked), told) == (1, ["over"] * 50)
    known.append(dispatch("newer", NOW_S + 200.0))
    late.ended(session(99, NOW_S - 60.0, NOW_S + 300.0), NOW_S + 801.0)
    assert (len(looked), told[50:]) == (2, ["over", "newer"])


def test_nobody_has_to_listen() -> None:
    journal = MemoryJournal()
    LateValues(journal, lambda: [dispatch()], SettlementSettings())
    journal.sample(SessionUid(1), NOW_S + 700.0, NOW_S + 500.0, 1.0, NAN, NAN, NAN)
    assert len(journal.dispatch_log(DispatchId("d"))) == 1


# --- what is gathered -----------------------------------------------------------------------------------------------------------


def gathered(journal: MemoryJournal, instruction: DispatchInstruction, now_s: float = NOW_S + 90_000.0, others: Any = ()) -> Stored:
    return gather(journal, instruction, now_s, SettlementSettings(), lambda: others)


def test_samples_are_those_that_were_there_at_the_instant() -> None:
    journal = MemoryJournal()
    journal.log(DispatchId("d"), LogEntry(at_s=NOW_S, kind=LogKind.JOINED, session_uid=SessionUid(1), station_id="CS1", evse_id=1))
    for at in (-2_000.0, -900.0, 0.0, 600.0, 1_590.0, 1_700.0, 1_800.0, 2_500.0, 4_100.0, 4_300.0):
        journal.sample(SessionUid(1), NOW_S + at, NOW_S + at, 0.0, NAN, NAN if at == 1_800.0 else at, NAN)
    journal.sample(SessionUid(1), NOW_S + 9_000.0, NOW_S + 300.0, 0.0, NAN, 7.0, NAN)
    journal.sample(SessionUid(1), NOW_S + 9_010.0, NOW_S + 2_700.0, 0.0, NAN, 8.0, NAN)
    journal.log(DispatchId("d"), LogEntry(at_s=NOW_S + 8_980.0, kind=LogKind.LATE))

    def times(samples: Any) -> list[float]:
        return [sample.at_s - NOW_S for sample in samples]

    at_once = gathered(journal, dispatch(), NOW_S + 700.0)
    assert (times(at_once.samples), times(at_once.after)) == ([-900.0, 0.0, 600.0], [])
    in_the_end = gathered(journal, dispatch())
    assert times(in_the_end.samples) == [-900.0, 0.0, 600.0, 1_590.0, 300.0]
    # Of each five minutes the last with a register, up to an hour after the stop; and what came late.
    assert times(in_the_end.after) == [2_700.0, 1_700.0, 2_500.0, 4_100.0]
    stopped = gathered(journal, dispatch(resume_from_s=NOW_S + 60.0, state=DispatchState.CANCELLED.value))
    assert times(stopped.after) == [2_700.0, 1_700.0, 2_500.0]


def session(uid: int, started_s: float, ended_s: float | None, station: str = "CS1") -> SessionRecord:
    record = {"session_uid": uid, "station_id": station, "transaction_id": f"T{uid}", "site_id": "s", "evse_id": 1, "started_s": started_s}
    return msgspec.convert(record | {"terms": {}, "ended_s": ended_s}, SessionRecord)


def test_history_is_of_days_of_the_same_kind_without_a_dispatch() -> None:
    journal = MemoryJournal()
    journal.log(DispatchId("d"), LogEntry(at_s=NOW_S, kind=LogKind.JOINED, session_uid=SessionUid(1), station_id="CS1", evse_id=1))
    for back in range(1, 9):
        begun_s = NOW_S - back * DAY_S - 3_600.0
        journal.put(DocumentKind.SESSION, str(back), session(100 + back, begun_s, begun_s + 7_200.0))
        journal.sample(SessionUid(100 + back), NOW_S - back * DAY_S, NOW_S - back * DAY_S, 5.0, NAN, 1.0, NAN)
    journal.put(DocumentKind.SESSION, "x", session(200, NOW_S - 2.0 * DAY_S, None, "CS2"))
    journal.put(DocumentKind.SESSION, "y", session(201, NOW_S - 9.0 * DAY_S, NOW_S - 9.0 * DAY_S + 60.0))
    wanted = dispatch(baseline="ten_of_ten")
    stored = gathered(journal, wanted, others=[wanted, dispatch("busy", NOW_S - 4.0 * DAY_S - 300.0)])
    days = [round((NOW_S - day_s) / DAY_S) for day_s in stored.past_days_s]
    # A Friday: Thursday back to Monday but for the day with a dispatch, no weekend, and on to the oldest that is kept.
    weekdays = [back for back in range(1, 10) if (4 - back) % 7 < 5 and back != 4]
    assert days == weekdays
    assert {past.session_uid - 100 for past in stored.past} == set(weekdays) - {9} | ({101} if 9 in weekdays else set())
    assert len(stored.history) == len(weekdays) - (1 if 9 in weekdays else 0)
    assert gathered(journal, dispatch()).past_days_s == ()


def test_no_more_days_are_taken_than_are_asked_for() -> None:
    journal = MemoryJournal()
    journal.log(DispatchId("d"), LogEntry(at_s=NOW_S, kind=LogKind.JOINED, session_uid=SessionUid(1), station_id="CS1", evse_id=1))
    journal.put(DocumentKind.SESSION, "y", session(201, NOW_S - 90.0 * DAY_S, NOW_S - 89.0 * DAY_S))
    assert len(gathered(journal, dispatch(baseline="high_five_of_ten")).past_days_s) == 10


def test_a_report_of_the_live_operations_is_the_kept_one(played: Replay) -> None:
    made = played.report(the_dispatch(played).dispatch_id)
    assert isinstance(made, DeliveryReport)
    assert played.report(made.dispatch_id) is made


def test_a_wire_gets_the_figures_of_single_intervals_from_the_grid_side(played: Replay) -> None:
    report = played.report(the_dispatch(played).dispatch_id)
    start_s, end_s = report.instruction.start_s, report.instruction.end_s
    told = asyncio.run(played.grid.intervals(report.dispatch_id, [start_s, start_s + 60.0, end_s]))
    assert not isinstance(told, Refusal)
    assert sum(each.delivered_wh for each in told) == report.delivered_energy_wh
    assert {each.version for each in told} == {report.version}
    assert all(each.baseline_wh < 0.0 < each.delivered_wh for each in told)
    unknown = asyncio.run(played.grid.intervals(DispatchId("nobody"), [start_s, end_s]))
    assert isinstance(unknown, Refusal)
