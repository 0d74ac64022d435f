"""A delivery report as JSON, CSV, Parquet, a picture or a PDF.

`FORMATS` is the table; `render` makes all files of a format, `render_first` the one file that answers a download.
"""

from collections.abc import Callable

from msgspec import Struct

from counterflow.adapters.reports.as_csv import csv_files
from counterflow.adapters.reports.as_json import json_files
from counterflow.adapters.reports.as_parquet import parquet_files
from counterflow.domain.delivery import DeliveryReport


def picture_files(report: DeliveryReport) -> dict[str, bytes]:
    """The PNG. Its module is loaded at the first picture: matplotlib is a third of the server's start and 60 MiB, and most servers
    never draw one."""
    from counterflow.adapters.reports import as_picture

    return as_picture.picture_files(report)


def pdf_files(report: DeliveryReport) -> dict[str, bytes]:
    """The PDF; its module is loaded at the first one, as that of the picture."""
    from counterflow.adapters.reports import as_pdf

    return as_pdf.pdf_files(report)


class ReportFormat(Struct, frozen=True, kw_only=True):
    """One way to write a report; `files` gives name -> content, the main file first."""

    media_type: str
    files: Callable[[DeliveryReport], dict[str, bytes]]


FORMATS: dict[str, ReportFormat] = {
    "json": ReportFormat(media_type="application/json", files=json_files),
    "csv": ReportFormat(media_type="text/csv; charset=utf-8", files=csv_files),
    "parquet": ReportFormat(media_type="application/vnd.apache.parquet", files=parquet_files),
    "png": ReportFormat(media_type="image/png", files=picture_files),
    "pdf": ReportFormat(media_type="application/pdf", files=pdf_files),
}


def render(report: DeliveryReport, format_name: str) -> dict[str, bytes]:
    """All files of one format, name -> content. Raises KeyError for a format that is not in `FORMATS`."""
    return FORMATS[format_name].files(report)


def render_first(report: DeliveryReport, format_name: str) -> tuple[bytes, str, str]:
    """(content, media type, file name) of the main file. Raises KeyError for a format that is not in `FORMATS`."""
    name, content = next(iter(render(report, format_name).items()))
    return content, FORMATS[format_name].media_type, name
