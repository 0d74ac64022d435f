"""Two tables, as spreadsheets like them: the series and the sessions. First line the column names with units; unknown is empty."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from counterflow.adapters.reports.names import file_name
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, SessionDelivery
from counterflow.domain.units import format_instant

_SERIES = tuple(name for name in SeriesPoint.__struct_fields__ if name != "from_s")
_SESSION_TIMES = ("joined_s", "left_s")
_SESSIONS = tuple(name for name in SessionDelivery.__struct_fields__ if name not in _SESSION_TIMES)


def csv_files(report: DeliveryReport) -> dict[str, bytes]:
    """`...-series.csv` and `...-sessions.csv`, UTF-8, comma, point; instants in RFC 3339 UTC."""
    sessions = (
        (*(getattr(session, name) for name in _SESSIONS), *(_instant(getattr(session, name)) for name in _SESSION_TIMES))
        for session in report.sessions
    )
    return {
        **series_file(report, "-series.csv"),
        file_name(report, "-sessions.csv"): _table((*_SESSIONS, "joined", "left"), sessions),
    }


def series_file(report: DeliveryReport, ending: str) -> dict[str, bytes]:
    """The series alone, under a name with this ending."""
    series = ((format_instant(point.from_s), *(getattr(point, name) for name in _SERIES)) for point in report.series)
    return {file_name(report, ending): _table(("from", *_SERIES), series)}


def _instant(at_s: float | None) -> str | None:
    return None if at_s is None else format_instant(at_s)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else value
