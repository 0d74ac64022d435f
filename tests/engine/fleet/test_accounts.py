"""Energy counted by the registers, and caps that hold however sessions share them and whenever the process dies."""

from math import inf, isnan, nan

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.domain.drivers import AccountRecord, EnergyCap
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.dispatch.problem import AllocationProblem
from counterflow.engine.fleet.accounts import FAIR_DAYS, Accounts, fair_account, own_account

T = 1_795_366_800.0  # 2026-11-22T17:00Z
DAY = 86_400.0
ONE, TWO = SessionUid(1), SessionUid(2)
CAP = (EnergyCap(account="driver:d", day_wh=10_000.0, year_wh=15_000.0),)


def count(accounts: Accounts, export_wh: float, uid: SessionUid = ONE, now_s: float = T, caps: tuple[EnergyCap, ...] = CAP) -> None:
    accounts.count(uid, caps, export_wh, now_s, capacity_wh=50_000.0, timezone="UTC", now_s=now_s)


def limit(accounts: Accounts, export_wh: float, uid: SessionUid = ONE, ordered_wh: float = 0.0, caps: tuple[EnergyCap, ...] = CAP) -> float:
    return accounts.limit_wh(uid, caps, export_wh, 50_000.0, ordered_wh)


def used(accounts: Accounts) -> AccountRecord:
    record = accounts.get("driver:d")
    assert record is not None
    return record


def test_the_first_reading_says_where_a_session_begins() -> None:
    accounts = Accounts()
    count(accounts, 7_000.0)
    assert used(accounts).day_wh == 0.0
    assert limit(accounts, 7_000.0) == 17_000.0
    count(accounts, 9_500.0)
    assert (used(accounts).day_wh, used(accounts).year_wh, used(accounts).year_cycles) == (2_500.0, 2_500.0, 0.05)
    assert limit(accounts, 9_500.0) == 17_000.0


def test_without_a_reading_a_cap_cannot_be_known_and_without_a_cap_there_is_no_limit() -> None:
    assert isnan(limit(Accounts(), nan))
    assert limit(Accounts(), nan, caps=()) == inf
    assert limit(Accounts(), nan, caps=(EnergyCap(account="driver:d"),)) == inf


def test_cycles_need_a_capacity() -> None:
    caps = (EnergyCap(account="vehicle:v", year_cycles=0.1),)
    accounts = Accounts()
    count(accounts, 0.0, caps=caps)
    assert limit(accounts, 0.0, caps=caps) == 5_000.0
    assert isnan(accounts.limit_wh(ONE, caps, 0.0, nan, 0.0))


def test_a_new_day_and_a_new_year_begin_anew() -> None:
    accounts = Accounts()
    count(accounts, 0.0)
    count(accounts, 9_000.0)
    assert limit(accounts, 9_000.0) == 10_000.0
    count(accounts, 9_000.0, now_s=T + DAY)
    assert (used(accounts).day_wh, used(accounts).year_wh) == (0.0, 9_000.0)
    assert limit(accounts, 9_000.0) == 15_000.0, "the year's cap is the nearer one"
    count(accounts, 9_000.0, now_s=T + 60 * DAY)
    assert used(accounts).year_wh == 0.0
    count(accounts, 9_000.0, now_s=T)
    assert used(accounts).day == "2027-01-21", "a clock that is set back opens no old day"


def test_a_register_that_runs_backwards_takes_nothing_back() -> None:
    accounts = Accounts()
    count(accounts, 5_000.0)
    count(accounts, 8_000.0)
    count(accounts, 100.0)
    count(accounts, 300.0)
    assert used(accounts).day_wh == 3_200.0
    assert limit(accounts, 300.0) == pytest.approx(7_100.0)


def test_what_a_register_had_shown_before_it_was_set_back_is_booked() -> None:
    accounts = Accounts()
    count(accounts, 5_000.0)
    accounts.shift(ONE, CAP, -7_900.0)  # from 8 000 Wh, of which 3 000 Wh were not booked, to 100 Wh
    count(accounts, 100.0)
    assert used(accounts).day_wh == 3_000.0


def test_energy_belongs_to_the_day_of_its_reading() -> None:
    accounts = Accounts()
    count(accounts, 0.0)
    accounts.count(ONE, CAP, 4_000.0, T + 60.0, capacity_wh=50_000.0, timezone="UTC", now_s=T + DAY)
    assert (used(accounts).day, used(accounts).day_wh, used(accounts).year_wh) == ("2026-11-23", 0.0, 4_000.0)


def test_what_is_stored_counts_nothing_twice_and_leaves_nothing_out() -> None:
    accounts = Accounts()
    count(accounts, 0.0)
    count(accounts, 1_000.0)
    [stored] = accounts.take_changed()
    count(accounts, 1_500.0)
    again = Accounts()
    again.restore([msgspec.json.decode(msgspec.json.encode(stored), type=AccountRecord)])
    count(again, 1_500.0)
    count(again, 1_500.0)
    assert used(again).day_wh == 1_500.0
    assert accounts.take_changed() != []
    assert accounts.take_changed() == []


def test_latecomers_of_an_ended_session_still_count() -> None:
    accounts = Accounts()
    count(accounts, 0.0)
    count(accounts, 1_000.0)
    limit(accounts, 1_000.0)
    accounts.leave(ONE, CAP)
    assert accounts.knows("driver:d", ONE)
    count(accounts, 1_400.0)
    assert used(accounts).day_wh == 1_400.0
    for number in range(2, 30):
        count(accounts, 0.0, SessionUid(number))
        accounts.leave(SessionUid(number), CAP)
    assert not accounts.knows("driver:d", ONE), "they are not kept for ever"


def test_a_sessions_own_account_ends_with_it() -> None:
    accounts = Accounts()
    caps = (EnergyCap(account=own_account(ONE), total_wh=3_000.0),)
    count(accounts, 100.0, caps=caps)
    assert limit(accounts, 100.0, caps=caps) == 3_100.0
    assert accounts.take_changed()
    accounts.leave(ONE, caps)
    assert accounts.take_closed() == [own_account(ONE)]
    assert accounts.get(own_account(ONE)) is None


def test_a_newcomer_gets_only_what_no_order_may_still_take() -> None:
    accounts = Accounts()
    count(accounts, 0.0)
    assert limit(accounts, 0.0) == 10_000.0
    count(accounts, 0.0, TWO)
    assert limit(accounts, 0.0, TWO) == 0.0
    assert accounts.is_shared(CAP)
    assert limit(accounts, 0.0, ordered_wh=8_000.0) == 8_000.0
    assert limit(accounts, 0.0, TWO) == 2_000.0
    assert limit(accounts, 0.0) == 5_000.0
    assert limit(accounts, 0.0, TWO) == 5_000.0
    accounts.leave(ONE, CAP)
    assert limit(accounts, 0.0, TWO) == 10_000.0


@settings(max_examples=200)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["take", "look", "leave"]), st.integers(1, 4), st.floats(0.0, 6_000.0)), min_size=1, max_size=40
    )
)
def test_a_shared_cap_holds_if_every_session_runs_to_its_limit_unseen(steps: list[tuple[str, int, float]]) -> None:
    accounts, export, allowed = Accounts(), dict.fromkeys(range(1, 5), 0.0), {}
    count(accounts, 0.0)
    for what, number, energy_wh in steps:
        uid = SessionUid(number)
        if what == "leave":
            accounts.leave(uid, CAP)
            allowed.pop(number, None)
            continue
        if what == "take":
            export[number] = min(export[number] + energy_wh, max(export[number], allowed.get(number, export[number])))
        count(accounts, export[number], uid)
        ordered_wh = min(energy_wh, max(0.0, allowed.get(number, 0.0) - export[number]))
        allowed[number] = limit(accounts, export[number], uid, ordered_wh)
        assert allowed[number] >= export[number] + ordered_wh - 1e-6, "an order that was allowed stays allowed"
    unseen_wh = sum(until - export[number] for number, until in allowed.items())
    assert used(accounts).day_wh + unseen_wh <= 10_000.0 + 1e-6


YEAR_AND_MORE = 400


def expire(accounts: Accounts, now_s: float, *open_ones: SessionUid) -> int:
    return accounts.expire(now_s, YEAR_AND_MORE, lambda uid: uid in open_ones)


def two_accounts(later_s: float) -> Accounts:
    """One that nobody has drawn on for `later_s`, and one of today."""
    accounts = Accounts()
    count(accounts, 1_000.0)
    count(accounts, 3_000.0)
    accounts.leave(ONE, CAP)
    count(accounts, 0.0, TWO, T + later_s, (EnergyCap(account="driver:e", day_wh=1.0),))
    accounts.take_changed()
    return accounts


def test_counted_energy_stays_as_long_as_a_cap_can_look_back_to_it() -> None:
    for days in (1, 40, 365, 366, 400):
        assert expire(two_accounts(days * DAY), T + days * DAY) == 0, days
    accounts = two_accounts(401 * DAY)
    assert expire(accounts, T + 401 * DAY) == 1
    assert accounts.get("driver:d") is None
    assert accounts.get("driver:e") is not None
    assert accounts.take_closed() == ["driver:d"]
    assert accounts.take_changed() == []


def test_an_account_that_an_open_session_draws_on_is_kept() -> None:
    accounts = two_accounts(401 * DAY)
    assert expire(accounts, T + 401 * DAY, ONE) == 0


def test_a_clock_that_runs_ahead_removes_nothing() -> None:
    accounts = two_accounts(10 * DAY)
    assert expire(accounts, T + 5_000 * DAY) == 0


def test_accounts_of_sessions_that_are_over_go_at_once() -> None:
    accounts = Accounts()
    accounts.restore(AccountRecord(account=own_account(uid), day="2026-11-22") for uid in (ONE, TWO))
    assert expire(accounts, T, TWO) == 1
    assert accounts.take_closed() == [own_account(ONE)]


def test_erasing_and_expiring_do_not_get_in_each_others_way() -> None:
    accounts = two_accounts(401 * DAY)
    assert accounts.forget("driver:d")
    assert expire(accounts, T + 401 * DAY) == 0
    assert accounts.take_closed() == ["driver:d"]
    accounts = two_accounts(401 * DAY)
    assert expire(accounts, T + 401 * DAY) == 1
    assert not accounts.forget("driver:d"), "there is nothing left to erase"


def test_the_share_given_of_what_was_offered_counts_for_30_days_and_outlives_the_process() -> None:
    accounts = Accounts()
    count(accounts, 1_000.0)
    accounts.offer(CAP, 4_000.0, timezone="UTC", now_s=T)
    assert accounts.given_share(CAP) == 0.0
    count(accounts, 2_000.0)
    assert accounts.given_share(CAP) == 0.25
    again = Accounts()
    again.restore(msgspec.json.decode(msgspec.json.encode(accounts.take_changed()), type=list[AccountRecord]))
    assert again.given_share(CAP) == 0.25
    again.offer(CAP, 1_000.0, timezone="UTC", now_s=T + 20.0 * DAY)
    assert again.given_share(CAP) == 0.2
    again.offer(CAP, 1_000.0, timezone="UTC", now_s=T + (FAIR_DAYS + 1) * DAY)
    assert again.given_share(CAP) == 0.0
    assert len(used(again).recent) == 2
    old = msgspec.json.decode(b'{"account":"driver:d","day":"2026-11-22","day_wh":5.0}', type=AccountRecord)
    assert isnan(old.given_share)


def test_it_is_reckoned_for_the_vehicle_or_else_the_driver() -> None:
    contract, driver, vehicle = (EnergyCap(account=name) for name in ("contract:c", "driver:d", "vehicle:v"))
    assert fair_account((contract, driver, vehicle)) == "vehicle:v"
    assert fair_account((contract, driver)) == "driver:d"
    assert fair_account((contract, EnergyCap(account=own_account(ONE)))) is None
    accounts = Accounts()
    accounts.offer((contract,), 500.0, timezone="UTC", now_s=T)
    assert isnan(accounts.given_share((contract,)))
    assert accounts.jain_index() is None


def after_a_month(*, fair: bool) -> float:
    """Jain index of 40 like cars of which a third is asked each day, one hour at full power."""
    accounts, cars = Accounts(), 40
    caps = [(EnergyCap(account=f"vehicle:{car}"),) for car in range(cars)]
    registers_wh = np.zeros(cars)
    for day in range(FAIR_DAYS):
        now_s = T + day * DAY
        for car in range(cars):
            count(accounts, registers_wh[car], SessionUid(car + 1), now_s, caps[car])
        problem = AllocationProblem(
            target_w=95_000.0,
            caps_w=np.full(cars, 7_000.0),
            min_w=np.full(cars, 1_000.0),
            weights=np.full(cars, 7_000.0),
            gain=np.ones(cars),
            energy_wh=np.full(cars, 20_000.0),
            useful_until_s=np.full(cars, now_s + 9e9),
            running=np.zeros(cars, dtype=bool),
            limits=Limits.flat(np.zeros(cars, dtype=int), np.full(1, inf)),
            now_s=now_s,
            window_end_s=now_s + 3_600.0,
            given=np.array([accounts.given_share(cap) for cap in caps]) if fair else None,
        )
        registers_wh += allocate(problem, AllocationPolicy.MERIT).power_w
        for car in range(cars):
            accounts.offer(caps[car], 7_000.0, timezone="UTC", now_s=now_s)
            count(accounts, registers_wh[car], SessionUid(car + 1), now_s + 3_600.0, caps[car])
    index = accounts.jain_index()
    assert index is not None
    return index


def test_over_a_month_like_cars_give_like_shares() -> None:
    assert after_a_month(fair=False) < 0.4
    assert after_a_month(fair=True) > 0.98
