"""Between two events each car's delay and ramp are identified from the first; the second begins with them, after a restart, too."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.app import housework as house
from counterflow.app.dispatching import dispatcher as dispatching
from counterflow.app.drivers import identifying as waiting
from counterflow.app.housework import IDENTIFY_STEP_S, Housework, rests_s
from counterflow.domain.records import DocumentKind, LearnedResponse
from counterflow.engine.control.lead import lead_s

SLOW = {"delay_min_s": 2.0, "delay_max_s": 10.0, "ramp_min_w_per_s": 600.0, "ramp_max_w_per_s": 4_000.0}
STEP_W = 7_000.0


def event(at: Any) -> None:
    """A dispatch in which every car is moved some times, until all are handed back and have settled."""
    for share in (0.9, 0.4, 0.9, 0.9):
        at.order(70.0, share)
        at.run(150.0)
    at.run(80.0)


def leads_s(at: Any) -> dict[str, float]:
    """By station, how much earlier its car would be told to begin."""
    image, outlook = at.room.fleet.snapshot(at.now_s), at.room.dispatcher.outlook
    outlook.gains(image)  # as an order does that looks at what is feasible: who came since the last tick is welcomed
    lags, start = outlook.response.lags, at.room.settings.scheduled_start
    rows = [row for row in range(len(image)) if image.uid[row] != 0]
    return {str(image.keys[row][0]): lags.lead_s(row, int(image.uid[row]), STEP_W, start) for row in rows}


def true_s(at: Any) -> dict[str, float]:
    """The same, as it truly is."""
    plant = at.world.fleet.plant
    lag_s = plant.delay_s + STEP_W / plant.ramp_w_per_s / 2.0
    return {str(station.station_id): float(lag_s[row]) for row, station in enumerate(at.world.stations)}


def off_s(at: Any, always_s: float | None = None) -> float:
    """How far the leads are off (rms), or would be if all were `always_s`."""
    leads, truth = leads_s(at), true_s(at)
    leads = leads if always_s is None else dict.fromkeys(leads, always_s)
    return float(np.sqrt(np.mean([(leads[station] - min(truth[station], 20.0)) ** 2 for station in leads])))


def records(at: Any) -> dict[str, LearnedResponse]:
    return {key: one for key, one in at.journal.documents(DocumentKind.LEARNED_RESPONSE) if key.startswith("vehicle:")}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No identification until the function is called."""
    real = dispatching.Dispatcher.identify
    monkeypatch.setattr(dispatching.Dispatcher, "identify", lambda _self, _now_s: False)
    return lambda: monkeypatch.setattr(dispatching.Dispatcher, "identify", real)


def test_the_second_event_begins_with_what_the_first_told_and_so_it_does_after_a_restart(
    town: Any, ideal: dict[str, Any], later: Callable[[], None]
) -> None:
    at = town(12, 3, plant=ideal | SLOW)
    event(at)
    online_s, journaled = off_s(at), records(at)
    assert journaled == {}, "within an event nothing is kept"
    later()
    at.run(3.0)
    offline_s, found = off_s(at), leads_s(at)
    assert at.room.dispatcher.identifying.identified >= 10
    assert offline_s < 1.0
    assert offline_s < 0.5 * online_s
    kept = records(at)
    assert len(kept) >= 10
    assert sum(one.transitions[0] > 2.0 for one in kept.values()) >= 10
    at.restart(away_s=3.0)
    at.run(40.0)
    again = leads_s(at)
    assert len(again) == 12
    assert np.median([abs(again[station] - found[station]) for station in again]) < 0.2
    assert off_s(at) < 0.6 * online_s
    order = at.order(120.0, 0.7)
    at.run(70.0)
    assert at.worst_error(order.steps[0].discharge_power_w, len(at.power_w) - 20, len(at.power_w)) <= 0.05


def test_a_session_that_ends_is_identified_after_it_and_its_car_begins_with_it_the_next_time(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 5, plant=ideal | SLOW, settings={"drivers": {"default": {"consent": True, "vehicle_model": "M"}}})
    at.order(300.0, power_w=30e3)
    at.run(100.0)
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in at.world.stations])
    at.run(5.0)
    assert at.room.dispatcher.identifying.identified >= 5
    known = records(at)
    assert sum(one.transitions[0] > 1.0 for one in known.values()) >= 5
    assert at.room.experience.of("cars:m").transitions[0] > 1.0
    at.world.at(at.now_s, lambda: [station.plug_in(at.now_s) for station in at.world.stations])
    at.run(40.0)
    default_s = lead_s(STEP_W, at.room.settings.scheduled_start)
    assert sum(abs(one - default_s) > 0.3 for one in leads_s(at).values()) >= 4
    assert off_s(at) < off_s(at, default_s)


def test_a_crash_before_it_loses_that_record_and_nothing_else(town: Any, ideal: dict[str, Any], later: Callable[[], None]) -> None:
    at = town(6, 5, plant=ideal | SLOW)
    event(at)
    at.restart(away_s=3.0)
    later()
    at.run(40.0)
    assert records(at) == {}
    assert at.room.dispatcher.identifying.identified == 0
    event(at)
    at.run(3.0)
    assert at.room.dispatcher.identifying.identified >= 5


def test_a_fault_in_it_keeps_nothing_from_being_controlled(town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ArithmeticError

    at = town(6, 5, plant=ideal | SLOW)
    monkeypatch.setattr(dispatching, "identify", fail)
    event(at)
    assert at.room.dispatcher.faults.count > 0
    learned = leads_s(at)
    monkeypatch.setattr(at.room.dispatcher.identifying, "take", fail)
    order = at.order(100.0, 0.7)
    at.run(70.0)
    assert at.worst_error(order.steps[0].discharge_power_w, len(at.power_w) - 20, len(at.power_w)) <= 0.05
    assert len(learned) == 6


def test_what_is_found_of_a_car_that_was_forgotten_meanwhile_is_not_kept(
    town: Any, ideal: dict[str, Any], later: Callable[[], None]
) -> None:
    at = town(4, 5, plant=ideal | SLOW)
    at.order(300.0, power_w=20e3)
    at.run(100.0)
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in at.world.stations])
    at.run(5.0)
    gone, *others = records(at)
    assert at.room.experience.erase([gone.removeprefix("vehicle:")]) == 1
    later()
    at.run(3.0)
    assert sorted(records(at)) == sorted(others)


def test_the_server_identifies_in_a_thread_and_goes_on_after_a_fault(
    town: Any, ideal: dict[str, Any], later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = town(6, 5, plant=ideal | SLOW)
    event(at)
    identifying, real, asked = at.room.dispatcher.identifying, house.identify, []

    def once_wrong(trace: Any, give_way: Callable[[], object]) -> Any:
        asked.append(len(trace))
        if len(asked) == 1:
            raise ArithmeticError
        assert at.room.dispatcher.at_leisure.is_set()
        return real(trace, give_way=give_way)

    monkeypatch.setattr(house, "identify", once_wrong)
    monkeypatch.setattr(house, "IDENTIFY_PAUSE_S", 0.001)
    work = Housework(
        at.room, at.settings, retention=cast(Any, None), settling=cast(Any, None), firm=cast(Any, None), now_s=lambda: at.now_s
    )

    async def until(done: Callable[[], bool]) -> None:
        task = asyncio.get_running_loop().create_task(work.identify())
        async with asyncio.timeout(60.0):
            while not done():
                await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(until(lambda: at.room.dispatcher.faults.count > 0))
    assert identifying.identified == 0
    event(at)
    asyncio.run(until(lambda: identifying.identified > 0))
    assert len(asked) == 2
    assert min(asked) >= 5
    assert off_s(at) < off_s(at, lead_s(STEP_W, at.room.settings.scheduled_start))


def test_whoever_works_beside_control_is_held_while_a_tick_runs_also_one_that_fails(
    town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = town(3, 5, plant=ideal)
    dispatcher, seen = at.room.dispatcher, []

    def learn(_image: Any) -> None:
        seen.append(dispatcher.at_leisure.is_set())
        raise ArithmeticError

    monkeypatch.setattr(dispatcher.outlook, "learn", learn)
    assert dispatcher.at_leisure.is_set()
    with pytest.raises(ArithmeticError):
        dispatcher.run_tick(at.now_s)
    assert seen == [False]
    assert dispatcher.at_leisure.is_set()


def test_whoever_works_beside_control_is_held_until_what_a_tick_decided_has_been_sent(
    town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = town(6, 5, plant=ideal)
    dispatcher, seen = at.room.dispatcher, []
    hand_out = dispatcher.carrying.hand_out

    def watched(most: int, now_s: float) -> None:
        if dispatcher.carrying.pending:
            seen.append(dispatcher.at_leisure.is_set())
        hand_out(most, now_s)

    monkeypatch.setattr(dispatcher.carrying, "hand_out", watched)
    at.order(60.0, power_w=20e3)
    at.run(1.0)
    assert seen
    assert not any(seen)
    assert dispatcher.at_leisure.is_set()


def test_beside_a_dispatch_identification_takes_a_tenth_of_the_time() -> None:
    assert rests_s(0.1, beside_a_dispatch=True) == pytest.approx(0.9)
    assert rests_s(0.1, beside_a_dispatch=False) == IDENTIFY_STEP_S


def test_of_more_sessions_that_end_at_once_than_may_wait_what_was_learned_within_the_event_is_kept(
    town: Any, ideal: dict[str, Any], later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_ENDED", 0)
    at = town(6, 5, plant=ideal | SLOW)
    event(at)
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in at.world.stations])
    at.run(5.0)
    assert at.room.dispatcher.outlook.to_identify(at.now_s) is None
    assert sum(one.transitions[0] >= 1.0 for one in records(at).values()) >= 4


def test_a_session_that_ends_while_it_is_identified_keeps_what_was_learned_within_the_event(
    town: Any, ideal: dict[str, Any], later: Callable[[], None]
) -> None:
    at = town(6, 5, plant=ideal | SLOW)
    event(at)
    outlook = at.room.dispatcher.outlook
    batch = outlook.to_identify(at.now_s)
    assert outlook.to_identify(at.now_s) is None
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in at.world.stations])
    at.run(5.0)
    kept = records(at)
    outlook.identified(batch, house.identify(batch.trace), at.now_s)
    assert records(at) == kept
    assert all(one.transitions[0] >= 1.0 for one in kept.values())


def test_a_fault_in_it_leaves_of_a_session_that_has_ended_what_was_learned_within_the_event(
    town: Any, ideal: dict[str, Any], later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ArithmeticError

    at = town(6, 5, plant=ideal | SLOW)
    event(at)
    learned = at.room.dispatcher.outlook.response.lags.count.sum()
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in at.world.stations])
    at.run(5.0)
    assert sum(one.transitions[0] for one in records(at).values()) == 0.0, "it waits for the identification"
    monkeypatch.setattr(dispatching, "identify", fail)
    later()
    at.run(3.0)
    assert at.room.dispatcher.faults.count == 1
    assert sum(one.transitions[0] for one in records(at).values()) == pytest.approx(learned)
    assert learned >= 4.0


def test_who_is_erased_while_plugged_in_leaves_no_record_when_the_event_is_identified(
    town: Any, ideal: dict[str, Any], later: Callable[[], None]
) -> None:
    at = town(4, 5, plant=ideal | SLOW)
    event(at)
    open_now = {uid: at.room.fleet.record_of(uid).evccid_hash for uid in at.room.fleet.uids()}
    gone, *others = open_now.values()
    at.room.fleet.erase({gone}, at.now_s)
    at.room.experience.erase([gone])
    later()
    at.run(3.0)
    assert at.room.dispatcher.identifying.identified == 4
    assert sorted(records(at)) == sorted(f"vehicle:{other}" for other in others)


def test_a_session_of_many_events_counts_for_its_model_like_one(town: Any, ideal: dict[str, Any], later: Callable[[], None]) -> None:
    at = town(3, 5, plant=ideal | SLOW, settings={"drivers": {"default": {"consent": True, "vehicle_model": "M"}}})
    most = 3 * at.room.settings.priors.session_readings
    event(at)
    later()
    at.run(3.0)
    model = at.room.experience.of("cars:m")
    assert 0.5 * most < model.transitions[0] <= most
    event(at)
    at.run(3.0)
    before = at.room.dispatcher.identifying.identified
    assert before >= 6
    at.order(300.0, power_w=15e3)
    at.run(100.0)
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in at.world.stations])
    at.run(5.0)
    assert at.room.dispatcher.identifying.identified > before
    assert at.room.experience.of("cars:m").transitions[0] <= most + 1e-6


def test_a_car_whose_name_is_told_after_its_event_gets_what_is_identified_of_it(
    town: Any, ideal: dict[str, Any], later: Callable[[], None]
) -> None:
    at = town(4, 5, plant=ideal | SLOW)
    event(at)
    uid, *_ = at.room.fleet.uids()
    record = at.room.fleet.record_of(uid)
    batch = at.room.dispatcher.outlook.to_identify(at.now_s)
    at.room.dispatcher.outlook.session_changed(replace(record, evccid_hash="late"), at.now_s)
    at.room.dispatcher.outlook.gains(at.room.fleet.snapshot(at.now_s))
    at.room.dispatcher.outlook.identified(batch, house.identify(batch.trace), at.now_s)
    assert records(at)["vehicle:late"].transitions[0] > 1.0
    assert f"vehicle:{record.evccid_hash}" not in records(at)
