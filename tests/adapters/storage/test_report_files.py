"""Reports as files."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from counterflow.adapters.storage.report_files import SUMS, ReportFiles
from counterflow.domain.delivery import DeliveryReport, SeriesPoint
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, TargetStep

T0 = 1_795_000_000.0


def report(version: int, dispatch_id: str = "d1") -> DeliveryReport:
    instruction = DispatchInstruction(
        dispatch_id=DispatchId(dispatch_id),
        start_s=T0,
        end_s=T0 + 900,
        steps=(TargetStep(from_s=T0, discharge_power_w=1000.0),),
        pool=PoolId("all"),
        policy=AllocationPolicy.MERIT,
        mode=DispatchMode.GROSS_EXPORT,
        priority=1,
        accepted_at_s=T0,
    )
    point = SeriesPoint(
        from_s=T0, target_power_w=1000.0, delivered_power_w=None, delivered_energy_wh=1.5, headroom_power_w=2.0, metered_share=0.5
    )
    return DeliveryReport(
        dispatch_id=DispatchId(dispatch_id),
        version=version,
        generated_at_s=T0 + version,
        instruction=instruction,
        target_energy_wh=250.0,
        delivered_energy_wh=249.0,
        uncertainty_wh=1.0,
        shortfall_energy_wh=1.0,
        tracking_rmse_frac=0.01,
        worst_10s_error_frac=None,
        time_in_band_frac=0.98,
        members=3,
        messages_sent=12,
        drop_outs=(),
        gaps=(),
        sessions=(),
        series=(point,),
        series_step_s=60.0,
        final=False,
    )


def test_each_version_is_kept_and_the_newest_comes_back(tmp_path: Path) -> None:
    files = ReportFiles(tmp_path / "reports")
    assert files.newest(DispatchId("d1")) is None
    for version in (1, 2, 10):
        files.keep(report(version))
    assert files.versions(DispatchId("d1")) == [1, 2, 10]
    assert files.newest(DispatchId("d1")) == report(10)
    assert (tmp_path / "reports" / "d1" / "v2.json").exists()
    files.keep(report(10))
    assert files.versions(DispatchId("d1")) == [1, 2, 10]
    assert files.read(DispatchId("d1"), 2) == report(2)
    assert files.read(DispatchId("d1"), 3) is None


def test_a_version_stays_as_it_was_first_written_with_its_sum(tmp_path: Path) -> None:
    files = ReportFiles(tmp_path)
    assert files.sums(DispatchId("d1")) == {}
    for version in (1, 2):
        files.keep(report(version))
    files.keep(msgspec.structs.replace(report(1), members=99))
    assert files.read(DispatchId("d1"), 1) == report(1)
    sums = files.sums(DispatchId("d1"))
    assert sums == {f"v{version}.json": sha256((tmp_path / "d1" / f"v{version}.json").read_bytes()).hexdigest() for version in (1, 2)}
    (tmp_path / "d1" / SUMS).write_text("nonsense\n\nABCD *v1.json\n")
    assert files.sums(DispatchId("d1")) == {"v1.json": "abcd"}


def test_a_report_that_cannot_be_read_gives_way_to_the_one_before(tmp_path: Path) -> None:
    files = ReportFiles(tmp_path)
    files.keep(report(1))
    files.keep(report(2))
    files.path(DispatchId("d1"), 2).write_text("{")
    assert files.newest(DispatchId("d1")) == report(1)


@pytest.mark.parametrize("dispatch_id", ["..", ".", "../../etc/x", "a/b", "", "ü %2F", ".hidden"])
def test_no_id_leads_out_of_the_directory_and_each_has_its_own(tmp_path: Path, dispatch_id: str) -> None:
    files = ReportFiles(tmp_path / "reports")
    files.keep(report(1, dispatch_id))
    assert files.newest(DispatchId(dispatch_id)) == report(1, dispatch_id)
    assert [path.parent.parent for path in tmp_path.rglob("v1.json")] == [tmp_path / "reports"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ReportFiles(tmp_path)
    files.keep(report(1))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.keep(report(2))
    assert files.newest(DispatchId("d1")) == report(1)
    assert sorted(path.name for path in (tmp_path / "d1").iterdir()) == [SUMS, "v1.json"]
