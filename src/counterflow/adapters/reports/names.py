"""File names of a report."""

import re

from counterflow.domain.delivery import DeliveryReport


def file_name(report: DeliveryReport, suffix: str) -> str:
    """`dispatch-<id>-v<version><suffix>`, with nothing in it that a file system or a header could misread."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", report.dispatch_id)[:80]
    return f"dispatch-{safe}-v{report.version}{suffix}"
