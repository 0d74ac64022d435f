"""`counterflow replay` shows one row a seed, and its exit code is the promise."""

from typing import Any

import pytest
from typer.testing import CliRunner

from counterflow.app.cli import app
from counterflow.app.demo import rehearsal
from counterflow.app.demo.rehearsal import Rehearsal, Scenario
from counterflow.app.demo.verdict import Verdict
from counterflow.app.dispatching.fallbacks import Fallbacks


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


# --- the simulation with faults


def trouble(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_a_seed_with_faults_is_played_and_its_last_events_are_shown() -> None:
    result = trouble("replay", "3", "--stations", "2", "--for", "30s", "--trace")
    assert result.exit_code == 0, result.output
    assert "Every invariant held on 1 of 1 seeds." in result.output
    assert "SIM-00001" in result.output


def test_a_breach_is_named_and_shows_in_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fallbacks, "stands_beneath", lambda _self, _placing: True)
    result = trouble("replay", "1")
    assert result.exit_code == 1
    assert "no fallback" in result.output.replace("\n", "")
    assert "held on 0 of 1 seeds" in result.output


def test_a_scenario_that_there_is_not_is_a_sentence() -> None:
    result = trouble("replay", "1", "--scenario", "opera")
    assert result.exit_code == 2
    assert "trouble and demo" in result.output


def test_a_soak_says_what_was_tried_and_how_to_play_a_breach_again(monkeypatch: pytest.MonkeyPatch) -> None:
    result = trouble("soak", "--for", "1s", "--first-seed", "5", "--stations", "3")
    assert result.exit_code == 0, result.output
    assert "seeds from 5 on" in result.output.replace("\n", "")
    monkeypatch.setattr(Fallbacks, "stands_beneath", lambda _self, _placing: True)
    broken = trouble("soak", "--for", "1s", "--first-seed", "1")
    assert broken.exit_code == 1
    assert "counterflow replay 1 --trace" in broken.output
