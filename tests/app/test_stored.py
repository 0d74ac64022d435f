"""What lies on the disk is told with its size and how long it is kept."""

from pathlib import Path

import msgspec

from counterflow.app.config import Settings
from counterflow.app.observing.stored import stored


def test_each_class_of_data_has_its_size_and_its_time(tmp_path: Path) -> None:
    (tmp_path / "counterflow.sqlite3").write_bytes(b"x" * 10_000)
    (tmp_path / "counterflow.sqlite3-wal").write_bytes(b"x" * 500)
    (tmp_path / "reports" / "d-1").mkdir(parents=True)
    (tmp_path / "reports" / "d-1" / "v1.json").write_bytes(b"x" * 2_000)
    settings = msgspec.convert({"storage": {"report_days": 30, "sample_days": 1}}, Settings)
    view = stored(tmp_path, settings)
    by_name = {store.what: store for store in view.stores}
    assert by_name["database"].size_bytes == 10_500
    assert by_name["database"].kept.startswith("meter values 1 day, ended sessions 90 days, dispatches for ever")
    assert (by_name["reports"].size_bytes, by_name["reports"].kept) == (2_000, "30 days")
    assert by_name["archive of meter values"].size_bytes == 0
    assert by_name["raw frames"].kept == "the newest 537 MB"
    assert view.free_bytes > 0
