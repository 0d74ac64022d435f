"""What was recorded is acknowledged in the end, whatever breaks when: every record once at least, or counted as lost."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from counterflow.adapters.mqtt.backlog import MOST_GAPS, Backlog


class Telling(RuleBasedStateMachine):
    """Records are made; lines come and go; what is acknowledged is remembered, and sometimes the account is older than the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.newest = 100
        self.backlog = Backlog.beginning(self.newest)
        self.first = self.newest
        self.acknowledged: set[int] = set()
        self.kept_from = 0
        self.up = False
        self.written = msgspec.json.encode(self.backlog)

    @rule(count=st.integers(1, 20))
    def record(self, count: int) -> None:
        self.newest += count

    @rule()
    def connect(self) -> None:
        self.backlog.connected(self.newest)
        self.up = True

    @rule()
    def lose_the_line(self) -> None:
        self.up = False

    @rule()
    def write_down(self) -> None:
        self.written = msgspec.json.encode(self.backlog)

    @rule()
    def crash(self) -> None:
        self.backlog = msgspec.json.decode(self.written, type=Backlog)
        self.up = False

    @precondition(lambda self: self.up and self.backlog.live < self.newest)
    @rule()
    def send_live(self) -> None:
        self.acknowledged.add(self.backlog.live + 1)
        self.backlog.sent(self.backlog.live + 1)

    @precondition(lambda self: self.up and bool(self.backlog.gaps))
    @rule(most=st.integers(1, 30))
    def replay(self, most: int) -> None:
        first, last = self.backlog.gaps[0]
        self.backlog.gone(self.kept_from)
        if self.backlog.gaps and self.backlog.gaps[0] == (max(first, self.kept_from), last):
            upto = min(max(first, self.kept_from) + most - 1, last)
            self.acknowledged.update(range(self.backlog.gaps[0][0], upto + 1))
            self.backlog.replayed(upto)

    @rule(count=st.integers(1, 10))
    def forget_the_oldest(self, count: int) -> None:
        self.kept_from = min(max(self.kept_from, self.first) + count, self.newest)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        waiting = {one for first, last in self.backlog.gaps for one in range(first, last + 1)}
        told = set(range(self.first, self.backlog.live + 1)) - waiting
        assert {one for one in told - self.acknowledged if one >= self.kept_from} == set()

    @invariant()
    def gaps_are_in_order_and_behind_what_was_sent(self) -> None:
        flat = [one for gap in self.backlog.gaps for one in gap]
        assert flat == sorted(flat)
        assert all(last <= self.backlog.live for _, last in self.backlog.gaps)
        assert self.backlog.waiting == sum(last - first + 1 for first, last in self.backlog.gaps)


TestTelling = Telling.TestCase
TestTelling.settings = settings(max_examples=40, stateful_step_count=40)


def test_a_program_that_begins_is_not_told_of_what_was_before() -> None:
    backlog = Backlog.beginning(500)
    backlog.connected(510)
    assert (backlog.live, backlog.gaps) == (509, [(500, 509)])
    assert Backlog.beginning(500).gaps == []


def test_numbers_that_begin_anew_are_taken_as_they_come() -> None:
    backlog = Backlog(live=900, gaps=[(1, 5)])
    backlog.connected(900)
    assert (backlog.live, backlog.gaps) == (900, [(1, 5)])
    backlog.connected(3)
    assert (backlog.live, backlog.gaps) == (2, [])


def test_what_was_not_kept_is_counted() -> None:
    backlog = Backlog(live=99, gaps=[(1, 10), (20, 29)])
    backlog.gone(25)
    assert (backlog.gaps, backlog.lost) == ([(25, 29)], 15)


@given(st.integers(MOST_GAPS, MOST_GAPS + 50))
def test_very_many_gaps_are_joined_and_the_account_stays_small(outages: int) -> None:
    backlog = Backlog.beginning(1)
    for number in range(outages):
        backlog.connected(3 * number + 3)
        backlog.sent(3 * number + 3)
    assert len(backlog.gaps) <= MOST_GAPS
    assert backlog.gaps[-1][1] == 3 * outages - 1
