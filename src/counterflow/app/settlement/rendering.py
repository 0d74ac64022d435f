"""A report in the format somebody asked for."""

from counterflow.adapters import reports
from counterflow.adapters.reports.as_evidence import EVIDENCE_ENDING, write_evidence
from counterflow.adapters.reports.names import file_name
from counterflow.domain.delivery import DeliveryReport, Stored


def render_report(report: DeliveryReport, report_format: str) -> tuple[bytes, str, str]:
    """(content, media type, file name). Raises KeyError for a format that is not known."""
    return reports.render_first(report, report_format)


def render_evidence(report: DeliveryReport, stored: Stored) -> tuple[bytes, str, str]:
    """The same of all that a report was made from."""
    return write_evidence(stored), reports.FORMATS["parquet"].media_type, file_name(report, EVIDENCE_ENDING)
