"""`counterflow verify`: a report is made again from the log and the meter values, and compared to the Wh. Nothing is changed.

The truth is the data directory, whether its server runs or not; without one it is the table of meter values that was exported with the
report. A manifest beside the report is held against its files in either case.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from counterflow.adapters.reports.as_evidence import EVIDENCE_ENDING, read_evidence
from counterflow.adapters.reports.as_json import json_report
from counterflow.adapters.reports.manifest import broken_files
from counterflow.adapters.storage.reading import SqliteReader
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.adapters.storage.schema import StorageError
from counterflow.app.settlement.gathering import gather
from counterflow.domain.delivery import DeliveryReport, Stored
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.records import DocumentKind
from counterflow.engine.settlement.settings import SettlementSettings
from counterflow.engine.settlement.verifying import NoEvidenceError, differences, remade

DATABASE = "counterflow.sqlite3"


class CannotVerifyError(Exception):
    """There is nothing to compare, or nothing to compare with; the text is a sentence."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of it."""

    dispatch_id: str
    version: int
    holds: bool
    delivered_energy_wh: float
    made_again_wh: float
    members: int
    samples: int
    source: str
    """What it was made again from."""
    manifest: bool
    """There was a manifest, and its files were compared with it."""
    differences: tuple[str, ...]


class _Found(Struct, frozen=True, kw_only=True):
    """A report, and the folder that it lies in."""

    report: DeliveryReport
    path: Path


def verify(name: str, data_dir: Path, version: int | None = None) -> Verdict:
    """`name` is a report's file, a folder with one, or the identity of a dispatch in `data_dir`. Raises CannotVerifyError."""
    path = Path(name)
    found = _in_folder(path) if path.is_dir() else _in_file(path) if path.is_file() else _in_data_dir(name, data_dir, version)
    report = found.report
    if version is not None and report.version != version:
        raise CannotVerifyError(f"{found.path} is version {report.version}, not {version}: leave --version out, or name the other file.")
    only = frozenset({found.path.name}) if found.path.parent.parent == data_dir / "reports" else None
    broken = broken_files(found.path.parent, only=only)
    stored, source = _stored(report, found.path.parent, data_dir)
    try:
        made = remade(report, stored)
    except NoEvidenceError as error:
        raise CannotVerifyError(str(error)) from None
    differ = (*(broken or ()), *differences(report, made))
    return Verdict(
        dispatch_id=report.dispatch_id,
        version=report.version,
        holds=not differ,
        delivered_energy_wh=report.delivered_energy_wh,
        made_again_wh=made.delivered_energy_wh,
        members=made.members,
        samples=0 if made.evidence is None else made.evidence.samples,
        source=source,
        manifest=broken is not None,
        differences=differ,
    )


def _in_file(path: Path) -> _Found:
    try:
        return _Found(report=json_report(path.read_bytes()), path=path)
    except OSError as error:
        raise CannotVerifyError(f"{path} cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeError):
        raise CannotVerifyError(f"{path} is no delivery report in JSON: name the .json file of a report, or its folder.") from None


def _in_folder(path: Path) -> _Found:
    reports: list[_Found] = []
    for each in sorted(path.glob("*.json")):
        try:
            reports.append(_in_file(each))
        except CannotVerifyError:
            continue  # some other JSON
    if not reports:
        raise CannotVerifyError(f"There is no delivery report in JSON in {path}: name the folder that 'counterflow report --all' wrote.")
    return max(reports, key=lambda found: found.report.version)


def _in_data_dir(name: str, data_dir: Path, version: int | None) -> _Found:
    files = ReportFiles(data_dir / "reports")
    versions = files.versions(DispatchId(name))
    if not versions:
        raise CannotVerifyError(
            f"'{name}' is no file, and no report of a dispatch of that name is kept in {data_dir}: see 'counterflow dispatches', "
            "or name the data dir (--data-dir)."
        )
    if version is not None and version not in versions:
        raise CannotVerifyError(f"Of dispatch {name} there is no version {version}; there are {', '.join(map(str, versions))}.")
    return _in_file(files.path(DispatchId(name), versions[-1] if version is None else version))


def _stored(report: DeliveryReport, folder: Path, data_dir: Path) -> tuple[Stored, str]:
    """What the report was made from, and where that was found; the data directory wins, since a bundle can be forged as a whole."""
    if (data_dir / DATABASE).is_file():
        from_records = _from_records(report, data_dir)
        if from_records is not None:
            return from_records, f"the log and the meter values in {data_dir}"
    for path in sorted(folder.glob(f"*-v{report.version}{EVIDENCE_ENDING}")):
        try:
            stored = read_evidence(path.read_bytes())
        except (OSError, ValueError) as error:
            raise CannotVerifyError(f"{path} cannot be read: {error}.") from None
        if stored.instruction.dispatch_id == report.dispatch_id:
            return stored, f"the exported meter values in {path.name}"
    raise CannotVerifyError(
        f"There is nothing to make the report of dispatch {report.dispatch_id} again from: {data_dir} does not know it, and beside the "
        f"report there is no file ...{EVIDENCE_ENDING}. Name the data dir (--data-dir), or export with 'counterflow report ID --all'."
    )


def _from_records(report: DeliveryReport, data_dir: Path) -> Stored | None:
    """What was known when the report was made; None where the dispatch is not on record (any more)."""
    try:
        records = SqliteReader.beside(data_dir / DATABASE)
        try:
            orders = [order for _, order in records.documents(DocumentKind.DISPATCH) if isinstance(order, DispatchInstruction)]
            own = next((order for order in orders if order.dispatch_id == report.dispatch_id), None)
            return None if own is None else _gathered(records, own, report, orders)
        finally:
            records.close_reader()
    except StorageError as error:
        raise CannotVerifyError(str(error)) from None


def _gathered(records: SqliteReader, own: DispatchInstruction, report: DeliveryReport, orders: Iterable[DispatchInstruction]) -> Stored:
    try:
        settings = msgspec.convert(report.evidence.settings if report.evidence is not None else {}, SettlementSettings)
    except msgspec.ValidationError as error:
        raise CannotVerifyError(f"The settings that the report names are none: {error}.") from None
    stored = gather(records, own, report.generated_at_s, settings, lambda: orders)
    skipped = records.unreadable()
    if skipped:
        raise CannotVerifyError(f"The records are damaged: {skipped[0]}")
    return stored
