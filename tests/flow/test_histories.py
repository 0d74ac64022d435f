"""Looking back on a session and on the profiles at a station; and taking everything of ours off one station."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from counterflow.adapters.storage.frames import Frame
from counterflow.domain.dispatch_views import ClearingView
from counterflow.domain.drivers import SessionOverride
from counterflow.domain.histories import ProfileEntry, SessionHistory
from counterflow.domain.ids import SessionUid, StationId
from counterflow.domain.reasons import Reason
from counterflow.domain.views import Refusal


class Ring:
    """The frames of a town, as the ring of the server keeps them."""

    def __init__(self, at: Any) -> None:
        self.frames: list[Frame] = []
        room, received, departing = at.room, at.room.received, at.room.take_departing

        def hear(station_id: str, text: bytes, now_s: float) -> None:
            self.frames.append(Frame(StationId(station_id), "in", now_s, text.decode()))
            received(station_id, text, now_s)

        def say() -> Any:
            items = departing()
            self.frames += [Frame(item.station_id, "out", at.now_s, item.text.decode()) for item in items]
            return items

        room.received, room.take_departing = hear, say

    def newest(self, station_id: StationId, count: int) -> Sequence[Frame]:
        return [frame for frame in self.frames if frame.station_id == station_id][-count:]


@pytest.fixture
def at(town: Any, ideal: dict[str, Any]) -> Any:
    """Forty cars that answer quickly, with their frames kept."""
    built = town(40, 51, plant=ideal)
    ring = Ring(built)
    built.operations._frames = ring.newest
    return built


def one_that_discharges(at: Any) -> Any:
    return max((view for view in at.do(at.operations.sessions()) if view.setpoint_w), key=lambda view: view.setpoint_w)


def history(at: Any, uid: int) -> SessionHistory:
    """As `Operations.session_history`, without the thread."""
    key = at.room.fleet.key_of(SessionUid(uid))
    station_id = None if key is None else key[0]
    instructions = list(at.room.dispatcher.book.instructions.values())
    found = at.operations.read_history(SessionUid(uid), station_id, instructions, at.now_s - 3600.0, at.now_s)
    assert isinstance(found, SessionHistory)
    return found


def ledger(at: Any, station_id: str) -> list[ProfileEntry]:
    found = at.operations.ledger_of(StationId(station_id), at.operations._messages(StationId(station_id)))
    assert isinstance(found, list)
    return found


def test_a_session_shows_its_meter_values_and_each_order_with_reason_and_answer(at: Any) -> None:
    order = at.order(300.0, 0.6)
    at.run(30)
    view = one_that_discharges(at)
    at.do(at.operations.cancel(order.dispatch_id, "ann"))
    at.run(120)
    seen = history(at, view.session_uid)
    assert len(seen.samples) > 10
    assert [point.at_s for point in seen.samples] == sorted(point.at_s for point in seen.samples)
    assert max(point.power_w or 0.0 for point in seen.samples) == pytest.approx(view.setpoint_w, rel=0.1)
    assert any(point.soc_frac is not None for point in seen.samples)
    first = seen.setpoints[0]
    assert (first.reason, first.reason_text, first.power_w) == ("start", "the dispatch began", view.setpoint_w)
    assert (first.dispatch_id, first.outcome) == (order.dispatch_id, "Accepted")
    assert first.answered_at_s is not None
    assert first.at_s <= first.answered_at_s <= first.at_s + 5.0
    # It is over: the same is read of a session that has ended, where its station is known from the log only.
    station = next(station for station in at.world.stations if station.station_id == view.station_id)
    at.world.at(at.now_s, lambda: station.unplug(at.now_s))
    at.run(10)
    assert history(at, view.session_uid).setpoints == seen.setpoints


def test_the_ledger_of_a_station_tells_placed_accepted_and_cleared(at: Any) -> None:
    order = at.order(300.0, 0.6)
    at.run(30)
    view = one_that_discharges(at)
    here = ledger(at, view.station_id)
    assert {(entry.kind, entry.standing, entry.answer) for entry in here} == {
        ("discharge", "accepted", "Accepted"),
        ("fallback", "accepted", "Accepted"),
    }
    at.do(at.operations.cancel(order.dispatch_id, "ann"))
    at.run(150)
    after = ledger(at, view.station_id)
    assert {entry.profile_id for entry in after} == {entry.profile_id for entry in here}
    assert {(entry.standing, entry.clear_answer) for entry in after} == {("cleared", "Accepted")}
    assert all(entry.cleared_at_s and entry.placed_at_s and entry.cleared_at_s > entry.placed_at_s for entry in after)


def test_one_station_is_cleared_its_car_is_replaced_and_rests(at: Any) -> None:
    order = at.order(400.0, 0.5)
    at.run(30)
    view = one_that_discharges(at)
    answer = at.do(at.operations.clear_station(StationId(view.station_id)))
    assert answer == ClearingView(profiles=2, paced=0, paced_over_s=0.0)
    at.run(20)
    assert at.room.ledger.of_station(StationId(view.station_id)) == ()
    now = at.operations.session(view.station_id, view.transaction_id)
    assert (now.reason, now.setpoint_w, now.dispatch_id) == (Reason.COOLING_DOWN.name.lower(), None, None)
    assert "a person cleared it" in now.reason_text
    (lost,) = [notice for notice in at.notices if notice.kind == "session.dropped_out"]
    assert lost.values["station_id"] == view.station_id
    assert at.view(order).discharging > 0
    at.run(60)
    assert at.delivered_w() == pytest.approx(order.steps[0].discharge_power_w, rel=0.05), "others give it instead"
    assert at.room.ledger.of_station(StationId(view.station_id)) == (), "nothing was placed there again"


def test_an_offline_station_keeps_its_tombstones_and_is_cleared_on_its_return(at: Any) -> None:
    at.order(600.0, 0.5)
    at.run(30)
    view = one_that_discharges(at)
    station = next(station for station in at.world.stations if station.station_id == view.station_id)
    at.world.at(at.now_s, lambda: at.world.cut(station.station_id, 60.0))
    at.run(5)
    at.do(at.operations.clear_station(StationId(view.station_id)))
    at.run(5)
    waiting = ledger(at, view.station_id)
    assert {entry.standing for entry in waiting} == {"orphan"}
    assert all("no longer wanted" in entry.standing_text for entry in waiting)
    at.run(120)
    assert at.room.ledger.of_station(StationId(view.station_id)) == ()
    assert {entry.standing for entry in ledger(at, view.station_id)} == {"cleared"}


def test_a_drivers_minimum_raises_the_floor_of_the_session_and_stands_beside_the_departure(at: Any) -> None:
    view = next(view for view in at.do(at.operations.sessions()) if view.reason == "ready")
    leaves_s = at.now_s + 7200.0
    station, transaction = StationId(view.station_id), view.transaction_id

    def say(**said: Any) -> Any:
        (seen,) = at.do(at.operations.override(station, transaction, SessionOverride(by="ann", **said)))
        return seen

    say(departure_s=leaves_s)
    kept = say(min_soc_frac=0.95)
    assert kept.soc_floor_frac == 0.95
    assert kept.departure_s == leaves_s
    assert kept.override.endswith(", keeps at least 95 %")
    assert kept.reason == Reason.BELOW_FLOOR.name.lower()
    assert say(min_soc_frac=0.0).soc_floor_frac == view.soc_floor_frac, "what is agreed is never lowered"
    assert say(stop=True).override == "stop, keeps at least 0 %"
    cleared = say()
    assert (cleared.override, cleared.soc_floor_frac) == ("", view.soc_floor_frac)


def test_what_is_not_known_is_refused_in_words(at: Any) -> None:
    for asked in (at.operations.profile_ledger(StationId("none")), at.operations.clear_station(StationId("none"))):
        answer = at.do(asked)
        assert isinstance(answer, Refusal)
        assert "no station 'none'" in answer.sentence


def test_a_minimum_survives_a_restart_in_the_record_of_its_session(at: Any) -> None:
    view = next(view for view in at.do(at.operations.sessions()) if view.reason == "ready")
    at.do(at.operations.override(StationId(view.station_id), view.transaction_id, SessionOverride(by="ann", min_soc_frac=0.9)))
    (record,) = [one for one in at.room.fleet.records_at(StationId(view.station_id)) if one.session_uid == view.session_uid]
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)).override.min_soc_frac == 0.9
