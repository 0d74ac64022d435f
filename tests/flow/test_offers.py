"""Firm offers on the virtual clock: what is offered, committed, called and settled, and how forecasts are judged."""

import asyncio
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.app.offers.forecasting import worked_out
from counterflow.app.offers.offering import answer
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.instructions import Amendment, DispatchMode, DispatchOrder, DispatchState
from counterflow.domain.offers import LEVELS, Commitment, CommitmentState, CoverageDay, Offer
from counterflow.domain.reasons import Reason
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import DAY_S
from counterflow.domain.views import Refusal
from counterflow.engine.offers.ledger import BINDING

HOUR_S = 3_600.0


def ask(at: Any, window_s: float = 900.0, **more: Any) -> Offer:
    asked = {"pool": "all", "confidence": None, "start_s": None, "mode": DispatchMode.NET_EXPORT} | more
    told = asyncio.run(at.operations.offer(asked["pool"], window_s, asked["confidence"], asked["start_s"], asked["mode"]))
    assert isinstance(told, Offer), told
    return told


def commit(at: Any, offer: Offer, power_w: float | None = None, holder: str = "api:tso") -> Commitment:
    done = at.do(at.operations.commit(offer.offer_id, power_w, holder))
    assert isinstance(done, Commitment), done
    return done


def order(at: Any, power_w: float, by: str, duration_s: float = 300.0, **more: Any) -> DispatchAnswer | Refusal:
    answer: DispatchAnswer | Refusal = at.do(
        at.operations.order(DispatchOrder(discharge_power_w=power_w, duration_s=duration_s, ordered_by=by, **more), None, False)
    )
    return answer


def state_of(at: Any, commitment_id: str) -> CommitmentState:
    return next(one.state for one in at.operations.commitments() if one.commitment_id == commitment_id)


def test_an_offer_says_what_is_sure_and_how_that_comes_about(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 2, plant=ideal)
    told = ask(at)
    powers = [level.power_w for level in told.levels]
    assert powers == sorted(powers, reverse=True)
    assert told.model_power_w == pytest.approx(powers[1])
    assert 0.0 < told.power_w <= min(told.model_power_w, told.committable_power_w)
    grounds = told.grounds
    steps = [grounds.rated_power_w, grounds.limited_power_w, grounds.responding_power_w, grounds.lasting_power_w, grounds.median_power_w]
    assert steps == sorted(steps, reverse=True)
    assert grounds.sessions >= grounds.sessions_ready >= grounds.sessions_counted > 0
    assert told.power_w <= at.offer_w(900.0), "no more than an order would be told to expect"
    assert ask(at) == told, "who asks the same again gets the same offer"
    assert ask(at, 3.0 * HOUR_S).power_w <= told.power_w


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"pool": "nowhere"}, "There is no pool 'nowhere'"),
        ({"window_s": 60.0}, "A window of 60 s cannot be offered"),
        ({"confidence": 0.2}, "A confidence of 0.2 cannot be offered"),
        ({"start_s": 1.0}, "lies in the past"),
    ],
)
def test_what_cannot_be_offered_is_refused_in_words(town: Any, asked: dict[str, Any], words: str) -> None:
    at = town(2, 1, warm_up_s=1.0)
    given = {"pool": "all", "window_s": 900.0, "confidence": None, "start_s": None} | asked
    for ask_for in (at.operations.offer, at.operations.firm):
        refusal = asyncio.run(ask_for(given["pool"], given["window_s"], given["confidence"], given["start_s"]))
        assert isinstance(refusal, Refusal)
        assert words in refusal.sentence
    if "window_s" not in asked:
        refusal = asyncio.run(at.operations.horizons(given["pool"], given["confidence"], given["start_s"]))
        assert isinstance(refusal, Refusal)


def test_a_commitment_is_held_for_its_holder_and_an_order_above_it_says_so_before_it_starts(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 2, plant=ideal)
    start_s = at.now_s + 120.0
    told = ask(at, start_s=start_s)
    held = commit(at, told, 0.5 * told.power_w)
    assert held.state is CommitmentState.COMMITTED
    # Others are committed that much less, while the window is touched.
    other = order(at, 1e9, "api:other", start_s=start_s)
    assert isinstance(other, DispatchAnswer)
    told_other = other.dispatch.feasibility
    assert told_other.reserved_power_w == pytest.approx(held.power_w)
    assert told_other.committed_power_w == pytest.approx(0.9 * told_other.expected_power_w - held.power_w)
    assert told_other.commitment_id == ""
    # The holder's own order calls it, and takes the place of what others were accepted for after it.
    mine = order(at, 0.7 * told.power_w, "api:tso", start_s=start_s)
    assert isinstance(mine, DispatchAnswer)
    assert mine.dispatch.feasibility.commitment_id == held.commitment_id
    assert mine.dispatch.feasibility.commitment_power_w == pytest.approx(held.power_w)
    assert mine.dispatch.instruction.state is DispatchState.SCHEDULED, "it was told before it starts"
    assert mine.dispatch.feasibility.reserved_power_w == 0.0
    assert [one.dispatch_id for one in mine.displaced] == [other.dispatch.instruction.dispatch_id]
    assert state_of(at, held.commitment_id) is CommitmentState.CALLED, "it has not begun"
    at.restart(away_s=3.0)
    assert state_of(at, held.commitment_id) is CommitmentState.CALLED, "kept over restarts"
    at.run(start_s - at.now_s - 1.0)
    assert state_of(at, held.commitment_id) is CommitmentState.CALLED
    at.run(2)
    assert state_of(at, held.commitment_id) is CommitmentState.DELIVERING
    at.run(500)
    assert at.view(mine.dispatch.instruction).instruction.state is DispatchState.COMPLETED
    at.run(800)
    report = asyncio.run(at.operations.report(mine.dispatch.instruction.dispatch_id))
    assert isinstance(report, DeliveryReport)
    at.room.dispatcher.commitments.settled(report)
    [call] = next(one for one in at.operations.commitments() if one.commitment_id == held.commitment_id).calls
    assert report.final
    assert call.delivered_energy_wh == pytest.approx(report.delivered_energy_wh)
    assert state_of(at, held.commitment_id) is CommitmentState.SETTLED


def test_what_was_called_by_two_dispatches_is_called_until_both_are_cancelled(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 2, plant=ideal)
    start_s = at.now_s + 120.0
    told = ask(at, start_s=start_s)
    held = commit(at, told, 0.5 * told.power_w)
    first, second = (order(at, 0.2 * told.power_w, "api:tso", start_s=start_s + more_s) for more_s in (0.0, 400.0))
    assert isinstance(first, DispatchAnswer)
    assert isinstance(second, DispatchAnswer)
    at.do(at.operations.cancel(first.dispatch.instruction.dispatch_id, "api:tso"))
    at.run(300)
    assert state_of(at, held.commitment_id) is CommitmentState.CALLED, "nothing is delivered for it"
    assert [call.called_off for call in at.room.dispatcher.commitments.get(held.commitment_id).calls] == [True, False]
    at.run(250)
    assert at.view(second.dispatch.instruction).instruction.state is DispatchState.RUNNING
    assert state_of(at, held.commitment_id) is CommitmentState.DELIVERING


@pytest.mark.parametrize("crash", [False, True])
def test_what_was_called_by_a_dispatch_that_was_cancelled_before_its_start_is_owed_again_and_may_be_withdrawn(
    town: Any, ideal: dict[str, Any], crash: bool
) -> None:
    at = town(30, 2, plant=ideal)
    start_s = at.now_s + 120.0
    told = ask(at, start_s=start_s)
    held = commit(at, told, 0.5 * told.power_w)
    first = order(at, 0.2 * told.power_w, "api:tso", start_s=start_s)
    assert isinstance(first, DispatchAnswer)
    assert isinstance(at.do(at.operations.withdraw_commitment(held.commitment_id, "api:tso")), Refusal)
    called = at.room.dispatcher.commitments.get(held.commitment_id)
    at.do(at.operations.cancel(first.dispatch.instruction.dispatch_id, "api:tso"))
    if crash:  # the cancelling reached the disk, and what it means for the commitment did not
        at.journal.put(DocumentKind.COMMITMENT, held.commitment_id, called)
        at.restart(away_s=3.0)
    [owed] = [one for one in at.operations.commitments() if one.commitment_id == held.commitment_id]
    assert (owed.state, owed.calls[0].called_off) == (CommitmentState.COMMITTED, True)
    assert owed.reason == f"dispatch {owed.calls[0].dispatch_id} was cancelled before it began (cancelled by api:tso)"
    assert any(notice.kind == "commitment.state" and notice.values["reason"] == owed.reason for notice in at.notices)
    # It binds as before it was called, ...
    other = order(at, 1e9, "api:other", start_s=start_s)
    assert isinstance(other, DispatchAnswer)
    assert other.dispatch.feasibility.reserved_power_w == pytest.approx(held.power_w)
    # ... its holder may call it again, ...
    again = order(at, 0.2 * told.power_w, "api:tso", start_s=start_s)
    assert isinstance(again, DispatchAnswer)
    [called] = [one for one in at.operations.commitments() if one.commitment_id == held.commitment_id]
    assert (called.state, called.reason, len(called.calls)) == (CommitmentState.CALLED, "", 2)
    at.do(at.operations.cancel(again.dispatch.instruction.dispatch_id, "api:tso"))
    # ... or give it back, and then it binds nothing.
    given = at.do(at.operations.withdraw_commitment(held.commitment_id, "api:tso"))
    assert isinstance(given, Commitment)
    assert given.state is CommitmentState.WITHDRAWN
    free = at.try_order(300.0, 1e9, start_s=start_s, ordered_by="api:third")
    assert isinstance(free, DispatchAnswer)
    assert free.dispatch.feasibility.reserved_power_w == 0.0


def test_a_commitment_whose_dispatch_we_aborted_stays_called(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 2, plant=ideal)
    start_s = at.now_s + 120.0
    held = commit(at, ask(at, start_s=start_s))
    assert isinstance(order(at, 0.5 * held.power_w, "api:tso", start_s=start_s), DispatchAnswer)
    at.do(at.operations.emergency_stop(True, "api:staff"))
    assert state_of(at, held.commitment_id) is CommitmentState.CALLED
    at.restart(away_s=3.0)
    assert state_of(at, held.commitment_id) is CommitmentState.CALLED


def test_a_commitment_that_was_called_begins_with_its_dispatch_even_if_a_crash_came_between(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 2, plant=ideal)
    told = ask(at)
    held = commit(at, told)
    assert isinstance(order(at, 0.5 * told.power_w, "api:tso"), DispatchAnswer)
    [begun] = [one for one in at.operations.commitments() if one.commitment_id == held.commitment_id]
    assert begun.state is CommitmentState.DELIVERING
    at.journal.put(DocumentKind.COMMITMENT, held.commitment_id, replace(begun, state=CommitmentState.CALLED))
    at.restart(away_s=3.0)
    assert state_of(at, held.commitment_id) is CommitmentState.DELIVERING


def test_charging_that_is_given_up_is_offered_and_delivered_to_a_relative_order(town: Any, ideal: dict[str, Any]) -> None:
    terms = {"consent": False, "pausing": True, "max_pause_s": 3_600.0}
    at = town(30, 2, plant=ideal, settings={"drivers": {"default": terms}})
    assert ask(at).power_w == 0.0, "nobody may be discharged"
    told = ask(at, mode=DispatchMode.RELATIVE)
    assert told.mode is DispatchMode.RELATIVE
    assert 0.0 < told.power_w <= told.levels[1].power_w <= told.grounds.given_up_power_w
    assert told.power_w <= told.committable_power_w <= told.grounds.given_up_power_w
    assert ask(at, mode=DispatchMode.RELATIVE) == told
    held = commit(at, told)
    mine = order(at, told.power_w, "api:tso", mode=DispatchMode.RELATIVE)
    assert isinstance(mine, DispatchAnswer)
    assert mine.dispatch.feasibility.commitment_id == held.commitment_id
    assert mine.dispatch.feasibility.committed_power_w == pytest.approx(told.power_w)
    at.restart(away_s=3.0)
    [kept] = [one for one in at.operations.commitments() if one.commitment_id == held.commitment_id]
    assert kept.state in BINDING
    assert kept.offer.mode is DispatchMode.RELATIVE
    at.run(400)
    report = asyncio.run(at.operations.report(mine.dispatch.instruction.dispatch_id))
    assert isinstance(report, DeliveryReport)
    assert report.delivered_energy_wh >= 0.9 * report.target_energy_wh


def test_a_dispatch_that_was_there_before_the_commitment_does_not_give_way(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 2, plant=ideal)
    start_s = at.now_s + 120.0
    told = ask(at, start_s=start_s)
    first = order(at, 0.2 * told.power_w, "api:other", start_s=start_s)
    assert isinstance(first, DispatchAnswer)
    again = ask(at, start_s=start_s + 1.0)
    assert again.power_w == 0.0, "its sites are taken"
    refused = at.do(at.operations.commit(told.offer_id, None, "api:tso"))
    assert isinstance(refused, Refusal)
    assert "is accepted for this window" in refused.sentence


def test_offers_lapse_and_commitments_that_nobody_calls_expire(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 2, plant=ideal)
    told = ask(at)
    at.run(310)
    assert state_of(at, told.offer_id) is CommitmentState.EXPIRED
    late = at.do(at.operations.commit(told.offer_id, None, "api:tso"))
    assert isinstance(late, Refusal)
    assert "is expired (nobody committed to it in time)" in late.sentence
    second = commit(at, ask(at, 300.0))
    at.run(301)
    assert state_of(at, second.commitment_id) is CommitmentState.EXPIRED
    third = commit(at, ask(at))
    gone = at.do(at.operations.withdraw_commitment(third.commitment_id, "api:tso"))
    assert gone.state is CommitmentState.WITHDRAWN
    for done in (at.operations.withdraw_commitment(third.commitment_id, "x"), at.operations.withdraw_commitment("o-?", "x")):
        assert isinstance(at.do(done), Refusal)
    assert isinstance(at.do(at.operations.commit("o-?", None, "x")), Refusal)
    assert [notice.text for notice in at.notices if notice.kind == "commitment.state"] == ["committed", "expired", "committed", "withdrawn"]


def test_no_more_can_be_committed_than_was_offered_and_is_left(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 2, plant=ideal)
    one, other = ask(at), ask(at, 1200.0)
    too_much = at.do(at.operations.commit(one.offer_id, 1.1 * one.power_w, "a"))
    assert isinstance(too_much, Refusal)
    commit(at, one, 0.8 * one.power_w, "a")
    rest = commit(at, other, holder="b")
    assert rest.power_w == pytest.approx(other.power_w - 0.8 * one.power_w)
    assert ask(at).power_w == pytest.approx(ask(at).committable_power_w - 0.8 * one.power_w - rest.power_w, abs=1.0)


def test_forecasts_are_judged_when_their_window_has_passed_and_cars_that_left_were_not_there(town: Any, ideal: dict[str, Any]) -> None:
    offers = {"offers": {"forecast_windows_s": [300.0], "forecast_every_s": 300.0}}
    at = town(30, 2, plant=ideal, settings={"dispatcher": offers})
    desk = at.room.dispatcher.forecasting

    def a_window(leaving: int) -> None:
        desk.forecast(at.now_s)
        for second in range(320):
            if second == 100:
                gone = [station for station in at.world.stations if station.state.first_evse.occupied][:leaving]
                at.world.at(at.now_s, lambda gone=gone: [station.unplug(at.now_s) for station in gone])
            at.run(1)
            if second % 30 == 0:
                at.room.dispatcher.forecasting.look(at.now_s)
        at.room.dispatcher.forecasting.look(at.now_s)

    a_window(0)
    by_level = {view.confidence: view for view in at.operations.coverage(None, DispatchMode.NET_EXPORT)}
    assert by_level[0.9].forecasts == 1
    assert by_level[0.9].reached_frac == 1.0
    assert by_level[0.9].guard_factor > 1.0
    assert by_level[0.9].guarded_reached_frac == 1.0
    assert by_level[0.5].guarded_reached_frac is None
    a_window(15)
    view = at.operations.coverage("all")[1]
    assert view.forecasts == 2
    assert view.reached_frac == 0.5
    assert view.guard_factor < 1.0
    assert view.sharpness_frac is not None
    assert view.sharpness_frac > 1.0
    assert at.operations.coverage("nowhere") == []
    assert ask(at, 300.0).guard_factor == view.guard_factor
    assert ask(at, 300.0).power_w <= view.guard_factor * ask(at, 300.0).model_power_w + 1e-6
    before = at.operations.coverage(None)
    at.room.dispatcher.lessons.risks(at.now_s)
    at.restart(away_s=3.0)
    assert at.operations.coverage(None) == before
    # Fifteen left before they had said they would.
    assert at.room.dispatcher.lessons.risks(at.now_s).rates_per_h.mean() > 0.05
    [(_, seen)] = at.journal.documents(DocumentKind.LEARNED_DEPARTURES)
    assert seen.departures == pytest.approx(15.0, abs=0.1)


def test_a_forecast_in_whose_window_the_emergency_stop_was_set_is_no_forecast(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 2, plant=ideal)
    desk = at.room.dispatcher.forecasting
    desk.forecast(at.now_s)
    assert desk.made == 6
    at.do(at.operations.emergency_stop(True, "somebody"))
    desk.look(at.now_s)
    assert desk.void == 6
    at.run(900)
    desk.forecast(at.now_s)
    assert desk.made == 6, "none while the stop is on"
    assert at.operations.coverage(None) == []


def test_a_car_that_an_order_of_ours_held_was_there(town: Any, ideal: dict[str, Any]) -> None:
    offers = {"offers": {"forecast_windows_s": [300.0], "forecast_every_s": 300.0}}
    at = town(20, 2, plant=ideal, settings={"dispatcher": offers})
    desk = at.room.dispatcher.forecasting
    desk.forecast(at.now_s)
    at.order(240.0, 0.8)
    for _ in range(16):
        at.run(20)
        desk.look(at.now_s)
    view = at.operations.coverage(None)[1]
    assert view.reached_frac == 1.0
    assert view.dispatched_share_frac is not None
    assert view.dispatched_share_frac > 0.5
    assert asyncio.run(at.operations.firm("all", 300.0)).power_w > 0.0
    assert len(asyncio.run(at.operations.horizons("all", None, None))) == 6


def test_the_fan_of_a_day_is_worked_out_once_for_all_who_look(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 2, plant=ideal)
    at.run(60)
    day = asyncio.run(at.operations.day("all"))
    assert [round((offer.start_s - day[0].start_s) / 3600.0) for offer in day] == list(range(24))
    assert {(offer.window_s, offer.offer_id) for offer in day} == {(900.0, "")}
    assert day[0].power_w > 0.0
    assert day[-1].power_w <= day[0].power_w
    at.run(60)
    assert asyncio.run(at.operations.day("all")) is day
    relative = asyncio.run(at.operations.day("all", DispatchMode.RELATIVE))
    assert {offer.mode for offer in relative} == {DispatchMode.RELATIVE}
    assert relative[0].power_w > day[0].power_w
    assert asyncio.run(at.operations.day("all", DispatchMode.RELATIVE)) is relative
    at.run(300)
    assert asyncio.run(at.operations.day("all")) is not day
    assert asyncio.run(at.operations.day("nowhere")).sentence == "There is no pool 'nowhere'."


def test_forecasts_of_each_mode_have_a_record_of_their_own_and_charging_was_there_while_it_was_drawn(
    town: Any, ideal: dict[str, Any]
) -> None:
    offers = {"offers": {"forecast_windows_s": [300.0], "forecast_every_s": 300.0}}
    drivers = {"default": {"consent": False, "pausing": True}}
    at = town(20, 2, plant=ideal, mix={"soc_min": 0.2, "soc_max": 0.4}, settings={"dispatcher": offers, "drivers": drivers})
    desk = at.room.dispatcher.forecasting
    # Nobody may be discharged: of net export nothing can be promised, and that is no forecast.
    desk.forecast(at.now_s)
    assert desk.made == 1

    def windows() -> None:
        for _ in range(11):
            at.run(30)
            desk.look(at.now_s)

    windows()
    [first] = [view for view in at.operations.coverage(None) if view.confidence == 0.9]
    assert (first.mode, first.reached_frac) == (DispatchMode.RELATIVE, 1.0)
    assert at.operations.coverage(None, DispatchMode.NET_EXPORT) == []
    # A dispatch that pauses them leaves them there; who stops charging by himself is gone.
    desk.forecast(at.now_s)
    at.order(240.0, 0.8, mode=DispatchMode.RELATIVE)
    windows()
    [second] = [view for view in at.operations.coverage(None, DispatchMode.RELATIVE) if view.confidence == 0.9]
    assert (second.forecasts, second.reached_frac) == (2, 1.0)
    assert second.dispatched_share_frac > 0.2
    at.run(120)
    desk.forecast(at.now_s)
    full = [station for station in at.world.stations if station.state.first_evse.occupied][:10]
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in full])
    windows()
    [third] = [view for view in at.operations.coverage(None, DispatchMode.RELATIVE) if view.confidence == 0.9]
    assert (third.forecasts, third.reached_frac) == (3, pytest.approx(2 / 3))
    assert ask(at, 300.0, mode=DispatchMode.RELATIVE).guard_factor == third.guard_factor < 1.0
    before = at.operations.coverage(None)
    at.restart(away_s=3.0)
    assert at.operations.coverage(None) == before
    assert ask(at, 300.0).guard_factor == 1.0, "net export was never judged"


def test_the_record_is_walked_through_once_however_many_pools_and_modes_are_shown(town: Any) -> None:
    walks: list[int] = []

    class Record(dict[Any, Any]):
        def __iter__(self) -> Any:
            walks.append(len(self))
            return super().__iter__()

        def items(self) -> Any:
            walks.append(len(self))
            return super().items()

    at = town(1, 2, warm_up_s=1.0)
    desk, today = at.room.dispatcher.forecasting, int(at.now_s // DAY_S)
    for mode in DispatchMode:
        for window_s in (900.0, HOUR_S):
            day = CoverageDay(pool="all", window_s=window_s, day=today, mode=mode, forecasts=4, reached=(2, 4, 4, 4), there_sum_w=1.0)
            at.journal.put(DocumentKind.COVERAGE_DAY, f"{mode}/{window_s}", day)
    desk.restore()
    desk._days = Record(desk._days)
    assert len(at.operations.coverage(None)) == 6 * len(LEVELS)
    assert walks == [6]


def test_forecasts_of_net_and_gross_export_are_of_the_same_cars_which_are_kept_once(town: Any, ideal: dict[str, Any]) -> None:
    # Some must charge already, which counts against net export alone.
    at = town(40, 2, plant=ideal, mix={"departure_min_s": 2_000.0, "departure_max_s": 20_000.0})
    desk = at.room.dispatcher.forecasting
    (request, *_) = desk.due(at.now_s)
    made = {question.request.mode: (question, offer) for question, offer in worked_out(desk.round(request, at.now_s))}
    (net, net_offer), (gross, gross_offer) = made[DispatchMode.NET_EXPORT], made[DispatchMode.GROSS_EXPORT]
    for name in ("rows", "cars", "spared_w", "reduces"):
        assert getattr(gross.stock, name) is getattr(net.stock, name), "a forecast is open for an hour"
    assert gross.uid is net.uid
    against_w = net.stock.against_power_w
    assert (against_w > 0.0, gross.stock.against_power_w) == (True, 0.0)
    for mode, (question, told) in made.items():
        alone = answer(desk.round(request, at.now_s).scene.asked(question.request, question.guard_factor))
        assert (told.levels, told.grounds) == (alone.levels, alone.grounds), mode
    assert gross_offer.model_power_w == pytest.approx(net_offer.model_power_w + against_w)


@pytest.mark.parametrize("consent", [False, True])
def test_relative_offers_and_orders_that_are_settled_against_zero_promise_export_alone(
    town: Any, ideal: dict[str, Any], consent: bool
) -> None:
    drivers = {"default": {"consent": consent, "pausing": True}}
    settings = {"drivers": drivers, "orders": {"baseline": "zero"}}
    at = town(20, 2, plant=ideal, mix={"soc_min": 0.5, "soc_max": 0.6}, settings=settings)
    assert at.power_w[-1] > 100_000.0, "there is charging that could be given up"
    relative, gross = (ask(at, mode=mode) for mode in (DispatchMode.RELATIVE, DispatchMode.GROSS_EXPORT))
    assert relative.mode is DispatchMode.RELATIVE
    assert (relative.power_w, relative.grounds) == (gross.power_w, gross.grounds)
    assert (relative.power_w > 0.0) is consent
    asked = (
        DispatchOrder(discharge_power_w=1e9, duration_s=900.0, mode=mode) for mode in (DispatchMode.RELATIVE, DispatchMode.GROSS_EXPORT)
    )
    dry = [at.do(at.operations.order(order, None, True)).dispatch.feasibility for order in asked]
    assert dry[0] == dry[1]
    at.room.dispatcher.forecasting.forecast(at.now_s)
    assert (at.room.dispatcher.forecasting.made > 0) is consent, "what nobody counts is no forecast"


@pytest.mark.parametrize("gives", [1.0, 0.7])
def test_how_cars_answer_a_dispatch_teaches_the_offers_once_and_outlives_a_restart(town: Any, ideal: dict[str, Any], gives: float) -> None:
    offers = {"offers": {"forecast_windows_s": [300.0, 600.0], "forecast_every_s": 300.0}}
    at = town(24, 2, plant=ideal | {"gain_mean": gives}, settings={"dispatcher": offers})
    desk, lessons = at.room.dispatcher.forecasting, at.room.dispatcher.lessons
    desk.forecast(at.now_s)
    supposed = at.room.dispatcher.outlook.response.prior_gain
    at.order(900.0, 0.8)
    for _ in range(22):
        at.run(30)
        desk.look(at.now_s)
    seen = lessons.answers
    assert 0.0 < seen.dispatches <= 1.0, "the longer window teaches nothing anew"
    off = (seen.common_sum / seen.dispatches) ** 0.5
    assert off == pytest.approx(abs(gives / supposed - 1.0), abs=0.03)
    assert lessons.risks(at.now_s).answers == seen
    at.restart(away_s=3.0)
    assert at.room.dispatcher.lessons.answers == seen


def test_a_dispatch_that_grew_into_the_window_of_a_commitment_ends_where_that_is_called(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 2, plant=ideal)
    older = order(at, 10e3, "api:other", priority=5)
    assert isinstance(older, DispatchAnswer)
    at.run(5)
    commit(at, ask(at, start_s=at.now_s + 600.0), 20e3)
    grown = at.do(at.operations.amend(older.dispatch.instruction.dispatch_id, Amendment(end_s=at.now_s + 900.0), "api:other"))
    assert not isinstance(grown, Refusal)
    start_s = at.now_s + 610.0
    assert isinstance(order(at, 20e3, "api:third", start_s=start_s), Refusal), "who calls no commitment does not move it"
    mine = order(at, 20e3, "api:tso", start_s=start_s)
    assert isinstance(mine, DispatchAnswer)
    assert at.view(older.dispatch.instruction).instruction.end_s == start_s
    second = order(at, 20e3, "api:tso", start_s=start_s)
    assert isinstance(second, Refusal), "two calls of commitments do not move each other"


def test_another_car_in_the_row_of_one_that_left_is_not_the_one_that_was_counted_on(town: Any, ideal: dict[str, Any]) -> None:
    offers = {"offers": {"forecast_windows_s": [300.0], "forecast_every_s": 300.0}}
    at = town(12, 2, plant=ideal, settings={"dispatcher": offers})
    desk = at.room.dispatcher.forecasting
    desk.forecast(at.now_s)
    at.run(60)
    desk.look(at.now_s)
    gone = [station for station in at.world.stations if station.state.first_evse.occupied]
    at.world.at(at.now_s, lambda: [station.unplug(at.now_s) for station in gone])
    at.run(5)
    at.world.at(at.now_s, lambda: [station.plug_in(at.now_s) for station in gone])
    at.run(240)
    desk.look(at.now_s)
    view = at.operations.coverage(None)[0]
    assert view.forecasts == 1
    assert view.reached_frac == 0.0


def test_a_car_that_our_order_has_emptied_was_there_and_one_that_emptied_itself_was_not(town: Any, ideal: dict[str, Any]) -> None:
    offers = {"offers": {"forecast_windows_s": [300.0], "forecast_every_s": 300.0}}
    for ordered, kept in ((True, 1.0), (False, 0.0)):
        at = town(12, 2, plant=ideal, settings={"dispatcher": offers})
        desk = at.room.dispatcher.forecasting
        desk.forecast(at.now_s)
        if ordered:
            at.order(240.0, 1.0)
        at.run(30)
        desk.look(at.now_s)
        outlook = at.room.dispatcher.outlook
        at.run(20)

        class Emptied:
            """The outlook as it would be with every battery at its floor."""

            busy_rows = staticmethod(outlook.busy_rows)
            answers = staticmethod(outlook.answers)

            @staticmethod
            def capability_now(image: Any, window_end_s: float, _outlook: Any = outlook) -> Any:
                able = _outlook.capability_now(image, window_end_s)
                return replace(able, reason=np.full_like(able.reason, Reason.BELOW_FLOOR))

        desk._outlook = Emptied()
        desk.look(at.now_s)
        desk._outlook = outlook
        at.run(260)
        desk.look(at.now_s)
        assert at.operations.coverage(None)[3].reached_frac == kept, ordered
