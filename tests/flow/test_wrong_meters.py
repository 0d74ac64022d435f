"""Stations whose meters run the wrong way round: held out at their first discharge, until a person releases them."""

from typing import Any

import pytest

from counterflow.domain.ids import StationId
from counterflow.domain.reasons import Reason
from counterflow.domain.views import Refusal

WRONG = StationId("SIM-00001")


def one_wrong(at: Any, fault: str) -> None:
    """The meter of the first station."""
    at.world.stations[0].state.first_evse.meter_fault = fault


def barred(at: Any) -> set[str]:
    return {view.station_id for view in at.do(at.operations.sessions()) if view.reason == Reason.CONTRADICTS_ITSELF.name.lower()}


@pytest.mark.parametrize("fault", ["power", "registers"])
def test_a_station_whose_meter_contradicts_itself_is_held_out_until_a_person_releases_it(
    town: Any, ideal: dict[str, Any], fault: str
) -> None:
    at = town(4, 31, plant=ideal, ready=lambda at: one_wrong(at, fault))
    at.order(400.0, 0.9)
    at.run(250)
    assert barred(at) == {WRONG}
    assert not [record for record in at.room.ledger if record.station_id == WRONG]
    told = [notice for notice in at.notices if notice.kind == "station.held_out"]
    assert [(notice.subject, notice.text) for notice in told] == [
        (WRONG, "at EVSE 1 power and energy registers of its meter run in opposite directions")
    ]
    assert at.operations.station(WRONG).held_out == told[0].text
    assert [(view.station_id, view.conflict) for view in at.do(at.operations.conflicts())] == [(WRONG, "contradicts_itself")]
    at.restart()
    at.run(60)
    assert barred(at) == {WRONG}, "a restart releases nobody"
    at.run(400)
    one_wrong(at, "none")
    at.run(20)
    assert not isinstance(at.do(at.operations.release_station(WRONG, "A. Fitter", "rewired")), Refusal)
    assert barred(at) == set()
    assert isinstance(at.do(at.operations.release_station(WRONG, "A. Fitter", "")), Refusal)
    at.order(200.0, 0.9)
    at.run(200)
    assert barred(at) == set()
    assert at.world.stations[0].installed_profiles, "it takes part again"


def test_a_station_that_is_released_and_still_wrong_is_held_out_again(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 32, plant=ideal, ready=lambda at: one_wrong(at, "registers"))
    at.order(600.0, 0.9)
    at.run(150)
    assert barred(at) == {WRONG}
    at.do(at.operations.release_station(WRONG, "A. Fitter", "looked fine to me"))
    at.run(200)
    assert barred(at) == {WRONG}


def test_honest_meters_are_proved_once_and_remembered(town: Any) -> None:
    """The reference plant with its noise, losses and stubborn cars: nobody is held out."""
    at = town(60, 33)
    at.order(600.0, 0.8)
    at.run(600)
    assert barred(at) == set()
    proved = [view.station_id for view in at.do(at.operations.stations()) if at.room.conflicts.known.of(view.station_id).proved_meters]
    assert len(proved) >= 20
    at.restart()
    assert at.room.conflicts.known.of(proved[0]).proved_meters[0].evse_id == 1
