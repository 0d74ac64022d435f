"""The whole report as one JSON document; unknown is null. `json_report` reads it back."""

import msgspec

from counterflow.adapters.reports.names import file_name
from counterflow.domain.delivery import DeliveryReport


def json_files(report: DeliveryReport) -> dict[str, bytes]:
    """One file: the report as it is in the domain, indented for people."""
    return {file_name(report, ".json"): msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"}


def json_report(content: bytes) -> DeliveryReport:
    """The report that `json_files` wrote. Raises msgspec.ValidationError."""
    return msgspec.json.decode(content, type=DeliveryReport)
