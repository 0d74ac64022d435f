"""Reports as JSON files: `reports/<dispatch id>/v<version>.json`, each version kept."""

from pathlib import Path
from urllib.parse import quote

import msgspec

from counterflow.adapters.storage.files import sync_directory, write_whole
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId

_decode = msgspec.json.Decoder(DeliveryReport).decode


class ReportFiles:
    """`engine.ports.ReportSink` on a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def keep(self, report: DeliveryReport) -> None:
        """Store one version of a report; durable once this returns. The same version again replaces it. Raises OSError on a bad disk."""
        directory = self.directory_of(report.dispatch_id)
        new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(self.path(report.dispatch_id, report.version), msgspec.json.format(msgspec.json.encode(report), indent=1))
        if new:
            sync_directory(self.directory)

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
        for version in reversed(self.versions(dispatch_id)):
            try:
                return _decode(self.path(dispatch_id, version).read_bytes())
            except (OSError, msgspec.DecodeError, UnicodeError):
                continue  # an older version is better than none
        return None

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
