"""The bench at sizes of a handful: every figure is there, whatever is started is ended, and nothing fails in silence."""

import json
import os
import resource
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.session import Session
from counterflow.app import bench
from counterflow.app.bench import Measurement, UnknownMeasurementError, messages, run_bench
from counterflow.app.bench.comparison import NoMeasurementError, compared, comparison_table, read_measured
from counterflow.app.bench.figures import CannotError, Figure, Sizes, percentile
from counterflow.app.bench.processes import Child, ChildError, need_files
from counterflow.app.bench.stage import LOAD, Stage
from counterflow.app.bench.table import number_words, table
from counterflow.domain.instructions import AllocationPolicy

TINY = Sizes(
    connections=(6,),
    window_s=0.3,
    warm_up_s=0.1,
    repeats=1,
    paced_per_s=100.0,
    peer_window_s=0.3,
    fan_out_stations=6,
    allocation_sessions=(40,),
    memory_stations=6,
    ingest_samples=500,
    storm_stations=6,
    console_sessions=30,
    console_pairs=1,
    console_window_s=5.0,
    console_settle_s=0.5,
)


def quiet() -> Console:
    return Console(file=open(os.devnull, "w"), width=200)  # closed with the process


def figures_of(tmp_path: Path, *names: str) -> dict[str, dict]:
    path = tmp_path / "figures.json"
    assert run_bench(names, path, quiet(), quick=True, sizes=TINY) == 0
    return json.loads(path.read_text())["figures"]


def test_allocation_and_ingest_measure_every_policy_the_tick_and_the_disk(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, "allocation", "ingest")
    assert {f"allocation.40.{policy}.ms" for policy in AllocationPolicy} < figures.keys()
    assert {"tick.40.first_ms", "tick.40.ms", "ingest.per_s", "ingest.cpu_us", "ingest.sync_ms"} < figures.keys()
    assert figures["ingest.per_s"]["median"] > 0.0


def test_gateway_measures_ours_and_the_peer_side_by_side(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, "gateway")
    ours, peer = figures["gateway.6.saturated.cpu_us"], figures["gateway.6.peer.saturated.cpu_us"]
    assert 0.0 < ours["median"] < peer["median"]
    assert figures["gateway.6.cpu_ratio"]["median"] == pytest.approx(peer["median"] / ours["median"])
    assert figures["gateway.6.paced.per_s"]["median"] == pytest.approx(100.0, rel=0.3)
    assert 0.0 < figures["gateway.6.paced.p50_ms"]["median"] <= figures["gateway.6.paced.p99_ms"]["median"]


def test_fan_out_reaches_every_station_with_a_fallback_and_a_discharge(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, "fan_out")
    assert figures["fan_out.fallbacks"]["median"] == 6.0
    assert figures["fan_out.discharges"]["median"] == 6.0
    assert 0.0 < figures["fan_out.accepted_s"]["median"] <= figures["fan_out.s"]["median"]
    assert figures["fan_out.fallback_s"]["median"] <= figures["fan_out.discharge_s"]["median"]


def test_storm_boots_every_station(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, "storm")
    assert figures["storm.opened_s"]["median"] > 0.0
    assert 0.0 < figures["storm.booted_s"]["median"] < 30.0


def test_console_is_looked_at_and_its_server_beside_itself_without(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, "console")
    more, alone, watched = (figures[f"console.server{name}_cores"]["median"] for name in ("", "_without", "_with"))
    assert more == pytest.approx(watched - alone)
    assert watched > 0.0
    assert figures["console.console_cores"]["median"] > 0.0
    assert figures["console.updates_per_s"]["median"] > 0.0
    assert 0.0 < figures["console.page_ms"]["median"] <= figures["console.page_most_ms"]["median"]
    for name in ("with", "without"):
        assert 0.0 < figures[f"console.tick_cpu_{name}.p50_ms"]["median"] <= figures[f"console.tick_cpu_{name}.p99_ms"]["median"]
        assert 0.0 < figures[f"console.tick_{name}.p50_ms"]["median"] <= figures[f"console.tick_{name}.p99_ms"]["median"]


def test_memory_tells_idle_from_session_and_plain_from_compressed(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, "memory")
    assert figures.keys() == {f"memory.{line}.{what}_kib" for line in ("plain", "deflate") for what in ("idle", "session")}
    assert figures["memory.plain.idle_kib"]["aim"] == 32.0
    assert "aim" not in figures["memory.deflate.idle_kib"]


def test_an_unknown_name_starts_nothing() -> None:
    with pytest.raises(UnknownMeasurementError, match="There is no measurement 'speed'; there are allocation, ingest"):
        run_bench(["speed"], None, quiet(), quick=True)


def test_what_fails_is_said_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(stage: Stage) -> Iterator[Figure]:
        yield Figure(key="early", title="before the fault", unit="s", values=(1.0,))
        raise CannotError("This machine allows 3 open files.")

    def works(stage: Stage) -> Iterator[Figure]:
        yield Figure(key="late", title="after it", unit="s", values=(2.0, 3.0, 10.0), aim=2.5)

    monkeypatch.setattr(bench, "MEASUREMENTS", {n: Measurement(n, n, m, 5.0) for n, m in (("breaks", breaks), ("works", works))})
    path = tmp_path / "figures.json"
    with (tmp_path / "screen").open("w") as file:
        assert run_bench((), path, Console(file=file, width=200), quick=False) == 1
    written = json.loads(path.read_text())
    assert written["figures"]["early"]["median"] == 1.0
    assert written["figures"]["breaks.failed"]["note"] == "This machine allows 3 open files."
    assert written["figures"]["late"] == {
        "title": "after it", "unit": "s", "min": 2.0, "median": 3.0, "max": 10.0, "values": [2.0, 3.0, 10.0],
        "aim": 2.5, "better": "less", "met": False,
    }  # fmt: skip
    assert len(written["reference"]["json_loads_us"]) == 3
    screen = (tmp_path / "screen").read_text()
    assert "This machine allows 3 open files." in screen
    assert "missed" in screen


def test_processes_and_folders_go_on_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def interrupted(stage: Stage) -> Iterator[Figure]:
        seen["folder"] = stage.folder
        with stage.load() as load:
            seen["pid"] = load.pid
            raise KeyboardInterrupt
        yield

    monkeypatch.setattr(bench, "MEASUREMENTS", {"interrupted": Measurement("interrupted", "", interrupted, 5.0)})
    with pytest.raises(KeyboardInterrupt):
        run_bench((), None, quiet(), quick=True)
    assert not Path(str(seen["folder"])).exists()
    assert not Path(f"/proc/{seen['pid']}").exists()


def test_a_process_that_does_not_answer_in_time_is_told_and_ended(tmp_path: Path) -> None:
    with (
        Child(LOAD, min(os.sched_getaffinity(0)), tmp_path / "log") as child,
        pytest.raises(ChildError, match=r"did not answer 'count' within"),
    ):
        child.ask("count", 0.001)
    assert not Path(f"/proc/{child.pid}").exists()


def test_a_machine_that_allows_too_few_files_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    with pytest.raises(CannotError, match="10000 connections need 10200 open files in one process; this machine allows 1024"):
        need_files(10_000)


def test_the_message_is_the_one_that_the_figures_speak_of() -> None:
    text = messages.sample(1, messages.stamp(1_795_366_800.5), 7, (messages.TRANSACTION_ID % 3).encode(), messages.POWER_W, 1_234_567)
    assert 750 <= len(text) <= 770
    session = Session(incoming=ocpp.FROM_STATION, new_message_id=str)
    [call] = session.receive(text, 0.0)
    assert call.salvaged == ()
    assert len(call.request.meter_value[0].sampled_value) == 3


def test_the_median_is_judged_in_the_direction_of_the_aim() -> None:
    def figure(aim: float | None, better: str, *values: float) -> Figure:
        return Figure(key="k", title="t", unit="u", values=values, aim=aim, better=better)

    assert figure(2.0, "less", 1.0, 2.0, 9.0).met is True
    assert figure(2.0, "more", 1.0, 1.5, 9.0).met is False
    assert figure(None, "less", 1.0).met is None
    assert figure(2.0, "less").met is None


def test_percentiles_and_numbers_read_well() -> None:
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
    assert percentile(range(100), 0.99) == 99
    assert percentile([], 0.5) != percentile([], 0.5)
    assert [number_words(value) for value in (21_345.6, 0.16042, 34.2)] == ["21,346", "0.16", "34.2"]


def test_the_table_is_readable_in_a_narrow_terminal() -> None:
    figures = [
        Figure(key="a", title="10,000 stations, saturated: CPU per TransactionEvent", unit="µs CPU/message", values=(33.6, 39.4), aim=35.0),
        Figure(key="b", title="Memory", unit="KiB", values=(), note="This machine may not open so many files."),
    ]
    screen = StringIO()
    Console(width=80, file=screen).print(table(figures, [5.0]))
    text = screen.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert len(text.splitlines()) <= 14
    assert "33.6 - 39.4" in text
    assert "missed" in text
    assert "missing" in text


def run_of(day: str, reference_us: float, **figures: tuple[float, ...]) -> dict[str, Any]:
    """What a run wrote: each figure's least, median and most; `_s` = a time to be short, `_per_s` a rate to be high."""
    written = {
        key: {
            "title": key,
            "unit": "messages/s" if key.endswith("per_s") else "s" if key.endswith("_s") else "KiB",
            "min": values[0],
            "median": values[1],
            "max": values[2],
            "aim": 1.0,
            "better": "more" if key.endswith("per_s") else "less",
        }
        for key, values in figures.items()
    }
    return {
        "format": "counterflow-bench/1",
        "finished_at": f"2026-11-{day}T10:00:00+00:00",
        "machine": {"counterflow": "0.1.0"},
        "reference": {"json_loads_us": [reference_us]},
        "figures": written,
    }


def test_before_and_after_are_compared_at_one_speed_and_only_beyond_their_spreads() -> None:
    before = run_of("22", 5.0, a_s=(1.0, 1.1, 1.2), b_s=(1.0, 1.1, 1.2), c_per_s=(90, 100, 110), d_kib=(10, 10, 10), gone_s=(1, 1, 1))
    after = run_of("26", 10.0, a_s=(2.1, 2.2, 2.3), b_s=(2.5, 2.6, 2.7), c_per_s=(60, 65, 70), d_kib=(12, 12, 12), new_s=(1, 1, 1))
    rows = {row.key: row for row in compared(before, after)}
    assert {key: row.verdict for key, row in rows.items()} == {"a_s": "same", "b_s": "worse", "c_per_s": "better", "d_kib": "worse"}
    assert (rows["a_s"].before, rows["a_s"].expected, rows["c_per_s"].expected) == (1.1, 2.2, 50.0)
    assert rows["d_kib"].change == pytest.approx(0.2)
    screen = StringIO()
    Console(width=80, file=screen).print(comparison_table(before, after))
    text = screen.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "0.1.0 of 2026-11-22" in text
    assert "worse" in text


@pytest.mark.parametrize("content", ["", "[]", '{"format": "else"}'])
def test_a_file_that_is_no_measurement_is_said_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(NoMeasurementError, match=r"x\.json"):
        read_measured(path)
    with pytest.raises(NoMeasurementError, match="missing"):
        read_measured(tmp_path / "missing.json")
