"""What a person types about what was delivered, what is asked of the server, and what is written and said."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from counterflow.adapters.reports.as_evidence import read_evidence, write_evidence
from counterflow.app.settlement import verifying
from counterflow.app.settlement.verifying import CannotVerifyError, Verdict
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, Stored
from counterflow.domain.settlement import Quality, ReportVersion, Revision

PATH = "/api/v1/dispatches"
ONE = f"{PATH}/d-1a2b3c4d"
NOW_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_report_without_a_format_is_the_verdict(api: Any, counterflow: Any, delivery: DeliveryReport) -> None:
    api.will("GET", f"{ONE}/report", delivery)
    said = flat(counterflow("report", "d-1a2b3c4d").stdout)
    assert "Delivered: 622.50 kWh ± 410 Wh of 625.00 kWh ordered, 99.6 %." in said
    assert "tracking error 0.8 % (RMSE), worst 10-second mean 2.1 % off, 98.4 % of the time in the band" in said


@pytest.mark.parametrize("form", ["json", "csv"])
def test_text_formats_are_printed_untouched(api: Any, counterflow: Any, form: str) -> None:
    api.will("GET", f"{ONE}/report", b"a,b\r\n1,2\r\n")
    result = counterflow("report", "d-1a2b3c4d", "--format", form)
    assert api.requests[0].url.params["format"] == form
    assert result.stdout_bytes == b"a,b\r\n1,2\r\n"


def test_binary_formats_become_a_file_here(api: Any, counterflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    api.will("GET", f"{ONE}/report", b"PAR1\x00\xff")
    result = counterflow("report", "d-1a2b3c4d", "--format", "parquet")
    assert (result.stdout, (tmp_path / "d-1a2b3c4d.parquet").read_bytes()) == ("", b"PAR1\x00\xff")
    assert "Wrote d-1a2b3c4d.parquet (6 bytes)." in result.stderr


def test_output_names_a_file_a_folder_or_standard_output(api: Any, counterflow: Any, tmp_path: Path) -> None:
    api.will("GET", f"{ONE}/report", b"\x89PNG")
    for place, expected in ((tmp_path / "x.png", "x.png"), (tmp_path, "d-1a2b3c4d.png")):
        assert counterflow("report", "d-1a2b3c4d", "--format", "png", "--output", str(place)).exit_code == 0
        assert (tmp_path / expected).read_bytes() == b"\x89PNG"
    assert counterflow("report", "d-1a2b3c4d", "--format", "png", "--output", "-").stdout_bytes == b"\x89PNG"


def test_a_place_that_cannot_be_written_is_a_sentence(api: Any, counterflow: Any, tmp_path: Path) -> None:
    api.will("GET", f"{ONE}/report", b"{}")
    result = counterflow("report", "d-1a2b3c4d", "--format", "json", "--output", str(tmp_path / "no" / "such" / "x.json"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert counterflow("report", "d-1a2b3c4d", "--output", "x").exit_code == 2


def test_version_and_step_are_asked_of_the_server(api: Any, counterflow: Any, delivery: DeliveryReport) -> None:
    api.will("GET", f"{ONE}/report", delivery)
    assert counterflow("report", "d-1a2b3c4d", "--version", "2", "--step", "15min", "--json").exit_code == 0
    asked = api.requests[0].url.params
    assert (asked["version"], asked["step_s"], asked["format"]) == ("2", "900", "json")


@pytest.mark.parametrize(
    "options",
    [
        ("--all", "--format", "csv"),
        ("--all", "--output", "x"),
        ("--all", "--step", "60s"),
        ("--all", "--versions"),
        ("--all", "--json"),
        ("--out", "x"),
        ("--versions", "--format", "csv"),
        ("--versions", "--step", "60s"),
        ("--json", "--format", "csv"),
    ],
)
def test_options_that_contradict_each_other_are_refused(counterflow: Any, options: tuple[str, ...]) -> None:
    assert counterflow("report", "d-1a2b3c4d", *options).exit_code == 2


def test_the_versions_are_listed_with_what_changed(api: Any, counterflow: Any) -> None:
    changed = Revision(of_version=1, delivered_before_wh=1.0, sessions_changed=1, reasons=("Delivered energy is 3 Wh.",))
    first = ReportVersion(
        version=1, generated_at_s=NOW_S, delivered_energy_wh=1.0, uncertainty_wh=0.5, quality=None, sha256="", revision=None
    )
    second = replace(first, version=2, delivered_energy_wh=3.0, quality=Quality.GOOD, revision=changed)
    api.will("GET", f"{ONE}/report/versions", [first, second])
    said = flat(counterflow("report", "d-1a2b3c4d", "--versions").stdout)
    assert "Version 2: Delivered energy is 3 Wh." in said
    assert "not told" in said
    listed = msgspec.json.decode(counterflow("report", "d-1a2b3c4d", "--versions", "--json").stdout, type=list[ReportVersion])
    assert listed == [first, second]


@pytest.fixture
def points(delivery: DeliveryReport) -> DeliveryReport:
    """A report with a quarter of an hour of series."""
    start_s = delivery.instruction.start_s
    series = tuple(
        SeriesPoint(
            from_s=start_s + 4.0 * number,
            target_power_w=2.5e6,
            delivered_power_w=2.49e6,
            delivered_energy_wh=2_766.0,
            headroom_power_w=None,
            metered_share=1.0,
            quality=Quality.GOOD,
        )
        for number in range(225)
    )
    return replace(delivery, series=series, version=3)


def test_everything_is_written_into_a_folder_with_its_sums(
    api: Any, counterflow: Any, points: DeliveryReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stored = Stored(instruction=points.instruction, log=(), samples=())
    api.will("GET", f"{ONE}/report", points)
    api.will("GET", f"{ONE}/report/evidence", write_evidence(stored))
    result = counterflow("report", "d-1a2b3c4d", "--all")
    assert result.exit_code == 0, result.stderr
    assert api.requests[1].url.params["version"] == "3"
    folder = tmp_path / "report-d-1a2b3c4d"
    written = {path.name.removeprefix("dispatch-d-1a2b3c4d-v3"): path.read_bytes() for path in folder.iterdir()}
    tables = {"-series.csv", "-series-1min.csv", "-series-15min.csv", "-sessions.csv"}
    assert set(written) == tables | {".json", ".parquet", ".png", ".pdf", "-evidence.parquet", "SHA256SUMS"}
    assert read_evidence(written["-evidence.parquet"]) == stored
    rows = {name: list(csv.DictReader(written[name].decode().splitlines())) for name in tables - {"-sessions.csv"}}
    assert {sum(float(row["delivered_energy_wh"]) for row in table) for table in rows.values()} == {225 * 2_766.0}
    sums = dict(reversed(line.split("  ")) for line in written["SHA256SUMS"].decode().splitlines())
    assert sums == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "SHA256SUMS"}
    (tmp_path / "a file").write_text("")
    assert "cannot be made" in counterflow("report", "d-1a2b3c4d", "--all", "--out", str(tmp_path / "a file" / "x")).stderr


def verdict(**fields: Any) -> Verdict:
    base: dict[str, Any] = {"dispatch_id": "d-1", "version": 2, "holds": True, "delivered_energy_wh": 1234.0, "made_again_wh": 1234.0}
    base |= {"members": 3, "samples": 99, "source": "the log and the meter values in x", "manifest": True, "differences": ()}
    return Verdict(**(base | fields))


def test_verify_says_whether_a_report_holds(counterflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "verify", lambda *_: verdict())
    result = counterflow("verify", "d-1")
    assert result.exit_code == 0
    said = flat(result.stdout)
    assert "Report of dispatch d-1, version 2, holds: 1,234 Wh delivered." in said
    assert "99 meter values of 3 sessions" in said
    assert "Its files are those of the manifest." in said
    monkeypatch.setattr(verifying, "verify", lambda *_: verdict(manifest=False))
    assert "There is no manifest" in counterflow("verify", "d-1").stdout


def test_verify_ends_with_one_when_a_report_does_not_hold(counterflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "verify", lambda *_: verdict(holds=False, differences=("Delivered in all: 1 Wh.",)))
    result = counterflow("verify", "d-1")
    assert result.exit_code == 1
    assert "DOES NOT HOLD" in result.stdout
    assert "- Delivered in all: 1 Wh." in result.stdout
    told = counterflow("verify", "d-1", "--json")
    assert (told.exit_code, msgspec.json.decode(told.stdout)["differences"]) == (1, ["Delivered in all: 1 Wh."])


def test_what_cannot_be_verified_is_a_sentence(counterflow: Any, tmp_path: Path) -> None:
    result = counterflow("verify", "nobody", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "'nobody' is no file, and no report of a dispatch of that name is kept" in result.stderr
    assert issubclass(CannotVerifyError, Exception)
