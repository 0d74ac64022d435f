"""`counterflow verify` on a real data directory: the report of a played dispatch holds, and any tampering is found."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.adapters.reports import render
from counterflow.adapters.reports.as_evidence import EVIDENCE_ENDING, write_evidence
from counterflow.adapters.reports.manifest import MANIFEST, manifest
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.adapters.storage.samples import as_rows
from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.app.settlement.reporting import Reporting
from counterflow.app.settlement.verifying import DATABASE, CannotVerifyError, verify
from counterflow.domain.delivery import DeliveryReport, Stored
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.instructions import DispatchMode, DispatchOrder
from counterflow.domain.settlement import BaselineMethod
from counterflow.sim.settings import WorldSettings

OPEN_HOUSE: dict[str, Any] = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True, "pausing": True}}}


class Played(NamedTuple):
    """A data directory whose server has stopped, with two versions of a report."""

    folder: Path
    first: DeliveryReport
    second: DeliveryReport
    stored: Stored


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("data")
    journal = SqliteJournal(folder / DATABASE, StorageSettings())
    at = Replay(msgspec.convert(OPEN_HOUSE, Settings), WorldSettings(stations=12), 3, journal=journal).run(120)  # type: ignore[arg-type]
    order = DispatchOrder(
        discharge_power_w=15_000.0, duration_s=90.0, mode=DispatchMode.RELATIVE, baseline=BaselineMethod.METER_BEFORE_AFTER
    )
    answer = at.do(at.operations.order(order, None, False))
    assert isinstance(answer, DispatchAnswer)
    at.run(240)
    [instruction] = at.room.dispatcher.book.instructions.values()
    files = ReportFiles(folder / "reports")
    reporting = Reporting(journal, files, at.settings.settlement, files.newest, lambda: [instruction])
    first = reporting.build(instruction, at.now_s)
    # While the server runs, another process reads beside it.
    assert verify(first.dispatch_id, folder).holds
    at.run(900)
    uid, later_s = first.sessions[0].session_uid, at.now_s + 4_000.0
    journal.sample(uid, later_s, instruction.end_s + 0.25, 0.0, 1e9, float("nan"), float("nan"))
    second = reporting.build(instruction, later_s + 60.0)
    stored = reporting.stored(instruction, second.generated_at_s)
    journal.close()
    assert (first.version, second.version) == (1, 2)
    return Played(folder, first, second, stored)


@pytest.fixture
def copy(played: Played, tmp_path: Path) -> Path:
    """The data directory, to be tampered with."""
    return copytree(played.folder, tmp_path / "data")


def test_each_version_holds_though_more_came_in_since(played: Played) -> None:
    for version, report in ((None, played.second), (1, played.first), (2, played.second)):
        verdict = verify(report.dispatch_id, played.folder, version)
        assert verdict.differences == ()
        assert (verdict.holds, verdict.version, verdict.manifest) == (True, report.version, True)
        assert verdict.delivered_energy_wh == verdict.made_again_wh == report.delivered_energy_wh
        assert verdict.samples > 0
    assert "the log and the meter values in" in verdict.source


def test_verifying_changes_nothing_and_needs_no_right_to_write(copy: Path, played: Played) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert verify(played.second.dispatch_id, copy).holds
    assert {path: path.read_bytes() for path in before} == before


def tamper(path: Path, change: Callable[[DeliveryReport], DeliveryReport]) -> None:
    report = msgspec.json.decode(path.read_bytes(), type=DeliveryReport)
    path.write_bytes(msgspec.json.encode(change(report)))


def one_wh_more(report: DeliveryReport) -> DeliveryReport:
    return replace(report, delivered_energy_wh=report.delivered_energy_wh + 1.0)


def one_wh_from_one_to_another(report: DeliveryReport) -> DeliveryReport:
    first, second, *rest = report.sessions
    moved = replace(first, delivered_wh=first.delivered_wh + 1.0), replace(second, delivered_wh=second.delivered_wh - 1.0)
    return replace(report, sessions=(*moved, *rest))


def one_wh_earlier(report: DeliveryReport) -> DeliveryReport:
    first, second, *rest = report.series
    moved = (
        replace(first, delivered_energy_wh=first.delivered_energy_wh + 1.0),
        replace(second, delivered_energy_wh=second.delivered_energy_wh - 1.0),
    )
    return replace(report, series=(*moved, *rest))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (one_wh_more, "Delivered in all: the report says"),
        (one_wh_from_one_to_another, "Wh delivered, its meter values give"),
        (one_wh_earlier, "The interval from 2026-11-22T17:02:00Z: the report says"),
        (lambda report: replace(report, instruction=replace(report.instruction, pool="other")), "The order is not the one on record: pool"),
        (lambda report: replace(report, uncertainty_wh=0.5 * report.uncertainty_wh), "'uncertainty_wh' is"),
    ],
)
def test_a_report_that_was_tampered_with_does_not_hold(copy: Path, played: Played, change: Any, found: str) -> None:
    path = ReportFiles(copy / "reports").path(played.second.dispatch_id, 2)
    tamper(path, change)
    verdict = verify(played.second.dispatch_id, copy)
    assert not verdict.holds
    assert any(found in sentence for sentence in verdict.differences), verdict.differences
    assert "v2.json is not the file that SHA256SUMS was written for: its SHA-256 is another." in verdict.differences
    (path.parent / MANIFEST).unlink()
    again = verify(str(path), copy)
    assert (again.holds, again.manifest) == (False, False)


def test_one_meter_value_that_was_changed_is_found_and_its_session_named(copy: Path, played: Played) -> None:
    victim = next(session for session in played.second.sessions if session.samples > 10)
    database = sqlite3.connect(copy / DATABASE)
    for key, body in database.execute("SELECT chunk_key, body FROM sample_chunk ORDER BY chunk_key").fetchall():
        rows = as_rows(bytes(body)).copy()
        own = np.flatnonzero((rows["session_uid"] == victim.session_uid) & (rows["at_s"] > played.second.instruction.start_s))
        if len(own):
            rows["power_w"][own[0]] += 0.001
            database.execute("UPDATE sample_chunk SET body = ? WHERE chunk_key = ?", (rows.tobytes(), key))
            break
    database.commit()
    database.close()
    verdict = verify(played.second.dispatch_id, copy)
    assert verdict.differences[0].startswith("The meter values are not those that the report was made from")
    named = f"Session {victim.transaction_id} at {victim.station_id}"
    assert any(sentence.startswith(named) for sentence in verdict.differences)


def test_a_log_that_was_changed_is_found(copy: Path, played: Played) -> None:
    database = sqlite3.connect(copy / DATABASE)
    database.execute("DELETE FROM dispatch_log WHERE log_id = (SELECT min(log_id) FROM dispatch_log WHERE body LIKE '%setpoint%')")
    database.commit()
    database.close()
    assert "The dispatch's log is not the one that the report was made from." in verify(played.second.dispatch_id, copy).differences


# --- exported, without a data directory -----------------------------------------------------------------------------------------


@pytest.fixture
def bundle(played: Played, tmp_path: Path) -> Path:
    """What `counterflow report --all` writes."""
    files = render(played.second, "json") | render(played.second, "csv")
    stem = next(iter(files)).removesuffix(".json")
    files[stem + EVIDENCE_ENDING] = write_evidence(played.stored)
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, content in (files | {MANIFEST: manifest(files), "other.json": b"{}"}).items():
        (folder / name).write_bytes(content)
    return folder


def test_a_bundle_is_verified_without_a_data_directory(bundle: Path, tmp_path: Path) -> None:
    verdict = verify(str(bundle), tmp_path / "nowhere")
    assert (verdict.holds, verdict.manifest, verdict.differences) == (True, True, ())
    assert "the exported meter values in dispatch-" in verdict.source
    [report] = bundle.glob("dispatch-*.json")
    assert verify(str(report), tmp_path / "nowhere").holds
    [table] = bundle.glob("*-series.csv")
    table.write_bytes(table.read_bytes().replace(b"good", b"GOOD", 1))
    assert verify(str(bundle), tmp_path / "nowhere").differences == (
        f"{table.name} is not the file that SHA256SUMS was written for: its SHA-256 is another.",
    )
    table.unlink()
    assert verify(str(bundle), tmp_path / "nowhere").differences == (f"{table.name} is missing: SHA256SUMS names it.",)


def test_the_data_directory_wins_over_a_bundle_that_was_forged_as_a_whole(bundle: Path, played: Played, tmp_path: Path) -> None:
    [report] = bundle.glob("dispatch-*.json")
    forged = replace(played.second, delivered_energy_wh=1.0)
    report.write_bytes(msgspec.json.encode(forged))
    (bundle / MANIFEST).unlink()
    assert not verify(str(bundle), played.folder).holds
    [evidence] = bundle.glob(f"*{EVIDENCE_ENDING}")
    evidence.write_bytes(b"no table")
    with pytest.raises(CannotVerifyError, match="it is no table of meter values"):
        verify(str(bundle), tmp_path / "nowhere")
    evidence.write_bytes(write_evidence(replace(played.stored, instruction=replace(played.stored.instruction, dispatch_id="x"))))
    with pytest.raises(CannotVerifyError, match="There is nothing to make the report"):
        verify(str(bundle), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("00  ../x", "names no file of this folder"), ("nothing", "names no file of this folder")],
)
def test_a_manifest_that_is_none_is_told(bundle: Path, tmp_path: Path, line: str, sentence: str) -> None:
    (bundle / MANIFEST).write_text(line + "\n")
    assert sentence in verify(str(bundle), tmp_path / "nowhere").differences[0]
    (bundle / MANIFEST).write_bytes(b"\xff\xfe")
    assert "is no list of sums" in verify(str(bundle), tmp_path / "nowhere").differences[0]


def test_what_cannot_be_verified_says_why(played: Played, copy: Path, bundle: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    name = played.second.dispatch_id
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("nobody", played.folder), "'nobody' is no file"),
        ((name, played.folder, 9), "there is no version 9; there are 1, 2"),
        ((str(bundle), played.folder, 1), "is version 2, not 1"),
        ((str(empty), played.folder), "There is no delivery report in JSON"),
        ((str(bundle / "other.json"), played.folder), "is no delivery report in JSON"),
    ]
    for arguments, sentence in cases:
        with pytest.raises(CannotVerifyError, match=sentence):
            verify(*arguments)
    [report] = bundle.glob("dispatch-*.json")
    for change, sentence in (
        ({"evidence": None}, "does not name the settings"),
        ({"evidence": replace(played.second.evidence, settings={"gap_min_s": -1})}, "cannot be made again"),  # type: ignore[type-var]
        ({"evidence": replace(played.second.evidence, settings={}), "series_step_s": 0.0}, "cannot be made again"),  # type: ignore[type-var]
    ):
        report.write_bytes(msgspec.json.encode(replace(played.second, **change)))
        with pytest.raises(CannotVerifyError, match=sentence):
            verify(str(report), nowhere)
    report.write_bytes(msgspec.json.encode(replace(played.second, evidence=replace(played.second.evidence, settings={"x": 1}))))  # type: ignore[type-var]
    with pytest.raises(CannotVerifyError, match="names are none"):
        verify(str(report), played.folder)
    (copy / DATABASE).write_bytes(b"no database")
    with pytest.raises(CannotVerifyError, match="cannot be read"):
        verify(name, copy)


def test_a_file_that_may_not_be_read_is_told(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [report] = bundle.glob("dispatch-*.json")

    def refused(_path: Path) -> bytes:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(CannotVerifyError, match="cannot be read: Permission denied"):
        verify(str(report), tmp_path)


def test_records_that_are_damaged_are_told(copy: Path, played: Played) -> None:
    database = sqlite3.connect(copy / DATABASE)
    database.execute("UPDATE dispatch_log SET body = '{' WHERE log_id = (SELECT min(log_id) FROM dispatch_log)")
    database.commit()
    database.close()
    with pytest.raises(CannotVerifyError, match="The records are damaged"):
        verify(played.second.dispatch_id, copy)
