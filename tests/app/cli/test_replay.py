"""`counterflow replay` shows one row a seed, and its exit code is the promise."""

from typing import Any

import pytest
from typer.testing import CliRunner

from counterflow.app.cli import app
from counterflow.app.demo import rehearsal
from counterflow.app.demo.rehearsal import Rehearsal, Scenario
from counterflow.app.demo.verdict import Verdict


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Scenario]]:
    """Every seed is kept but 13; 99 cannot be played."""
    calls: list[tuple[int, Scenario]] = []

    def rehearse(seed: int, scenario: Scenario) -> Rehearsal:
        calls.append((seed, scenario))
        if seed == 99:
            raise RuntimeError("The discharge power must be above zero.")
        bad = seed == 13
        return Rehearsal(
            seed=seed,
            target_power_w=1_232_000.0,
            verdict=Verdict(judged=18, outside=int(bad), unknown=0, worst_frac=-0.05 if bad else -0.01, rmse_frac=0.004),
            in_band_after_s=None if bad else 40.0,
            messages=800,
            members=200,
            remaining=0,
            violations=0,
        )

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    return calls


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["replay", "--scenario", "demo", *words])


def test_seeds_are_counted_from_one(played: list[tuple[int, Scenario]]) -> None:
    result = run("--seeds", "3", "--stations", "50", "--for", "2min")
    assert result.exit_code == 0
    assert [seed for seed, _ in played] == [1, 2, 3]
    assert (played[0][1].stations, played[0][1].duration_s) == (50, 120.0)
    assert "kept on 3 of 3 seeds" in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_a_broken_promise_shows_in_the_exit_code(played: list[tuple[int, Scenario]]) -> None:
    result = run("13")
    assert result.exit_code == 1
    assert "never" in result.output
    assert "kept on 0 of 1 seeds" in result.output


def test_what_cannot_be_played_is_a_sentence(played: list[tuple[int, Scenario]]) -> None:
    result = run("99")
    assert result.exit_code == 1
    assert "Seed 99 could not be played" in result.output


def test_one_seed_or_several_not_both(played: list[tuple[int, Scenario]]) -> None:
    assert run("7", "--seeds", "3").exit_code == 2
    assert not played


def test_modern_cars_can_be_asked_for(played: list[tuple[int, Scenario]]) -> None:
    run("7", "--modern")
    assert played[0][1].plant.delay_max_s == 2.0
