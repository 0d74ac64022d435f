"""The journal on a real file: what survives, what is refused, what is said."""

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from counterflow.adapters.storage.pending import Group
from counterflow.adapters.storage.schema import StorageError
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.adapters.storage.writer import GroupWriter
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.records import DocumentKind, Latch

T0 = 1_795_000_000.0
NAN = math.nan
UID = SessionUid(7)
LATCH = Latch(on=True, at_s=T0, by="ops")

Open = Callable[..., SqliteJournal]


def add_sample(journal: SqliteJournal, received_s: float) -> None:
    journal.sample(UID, received_s, received_s, -7000.0, NAN, NAN, NAN)


def raw(path: Path, statement: str, *parameters: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, parameters)
    connection.close()


def test_everything_is_there_after_reopening(open_journal: Open) -> None:
    journal = open_journal()
    journal.put(DocumentKind.LATCH, "latch", LATCH)
    journal.log(DispatchId("d"), LogEntry(at_s=T0, kind=LogKind.ACCEPTED))
    add_sample(journal, T0)
    journal.close()
    journal = open_journal()
    assert list(journal.documents(DocumentKind.LATCH)) == [("latch", LATCH)]
    assert len(journal.dispatch_log(DispatchId("d"))) == 1
    assert len(journal.samples([UID], T0, T0 + 1)) == 1


def test_a_write_is_durable_within_the_commit_interval_without_flush(open_journal: Open) -> None:
    journal = open_journal()
    told = threading.Event()
    journal.on_durable(lambda _position: told.set())
    waits_s = []
    for number in range(1, 9):
        told.clear()
        began_s = time.perf_counter()
        add_sample(journal, T0 + number)
        assert told.wait(60.0)
        waits_s.append(time.perf_counter() - began_s)
        assert journal.durable_position == number
    assert min(waits_s) < 0.5, "other processes lengthen one, a fault of ours all"


def test_writes_of_many_threads_are_all_kept_and_counted(open_journal: Open) -> None:
    journal = open_journal()

    def write(uid: int) -> None:
        for number in range(2000):
            journal.sample(SessionUid(uid), T0 + number * 0.001, T0, 1.0 * number, NAN, NAN, NAN)

    threads = [threading.Thread(target=write, args=(uid,)) for uid in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.position == 8000
    journal.flush()
    assert journal.durable_position == 8000
    for uid in (1, 2, 3, 4):
        assert [sample.power_w for sample in journal.samples([SessionUid(uid)], T0, T0 + 10)] == [1.0 * number for number in range(2000)]


def test_a_listener_that_fails_is_an_alarm_and_the_writing_goes_on(open_journal: Open) -> None:
    journal = open_journal()
    journal.on_durable(lambda _position: [][1])
    add_sample(journal, T0)
    journal.flush()
    add_sample(journal, T0)
    journal.flush()
    assert journal.durable_position == 2
    assert journal.alarms() == ("A listener for durable writes failed: IndexError: list index out of range.",)


def test_a_second_opening_of_the_same_directory_is_refused_in_a_sentence(open_journal: Open) -> None:
    journal = open_journal()
    with pytest.raises(
        StorageError, match=r"^The data directory .* is in use by process \d+\. Stop it first, or choose another directory\.$"
    ):
        open_journal()
    journal.close()
    assert open_journal().position == 0


def test_a_database_newer_than_we_are_is_refused_in_a_sentence_and_left_alone(open_journal: Open, tmp_path: Path) -> None:
    open_journal().close()
    raw(tmp_path / "journal.db", "UPDATE schema_version SET version = 99")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"has version 99, newer than the \d+ that this release knows\. Install a newer release\.$"):
            open_journal()


def test_a_file_that_is_no_database_is_refused_in_a_sentence(open_journal: Open, tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"hello, I am a letter" * 500)
    with pytest.raises(StorageError, match=r"cannot be opened: file is not a database\.$"):
        open_journal()


@pytest.mark.parametrize("body", ["{", '{"on":true}', "[]", b'{"on":true,"at_s":1,"by":"\xff"}', "", 5])
def test_a_broken_document_is_an_alarm_by_key_and_never_a_crash(open_journal: Open, tmp_path: Path, body: object) -> None:
    journal = open_journal()
    journal.put(DocumentKind.LATCH, "good", LATCH)
    journal.flush()
    raw(tmp_path / "journal.db", "INSERT INTO document_latch VALUES ('bad', CAST(? AS TEXT))", body)
    assert list(journal.documents(DocumentKind.LATCH)) == [("good", LATCH)]
    (alarm,) = journal.alarms()
    assert alarm.startswith("The latch document 'bad' cannot be read and was skipped: ")
    journal.put(DocumentKind.LATCH, "bad", LATCH)
    journal.flush()
    assert len(list(journal.documents(DocumentKind.LATCH))) == 2
    assert journal.alarms() == ()


def test_a_broken_log_line_is_an_alarm_and_the_rest_is_read(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    line = LogEntry(at_s=T0, kind=LogKind.ACCEPTED)
    journal.log(DispatchId("d"), line)
    journal.flush()
    raw(tmp_path / "journal.db", "INSERT INTO dispatch_log(dispatch_id, body) VALUES ('d', '{')")
    journal.log(DispatchId("d"), line)
    journal.flush()
    assert list(journal.dispatch_log(DispatchId("d"))) == [line, line]
    assert journal.alarms()[0].startswith("Of dispatch d, log line '2' cannot be read and was skipped: ")


def test_a_newer_row_with_unknown_fields_is_read(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal()
    raw(tmp_path / "journal.db", 'INSERT INTO document_latch VALUES (\'k\', \'{"on":true,"at_s":1,"by":"x","colour":"red"}\')')
    assert list(journal.documents(DocumentKind.LATCH)) == [("k", Latch(on=True, at_s=1.0, by="x"))]


def test_last_samples_looks_back_no_further_than_it_is_told(open_journal: Open) -> None:
    journal = open_journal(last_samples_lookback_s=3600.0)
    journal.sample(UID, T0, T0, NAN, 5.0, NAN, NAN)
    journal.sample(UID, T0 + 1800, T0 + 1800, NAN, NAN, 6.0, NAN)
    journal.sample(UID, T0 + 5000, T0 + 5000, -1.0, NAN, NAN, NAN)
    journal.flush()
    (last,) = journal.last_samples([UID])
    assert (last.power_w, last.import_wh, math.isnan(last.export_wh)) == (-1.0, 6.0, True)


def test_low_disk_space_is_an_alarm_before_it_is_a_failure(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal(disk_alarm_free_bytes=1 << 60)
    (alarm,) = journal.alarms()
    assert alarm.startswith(f"The disk of {tmp_path} has ")
    assert alarm.endswith("Free space before writes fail.")
    assert journal.failed is None


def test_a_full_disk_stops_the_acknowledging_and_nothing_is_lost_once_there_is_room(open_journal: Open) -> None:
    journal = open_journal(retry_s=0.01)
    add_sample(journal, T0)
    journal.flush()
    journal.run_between_commits(("PRAGMA max_page_count = 1", ()))
    for number in range(3000):
        add_sample(journal, T0 + number * 0.01)
        journal.log(DispatchId("d"), LogEntry(at_s=T0 + number, kind=LogKind.TICK))
    with pytest.raises(StorageError, match="database or disk is full"):
        journal.flush()
    assert journal.alarms()[0].startswith("The journal ")
    assert journal.durable_position < journal.position
    stood_at = journal.durable_position
    add_sample(journal, T0 + 50)
    assert journal.durable_position == stood_at
    journal.run_between_commits(("PRAGMA max_page_count = 1000000", ()))
    while journal.failed is not None:
        pass
    journal.flush()
    assert journal.durable_position == journal.position == 6002
    assert len(journal.samples([UID], T0, T0 + 100)) == 3002
    assert [line.at_s for line in journal.dispatch_log(DispatchId("d"))] == [T0 + number for number in range(3000)]
    assert journal.alarms() == ()


def test_a_database_that_somebody_else_has_locked_stops_the_acknowledging_until_it_is_free(open_journal: Open, tmp_path: Path) -> None:
    journal = open_journal(retry_s=0.01)
    journal.run_between_commits(("PRAGMA busy_timeout = 20", ()))
    add_sample(journal, T0)
    journal.flush()
    stood_at = journal.durable_position
    [path] = tmp_path.glob("**/*.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    add_sample(journal, T0 + 1)
    journal.put(DocumentKind.LATCH, "emergency_stop", LATCH)
    with pytest.raises(StorageError, match="database is locked"):
        journal.flush()
    assert journal.failed is not None
    assert "database is locked" in journal.alarms()[0]
    assert journal.durable_position == stood_at
    other.execute("ROLLBACK")
    other.close()
    while journal.failed is not None:
        pass
    journal.flush()
    assert journal.durable_position == journal.position == stood_at + 2
    assert [document for _, document in journal.documents(DocumentKind.LATCH)] == [LATCH]
    assert len(journal.samples([UID], T0, T0 + 10)) == 2
    assert journal.alarms() == ()


def test_writes_beyond_the_bound_are_lost_said_so_and_never_called_durable(open_journal: Open) -> None:
    journal = open_journal(retry_s=0.01, pending_max_bytes=1_048_576)
    journal.run_between_commits(("PRAGMA max_page_count = 1", ()))
    while "lost" not in str(journal.failed):
        add_sample(journal, T0 + journal.position * 0.001)
        journal.put(DocumentKind.LATCH, str(journal.position), LATCH)
    kept = journal.position - 2
    assert kept > 1000
    for number in range(100):
        journal.put(DocumentKind.LATCH, str(number), LATCH)
    assert journal.position >= kept + 101
    journal.run_between_commits(("PRAGMA max_page_count = 1000000", ()))
    while journal.durable_position < kept - 1:
        pass
    for number in range(50):
        add_sample(journal, T0 + 9000 + number)
    with pytest.raises(StorageError, match=r"\d+ writes were lost\. Nothing is acknowledged any more; free disk space, then restart\.$"):
        journal.flush()
    journal.close()
    assert kept - 1 <= journal.durable_position <= kept + 1
    journal = open_journal()
    assert len(journal.samples([UID], T0, T0 + 8000)) >= kept // 2
    assert len(journal.samples([UID], T0 + 9000, T0 + 9050)) == 50, "kept as far as there is room, but not acknowledged"


def test_after_a_loss_closing_still_writes_what_there_is_room_for(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(retry_s=0.01, pending_max_bytes=1_048_576)
    journal.run_between_commits(("PRAGMA max_page_count = 1", ()))
    while "lost" not in str(journal.failed):
        add_sample(journal, T0)
    writer, late = journal._writer, iter([T0 + 9000])
    commit = writer._commit

    def closed_while_a_group_was_written(group: Group) -> None:
        commit(group)
        writer._closing = True
        for received_s in late:
            add_sample(journal, received_s)

    monkeypatch.setattr(writer, "_commit", closed_while_a_group_was_written)
    journal.run_between_commits(("PRAGMA max_page_count = 1000000", ()))
    journal.close()
    assert len(open_journal().samples([UID], T0 + 9000, T0 + 9001)) == 1


def test_closing_tries_once_more_where_room_came_after_a_failed_try(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(retry_s=0.01)
    journal.run_between_commits(("PRAGMA max_page_count = 1", ()))
    for number in range(3000):
        add_sample(journal, T0 + number * 0.01)
    while not journal.failed:
        journal.run_between_commits(("SELECT 1", ()))
    writer, run_jobs = journal._writer, journal._writer._run_jobs

    def closed_once_there_is_room() -> None:
        has_room = bool(writer._jobs)
        run_jobs()
        writer._closing |= has_room

    monkeypatch.setattr(writer, "_run_jobs", closed_once_there_is_room)
    journal.run_between_commits(("PRAGMA max_page_count = 1000000", ()))
    journal.close()
    assert len(open_journal().samples([UID], T0, T0 + 30.0)) == 3000


def test_closing_with_a_full_disk_ends(open_journal: Open) -> None:
    journal = open_journal(retry_s=60.0)
    journal.run_between_commits(("PRAGMA max_page_count = 1", ()))
    for number in range(3000):
        add_sample(journal, T0 + number * 0.01)
    journal.close()
    assert journal.durable_position == 0
    with pytest.raises(StorageError, match="closed"):
        journal.run_between_commits(("SELECT 1", ()))


def test_a_statement_that_fails_leaves_the_journal_writing(open_journal: Open) -> None:
    journal = open_journal()
    with pytest.raises(StorageError, match="no such table"):
        journal.run_between_commits(("DELETE FROM sample_chunk", ()), ("DELETE FROM nowhere", ()))
    add_sample(journal, T0)
    journal.flush()
    assert journal.durable_position == 1


def test_after_an_io_error_the_journal_goes_on_with_a_fresh_connection(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(retry_s=0.01)
    journal.run_between_commits(("PRAGMA max_page_count = 1", ()))  # a mark of the first connection
    real = GroupWriter._commit
    errors = [sqlite3.OperationalError("disk I/O error")]
    errors[0].sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    def commit(writer: GroupWriter, group: Group) -> None:
        if errors:
            raise errors.pop()
        real(writer, group)

    monkeypatch.setattr(GroupWriter, "_commit", commit)
    for number in range(3000):
        add_sample(journal, T0 + number * 0.01)
    while journal.durable_position < 3000:
        pass
    assert len(journal.samples([UID], T0, T0 + 100)) == 3000


def test_a_key_with_nul_finds_its_own_again(open_journal: Open) -> None:
    journal = open_journal()
    journal.put(DocumentKind.LATCH, "a\0b", LATCH)
    journal.put(DocumentKind.LATCH, "a", LATCH)
    journal.log(DispatchId("d\0"), LogEntry(at_s=T0, kind=LogKind.ACCEPTED))
    journal.flush()
    assert len(journal.dispatch_log(DispatchId("d\0"))) == 1
    journal.delete(DocumentKind.LATCH, "a\0b")
    journal.flush()
    assert [key for key, _ in journal.documents(DocumentKind.LATCH)] == ["a"]


def test_text_that_is_no_unicode_is_refused_at_the_caller_and_stops_nobody_else(open_journal: Open) -> None:
    journal = open_journal()
    with pytest.raises(UnicodeEncodeError):
        journal.put(DocumentKind.LATCH, "\ud800", LATCH)
    with pytest.raises(UnicodeEncodeError):
        journal.log(DispatchId("d"), LogEntry(at_s=T0, kind="\ud800"))
    journal.put(DocumentKind.LATCH, "a", LATCH)
    journal.flush()
    assert journal.durable_position == 1
