"""Events of one program together: priority, overlap, and the orders that follow from them as time goes on."""

from collections.abc import Sequence
from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.openadr.meanings import Setpoint
from counterflow.adapters.openadr.models import Event
from counterflow.adapters.openadr.schedule import Asking, Stretch, Withdrawal, changes, event_of, rank, stretches
from counterflow.domain.grid import GridOrder, GridOrderRecord, GridOutcome, GridStep
from counterflow.domain.instructions import DispatchMode

H = 3600.0


def asking(
    event_id: str,
    *pieces: tuple[float, float, float],
    priority: int | None = None,
    created_s: float = 0.0,
    mode: DispatchMode | None = None,
    goes_on: bool = False,
) -> Asking:
    event = Event(id=event_id, program_id="p", priority=priority, created_s=created_s)
    return Asking(event, tuple(Setpoint(from_s, to_s, power_w, mode) for from_s, to_s, power_w in pieces), goes_on)


class Desk:
    """Orders as the program keeps them; takes what `changes` asks for."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.records: dict[str, GridOrderRecord] = {}
        self.log: list[str] = []

    def follow(self, askings: Sequence[Asking], now_s: float, refuses: bool = False) -> None:
        self.now_s = now_s
        for change in changes("north", stretches(askings), tuple(self.records.values()), now_s):
            if isinstance(change, Withdrawal):
                self.log.append(f"-{change.key}")
                record = self.records[change.key]
                self._put(record.order, GridOutcome.WITHDRAWN, record)
            else:
                self.log.append(f"+{change.key}")
                self._put(change, GridOutcome.REFUSED if refuses else GridOutcome.ACCEPTED, self.records.get(change.key))

    def _put(self, order: GridOrder, outcome: GridOutcome, before: GridOrderRecord | None) -> None:
        if outcome is GridOutcome.ACCEPTED:
            for key, other in self.records.items():
                apart = key == order.key or other.outcome is not GridOutcome.ACCEPTED or other.order.end_s <= self.now_s
                assert apart or other.order.end_s <= order.steps[0].from_s or order.end_s <= other.order.steps[0].from_s, "no two at a time"
        revision = before.revision + 1 if before else 1
        self.records[order.key] = GridOrderRecord(order=order, revision=revision, heard_at_s=0.0, outcome=outcome)

    def asks_w(self, at_s: float) -> list[tuple[str, float]]:
        found = []
        for record in self.records.values():
            order = record.order
            if record.outcome is GridOutcome.ACCEPTED and order.steps[0].from_s <= at_s < order.end_s:
                found.append((event_of(order.key), [step.discharge_power_w for step in order.steps if step.from_s <= at_s][-1]))
        return found


def test_priority_0_is_the_highest_an_absent_one_the_lowest_then_the_newest_then_the_smaller_id() -> None:
    events = [
        asking("e", priority=None, created_s=9.0).event,
        asking("d", priority=1, created_s=5.0).event,
        asking("c", priority=1, created_s=5.0).event,
        asking("b", priority=1, created_s=8.0).event,
        asking("a", priority=0, created_s=1.0).event,
    ]
    assert [event.id for event in sorted(events, key=rank)] == ["a", "b", "c", "d", "e"]


def test_what_goes_before_cuts_the_other_in_two_and_gives_it_back() -> None:
    low, high = asking("low", (0.0, 4 * H, 1e6), priority=5), asking("high", (H, 2 * H, 3e6), priority=1)
    assert stretches([low, high]) == [
        Stretch("low", (GridStep(from_s=0.0, discharge_power_w=1e6),), H, None),
        Stretch("high", (GridStep(from_s=H, discharge_power_w=3e6),), 2 * H, None),
        Stretch("low", (GridStep(from_s=2 * H, discharge_power_w=1e6),), 4 * H, None),
    ]
    desk = Desk()
    desk.follow([low], 10.0)
    desk.follow([low, high], 20.0)
    assert desk.log == ["+low", "+low", "+high", "+low#2"]
    desk.follow([low], 1.5 * H)
    assert desk.log[4:] == ["-high", "+low#2"], "the part that is still to come goes on from now"
    assert desk.asks_w(1.6 * H) == [("low", 1e6)]
    desk.follow([low], 3 * H)
    assert len(desk.log) == 6


def test_what_is_over_is_neither_withdrawn_nor_ordered_again() -> None:
    desk = Desk()
    low, high = asking("low", (0.0, 4 * H, 1e6), priority=5), asking("high", (H, 2 * H, 3e6), priority=1)
    desk.follow([low, high], 0.0)
    log = list(desk.log)
    desk.follow([low], 2.5 * H)
    assert desk.log == log, "the other event was taken off the list when it was over: nothing changes for what runs"


def test_a_mode_of_its_own_is_an_order_of_its_own() -> None:
    one = asking("e", (0.0, H, 1e6))
    both = Asking(one.event, (*one.setpoints, Setpoint(H, 2 * H, 2e6, DispatchMode.RELATIVE)))
    assert [stretch.mode for stretch in stretches([both])] == [None, DispatchMode.RELATIVE]


def test_a_refused_order_is_not_tried_again_until_it_is_changed() -> None:
    desk = Desk()
    desk.follow([asking("e", (0.0, H, 1e6))], 0.0, refuses=True)
    desk.follow([asking("e", (0.0, H, 1e6))], 10.0)
    assert desk.log == ["+e"]
    desk.follow([], 20.0)
    assert desk.log == ["+e"], "there is nothing to withdraw"
    desk.follow([asking("e", (0.0, H, 2e6))], 30.0)
    assert desk.log == ["+e", "+e"]


def test_a_loop_is_ordered_further_only_when_half_of_it_is_over() -> None:
    desk = Desk()
    for hour in range(40):
        now_s = hour * H
        pieces = [(at * H, (at + 1) * H, 1e6 + at % 2) for at in range(hour - 24, hour + 48)]
        desk.follow([asking("e", *pieces, goes_on=True)], now_s)
        assert desk.asks_w(now_s + 12 * H) == [("e", 1e6 + (hour + 12) % 2)]
    assert desk.log == ["+e", "+e"]


def test_what_is_made_longer_is_ordered_at_once() -> None:
    desk = Desk()
    desk.follow([asking("e", (0.0, 4 * H, 1e6))], 0.0)
    desk.follow([asking("e", (0.0, 5 * H, 1e6))], 10.0)
    assert desk.asks_w(4.5 * H) == [("e", 1e6)]


def test_an_event_without_end_is_one_order_without_end() -> None:
    desk = Desk()
    desk.follow([asking("e", (0.0, inf, 1e6))], 5.0)
    desk.follow([asking("e", (0.0, inf, 1e6))], 9e6)
    assert desk.log == ["+e"]


steps = st.lists(st.integers(0, 60), min_size=2, max_size=6, unique=True).map(sorted)
drawn_askings = st.lists(
    st.tuples(st.sampled_from("abcd"), steps, st.integers(1, 3), st.one_of(st.none(), st.integers(0, 2))),
    max_size=4,
    unique_by=lambda one: one[0],
).map(
    lambda drawn: [
        asking(
            name,
            *((float(a), float(b), float(power + number)) for number, (a, b) in enumerate(pairwise(edges))),
            priority=priority,
        )
        for name, edges, power, priority in drawn
    ]
)


@given(st.lists(st.tuples(drawn_askings, st.integers(0, 12)), min_size=1, max_size=5))
def test_whatever_comes_and_goes_the_orders_say_what_the_highest_event_says_and_the_same_again_changes_nothing(
    rounds: list[tuple[list[Asking], int]],
) -> None:
    desk, now_s = Desk(), 0.25
    for askings, waited in rounds:
        now_s += waited
        desk.follow(askings, now_s)
        ranked = sorted(askings, key=lambda one: rank(one.event))
        for later in range(60):
            at_s = now_s + later + 0.1
            holds = [
                (one.event.id, setpoint.discharge_power_w)
                for one in ranked
                for setpoint in one.setpoints
                if setpoint.from_s <= at_s < setpoint.to_s
            ][:1]
            assert desk.asks_w(at_s) == holds
        done = len(desk.log)
        desk.follow(askings, now_s)
        desk.follow(askings, now_s + 0.05)
        assert len(desk.log) == done
