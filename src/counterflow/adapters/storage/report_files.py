"""Reports as JSON files: `reports/<dispatch id>/v<version>.json`, each version kept as it was first written.

`SHA256SUMS` beside them holds the sum of each, as `sha256sum -c` reads it.
"""

from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import msgspec

from counterflow.adapters.storage.files import sync_directory, write_whole
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId

SUMS = "SHA256SUMS"

_decode = msgspec.json.Decoder(DeliveryReport).decode


class ReportFiles:
    """`engine.ports.ReportSink` on a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def keep(self, report: DeliveryReport) -> None:
        """Store one version of a report; durable once this returns. A version that is there already stays as it is.

        Raises OSError on a bad disk.
        """
        directory, path = self.directory_of(report.dispatch_id), self.path(report.dispatch_id, report.version)
        if path.exists():
            return
        new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.format(msgspec.json.encode(report), indent=1)
        sums = self.sums(report.dispatch_id) | {path.name: sha256(content).hexdigest()}
        write_whole(path, content)
        write_whole(directory / SUMS, sum_lines(sums))
        if new:
            sync_directory(self.directory)

    def read(self, dispatch_id: DispatchId, version: int) -> DeliveryReport | None:
        """One version; None when it is not there or cannot be read."""
        try:
            return _decode(self.path(dispatch_id, version).read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeError):
            return None

    def sums(self, dispatch_id: DispatchId) -> dict[str, str]:
        """The SHA-256 of each version, by file name, as written down when it was kept."""
        try:
            return read_sums((self.directory_of(dispatch_id) / SUMS).read_text("utf-8"))
        except (OSError, UnicodeError):
            return {}

    def path(self, dispatch_id: DispatchId, version: int) -> Path:
        """Where a version is, or would be."""
        return self.directory_of(dispatch_id) / f"v{version}.json"

    def directory_of(self, dispatch_id: DispatchId) -> Path:
        """The folder of a dispatch; an id can never lead out of the reports' directory."""
        name = quote(dispatch_id, safe="") or "%"
        return self.directory / (name if not name.startswith(".") else "%2E" + name[1:])

    def versions(self, dispatch_id: DispatchId) -> list[int]:
        """The versions kept, oldest first."""
        names = (path.stem.removeprefix("v") for path in self.directory_of(dispatch_id).glob("v*.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def newest(self, dispatch_id: DispatchId) -> DeliveryReport | None:
        """The newest version that can be read; None when there is none."""
        found = (self.read(dispatch_id, version) for version in reversed(self.versions(dispatch_id)))
        return next((report for report in found if report is not None), None)  # an older version is better than none

    def remove_older(self, before_s: float) -> int:
        """Delete the reports of dispatches whose newest file is older than `before_s`; returns how many dispatches."""
        removed = 0
        for directory in self.directory.iterdir() if self.directory.exists() else ():
            paths = list(directory.glob("v*.json"))
            if paths and max(path.stat().st_mtime for path in paths) < before_s:
                for path in directory.iterdir():
                    path.unlink()
                directory.rmdir()
                removed += 1
        return removed


def sum_lines(sums: dict[str, str]) -> bytes:
    """Sums by file name as `sha256sum` writes them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


def read_sums(text: str) -> dict[str, str]:
    """The reverse; lines that are none are left out."""
    parts = (line.split(maxsplit=1) for line in text.splitlines())
    return {part[1].lstrip("*").strip(): part[0].lower() for part in parts if len(part) == 2}
