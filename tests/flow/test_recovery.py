"""Troubles of docs/recovery.md that the simulation found badly handled, each provoked by itself, and the figures that show them."""

from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from counterflow.app.clock import SystemClock
from counterflow.app.observing.recovery_metrics import RecoveryMetrics
from counterflow.domain.records import ProfileState
from counterflow.domain.settlement import Quality
from counterflow.engine.settlement.verifying import differences, remade

END_S = 200.0


def figures(at: Any) -> dict[str, float]:
    metrics: list[Metric] = list(RecoveryMetrics(at.room, SystemClock(), lambda: 0).collect())
    return {
        "/".join((metric.name.removeprefix("counterflow_"), *sample.labels.values())): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def discharging(at: Any) -> list[Any]:
    return [station for station in at.world.stations if station.state.first_evse.effective.order.discharges]


def levels(at: Any, station_id: str, since_s: float) -> list[int]:
    """Stack levels of the profiles sent to a station, in order."""
    return [
        sent.payload["chargingProfile"]["stackLevel"]
        for sent in at.sent
        if sent.action == "SetChargingProfile" and sent.station_id == station_id and sent.at_s >= since_s
    ]


def test_gotcha_22_after_a_return_the_fallback_goes_first_since_a_reboot_is_not_known_yet(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 1, plant=ideal)
    at.order(300.0, 0.7)
    at.run(60)
    station = discharging(at)[0]
    at.world.cut(station.station_id, 5.0)
    station.power_cycle(at.now_s, keeps_profiles=False, keeps_transaction=True, keeps_queue=True)
    back_s = at.now_s
    at.run(20)
    sent = levels(at, station.station_id, back_s)
    assert sent[0] == min(sent), "a discharge would stand on nothing"
    at.run(300 + END_S)
    assert at.left_behind() == []


def test_a_line_that_is_replaced_with_a_call_in_flight_leaves_nothing_on_the_new_one(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 2, plant=ideal)
    at.order(300.0, 0.7)
    at.run(60)
    station = discharging(at)[0]
    station.receive = lambda _text, _now_s: None  # it hears nothing: whatever is sent to it stays in flight
    at.run(60)
    del station.receive
    station.state.profiles.forget_tx_profiles()  # and it has rebooted meanwhile
    seat = at.world._seats[station.station_id]
    seat.line = None
    station.disconnect(at.now_s)
    back_s = at.now_s
    at.world.at(at.now_s, lambda: at.world._connect(seat))  # the server has not seen the older line go
    at.run(40)
    assert figures(at)["lines_replaced"] == 1
    sent = levels(at, station.station_id, back_s)
    assert sent == sorted(sent)
    at.run(300 + END_S)
    assert at.left_behind() == []


def test_a_fallback_is_cleared_only_once_no_discharge_may_stand_on_it(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 3, plant=ideal)
    order = at.order(300.0, 0.7)
    at.run(60)
    [first, *_] = discharging(at)
    deaf = at.world.stations.index(first)
    receive = first.receive
    # It does not hear one clear of a discharge: the fallback must stay until that one is repeated.
    lost: list[bytes] = []

    def hears(text: bytes, now_s: float) -> None:
        if b"ClearChargingProfile" in text and not lost:
            lost.append(text)
        else:
            receive(text, now_s)

    first.receive = hears
    at.do(at.operations.cancel(order.dispatch_id, "test"))
    for _ in range(200):
        at.run(1)
        held = [one.profile.stack_level for one in at.world.stations[deaf].installed_profiles]
        assert held in ([], [8, 7], [7, 8], [7]), held
        if not held:
            break
    assert lost
    at.run(END_S)
    assert at.left_behind() == []


def test_e11_what_happened_offline_is_counted_late_taken_once_and_not_dispatched_on(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 4, plant=ideal)
    at.order(300.0, 0.7)
    at.run(60)
    station = discharging(at)[0]
    at.world.cut(station.station_id, 60.0)
    at.run(90)
    shown = figures(at)
    assert shown["late_events"] >= 4
    assert shown["repeated_events"] == 0
    kept = at.journal.samples({view.session_uid for view in at.do(at.operations.sessions())}, 0.0, 2e9)
    assert len({(sample.session_uid, sample.at_s) for sample in kept}) == len(kept)
    at.run(300 + END_S)
    assert at.left_behind() == []


def test_the_ledger_and_what_was_known_again_are_figures(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 5, plant=ideal)
    at.order(300.0, 0.7)
    at.run(30)
    placed = figures(at)[f"ledger/{ProfileState.PLACED.value}"]
    assert placed == len(at.room.ledger) > 0
    at.restart()
    shown = figures(at)
    assert shown["recovered/profiles"] == placed
    assert shown["recovered/sessions"] == len(at.do(at.operations.sessions()))
    assert shown[f"ledger/{ProfileState.UNSURE.value}"] == pytest.approx(placed)


def test_e11_what_a_car_gave_while_its_station_was_away_until_after_the_window_is_settled_in_another_version(
    town: Any, ideal: dict[str, Any]
) -> None:
    at = town(6, 4, plant=ideal)
    order = at.order(300.0, 0.9)
    at.run(60)
    station = discharging(at)[0]
    at.world.cut(station.station_id, 400.0)
    at.run(340)
    first = at.report(order.dispatch_id)
    (away,) = [session for session in first.sessions if session.drop_out is not None]
    assert (away.station_id, away.quality, first.quality) == (station.station_id, Quality.MISSING, Quality.MISSING)
    at.run(200)
    second = at.report(order.dispatch_id)
    (back,) = [session for session in second.sessions if session.station_id == away.station_id]
    assert (second.version, second.quality, back.quality) == (first.version + 1, Quality.GOOD, Quality.GOOD)
    assert back.exported_wh > 1.5 * away.exported_wh, "its order stood, and it went on"
    assert second.uncertainty_wh < first.uncertainty_wh
    assert second.delivered_energy_wh > first.delivered_energy_wh
    assert any("good instead of missing" in reason for reason in second.revision.reasons)


@pytest.mark.parametrize(("away_s", "in_time"), [(400.0, False), (150.0, True)])
def test_e11_a_car_whose_session_ended_while_its_station_was_away_is_unknown_no_longer_than_until_then(
    town: Any, ideal: dict[str, Any], away_s: float, in_time: bool
) -> None:
    at = town(6, 4, plant=ideal)
    order = at.order(300.0, 0.9)
    at.run(60)
    station = discharging(at)[0]
    at.world.cut(station.station_id, away_s)
    at.run(90)
    at.world.at(at.now_s, lambda: station.unplug(at.now_s))
    at.run(250)
    first = at.report(order.dispatch_id)
    (away,) = [session for session in first.sessions if session.station_id == station.station_id]
    assert (away.drop_out in ("offline", "silent")) is not in_time
    assert (away.quality is Quality.MISSING) is not in_time
    at.run(200)
    second = at.report(order.dispatch_id)
    (back,) = [session for session in second.sessions if session.station_id == station.station_id]
    assert (back.quality, second.quality, second.version) == (Quality.GOOD, Quality.GOOD, 1 if in_time else 2)
    assert back.delivered_wh > 0.0
    # What its registers tell is all that there is: as sure as any other's.
    assert back.uncertainty_wh <= 2.0 * max(one.uncertainty_wh for one in second.sessions if one.drop_out is None)
    # The first version can be made again from what was known then.
    again = at.operations_reporting.stored(first.instruction, first.generated_at_s)
    assert differences(first, remade(first, again)) == ()
