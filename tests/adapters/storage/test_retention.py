"""What is kept, what moves, what goes; and that nothing is lost or seen twice on the way."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from counterflow.adapters.storage.archive import DayWriter, day_name, day_of
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.adapters.storage.retention import Retention
from counterflow.adapters.storage.schema import StorageError
from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.drivers import AgreedTerms
from counterflow.domain.ids import DispatchId, EvseId, PoolId, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep
from counterflow.domain.records import DocumentKind, SessionRecord

DAY_S = 86_400.0
T0 = 20_000 * DAY_S
NOW = T0 + 5.5 * DAY_S
NAN = math.nan
UIDS = [SessionUid(uid) for uid in (1, 2, 3)]

Open = Callable[..., SqliteJournal]


def fill(journal: SqliteJournal, days: int = 6) -> list[str]:
    """Some samples a day, at the first and last instant too; returns how each looks."""
    for day in range(days):
        for number, at_s in enumerate((0.0, 1.0, 3600.0, 3600.5, 50_000.0, DAY_S - 0.0005)):
            received_s = T0 + day * DAY_S + at_s
            journal.sample(UIDS[number % 3], received_s, received_s - 1, -1.0 * number, NAN, 1.0 * day, 0.5)
            journal.flush()
    return everything(journal)


def everything(journal: SqliteJournal) -> list[str]:
    return list(map(repr, journal.samples(UIDS, 0.0, math.inf)))


def retention(journal: SqliteJournal, tmp_path: Path, **settings: object) -> Retention:
    return Retention(journal, ReportFiles(tmp_path / "reports"), msgspec.convert(settings, StorageSettings))


def run_to_the_end(keeper: Retention, now_s: float = NOW) -> list[str]:
    done = []
    while (step := keeper.run_retention(now_s)) is not None:
        done.append(step)
    return done


def days_in_sqlite(journal: SqliteJournal) -> list[int]:
    found = journal.query("SELECT DISTINCT (chunk_key >> 20) / 86400000 FROM sample_chunk ORDER BY 1")
    return [day - 20_000 for (day,) in found]


def test_at_every_step_of_archiving_each_sample_is_seen_exactly_once(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    before = fill(journal)
    keeper = retention(journal, tmp_path, sample_days=2)
    steps = 0
    while keeper.run_retention(NOW) is not None:
        steps += 1
        assert everything(journal) == before
    assert steps >= 12
    assert keeper.alarm is None
    assert days_in_sqlite(journal) == [3, 4, 5]
    assert journal.archive.days() == [20_000, 20_001, 20_002]
    middle = journal.samples([UIDS[0]], T0 + 2 * DAY_S + 3000, T0 + 3 * DAY_S + 1)
    assert [sample.at_s - T0 for sample in middle] == [2 * DAY_S + 3599.5, 3 * DAY_S - 1]


def test_a_crash_after_any_step_loses_and_doubles_nothing(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    before = fill(journal, days=4)
    for crash_after in range(1, 40):
        keeper = retention(journal, tmp_path, sample_days=1)
        for _ in range(crash_after):
            keeper.run_retention(NOW)
        journal.close()  # without keeper.close(): its unfinished file stays behind
        journal = open_journal()
        assert everything(journal) == before
        if days_in_sqlite(journal) == [2, 3]:
            break
    assert days_in_sqlite(journal) == [2, 3]


@pytest.mark.parametrize("call", range(8))
def test_a_disk_that_refuses_in_mid_archive_is_an_alarm_and_the_next_run_repairs_it(
    open_journal: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    journal = open_journal()
    before = fill(journal, days=4)
    keeper = retention(journal, tmp_path, sample_days=1)
    calls = 0

    def once(real: Callable[..., object], error: Exception) -> Callable[..., object]:
        def wrapped(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == call + 1:
                raise error
            return real(*arguments)

        return wrapped

    monkeypatch.setattr(journal, "run_between_commits", once(journal.run_between_commits, StorageError("the disk is full.")))
    monkeypatch.setattr(DayWriter, "add", once(DayWriter.add, OSError(28, "No space left on device")))
    monkeypatch.setattr(DayWriter, "finish", once(DayWriter.finish, OSError(28, "No space left on device")))
    run_to_the_end(keeper)
    assert str(keeper.alarm).startswith("Old records cannot be moved or removed: ")
    assert everything(journal) == before
    run_to_the_end(keeper)
    assert keeper.alarm is None
    assert everything(journal) == before
    assert days_in_sqlite(journal) == [2, 3]
    assert list(journal.archive.directory.glob("*.part")) == []


def test_a_sample_that_claims_an_archived_day_is_kept(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    before = fill(journal)
    run_to_the_end(retention(journal, tmp_path, sample_days=2))
    journal.close()
    journal = open_journal()
    journal.sample(UIDS[0], T0 + 10, T0 + 10, -9.0, NAN, NAN, NAN)  # the clock was set back by days
    journal.flush()
    run_to_the_end(retention(journal, tmp_path, sample_days=2))
    assert len(everything(journal)) == len(before) + 1


def test_a_clock_that_runs_ahead_archives_nothing_recent(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    fill(journal)
    run_to_the_end(retention(journal, tmp_path, sample_days=2), now_s=NOW + 1000 * DAY_S)
    assert days_in_sqlite(journal) == [3, 4, 5]


def test_the_archive_is_plain_parquet_with_null_for_what_a_sample_did_not_say(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    fill(journal)
    run_to_the_end(retention(journal, tmp_path, sample_days=2))
    table = pq.read_table(tmp_path / "archive" / f"samples-{day_name(20_001)}.parquet")
    assert table.column_names == ["session_uid", "received_s", "at_s", "power_w", "export_wh", "import_wh", "soc_frac"]
    assert table.column("export_wh").null_count == table.num_rows == 6
    assert table.column("import_wh").to_pylist() == [1.0] * 6
    assert day_of(T0 + DAY_S - 0.001) == 20_000


def test_a_broken_archive_file_is_an_alarm_and_the_rest_is_read(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    before = fill(journal)
    run_to_the_end(retention(journal, tmp_path, sample_days=2))
    journal.archive.path(20_001).write_bytes(b"PAR1 no more")
    assert everything(journal) == before[:6] + before[12:]
    assert journal.alarms()[0].startswith(f"The archive file 'samples-{day_name(20_001)}.parquet' cannot be read and was skipped: ")


def test_archived_days_go_when_their_time_is_over(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    fill(journal)
    assert "removed the archived samples of " + day_name(20_000) in run_to_the_end(
        retention(journal, tmp_path, sample_days=2, archive_days=4)
    )
    assert journal.archive.days() == [20_001, 20_002]


def session(number: int, ended_s: float | None) -> SessionRecord:
    return SessionRecord(
        session_uid=SessionUid(number),
        station_id=StationId("CS"),
        transaction_id=TransactionId(str(number)),
        site_id=SiteId("s"),
        evse_id=EvseId(1),
        started_s=T0,
        terms=AgreedTerms(),
        ended_s=ended_s,
    )


def test_ended_sessions_go_after_their_days_and_open_ones_never(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    for number in range(1200):
        journal.put(DocumentKind.SESSION, str(number), session(number, NOW - 91 * DAY_S))
    journal.put(DocumentKind.SESSION, "open", session(5000, None))
    journal.put(DocumentKind.SESSION, "recent", session(5001, NOW - 89 * DAY_S))
    journal.flush()
    journal.run_between_commits(("INSERT INTO document_session VALUES ('broken', '{')", ()))
    keeper = retention(journal, tmp_path)
    assert run_to_the_end(keeper) == ["removed 500 ended sessions", "removed 500 ended sessions", "removed 200 ended sessions"]
    assert [key for key, _ in journal.documents(DocumentKind.SESSION)] == ["open", "recent"]
    assert run_to_the_end(retention(journal, tmp_path, closed_session_days=0)) == []


def dispatch(state: DispatchState, end_s: float) -> DispatchInstruction:
    return DispatchInstruction(
        dispatch_id=DispatchId(state.value),
        start_s=T0,
        end_s=end_s,
        steps=(TargetStep(from_s=T0, discharge_power_w=1.0),),
        pool=PoolId("all"),
        policy=AllocationPolicy.HYBRID,
        mode=DispatchMode.NET_EXPORT,
        priority=0,
        accepted_at_s=T0,
        state=state,
    )


def test_dispatches_and_logs_are_kept_unless_told_otherwise(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    for state in DispatchState:
        journal.put(DocumentKind.DISPATCH, state.value, dispatch(state, NOW - 11 * DAY_S))
        journal.log(DispatchId(state.value), LogEntry(at_s=T0, kind=LogKind.ACCEPTED))
    journal.put(DocumentKind.DISPATCH, "new", dispatch(DispatchState.COMPLETED, NOW - 9 * DAY_S))
    journal.flush()
    assert run_to_the_end(retention(journal, tmp_path)) == []
    housekeeping = retention(journal, tmp_path, dispatch_days=10)
    run_to_the_end(housekeeping)
    assert sorted(housekeeping.take_removed()) == ["aborted", "cancelled", "completed"]
    assert housekeeping.take_removed() == []
    assert {key for key, _ in journal.documents(DocumentKind.DISPATCH)} == {"scheduled", "running", "resuming", "new"}
    assert list(journal.dispatch_log(DispatchId("completed"))) == []
    assert len(journal.dispatch_log(DispatchId("running"))) == 1


def test_reports_are_kept_unless_told_otherwise(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    for name, age_days in (("old", 11), ("new", 9)):
        path = tmp_path / "reports" / name / "v1.json"
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        os.utime(path, (NOW - age_days * DAY_S,) * 2)
    assert run_to_the_end(retention(journal, tmp_path)) == []
    assert run_to_the_end(retention(journal, tmp_path, report_days=10)) == ["removed the reports of 1 dispatches"]
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["new"]
