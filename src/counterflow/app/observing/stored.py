"""What lies on the disk, how much of it, and how long it is kept."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from counterflow.app.config import Settings
from counterflow.domain.views import StorageView, StoreView


def stored(folder: Path, settings: Settings) -> StorageView:
    """Of the data folder; files are looked at one by one, so ask on a thread of its own."""
    told = settings.storage
    stores = (
        ("database", ("counterflow.sqlite3*",), f"meter values {days(told.sample_days)}, ended sessions {days(told.closed_session_days)}, "
                                                f"dispatches {days(told.dispatch_days)}, audit log {days(told.audit_days)}"),
        ("archive of meter values", ("archive",), days(told.archive_days)),
        ("reports", ("reports",), days(told.report_days)),
        ("raw frames", ("frames",), f"the newest {told.frame_ring_bytes / 1e6:,.0f} MB"),
        ("telemetry of programs", ("telemetry.sqlite3*",), days(settings.telemetry.keep_days)),
    )  # fmt: skip
    return StorageView(
        stores=tuple(
            StoreView(what=what, size_bytes=sum(_size(path) for pattern in patterns for path in folder.glob(pattern)), kept=kept)
            for what, patterns, kept in stores
        ),
        free_bytes=shutil.disk_usage(folder).free,
    )


def days(count: float) -> str:
    """`3 days`; 0 = for ever."""
    return "for ever" if count == 0 else f"{count:g} day{'' if count == 1 else 's'}"


def _size(path: Path) -> int:
    total = 0
    for file in path.rglob("*") if path.is_dir() else _itself(path):
        with suppress(OSError):  # it has just gone
            status = file.stat()
            total += min(status.st_size, 512 * status.st_blocks) if file.is_file() else 0
    return total


def _itself(path: Path) -> Iterator[Path]:
    yield path
