"""The demo's promise: what is judged, what is left out, and that nothing unknown passes."""

import pytest

from counterflow.app.demo.verdict import Mean, graces, judge, means_of

START_S = 1_000.0


def means(*errors: float | None) -> list[Mean]:
    """Ten-second means from the start on, each off by this share of 100 kW."""
    return [
        Mean(from_s=START_S + 10.0 * row, target_power_w=1e5, delivered_power_w=None if error is None else 1e5 * (1.0 + error))
        for row, error in enumerate(errors)
    ]


def test_the_first_minute_and_45_seconds_after_a_drop_out_are_not_judged() -> None:
    off = [-0.9] * 6 + [0.01] * 5 + [-0.5] * 5 + [0.02] * 3
    verdict = judge(means(*off), graces(START_S, [START_S + 115.0]))
    assert (verdict.judged, verdict.outside) == (8, 0)
    assert verdict.worst_frac == pytest.approx(0.02)
    assert verdict.kept


def test_as_metered_the_grace_begins_with_the_last_value_of_a_silent_car() -> None:
    off = [-0.9] * 6 + [0.01] * 4 + [-0.05] + [-0.5] * 5 + [0.02] * 4
    assert judge(means(*off), graces(START_S, [START_S + 115.0])).outside == 1
    assert judge(means(*off), [(START_S, START_S + 60.0), (START_S + 102.0, START_S + 160.0)]).kept


def test_what_is_unknown_is_not_kept_and_neither_is_nothing() -> None:
    assert not judge(means(*[0.0] * 8, None), graces(START_S, [])).kept
    assert not judge(means(0.0, 0.0), graces(START_S, [])).kept


def test_means_are_of_their_own_ten_seconds_and_unknown_without_samples() -> None:
    samples = [(START_S + at, 100.0 + at) for at in range(10)] + [(START_S + 20.0, 5.0)]
    assert [mean.delivered_power_w for mean in means_of(samples, START_S, START_S + 30.0, 1.0)] == [104.5, None, 5.0]
