"""`counterflow bench settlement` at a small size: the worlds know their truth, and the table says what was missed."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from counterflow.app.bench import settlement
from counterflow.app.bench.settlement import Figure, document, markdown, table
from counterflow.app.bench.settlement.accuracy import METHODS, QUARTER, baselines
from counterflow.app.bench.settlement.days import played
from counterflow.app.bench.settlement.metered import START_S, WINDOW_S, Sampling, in_any_order, metered, received_by
from counterflow.app.bench.settlement.registers import FAULTS, aligned, faulty
from counterflow.app.cli import app


def test_aligned_registers_are_exact_but_for_their_resolution() -> None:
    found = aligned(1, 12)
    assert found["conservation"] == 0.0
    assert 0.0 < found["rms 60 s"] < 0.05
    assert found["rms 300 s"] < 0.05


def test_faulty_registers_and_late_values_are_settled_once_everything_is_in() -> None:
    found = faulty(6, 40)
    assert found["conservation"] == 0.0
    assert found["rms"] < 0.1 < found["early"]
    assert found["flagged"] > 0.0
    assert found["outside"] <= 5.0


def test_the_faults_are_there() -> None:
    stored = metered(3, FAULTS, 40).stored
    edges = {START_S, START_S + WINDOW_S}
    for uid in range(1, 41):
        assert edges <= {sample.at_s for sample in stored.samples if sample.session_uid == uid}
    late = [sample for sample in stored.samples if sample.received_s - sample.at_s > 60.0]
    assert 0.1 < len(late) / len(stored.samples) < 0.3
    assert len(received_by(stored, START_S + WINDOW_S).samples) < len(stored.samples)
    mixed = in_any_order(stored, 1)
    assert len(mixed.samples) > len(stored.samples)
    assert {repr(sample) for sample in mixed.samples} == {repr(sample) for sample in stored.samples}
    assert metered(3, Sampling(60.0, aligned=False), 3).stored.samples[0].at_s % 60.0 != 0.0


def test_a_forward_simulation_is_closer_to_the_truth_than_any_other_baseline() -> None:
    found = baselines(2, 1, 40)
    off = {name: abs(found[f"{name} bias"]) for name in (*(method.value for method in METHODS), QUARTER)}
    assert min(off, key=lambda name: off[name]) == "forward"
    assert off["forward"] < 3.0
    assert off[QUARTER] < off["declared"]


def test_a_day_knows_what_would_have_been_drawn() -> None:
    day = played(5, 40)
    assert 0.0 < day.quarter_wh < day.would_wh
    assert float(day.would_w.sum()) / 60.0 == pytest.approx(day.would_wh)
    assert len(day.stored.past_days_s) == 10
    assert played(5, 40).would_wh == day.would_wh


@pytest.fixture
def figures() -> tuple[Figure, ...]:
    return (
        Figure(number="25", title="a", unit="%", values=(0.004, -0.006), goal=0.05, moonshot=0.01),
        Figure(number="26", title="b", values=(0.03, -0.08), goal=0.1, moonshot=0.02),
        Figure(number="26", title="c", values=(0.03, -0.18), goal=0.1),
        Figure(number="M&V", title="d", values=(18.0, 20.0)),
    )


def test_each_figure_has_its_verdict_by_its_worst_seed(figures: tuple[Figure, ...]) -> None:
    assert [figure.verdict for figure in figures] == ["moonshot", "met", "missed", ""]
    assert [figure.worst for figure in figures] == [-0.006, -0.08, -0.18, 20.0]
    assert "| 26 | c | ≤0.1 |  | -0.075 | -0.18 | missed |" in markdown(figures)
    told = document(figures, seeds=2, quick=True, took_s=1.0)
    assert [each["verdict"] for each in told["figures"]] == ["moonshot", "met", "missed", ""]
    console = Console(width=80, record=True)
    console.print(table(figures))
    assert "moonshot" in console.export_text()


@pytest.mark.parametrize(("dropped", "code"), [(2, 0), (0, 1)])
def test_a_missed_goal_ends_with_one(
    figures: tuple[Figure, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropped: int, code: int
) -> None:
    kept = figures[:dropped] if dropped else figures
    monkeypatch.setattr(settlement, "measure", lambda _seeds, *, quick: kept)  # noqa: ARG005  # as the real one
    extra = tmp_path / "more.json"
    assert settlement.run_settlement(2, True, tmp_path / "out", extra, Console(width=80)) == code
    assert (tmp_path / "out" / "settlement.md").read_text("utf-8") == markdown(kept)
    assert (tmp_path / "out" / "baselines.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(extra.read_text("utf-8")) == json.loads((tmp_path / "out" / "settlement.json").read_text("utf-8"))


def test_the_whole_table_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    straight = dict.fromkeys(("rms 60 s", "bias 60 s", "rms 300 s", "bias 300 s", "conservation"), 0.0)
    troubled = dict.fromkeys(("rms", "bias", "early", "flagged", "outside", "conservation"), 0.0)
    names = (*(method.value for method in METHODS), QUARTER)
    by_method = {f"{name} {what}": 0.0 for name in names for what in ("bias", "rms")}
    sizes: list[tuple[int, ...]] = []
    monkeypatch.setattr(settlement, "aligned", lambda seed, size: sizes.append((seed, size)) or straight)
    monkeypatch.setattr(settlement, "faulty", lambda seed, size: sizes.append((seed, size)) or troubled)
    monkeypatch.setattr(settlement, "baselines", lambda seed, days, size: sizes.append((seed, days, size)) or by_method)
    assert {figure.verdict for figure in settlement.measure(2, quick=True)} == {"", "moonshot"}
    assert sizes == [(1, 60), (2, 60), (1, 60), (2, 60), (1, 1, 40), (2, 1, 40)]


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["settlement", "memory"], 2, "`settlement` is measured by itself"),
        (["settlement", "--json", "no/such/folder/x.json"], 2, "does not exist"),
    ],
)
def test_the_command_says_what_is_wrong(given: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(app, ["bench", *given])
    assert (result.exit_code, said in " ".join(result.output.split())) == (code, True)


def test_the_command_measures_and_tells_where_it_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(settlement, "run_settlement", lambda *given: asked.append(given[:3]) or 1)
    assert CliRunner().invoke(app, ["bench", "settlement", "--quick", "--seeds", "2", "--out", str(tmp_path)]).exit_code == 1
    assert asked == [(2, True, tmp_path)]

    def full(*_given: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(settlement, "run_settlement", full)
    result = CliRunner().invoke(app, ["bench", "settlement", "--out", str(tmp_path)])
    assert (result.exit_code, "No space left" in result.output) == (1, True)
