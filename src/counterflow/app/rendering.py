"""A report in the format somebody asked for."""

from counterflow.adapters import reports
from counterflow.domain.delivery import DeliveryReport


def render_report(report: DeliveryReport, report_format: str) -> tuple[bytes, str, str]:
    """(content, media type, file name). Raises KeyError for a format that is not known."""
    return reports.render_first(report, report_format)
