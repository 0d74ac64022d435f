"""What one session was told: orders on their way, the one surely in force, and those whose outcome stayed open."""

from math import isnan, nan
from typing import NamedTuple, Self, assert_never

from counterflow.domain.commands import MoveSetpoint, PlaceDischarge
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
    strongest_w,
)
from counterflow.engine.fleet.columns import Columns


class Order(NamedTuple):
    """A setpoint with the ends that it carries; power in W, <= 0 (a limit to charging: >= 0), NaN = nothing of ours."""

    power_w: float
    sent_s: float
    discharge_until_s: float
    hold_until_s: float
    is_curve: bool = False
    """The station finds its power by a curve; this is the strongest."""
    reduces: bool = False
    """A limit to charging."""
    later: tuple[PowerStep, ...] = ()
    """Further periods of a schedule, in the order of time."""
    passed: int = 0
    """So many of them have begun."""

    @property
    def now_w(self) -> float:
        """Power of the period in force."""
        return self.later[self.passed - 1].power_w if self.passed else self.power_w

    @property
    def now_since_s(self) -> float:
        """Since when: as good as sent then."""
        return self.later[self.passed - 1].from_s if self.passed else self.sent_s

    @property
    def strongest_w(self) -> float:
        """The strongest discharge of the period in force and those to come."""
        return strongest_w(self.now_w, self.later[self.passed :]) if self.later else self.power_w

    def at(self, now_s: float) -> Self:
        """With the periods that have begun by `now_s`."""
        passed = self.passed
        while passed < len(self.later) and self.later[passed].from_s <= now_s:
            passed += 1
        return self if passed == self.passed else self._replace(passed=passed)


NOTHING = Order(nan, nan, nan, nan)
Told = Order | PlaceDischarge | MoveSetpoint
"""Found again by its power and its ends."""


class OrderBook:
    """The orders of one session, oldest first. Answers come in the order in which the orders left.

    After an order has been accepted the station holds that one only; a refused one leaves what was before; one without an
    answer may or may not be followed (`open_w` holds the worst of those: the strongest discharge).
    """

    __slots__ = ("_fallen", "_force", "_open_w", "_pending", "_state")

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._pending: list[Order] = []
        self._force = NOTHING
        self._fallen: Order | None = None
        self._open_w = nan
        self._state = SetpointState.NONE

    def sent(self, order: Order) -> None:
        """An order was handed to the link."""
        self._pending.append(order)

    def done(self, result: CommandResult, order: Told | None = None) -> None:
        """The outcome of `order`. Orders before it got no answer of their own and get none any more: newer ones took their place.

        Without `order` it is the newest for Offline (it never left), the newest but one for Superseded, else the oldest.
        """
        place = self._place(result) if order is None else self._find(order)
        if place is None:
            return
        answered = self._pending[place]
        match result:
            case NothingThere() | RawAnswer():
                return
            case Superseded() | Offline():
                del self._pending[place]
                if not self._pending and self._fallen is None:
                    self._state = SetpointState.NONE if isnan(self._force.power_w) else SetpointState.ACCEPTED
                return
            case Accepted():
                self._force = answered
                self._fallen = None
                self._open_w = nan
                self._state = SetpointState.ACCEPTED
            case Rejected() | NotSupported():
                self._state = SetpointState.UNKNOWN if self._fallen is not None else SetpointState.REJECTED
            case TimedOut():
                self._fallen = answered
                self._open_w = _stronger(self._open_w, answered.strongest_w)
                self._state = SetpointState.UNKNOWN
            case _:
                assert_never(result)
        del self._pending[: place + 1]

    def _place(self, result: CommandResult) -> int | None:
        count = len(self._pending)
        if count == 0:
            return None
        match result:
            case Offline():
                return count - 1
            case Superseded():
                return max(count - 2, 0)
            case _:
                return 0

    def _find(self, order: Told) -> int | None:
        power_w, discharge_until_s, hold_until_s = order.power_w, order.discharge_until_s, order.hold_until_s
        for place, pending in enumerate(self._pending):
            if pending.power_w == power_w and pending.discharge_until_s == discharge_until_s and pending.hold_until_s == hold_until_s:
                return place
        return None

    def restored(self, order: Order, sure: bool) -> None:
        """After a start: an order that is at the station, or that may be there."""
        if sure:
            self._force = order
            self._state = SetpointState.ACCEPTED
        else:
            self._fallen = order
            self._open_w = order.strongest_w
            self._state = SetpointState.UNKNOWN

    def pass_to(self, now_s: float) -> None:
        """Periods of schedules begin by themselves."""
        self._pending = [order.at(now_s) for order in self._pending]
        self._force = self._force.at(now_s)
        self._fallen = None if self._fallen is None else self._fallen.at(now_s)

    def gone(self) -> None:
        """No discharge profile of ours is there any more, and none is on its way."""
        self._pending.clear()
        self._force = NOTHING
        self._fallen = None
        self._open_w = nan
        self._state = SetpointState.NONE

    def write(self, columns: Columns, row: int) -> None:
        """Show the book in the session's row."""
        shown = self.write_outcome(columns, row)
        columns.discharge_until_s[row] = shown.discharge_until_s
        columns.hold_until_s[row] = shown.hold_until_s
        columns.self_steered[row] = shown.is_curve
        columns.reduced[row] = shown.reduces
        if shown.later:
            _write_periods(shown, columns, row)
        else:  # the usual case
            columns.setpoint_w[row] = shown.power_w
            columns.setpoint_at_s[row] = shown.sent_s
            columns.next_setpoint_w[row] = columns.next_setpoint_at_s[row] = nan
            columns.strongest_ahead_w[row] = 0.0

    def write_outcome(self, columns: Columns, row: int) -> Order:
        """Show how far the order has come that the row shows already; an acceptance makes it no other. Returns the order."""
        shown, state, before_w = self._force, self._state, self._force.now_w
        if self._pending:
            shown, state = self._pending[-1], SetpointState.PENDING
            before_w = _stronger(before_w, self._open_w)
            if len(self._pending) > 1:
                for order in self._pending[:-1]:
                    before_w = _stronger(before_w, order.now_w)
        elif self._fallen is not None:
            shown = self._fallen
            before_w = _stronger(before_w, self._open_w)
        columns.setpoint_state[row] = state
        columns.previous_setpoint_w[row] = before_w
        return shown


def discharge_in_force(columns: Columns, row: int, since_s: float) -> tuple[float, float] | None:
    """As `FleetState.discharge_in_force`, of the session in a row."""
    if columns.setpoint_state[row] != SetpointState.ACCEPTED or not columns.setpoint_at_s[row] <= since_s:
        return None
    power_w = columns.setpoint_w[row]
    known = power_w < 0.0 and not columns.self_steered[row]
    next_s = columns.next_setpoint_at_s[row]
    until_s = columns.discharge_until_s[row]
    return (power_w, until_s if isnan(next_s) else min(next_s, until_s)) if known else None


def _write_periods(shown: Order, columns: Columns, row: int) -> None:
    """The period in force, and those to come."""
    ahead = shown.later[shown.passed :]
    columns.setpoint_w[row] = shown.now_w
    columns.setpoint_at_s[row] = shown.now_since_s
    columns.next_setpoint_w[row] = ahead[0].power_w if ahead else nan
    columns.next_setpoint_at_s[row] = ahead[0].from_s if ahead else nan
    columns.strongest_ahead_w[row] = -strongest_w(0.0, ahead)


def _stronger(one_w: float, other_w: float) -> float:
    """The stronger discharge of two powers; an unknown one does not count."""
    if isnan(one_w):
        return other_w
    return one_w if isnan(other_w) or one_w <= other_w else other_w
