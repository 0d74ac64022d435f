"""Another actor at the stations: found, kept out of dispatch, confirmed, led over, and its end (decisions 6; OCPP 2.1 K09, 3.5)."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from counterflow.app.desks import conflict_views
from counterflow.domain.conflicts import Leader
from counterflow.domain.ids import EvseId, SiteId, StationId
from counterflow.domain.reasons import Reason
from counterflow.domain.views import Refusal
from counterflow.sim.rival import Rival

END_S = 250.0
SITE = SiteId("default")


def reasons(at: Any) -> dict[str, str]:
    """Station to reason."""
    return {view.station_id: view.reason for view in at.do(at.operations.sessions())}


def barred(at: Any, reason: Reason) -> set[str]:
    return {station for station, name in reasons(at).items() if name == reason.name.lower()}


def rivals(at: Any, rows: range, **profile: Any) -> list[Rival]:
    """A foreign transaction profile at these stations, which nobody has told us of."""
    found = []
    for row in rows:
        rival = Rival(at.world.stations[row])
        at.world.at(at.now_s, lambda rival=rival: rival.place_tx_profile(at.now_s, **{"level": 3, "limit_w": 2000.0} | profile))
        found.append(rival)
    at.run(1)
    return found


def look_again(at: Any) -> None:
    """Every line breaks and comes back, which is one of the hints."""
    at.world.cut_all(3.0)
    at.run(40)


def test_every_session_is_looked_at_once_before_it_may_be_discharged(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 1, plant=ideal)
    assert at.calls()["GetChargingProfiles"] == 12
    assert barred(at, Reason.PROFILES_UNSEEN) == set()
    at.order(120.0, 0.5)
    at.run(60)
    assert at.calls()["GetChargingProfiles"] == 12, "a dispatch of our own hints at nobody else"


def test_until_the_station_has_told_its_car_is_not_discharged_and_silence_is_asked_ever_more_rarely(
    town: Any, ideal: dict[str, Any]
) -> None:
    at = town(4, 1, plant=ideal, ready=lambda at: at.answering("GetChargingProfiles", lambda _frame: None))
    assert barred(at, Reason.PROFILES_UNSEEN) == set(reasons(at))
    at.order(600.0, power_w=5_000.0)
    at.run(590)
    assert at.calls()["SetChargingProfile"] == 0
    assert 4 * 3 <= at.calls()["GetChargingProfiles"] <= 4 * 5


def test_k09_a_report_that_never_comes_is_unknown(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 1, plant=ideal, ready=lambda at: at.answering("GetChargingProfiles", lambda frame: [3, frame[1], {"status": "Accepted"}]))
    at.run(120)
    assert barred(at, Reason.PROFILES_UNSEEN) == set(reasons(at))


@pytest.mark.parametrize("code", ["NotSupported", "NotImplemented"])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_station_that_cannot_tell_is_dealt_with_by_the_setting_and_shown(
    town: Any, ideal: dict[str, Any], code: str, allowed: bool
) -> None:
    at = town(
        4,
        1,
        plant=ideal,
        settings={"conflicts": {"discharge_untold": allowed}},
        ready=lambda at: at.answering("GetChargingProfiles", lambda frame: [4, frame[1], code, "", {}]),
    )
    assert barred(at, Reason.NOT_TELLING) == (set() if allowed else set(reasons(at)))
    views = at.do(at.operations.conflicts())
    assert {view.profiles_telling for view in views} == {"unsupported"}
    assert len(views) == 4
    assert len(at.do(at.operations.conflicts(untold=False))) == (0 if allowed else 4)
    assert not any("may be discharged" in view.conflict_text for view in views)
    assert all(view.conflict_text.endswith("does not keep the car out of dispatch") is allowed for view in views)
    assert at.operations.station(StationId("SIM-00001")).profiles_telling == "unsupported"
    at.run(300)
    assert at.calls()["GetChargingProfiles"] == 4


def test_who_else_steers_is_looked_up_in_portions_between_which_control_has_its_turn(
    town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflict_views, "STATIONS_AT_ONCE", 4)
    at = town(10, 1, plant=ideal, ready=lambda at: at.answering("GetChargingProfiles", lambda frame: [4, frame[1], "NotSupported", "", {}]))
    judged = Mock(wraps=at.room.conflicts.conflict_of)
    monkeypatch.setattr(at.room.conflicts, "conflict_of", judged)
    portions: list[int] = []

    looking = at.operations.conflicts()
    for _ in range(2):
        looking.send(None)
        portions.append(judged.call_count - sum(portions))
    with pytest.raises(StopIteration) as done:
        looking.send(None)
    assert portions == [4, 4]
    assert [view.station_id for view in done.value.value] == [f"SIM-{number:05d}" for number in range(1, 11)]


def test_another_callerror_is_no_word_about_what_is_installed(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 1, plant=ideal, ready=lambda at: at.answering("GetChargingProfiles", lambda frame: [4, frame[1], "InternalError", "", {}]))
    assert barred(at, Reason.PROFILES_UNSEEN) == set(reasons(at))


def test_decision_6_a_foreign_transaction_profile_keeps_the_evse_out_until_the_operator_confirms_that_we_lead(
    town: Any, ideal: dict[str, Any]
) -> None:
    at = town(8, 2, plant=ideal, station={"max_stack_level": 20})
    rivals(at, range(3), level=11)
    look_again(at)
    theirs = {"SIM-00001", "SIM-00002", "SIM-00003"}
    assert barred(at, Reason.FOREIGN_PROFILE) == theirs
    assert {(view.station_id, view.conflict, view.leader) for view in at.do(at.operations.conflicts())} == {
        (station, "foreign_profile", None) for station in theirs
    }
    [shown] = at.operations.station(StationId("SIM-00001")).other_profiles
    assert (shown.profile.purpose, shown.profile.stack_level, shown.source, shown.evse_id) == ("TxProfile", 11, "EMS", 1)
    at.do(at.operations.confirm_priority(SITE, Leader.THEM, "A. Owner", ""))
    assert barred(at, Reason.OTHERS_LEAD) == theirs
    at.do(at.operations.confirm_priority(SITE, Leader.US, "A. Owner", "contract"))
    assert barred(at, Reason.FOREIGN_PROFILE) | barred(at, Reason.OTHERS_LEAD) == set()
    order = at.order(120.0, 0.9)
    at.run(100)
    placed = {(one.station_id, one.payload["chargingProfile"]["stackLevel"]) for one in at.sent if one.action == "SetChargingProfile"}
    assert {level for station, level in placed if station in theirs} == {12, 13}, "fallback and discharge both go above level 11"
    assert {level for station, level in placed if station not in theirs} == {7, 8}
    assert at.delivered_w() == pytest.approx(order.steps[0].discharge_power_w, rel=0.06)
    said = at.operations.priorities()
    assert [(entry.leader, entry.by, entry.note) for entry in said[0].entries] == [
        (Leader.THEM, "A. Owner", ""),
        (Leader.US, "A. Owner", "contract"),
    ]


def test_a_confirmation_survives_a_restart_and_can_be_revoked_in_the_middle_of_a_dispatch(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 3, plant=ideal)
    rivals(at, range(6))
    look_again(at)
    at.do(at.operations.confirm_priority(SITE, Leader.US, "A. Owner", ""))
    at.restart(away_s=5.0)
    assert barred(at, Reason.FOREIGN_PROFILE) == set()
    at.run(40)
    order = at.order(300.0, 0.8)
    at.run(60)
    assert at.delivered_w() > 0.8 * order.steps[0].discharge_power_w
    at.do(at.operations.confirm_priority(SITE, None, "A. Owner", "not any more"))
    at.run(30)
    assert barred(at, Reason.FOREIGN_PROFILE) == set(reasons(at))
    assert at.delivered_w() <= 0.0
    assert not list(at.room.ledger), "nothing of ours stays where others steer"
    refused = at.do(at.operations.confirm_priority(SITE, None, "A. Owner", ""))
    assert isinstance(refused, Refusal)
    assert isinstance(at.do(at.operations.confirm_priority(SiteId("nowhere"), Leader.US, "A. Owner", "")), Refusal)


def test_where_no_level_is_left_above_the_reason_says_so(town: Any, ideal: dict[str, Any]) -> None:
    at = town(3, 4, plant=ideal, station={"max_stack_level": 9})
    rivals(at, range(1), level=8)
    look_again(at)
    at.do(at.operations.confirm_priority(SITE, Leader.US, "A. Owner", ""))
    assert barred(at, Reason.NO_LEVEL_ABOVE) == {"SIM-00001"}


def test_a_foreign_profile_that_is_withdrawn_frees_the_evse_at_the_next_look(town: Any, ideal: dict[str, Any]) -> None:
    at = town(3, 5, plant=ideal)
    [rival] = rivals(at, range(1))
    look_again(at)
    assert barred(at, Reason.FOREIGN_PROFILE) == {"SIM-00001"}
    at.world.at(at.now_s, lambda: rival.withdraw(77, at.now_s))
    look_again(at)
    assert barred(at, Reason.FOREIGN_PROFILE) == set()
    assert at.do(at.operations.conflicts()) == []


def test_k02_a_foreign_profile_dies_with_its_transaction_and_the_next_session_is_looked_at_anew(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 6, plant=ideal)
    rivals(at, range(1))
    look_again(at)
    station = at.world.stations[0]
    at.world.at(at.now_s, lambda: station.unplug(at.now_s))
    at.run(5)
    assert at.do(at.operations.conflicts()) == []
    asked = at.calls("SIM-00001")["GetChargingProfiles"]
    at.world.at(at.now_s, lambda: station.plug_in(at.now_s))
    at.run(40)
    assert at.calls("SIM-00001")["GetChargingProfiles"] == asked + 1
    assert barred(at, Reason.FOREIGN_PROFILE) | barred(at, Reason.PROFILES_UNSEEN) == set()


def test_a_new_session_at_a_station_that_told_before_waits_until_it_tells_again(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 6, plant=ideal)
    station = at.world.stations[0]
    at.answering("GetChargingProfiles", lambda _frame: None)
    at.world.at(at.now_s, lambda: station.unplug(at.now_s))
    at.run(5)
    at.world.at(at.now_s, lambda: station.plug_in(at.now_s))
    at.run(60)
    assert barred(at, Reason.PROFILES_UNSEEN) == {"SIM-00001"}


def test_a_level_that_is_taken_is_asked_about_before_another_is_tried(town: Any, ideal: dict[str, Any]) -> None:
    """A station with a profile of somebody else at our very level refuses ours (K01.FR.39): we look, and stay away."""
    at = town(4, 7, plant=ideal)
    rivals(at, range(2), level=8)
    at.order(200.0, 0.7)
    at.run(100)
    assert barred(at, Reason.FOREIGN_PROFILE) == {"SIM-00001", "SIM-00002"}
    levels = {one.payload["chargingProfile"]["stackLevel"] for one in at.sent if one.action == "SetChargingProfile"}
    assert levels == {7, 8}


def test_while_the_emergency_stop_is_on_nobody_is_asked_anything(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 8, plant=ideal)
    at.order(300.0, 0.8)
    at.run(30)
    at.world.cut_all(2.0)
    at.do(at.operations.emergency_stop(True, "op"))
    asked = at.calls()["GetChargingProfiles"]
    at.run(60)
    assert at.calls()["GetChargingProfiles"] == asked
    at.do(at.operations.emergency_stop(False, "op"))
    at.run(60)
    again = Counter(one.station_id for one in at.sent if one.action == "GetChargingProfiles")
    assert len(again) == 10
    assert min(again.values()) >= 2


def test_a_report_of_our_own_profiles_is_no_conflict(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 9, plant=ideal)
    order = at.order(300.0, 0.8)
    at.run(40)
    look_again(at)
    assert at.calls()["GetChargingProfiles"] >= 12
    assert barred(at, Reason.FOREIGN_PROFILE) == set()
    at.run(20)
    assert at.delivered_w() > 0.8 * order.steps[0].discharge_power_w
    at.run(300 + END_S)
    assert at.left_behind() == []


def at_once(at: Any, action: Callable[[float], Any]) -> None:
    """Something happens at the stations now, and its messages travel."""
    at.world.at(at.now_s, lambda: action(at.now_s))
    at.run(1)


def cell(at: Any, station_id: str, name: str) -> float:
    """One cell of the image of a station's only session."""
    image = at.room.fleet.snapshot(at.now_s)
    [row] = [row for row, key in enumerate(image.keys) if key is not None and key[0] == station_id]
    return float(getattr(image, name)[row])


def test_k12_a_limit_of_the_local_system_caps_the_car_over_time_and_its_end_frees_it(town: Any, ideal: dict[str, Any]) -> None:
    at = town(1, 21, plant=ideal)
    rival = Rival(at.world.stations[0])
    free_w = at.offer_w(120.0)
    at_once(at, lambda now_s: rival.limit(now_s, (0, 1500.0), (300, 900.0), (600, 0.0)))
    assert cell(at, "SIM-00001", "external_discharge_w") == 1500.0
    assert at.offer_w(120.0) < free_w - 1000.0
    assert at.offer_w(500.0) < at.offer_w(120.0), "what is capped within the window is not promised"
    at.order(280.0, 0.95)
    given_w: list[float] = []
    at.each_second.append(lambda: given_w.append(-float(at.world.power_w[0])))
    at.run(290)
    assert 1000.0 < max(given_w) <= 1600.0
    at.run(40)
    assert cell(at, "SIM-00001", "external_discharge_w") == 900.0
    at.run(300)
    assert barred(at, Reason.EXTERNAL_LIMIT) == {"SIM-00001"}
    at_once(at, lambda now_s: rival.let_go(-5, now_s))
    at.run(40)
    assert barred(at, Reason.EXTERNAL_LIMIT) == set()
    assert cell(at, "SIM-00001", "external_discharge_w") != cell(at, "SIM-00001", "external_discharge_w")


def test_a_limit_survives_a_restart_and_one_that_nobody_told_is_found_by_the_look(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 22, plant=ideal)
    told, untold = Rival(at.world.stations[0]), Rival(at.world.stations[1])
    at_once(at, lambda now_s: told.limit(now_s, (0, 0.0)))
    at_once(at, lambda now_s: untold.limit(now_s, (0, 0.0), quiet=True))
    assert barred(at, Reason.EXTERNAL_LIMIT) == {"SIM-00001"}
    at.restart(away_s=100_000.0)
    assert cell(at, "SIM-00001", "external_discharge_w") == 0.0
    at.world.cut_all(1.0)
    at.run(40)
    assert barred(at, Reason.EXTERNAL_LIMIT) == {"SIM-00001", "SIM-00002"}


@pytest.mark.parametrize("quiet", [False, True])
def test_a_setpoint_of_the_local_system_takes_the_car_out_of_a_running_dispatch_until_it_lets_go(
    town: Any, ideal: dict[str, Any], quiet: bool
) -> None:
    at = town(12, 23, plant=ideal)
    order = at.order(600.0, 0.4)
    at.run(60)
    running = next(row for row in range(12) if at.world.power_w[row] < 0.0)
    name, rival = f"SIM-{running + 1:05d}", Rival(at.world.stations[running])
    at_once(at, lambda now_s: rival.steer(now_s, 1000.0, quiet=quiet))
    at.run(90)
    assert barred(at, Reason.EXTERNAL_SETPOINT) == {name}
    assert at.delivered_w() == pytest.approx(order.steps[0].discharge_power_w, rel=0.06), "others took over"
    assert not [record for record in at.room.ledger if record.station_id == name]
    at_once(at, lambda now_s: rival.let_go(-6, now_s))
    at.run(60)
    assert barred(at, Reason.EXTERNAL_SETPOINT) == set()


def test_k22_the_drivers_priority_button_takes_the_car_out_until_it_is_over(town: Any, ideal: dict[str, Any]) -> None:
    at = town(5, 24, plant=ideal)
    at.order(400.0, 0.6)
    at.run(60)
    running = next(row for row in range(5) if at.world.power_w[row] < 0.0)
    name, rival = f"SIM-{running + 1:05d}", Rival(at.world.stations[running])
    at_once(at, lambda now_s: rival.press_priority(now_s, on=True))
    at.run(20)
    assert barred(at, Reason.PRIORITY_CHARGING) == {name}
    assert at.world.power_w[running] >= 0.0
    at_once(at, lambda now_s: rival.press_priority(now_s, on=False))
    assert barred(at, Reason.PRIORITY_CHARGING) == set()


def test_r02_a_grid_code_limit_that_starts_is_asked_for_and_caps_the_car_until_it_ends(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 25, plant=ideal)
    rated_w = at.operations.station(StationId("SIM-00001")).evses[0].max_discharge_power_w
    station = at.world.stations[0]

    def says(action: str, payload: dict[str, Any]) -> None:
        text = json.dumps([2, f"{action}-{at.now_s}", action, payload]).encode()
        at.world.at(at.now_s, lambda: at.world.csms.received(station.station_id, text, at.now_s))
        at.run(1)

    says("NotifyDERStartStop", {"controlId": "c1", "started": True, "timestamp": "2026-11-22T17:00:00Z"})
    [asked] = [one for one in at.sent if one.action == "GetDERControl"]
    limit = {"id": "c1", "isDefault": False, "isSuperseded": False, "limitMaxDischarge": {"priority": 1, "pctMaxDischargePower": 20}}
    says("ReportDERControl", {"requestId": asked.payload["requestId"], "limitMaxDischarge": [limit]})
    assert cell(at, "SIM-00001", "external_discharge_w") == pytest.approx(0.2 * rated_w)
    says("NotifyDERStartStop", {"controlId": "c1", "started": False, "timestamp": "2026-11-22T17:05:00Z"})
    assert cell(at, "SIM-00001", "external_discharge_w") != 0.2 * rated_w


def test_k08_our_own_watchdog_and_fallback_in_the_composite_schedule_cost_no_car(town: Any, ideal: dict[str, Any]) -> None:
    """The schedule shows a Dynamic profile until its watchdog and our fallback after it: nobody but us."""
    at = town(4, 27, plant=ideal, settings={"placing": {"control_path": "dynamic", "watchdog_s": 100.0}})
    order = at.order(900.0, 0.5)
    at.run(60)
    steered = [int(row) for row in np.flatnonzero(at.room.fleet.snapshot(at.now_s).setpoint_w < 0.0)]
    image = at.room.fleet.snapshot(at.now_s)
    for row in steered:
        at.room.conflicts.limits.ask_for_proof(image.keys[row][0], EvseId(int(image.evse_id[row])), at.now_s)
    at.run(3)
    assert at.calls()["GetCompositeSchedule"] >= len(steered) >= 1
    assert np.isnan(at.room.fleet.snapshot(at.now_s).external_ahead_w).all()
    at.run(130)
    assert at.delivered_w() == pytest.approx(order.steps[0].discharge_power_w, rel=0.06)


def test_k08_a_cap_that_nobody_told_is_proved_by_the_composite_schedule_and_not_promised(town: Any, ideal: dict[str, Any]) -> None:
    """The station neither tells the limit nor lists its profile: only its composite schedule shows it."""
    nothing = {"status": "NoProfiles"}
    at = town(4, 26, plant=ideal, ready=lambda at: at.answering("GetChargingProfiles", lambda frame: [3, frame[1], nothing]))
    rival = Rival(at.world.stations[0])
    at_once(at, lambda now_s: rival.limit(now_s, (0, 400.0), quiet=True))
    believed_w = at.offer_w(300.0)
    order = at.order(500.0, 0.95)
    at.run(90)
    assert at.calls("SIM-00001")["GetCompositeSchedule"] >= 1
    assert cell(at, "SIM-00001", "external_discharge_w") == pytest.approx(400.0, abs=1.0)
    at.do(at.operations.cancel(order.dispatch_id, "op"))
    assert at.offer_w(300.0) < believed_w - 1000.0
