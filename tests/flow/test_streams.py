"""A streamed target on the virtual clock: values, the dead-man of decisions 16, restarts, floods, and the report."""

from collections.abc import Iterator
from itertools import pairwise
from math import sin
from typing import Any

import pytest

from counterflow.domain.delivery import LogKind
from counterflow.domain.dispatch_views import TargetAnswer
from counterflow.domain.instructions import DispatchInstruction, DispatchState, StreamTerms, StreamValue
from counterflow.domain.views import Refusal, RefusalKind

END_S = 250.0
TERMS = StreamTerms(timeout_s=12.0, hold_s=20.0, ramp_down_s=60.0)


def tell(at: Any, order: DispatchInstruction, power_w: float, sequence: int | None = None, said_at_s: float | None = None) -> Any:
    value = StreamValue(discharge_power_w=power_w, sequence=sequence, said_at_s=said_at_s)
    return at.do(at.operations.tell(order.dispatch_id, value))


def keep_telling(at: Any, order: DispatchInstruction, power_w: float, seconds: int) -> None:
    for _ in range(seconds // 4):
        assert tell(at, order, power_w).outcome == "taken"
        at.run(4)


def phases(at: Any) -> list[str]:
    return [notice.values["phase"] for notice in at.notices if notice.kind == "dispatch.stream"]


def signal(full_w: float) -> Iterator[float]:
    second = 0
    while True:
        yield full_w * (0.5 + 0.35 * sin(second / 45.0))
        second += 4


def test_cars_follow_a_stream_and_the_report_is_scored_against_what_was_asked(town: Any, ideal: dict[str, Any]) -> None:
    at = town(80, 21, plant=ideal)
    full_w = 0.8 * at.offer_w(500.0)
    order = at.order(500.0, power_w=full_w, stream=TERMS)
    told: list[tuple[float, float]] = []
    for number, power_w in zip(range(110), signal(full_w), strict=False):
        answer = tell(at, order, power_w, sequence=number)
        assert (answer.outcome, answer.asked_power_w, answer.stream.phase) == ("taken", power_w, "live")
        assert at.view(order).target_power_w == pytest.approx(power_w)
        told.append((at.now_s, power_w))
        at.run(4)
    assert at.calls()["UpdateDynamicSchedule"] > 0, "a stream moves Dynamic profiles"
    log = [entry for entry in at.journal.dispatch_log(order.dispatch_id) if entry.kind == LogKind.ASKED and not entry.text]
    assert [(entry.at_s, entry.target_power_w) for entry in log] == told
    at.run(60 + END_S)
    report = at.report(order.dispatch_id)
    assert [pause.why for pause in report.not_judged] == ["start"]
    asked_wh = sum(power_w * 4.0 for _, power_w in told) / 3600.0
    middle = [point for point in report.series if point.from_s < told[-1][0]]
    assert sum(point.target_power_w * 4.0 for point in middle) / 3600.0 == pytest.approx(asked_wh, rel=0.02)
    assert report.tracking_rmse_frac is not None
    assert report.tracking_rmse_frac < 0.12
    assert report.delivered_energy_wh == pytest.approx(report.target_energy_wh, rel=0.04)
    assert at.left_behind() == []


def test_a_value_is_acted_on_at_once_and_not_at_the_next_tick(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 22, plant=ideal, settings={"control": {"tick_interval_s": 60.0}})
    order = at.order(300.0, 0.8, stream=StreamTerms(timeout_s=120.0, hold_s=20.0, ramp_down_s=60.0))
    at.run(20)
    tell(at, order, order.steps[0].discharge_power_w)
    since_s = at.now_s
    at.run(2)
    assert at.calls(since_s=since_s)["SetChargingProfile"] > 5


def test_late_and_doubled_values_do_not_win_and_a_source_may_begin_anew(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 23, plant=ideal)
    order = at.order(600.0, 0.8, stream=TERMS)
    now_s = at.now_s
    assert tell(at, order, 9_000.0, 10, now_s).outcome == "taken"
    assert tell(at, order, 1_000.0, 10, now_s).outcome == "duplicate"
    assert tell(at, order, 1_000.0, 9).outcome == "late"
    assert tell(at, order, 1_000.0, None, now_s - 1.0).outcome == "late"
    assert at.view(order).target_power_w == 9_000.0
    at.run(5)
    assert tell(at, order, 8_000.0, 1, at.now_s).outcome == "taken", "its clock went on, so it counts from the start again"
    assert tell(at, order, 7_000.0, 12, at.now_s - 13.0).outcome == "late", "older than the time-out"
    ahead = tell(at, order, 7_000.0, 13, at.now_s + 60.0)
    assert isinstance(ahead, Refusal)
    assert "ahead of this server's clock" in ahead.sentence
    bounded = tell(at, order, 1e9, 14)
    assert bounded.bounded
    assert bounded.asked_power_w == pytest.approx(order.steps[0].discharge_power_w)


def test_decision_16_silence_holds_then_ramps_to_the_baseline_with_an_alarm_and_recovers(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 24, plant=ideal)
    power_w = 0.6 * at.offer_w(900.0)
    order = at.order(900.0, power_w=power_w, stream=TERMS)
    keep_telling(at, order, power_w, 80)
    at.run(8)
    assert at.operations.health().alarms == ()
    at.run(16)  # 28 s of silence: holding
    assert phases(at)[-1] == "holding"
    [alarm] = at.operations.health().alarms
    assert order.dispatch_id in alarm
    assert at.operations.health().ready
    assert at.delivered_w(5) == pytest.approx(power_w, rel=0.04)
    at.run(8 + 30)  # half way down
    assert phases(at)[-1] == "falling"
    assert at.view(order).target_power_w == pytest.approx(power_w * (1.0 - (70.0 - 36.0) / 60.0), rel=0.1)
    assert at.delivered_w(3) == pytest.approx(0.5 * power_w, rel=0.2)
    at.run(40)
    assert phases(at)[-1] == "silent"
    assert at.view(order).target_power_w == 0.0
    at.run(100)
    assert at.delivered_w(10) < -0.2 * power_w, "the cars charge again, as they would without us"
    assert at.view(order).instruction.state is DispatchState.RUNNING
    assert at.view(order).members == 0
    keep_telling(at, order, power_w, 80)
    assert phases(at)[-1] == "live"
    assert at.operations.health().alarms == ()
    assert at.delivered_w(20) == pytest.approx(power_w, rel=0.04)
    assert phases(at) == ["live", "holding", "falling", "silent", "live"]
    at.run(order.end_s - at.now_s + END_S)
    report = at.report(order.dispatch_id)
    assert report.drop_outs == ()
    assert report.delivered_energy_wh == pytest.approx(report.target_energy_wh, rel=0.06)
    assert at.left_behind() == []


def test_without_a_first_value_nothing_is_asked_and_nobody_is_disturbed(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 25, plant=ideal)
    order = at.order(120.0, 0.8, stream=TERMS)
    at.run(10)
    assert at.operations.health().alarms == ()
    at.run(10)
    assert len(at.operations.health().alarms) == 1
    at.run(100 + END_S)
    assert at.calls()["SetChargingProfile"] == 0
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    report = at.report(order.dispatch_id)
    assert (report.target_energy_wh, report.members) == (0.0, 0)


def test_a_value_sent_ahead_holds_from_the_start_on(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 26, plant=ideal)
    power_w = 0.5 * at.offer_w(120.0)
    order = at.order(120.0, power_w=power_w, stream=TERMS, start_s=at.now_s + 30.0)
    at.run(25)
    tell(at, order, power_w)
    at.run(5 + 2)
    assert at.view(order).target_power_w == pytest.approx(power_w)
    keep_telling(at, order, power_w, 40)
    assert at.delivered_w(10) == pytest.approx(power_w, rel=0.05)


def test_decision_16_the_dead_man_holds_over_a_restart_in_mid_stream(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 27, plant=ideal)
    power_w = 0.6 * at.offer_w(600.0)
    order = at.order(600.0, power_w=power_w, stream=TERMS)
    keep_telling(at, order, power_w, 60)
    tell(at, order, 0.8 * power_w, sequence=77)
    heard_s = at.now_s
    at.run(4)
    at.restart(away_s=3.0)
    view = at.view(order)
    assert (view.stream.phase, view.stream.value_power_w, view.stream.heard_at_s) == ("live", 0.8 * power_w, heard_s)
    assert tell(at, order, power_w, sequence=76).outcome == "late"
    at.run(heard_s + 28.0 - at.now_s)
    assert phases(at)[-1] == "holding"
    assert at.delivered_w(3) == pytest.approx(0.8 * power_w, rel=0.06)
    at.restart(away_s=3.0)
    at.run(heard_s + 62.0 - at.now_s)
    assert phases(at)[-1] == "falling"
    assert at.view(order).target_power_w == pytest.approx(0.4 * power_w, rel=0.12)
    at.run(40)
    assert phases(at)[-1] == "silent"
    at.run(90)
    at.restart(away_s=3.0)
    at.run(20)
    assert at.view(order).members == 0
    keep_telling(at, order, power_w, 60)
    assert at.delivered_w(10) == pytest.approx(power_w, rel=0.06)
    at.run(order.end_s - at.now_s + END_S)
    assert at.left_behind() == []


def test_a_flood_is_refused_clearly_and_control_goes_on(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 28, plant=ideal)
    order = at.order(300.0, 0.8, stream=TERMS)
    answers = [tell(at, order, 1_000.0 + number) for number in range(500)]
    taken = [answer for answer in answers if isinstance(answer, TargetAnswer)]
    assert len(taken) == 10
    assert {answer.kind for answer in answers if isinstance(answer, Refusal)} == {RefusalKind.TOO_OFTEN}
    assert at.view(order).target_power_w == 1_009.0
    at.run(10)
    assert tell(at, order, 5_000.0).outcome == "taken"
    assert at.room.dispatcher.streams.outcomes["refused"] == 490


def test_values_of_what_is_no_running_stream_are_refused_in_words(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 29, plant=ideal)
    constant = at.order(100.0, 0.5)
    assert "has no stream" in tell(at, constant, 1_000.0).sentence
    at.run(100 + END_S)
    streamed = at.order(60.0, 0.5, stream=TERMS)
    at.do(at.operations.cancel(streamed.dispatch_id, "me"))
    assert "takes no values any more" in tell(at, streamed, 1_000.0).sentence


def test_a_ramp_limits_how_fast_a_stream_moves_the_target(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 30, plant=ideal)
    power_w = 0.6 * at.offer_w(400.0)
    order = at.order(400.0, power_w=power_w, stream=TERMS, ramp_w_per_s=power_w / 40.0)
    keep_telling(at, order, power_w, 20)
    assert at.view(order).target_power_w == pytest.approx(0.5 * power_w, rel=1e-6)
    keep_telling(at, order, power_w, 40)
    keep_telling(at, order, 0.5 * power_w, 8)
    assert at.view(order).target_power_w == pytest.approx(0.8 * power_w, rel=1e-6)
    at.run(400 + END_S)
    start_s = order.start_s
    ramp = [point.target_power_w for point in at.report(order.dispatch_id).series if start_s + 4.0 <= point.from_s < start_s + 40.0]
    assert all(later > earlier for earlier, later in pairwise(ramp))


def test_a_trend_is_anticipated_and_a_value_that_stands_is_not(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 24, plant=ideal)
    full_w = 0.8 * at.offer_w(500.0)
    order = at.order(500.0, power_w=full_w, stream=TERMS)
    keep_telling(at, order, 0.3 * full_w, 40)
    for number in range(10):
        rising_w = (0.32 + 0.02 * number) * full_w
        tell(at, order, rising_w)
        at.run(4)
    expected_w = at.room.dispatcher.book.tasks[order.dispatch_id].figures.expected_w
    assert rising_w + 0.005 * full_w < expected_w < rising_w + 0.08 * full_w
    keep_telling(at, order, rising_w, 40)
    settled_w = at.room.dispatcher.book.tasks[order.dispatch_id].figures.expected_w
    assert settled_w == pytest.approx(rising_w, abs=0.01 * full_w)


def test_what_is_lost_on_the_line_costs_little_and_leaves_nothing_behind(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 27, plant=ideal, station={"unread_share": 0.03, "unanswered_share": 0.03})
    full_w = 0.7 * at.offer_w(400.0)
    order = at.order(400.0, power_w=full_w, stream=TERMS)
    begun = len(at.power_w)
    for _, power_w in zip(range(100), signal(full_w), strict=False):
        tell(at, order, power_w)
        at.run(4)
    assert at.room.csms.counters.outcomes["TimedOut"] > 5
    target_w = [power_w for _, power_w in zip(range(100), signal(full_w), strict=False) for _ in range(4)]
    errors = [(given_w + asked_w) / full_w for given_w, asked_w in zip(at.power_w[begun + 60 :], target_w[60:], strict=False)]
    assert (sum(error * error for error in errors) / len(errors)) ** 0.5 < 0.05
    at.run(60 + END_S)
    assert at.left_behind() == []


def test_what_is_committed_to_a_stream_follows_the_cars_that_come_after_it_was_opened_and_never_falls(
    town: Any, ideal: dict[str, Any]
) -> None:
    at = town(20, 31, plant=ideal, warm_up_s=0.5)
    order = at.order(900.0, power_w=20_000.0, stream=TERMS)
    assert order.feasibility.committed_power_w < 20_000.0, "nobody is there yet"
    at.run(80)
    answer = tell(at, order, 20_000.0)
    assert answer.committed_power_w == pytest.approx(20_000.0)
    keep_telling(at, order, 20_000.0, 60)
    assert at.delivered_w() == pytest.approx(20_000.0, rel=0.05)
    before_w = at.view(order).instruction.feasibility.committed_power_w
    at.restart()
    assert at.view(order).instruction.feasibility.committed_power_w == before_w, "it was written down"
    assert tell(at, order, 10_000.0).committed_power_w == before_w
