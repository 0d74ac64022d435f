"""The figures that people watch: what is not known now is said to be unknown, and what is offered is what an order would get."""

from typing import Any

import pytest

from counterflow.domain.instructions import Amendment, DispatchState
from counterflow.domain.settlement import Quality


def freeze(at: Any) -> None:
    """Every station stands still with its socket open: nothing more is heard of any."""
    at.received = lambda _station_id, _text, _now_s: None


def test_when_all_stations_freeze_power_is_unknown_and_no_energy_is_counted(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 1, plant=ideal)
    order = at.order(600.0, 0.6)
    at.run(60)
    seen = at.view(order)
    assert seen.delivered_power_w == pytest.approx(order.steps[0].discharge_power_w, rel=0.1)
    assert (at.operations.fleet().unmeasured_sessions, at.operations.fleet().quality) == (0, Quality.GOOD)
    assert (seen.quality, seen.at_s) == (Quality.GOOD, pytest.approx(at.now_s, abs=1.0))
    freeze(at)
    at.run(60)
    blind, fleet = at.view(order), at.operations.fleet()
    assert blind.instruction.state is DispatchState.RUNNING
    assert fleet.reasons == {"silent": fleet.sessions}
    assert (blind.delivered_power_w, fleet.measured_power_w, fleet.unmeasured_sessions) == (None, None, fleet.sessions)
    assert (blind.quality, fleet.quality) == (Quality.MISSING, Quality.MISSING)
    seconds = [notice for notice in at.notices if notice.kind in {"dispatch.second", "fleet.second"}][-2:]
    assert {notice.kind for notice in seconds} == {"dispatch.second", "fleet.second"}
    assert [notice.values.get("delivered_power_w", notice.values.get("measured_power_w")) for notice in seconds] == [None, None]
    assert {notice.values["quality"] for notice in seconds} == {"missing"}
    at.run(120)
    assert at.view(order).delivered_energy_wh == blind.delivered_energy_wh


def test_of_the_group_only_what_is_heard_of_counts(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 2, plant=ideal)
    order = at.order(600.0, 0.5)
    at.run(60)
    deaf = {station.station_id for station in at.world.stations[:6]}
    hear = at.room.received
    at.received = lambda station_id, text, now_s: None if station_id in deaf else hear(station_id, text, now_s)
    at.run(60)
    fleet = at.operations.fleet()
    assert (fleet.unmeasured_sessions, fleet.quality) == (len(deaf), Quality.ESTIMATED)
    heard_w = sum(view.power_w for view in at.do(at.operations.sessions()) if view.station_id not in deaf)
    assert fleet.measured_power_w == pytest.approx(heard_w, abs=1.0)
    assert at.view(order).delivered_power_w == pytest.approx(heard_w, rel=0.05)
    assert at.view(order).quality is Quality.ESTIMATED


def test_after_the_window_the_figures_go_on_until_charging_has_resumed(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 5, plant=ideal)
    order = at.order(120.0, 0.7)
    at.run(119)
    ended = at.view(order)
    assert ended.discharging > 10
    at.run(2)
    seen = []
    while at.view(order).instruction.state is DispatchState.RESUMING:
        view = at.view(order)
        seen.append((view.delivered_power_w, at.delivered_w(1), view.discharging, view.headroom_power_w, view.delivered_energy_wh))
        at.run(1)
    assert len(seen) > 45, "resuming takes about a minute"
    assert {headroom for _, _, _, headroom, _ in seen} == {None}
    assert len({energy for *_, energy in seen}) == 1, "what flows after the window is no delivery"
    last_shown_w, last_true_w, last_discharging, *_ = seen[-1]
    assert last_discharging == 0
    assert last_shown_w < -10_000.0, "the cars charge again, and that is shown"
    assert last_shown_w == pytest.approx(last_true_w, rel=0.25)
    assert at.view(order).delivered_power_w is None


LIMITED = {
    "sites": [{"site_id": "depot", "max_export_power_w": 30_000.0}],
    "stations": {"accept_unknown": True, "default_site": "depot"},
}


def test_what_is_available_is_what_an_order_would_get_under_the_site_limit(town: Any) -> None:
    at = town(20, 3, settings=LIMITED)
    at.run(30)
    fleet = at.operations.fleet()
    assert sum(view.available_power_w for view in at.do(at.operations.sessions())) > 60_000.0
    assert 20_000.0 < at.offer_w(900.0) <= 30_000.0
    assert fleet.available_power_w == pytest.approx(at.offer_w(900.0))
    assert 0.9 * fleet.available_power_w / 4.0 <= fleet.available_energy_wh <= fleet.available_power_w / 4.0


def test_cars_of_a_dispatch_are_not_offered_again(town: Any) -> None:
    at = town(20, 4)
    assert at.operations.fleet().available_power_w > 50_000.0
    order = at.order(600.0, 0.5)
    at.run(20)
    fleet = at.operations.fleet()
    assert fleet.available_power_w < 0.1 * at.view(order).feasibility.expected_power_w
    assert fleet.headroom_power_w is not None
    assert fleet.headroom_power_w > 10_000.0


def test_energy_needed_is_reckoned_up_to_now_and_the_needs_show_their_age(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 5, plant=ideal)
    at.run(60)
    before = {view.station_id: view for view in at.do(at.operations.sessions())}
    at.run(900)
    after = {view.station_id: view for view in at.do(at.operations.sessions())}
    charging = [one for one in before if after[one].import_wh - before[one].import_wh > 500.0 and after[one].energy_needed_wh > 0.0]
    assert len(charging) >= 3
    for one in charging:
        drawn_wh = after[one].import_wh - before[one].import_wh
        assert before[one].energy_needed_wh - after[one].energy_needed_wh == pytest.approx(0.9 * drawn_wh, rel=0.15)
        assert after[one].needs_age_s == pytest.approx(before[one].needs_age_s + 900.0)


def test_one_session_is_looked_up_and_the_list_works_out_the_gains_once(town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = town(12, 6)
    order = at.order(300.0, 0.5)
    at.run(60)
    gains, asked = at.room.dispatcher.outlook.gains, list[float]()
    monkeypatch.setattr(at.room.dispatcher.outlook, "gains", lambda image: asked.append(image.at_s) or gains(image))
    views = at.do(at.operations.sessions())
    assert len(views) == 12
    assert len(asked) == 1
    assert [at.operations.session(view.station_id, view.transaction_id) for view in views] == list(views)
    assert {view.gain for view in views if view.dispatch_id == order.dispatch_id} - {None}
    missing = at.operations.session(views[0].station_id, "another")
    assert missing.sentence == f"Station {views[0].station_id} has no open session another."


def test_messages_are_counted_when_they_leave_and_the_count_only_grows(town: Any) -> None:
    at = town(20, 7, plant={"network_median_s": 1.5})  # slow answers: commands wait, are replaced, or are there when the line breaks
    counted: list[int] = []

    def look() -> None:
        calls = at.calls()
        counted.append(at.operations.fleet().messages_sent)
        assert counted[-1] == calls["SetChargingProfile"] + calls["ClearChargingProfile"]

    at.each_second.append(look)
    offer_w = at.offer_w(240.0)
    order = at.order(240.0, power_w=0.4 * offer_w)
    for share in (0.8, 0.3, 0.9):
        at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=share * offer_w), "me"))
        at.run(6)
    at.do(at.operations.clear_all("me"))
    at.run(1)
    for station in at.world.stations[:10]:
        at.world.cut(station.station_id, 20.0)
    at.run(200)
    assert counted == sorted(counted)
    assert counted[-1] > 50
    assert at.left_behind() == []


def test_a_pool_as_a_storage_is_shown_with_its_time_and_quality_and_goes_down_as_it_gives(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 1, plant=ideal)
    before = at.grid.telemetry("all")
    assert before.storage_quality == "good"
    assert before.storage_at_s == pytest.approx(at.now_s, abs=15.0)
    assert before.stored_energy_wh < before.storage_capacity_wh
    at.order(1200.0, 0.6)
    at.run(1200)
    after = at.grid.telemetry("all")
    assert after.stored_energy_wh < before.stored_energy_wh
    assert after.usable_energy_wh < before.usable_energy_wh
    plant = at.world.fleet.plant
    assert after.stored_energy_wh == pytest.approx(plant.energy_wh.sum(), rel=0.06), "capacities are inferred from whole percents"
    level = plant.energy_wh.sum() / plant.capacity_wh.sum()
    assert after.stored_energy_wh / after.storage_capacity_wh == pytest.approx(level, abs=0.01)
