"""Words about dispatches and reports say what is known, and say when something is not."""

import pytest
from msgspec.structs import replace

from counterflow.app.cli.words import answer_words, feasibility_words, length, order_words, state_words, verdict_words
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView
from counterflow.domain.instructions import DispatchState, TargetStep
from counterflow.domain.settlement import BaselineMethod, BaselineStatement, Quality, Recovery, Revision


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(30.0, "30 s"), (90.0, "90 s"), (900.0, "15 min"), (905.0, "905 s"), (7_200.0, "2 h"), (5_400.0, "90 min"), (9_000.0, "2.5 h")],
)
def test_a_length_is_said_as_it_is_ordered(duration_s: float, text: str) -> None:
    assert length(duration_s) == text


def test_the_ordered_energy_follows_the_steps_up_to_an_amended_end(dispatch: DispatchView) -> None:
    start_s = dispatch.instruction.start_s
    steps = (TargetStep(from_s=start_s, discharge_power_w=2_000_000.0), TargetStep(from_s=start_s + 360.0, discharge_power_w=1_000_000.0))
    amended = replace(dispatch.instruction, steps=steps, end_s=start_s + 720.0)
    assert "(100.00 kWh" in order_words(replace(amended, end_s=start_s + 180.0), start_s)
    assert order_words(amended, start_s).startswith("1.000 MW for 12 min until 17:12:00 UTC (300.00 kWh")


def test_the_energy_told_is_that_of_the_ramped_target_and_what_the_ramp_reaches_is_said(dispatch: DispatchView) -> None:
    start_s = dispatch.instruction.start_s
    steps = (TargetStep(from_s=start_s, discharge_power_w=30e3),)
    ramped = replace(dispatch.instruction, steps=steps, end_s=start_s + 300.0, ramp_w_per_s=1e3, ramp_out_s=30.0)
    assert "(2.25 kWh" in order_words(ramped, start_s)
    assert not any("Ramp:" in line for line in feasibility_words(ramped, dispatch.feasibility))
    short = replace(ramped, end_s=start_s + 30.0, ramp_w_per_s=10.0, ramp_out_s=0.0)
    assert "(1 Wh" in order_words(short, start_s)
    assert "Ramp:            the target gets no further than 300 W within the window." in feasibility_words(short, dispatch.feasibility)


def test_an_order_for_later_says_when(answer: DispatchAnswer) -> None:
    assert "from 2026-11-22T17:00:00Z" in answer_words(answer, answer.dispatch.instruction.start_s - 7_200.0)[0]


def test_no_shortfall_is_said_too(dispatch: DispatchView) -> None:
    none = replace(dispatch.feasibility, shortfall_power_w=0.5, sessions=1)
    lines = feasibility_words(dispatch.instruction, none)
    assert lines[-1].split() == ["Shortfall:", "none."]
    assert lines[0].endswith("from 1 session.")


def test_an_order_above_its_commitment_says_so_and_what_is_held_for_others(dispatch: DispatchView) -> None:
    called = replace(dispatch.feasibility, commitment_id="o-1", commitment_power_w=1e3, reserved_power_w=5e3)
    lines = feasibility_words(dispatch.instruction, called)
    assert any(line.startswith("Commitment:      o-1 over 1.0 kW; ") and line.endswith("was never promised.") for line in lines), lines
    assert "Reserved:        5.0 kW is held for commitments of others." in lines
    within = feasibility_words(dispatch.instruction, replace(called, commitment_power_w=1e9, reserved_power_w=0.0))
    assert any(line.startswith("Commitment:") and "above" not in line for line in within)
    assert not any("Reserved:" in line for line in within)


@pytest.mark.parametrize("state", list(DispatchState))
def test_every_state_has_words_and_its_reason(dispatch: DispatchView, state: DispatchState) -> None:
    view = replace(dispatch, instruction=replace(dispatch.instruction, state=state, state_reason="because"))
    text = state_words(view, dispatch.instruction.start_s - 60.0)
    assert text.endswith("(because)")
    assert len(text) > len(" (because)")


def test_the_verdict_of_an_unmetered_dispatch_says_unknown(delivery: DeliveryReport) -> None:
    blind = replace(delivery, tracking_rmse_frac=None, target_energy_wh=0.0, final=False, notes=("One gap.",))
    lines = verdict_words(blind)
    assert "%" not in lines[0]
    assert any("tracking error is unknown" in text for text in lines)
    assert "Note:      One gap." in lines
    assert "provisional" in lines[-1]
    assert any("231 sessions, 0 lost, 1 message, 0 gaps" in text for text in verdict_words(replace(delivery, messages_sent=1)))


def test_the_verdict_names_a_shortfall_beyond_rounding(delivery: DeliveryReport) -> None:
    assert "Shortfall: 2.50 kWh." in verdict_words(delivery)
    assert not any("Shortfall" in text for text in verdict_words(replace(delivery, shortfall_energy_wh=100.0)))


def test_the_verdict_tells_baseline_data_recovery_and_what_a_version_changed(delivery: DeliveryReport) -> None:
    base = BaselineStatement(method=BaselineMethod.METER_BEFORE_AFTER, description="", known_error="", energy_wh=12_000.0)
    changed = Revision(of_version=1, delivered_before_wh=1.0, sessions_changed=1, reasons=("It is more.",))
    told = replace(
        delivery,
        baseline=base,
        quality=Quality.ESTIMATED,
        flagged_wh=500.0,
        recovery=Recovery(energy_wh=900.0, until_s=0.0, ends_s=1.0, complete=False),
        revision=changed,
        version=2,
    )
    lines = verdict_words(told)
    assert "Baseline:  meter before after, 12.00 kWh that the cars would have drawn." in lines
    assert "Data:      estimated, 500 Wh of it from power alone." in lines
    assert "Recovery:  900 Wh drawn afterwards to make it good so far; no part of what was delivered." in lines
    assert "Version:   2. It is more." in lines
    whole = verdict_words(replace(told, flagged_wh=0.0, recovery=Recovery(energy_wh=900.0, until_s=1.0, ends_s=1.0, complete=True)))
    assert "Data:      estimated." in whole
    assert "Recovery:  900 Wh drawn afterwards to make it good; no part of what was delivered." in whole
    nothing = verdict_words(replace(told, baseline=None, recovery=None, quality=None, revision=None))
    assert not [line for line in nothing if line.startswith(("Baseline", "Data", "Recovery", "Version"))]
