"""What was learned of cars is there when they come again, after a restart, too; and gone when their driver wants it so."""

import asyncio
from typing import Any

import numpy as np
from msgspec.structs import replace

from counterflow.app.drivers.experience import Experience
from counterflow.domain.driver_views import ErasureAnswer
from counterflow.domain.records import DocumentKind, LearnedResponse
from counterflow.domain.units import DAY_S

TOKEN = "DECFW000000001"


def leave_and_come_back(at: Any, away_s: float = 5.0) -> None:
    """Every car drives off, and stands there again a little later."""
    gone = [station for station in at.world.stations if station.state.first_evse.occupied]
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in gone])
    at.run(away_s)
    at.world.at(at.now_s, lambda: [station.plug_in(at.now_s) for station in gone])
    at.run(40.0)


def learned(at: Any, kind: str) -> dict[str, LearnedResponse]:
    return {key: record for key, record in at.journal.documents(DocumentKind.LEARNED_RESPONSE) if key.startswith(kind)}


def gains(at: Any) -> dict[str, float]:
    image = at.room.fleet.snapshot(at.now_s)
    values = at.room.dispatcher.outlook.gains(image)
    return {str(key[0]): float(values[row]) for row, key in enumerate(image.keys) if image.uid[row] != 0 and key is not None}


def test_the_second_dispatch_of_a_car_begins_with_what_the_first_taught_also_after_a_restart(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 3, plant=ideal | {"derated_share": 0.4})
    assert not learned(at, ""), "nothing was asked of anybody"
    at.order(240.0, 0.9)
    at.run(320)
    taught = gains(at)
    leave_and_come_back(at)
    cars = learned(at, "vehicle:")
    assert len(cars) >= 10
    assert len(learned(at, "model:")) == 1
    assert not learned(at, "evse:")
    # A few readings shrink each to the default a little, never past it.
    now = gains(at)
    assert all(abs(now[station] - gain) <= 0.35 * abs(gain - 0.95) + 0.02 for station, gain in taught.items() if station in now)
    assert np.std(list(now.values())) > 0.03, "the derated ones are still told apart"
    at.restart(away_s=3.0)
    at.run(40)
    again = gains(at)
    assert all(np.isclose(again[station], gain, atol=1e-9) for station, gain in now.items())
    order = at.order(120.0, 0.9)
    at.run(60)
    assert at.worst_error(order.steps[0].discharge_power_w, len(at.power_w) - 40, len(at.power_w)) <= 0.03


def test_erasing_a_person_erases_how_the_car_answered_and_old_records_expire(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 5, plant=ideal)
    at.order(120.0, 0.9)
    at.run(200)
    leave_and_come_back(at)
    before = learned(at, "vehicle:")
    assert len(before) == 4
    station = at.world.stations[0]
    mine = at.room.registry._pseudonym(station.state.first_evse.evccid)
    assert f"vehicle:{mine}" in before
    erased = asyncio.run(at.operations.erase_driver(TOKEN, "me"))
    assert isinstance(erased, ErasureAnswer)
    assert erased.learned == 1
    assert learned(at, "vehicle:") == {key: one for key, one in before.items() if key != f"vehicle:{mine}"}
    assert at.room.experience.expire(at.now_s + 900 * DAY_S, 400) == 0, "a clock that runs ahead removes nothing"
    old = max(one.at_s for one in before.values())
    at.room.experience._records["vehicle:old"] = LearnedResponse(subject="vehicle:old", at_s=old - 401 * DAY_S)
    assert at.room.experience.expire(at.now_s, 0) == 0
    assert at.room.experience.expire(at.now_s, 400) == 1


def test_a_deaf_car_that_comes_again_stays_out_for_the_rest_of_its_time_and_is_tried_again_then(town: Any, ideal: dict[str, Any]) -> None:
    at = town(1, 6, plant=ideal | {"deaf_share": 1.0})
    at.order(1_800.0, 0.8)
    at.run(120)
    outlook = at.room.dispatcher.outlook
    [until_s] = outlook.response.not_responding_until_s
    assert until_s > at.now_s
    leave_and_come_back(at)
    back_s = at.now_s
    assert outlook.response.not_responding_until_s[0] == until_s
    at.run(until_s - 1.0 - at.now_s)
    discharges = [one for one in at.sent if one.at_s > back_s - 40.0 and one.action == "SetChargingProfile"]
    at.run(30.0)
    assert discharges == []
    assert at.calls(since_s=until_s)["SetChargingProfile"] > 0, "it is given another chance"


def test_whose_car_it_is_may_be_told_late_and_takes_back_nothing_that_was_learned(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 7, plant=ideal)
    at.order(120.0, 0.9)
    at.run(60)
    outlook, experience = at.room.dispatcher.outlook, at.room.experience
    record = at.room.fleet.record_of(next(iter(at.room.fleet.uids())))
    row = at.room.fleet.row_of(record.session_uid)
    assert isinstance(experience, Experience)
    assert outlook.response.readings[row] > 0
    subject = "vehicle:else"
    experience._records[subject] = LearnedResponse(subject=subject, at_s=at.now_s, gain=0.5, gain_readings=40.0)
    before = outlook.response.gain[row]
    outlook.session_changed(replace(record, evccid_hash="else"), at.now_s)
    outlook._welcome(at.room.fleet.snapshot(at.now_s))
    assert outlook.response.gain[row] == before


def test_a_car_that_was_never_here_begins_with_what_others_of_its_model_taught(town: Any, ideal: dict[str, Any]) -> None:
    terms = {"consent": True, "min_soc_frac": 0.2, "target_soc_frac": 0.4, "departure_after_s": 8 * 3_600.0}
    at = town(6, 11, plant=ideal, settings={"drivers": {"default": terms | {"vehicle_model": "Make  Model"}}})
    at.order(200.0, 0.9)
    at.run(260)
    leave_and_come_back(at)
    [(subject, record)] = learned(at, "cars:").items()
    assert subject == "cars:make model"
    assert record.gain_readings > 0.0
    assert record.transitions[0] > 0.0, "how late they follow, too"
    at.restart()
    assert at.room.experience.of(subject) == record
