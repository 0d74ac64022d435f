"""What a session was told."""

from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.ids import SessionUid, StationId, TransactionId
from counterflow.domain.setpoints import (
    Accepted,
    CommandResult,
    NothingThere,
    NotSupported,
    Offline,
    PowerStep,
    RawAnswer,
    Rejected,
    SetpointState,
    Superseded,
    TimedOut,
)
from counterflow.engine.fleet.columns import Columns
from counterflow.engine.fleet.orders import Order, OrderBook


def order(power_w: float) -> Order:
    return Order(power_w, -power_w, 100.0 - power_w, 200.0 - power_w)


def shown(book: OrderBook) -> tuple[Any, ...]:
    """(setpoint, state, previous); the ends always belong to the setpoint."""
    columns = Columns()
    row = columns.take(SessionUid(1), (StationId("A"), TransactionId("t")))
    book.write(columns, row)
    power_w = columns.setpoint_w[row]
    ends = [columns.setpoint_at_s[row], columns.discharge_until_s[row], columns.hold_until_s[row]]
    np.testing.assert_equal(ends, list(order(power_w))[1:4])
    return (power_w, SetpointState(columns.setpoint_state[row]), columns.previous_setpoint_w[row])


def play(*steps: float | CommandResult) -> OrderBook:
    book = OrderBook()
    for step in steps:
        if isinstance(step, float):
            book.sent(order(step))
        else:
            book.done(step)
    return book


NO, WAIT, YES, REFUSED, OPEN = SetpointState
REJECTED = Rejected(reason_code="TxNotFound")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), (nan, NO, nan)),
        ((-5.0,), (-5.0, WAIT, nan)),
        ((-5.0, Accepted()), (-5.0, YES, -5.0)),
        ((-5.0, REJECTED), (nan, REFUSED, nan)),
        ((-5.0, Offline()), (nan, NO, nan)),
        ((-5.0, TimedOut()), (-5.0, OPEN, -5.0)),
        ((-5.0, Accepted(), -9.0), (-9.0, WAIT, -5.0)),
        ((-5.0, Accepted(), -9.0, REJECTED), (-5.0, REFUSED, -5.0)),
        ((-5.0, Accepted(), -9.0, NotSupported(code="NotSupported")), (-5.0, REFUSED, -5.0)),
        ((-5.0, Accepted(), -9.0, Offline()), (-5.0, YES, -5.0)),
        ((-5.0, TimedOut(), -1.0), (-1.0, WAIT, -5.0)),
        ((-5.0, TimedOut(), -1.0, REJECTED), (-5.0, OPEN, -5.0)),
        ((-5.0, TimedOut(), -1.0, Offline()), (-5.0, OPEN, -5.0)),
        ((-5.0, TimedOut(), -1.0, Accepted()), (-1.0, YES, -1.0)),
        ((-9.0, Accepted(), -5.0, TimedOut()), (-5.0, OPEN, -9.0)),
        ((-1.0, -9.0, -5.0), (-5.0, WAIT, -9.0)),
        ((-1.0, -9.0, Accepted()), (-9.0, WAIT, -1.0)),
        ((-1.0, -9.0, -5.0, Superseded()), (-5.0, WAIT, -1.0)),
        ((-1.0, Superseded()), (nan, NO, nan)),
        ((-5.0, NothingThere()), (-5.0, WAIT, nan)),
        ((-5.0, RawAnswer()), (-5.0, WAIT, nan)),
        ((-1.0, -9.0, Offline()), (-1.0, WAIT, nan)),
        ((-1.0, -9.0, Offline(), Accepted()), (-1.0, YES, -1.0)),
        ((Accepted(),), (nan, NO, nan)),
    ],
)
def test_the_book_shows_the_newest_order_and_the_worst_of_what_may_still_be_in_force(
    steps: tuple[float | CommandResult, ...], expected: tuple[Any, ...]
) -> None:
    np.testing.assert_equal(shown(play(*steps)), expected)


def answered(book: OrderBook, power_w: float, result: CommandResult) -> tuple[Any, ...]:
    book.done(result, order(power_w))
    return shown(book)


@pytest.mark.parametrize(
    ("steps", "power_w", "result", "expected"),
    [
        ((-1.0, -9.0, -5.0), -5.0, Accepted(), (-5.0, YES, -5.0)),
        ((-1.0, -9.0, -5.0), -9.0, Accepted(), (-5.0, WAIT, -9.0)),
        ((-1.0, -9.0, -5.0), -5.0, TimedOut(), (-5.0, OPEN, -5.0)),
        ((-1.0, -9.0, -5.0), -5.0, REJECTED, (nan, REFUSED, nan)),
        ((-1.0, -9.0, -5.0), -9.0, Superseded(), (-5.0, WAIT, -1.0)),
        ((-1.0, -9.0, -5.0), -1.0, Offline(), (-5.0, WAIT, -9.0)),
        ((-1.0, -9.0, -5.0), -3.0, Accepted(), (-5.0, WAIT, -9.0)),
        ((-1.0, -9.0, -5.0), -9.0, RawAnswer(), (-5.0, WAIT, -9.0)),
    ],
)
def test_an_answer_finds_its_order_and_those_before_it_are_done_with(
    steps: tuple[float, ...], power_w: float, result: CommandResult, expected: tuple[Any, ...]
) -> None:
    np.testing.assert_equal(answered(play(*steps), power_w, result), expected)


def test_gone_forgets_everything() -> None:
    book = play(-5.0, TimedOut(), -9.0, Accepted(), -3.0)
    book.gone()
    np.testing.assert_equal(shown(book), (nan, NO, nan))


def test_restored_orders_are_in_force_or_may_be() -> None:
    sure, unsure = OrderBook(), OrderBook()
    sure.restored(order(-5.0), sure=True)
    unsure.restored(order(-5.0), sure=False)
    assert shown(sure) == (-5.0, YES, -5.0)
    assert shown(unsure) == (-5.0, OPEN, -5.0)


SCHEDULE = Order(-7.0, 10.0, 500.0, 560.0, later=(PowerStep(from_s=100.0, power_w=-3.0), PowerStep(from_s=200.0, power_w=-9.0)))


def row_of(book: OrderBook) -> tuple[float, ...]:
    """(setpoint, since, next, begins, strongest of those to come, previous)."""
    columns = Columns()
    row = columns.take(SessionUid(1), (StationId("A"), TransactionId("t")))
    book.write(columns, row)
    return (
        columns.setpoint_w[row],
        columns.setpoint_at_s[row],
        columns.next_setpoint_w[row],
        columns.next_setpoint_at_s[row],
        columns.strongest_ahead_w[row],
        columns.previous_setpoint_w[row],
    )


def test_periods_of_a_schedule_begin_by_themselves() -> None:
    book = OrderBook()
    book.sent(SCHEDULE)
    book.done(Accepted(), Order(-7.0, 0.0, 500.0, 560.0))
    assert row_of(book) == (-7.0, 10.0, -3.0, 100.0, 9.0, -7.0)
    book.pass_to(99.0)
    assert row_of(book) == (-7.0, 10.0, -3.0, 100.0, 9.0, -7.0)
    book.pass_to(150.0)
    assert row_of(book) == (-3.0, 100.0, -9.0, 200.0, 9.0, -3.0)
    book.pass_to(1_000.0)
    assert row_of(book)[:2] == (-9.0, 200.0)
    assert row_of(book)[4] == 0.0


def test_an_answer_finds_its_schedule_although_a_period_has_begun_meanwhile() -> None:
    book = OrderBook()
    book.sent(SCHEDULE)
    book.sent(Order(-1.0, 20.0, 600.0, 660.0))
    book.pass_to(150.0)
    book.done(Accepted(), Order(-7.0, 0.0, 500.0, 560.0))
    assert row_of(book)[5] == -3.0, "what the station follows until the newer one is answered"
    book.done(Rejected(reason_code=""), Order(-1.0, 0.0, 600.0, 660.0))
    assert row_of(book)[:2] == (-3.0, 100.0)


def test_a_schedule_without_an_answer_counts_at_its_strongest_period() -> None:
    book = OrderBook()
    book.sent(SCHEDULE)
    book.done(TimedOut())
    assert row_of(book)[5] == -9.0


RESULTS: tuple[CommandResult, ...] = (Accepted(), Rejected(reason_code=""), TimedOut())


@given(st.lists(st.tuples(st.sampled_from([-3.0, -5.0, -7.0]), st.booleans(), st.sampled_from(RESULTS))))
def test_an_acceptance_leaves_the_order_that_the_row_shows(steps: list[tuple[float, bool, CommandResult]]) -> None:
    """What `write_outcome` leaves alone is what `write` would write again."""
    book, columns, fresh = OrderBook(), Columns(), Columns()
    row = columns.take(SessionUid(1), (StationId("A"), TransactionId("t")))
    fresh.take(SessionUid(1), (StationId("A"), TransactionId("t")))
    book.write(columns, row)
    for number, (power_w, is_sent, result) in enumerate(steps):
        if is_sent:
            book.sent(Order(power_w, float(number), 500.0 + number, 560.0))
            book.write(columns, row)
        else:
            book.done(result)
            if isinstance(result, Accepted):
                book.write_outcome(columns, row)
            else:
                book.write(columns, row)
        book.write(fresh, row)
        np.testing.assert_equal(_cells(columns, row), _cells(fresh, row))


def _cells(columns: Columns, row: int) -> list[float]:
    names = ("setpoint_w", "setpoint_at_s", "setpoint_state", "previous_setpoint_w", "discharge_until_s", "hold_until_s", "reduced")
    return [getattr(columns, name)[row] for name in names]
