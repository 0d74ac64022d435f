"""Looks: paced, fair, one at a time a station, and a time-out is an unknown."""

from itertools import count, pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from counterflow.domain.ids import StationId
from counterflow.engine.conflicts.looks import Looks
from counterflow.engine.conflicts.settings import ConflictSettings

SETTINGS = ConflictSettings(looks_in_parallel=3, look_gap_s=30.0, report_timeout_s=20.0, retry_s=60.0, retry_max_s=200.0)
A = StationId("A")


def ask(looks: Looks, now_s: float, ids: "count[int]") -> list[tuple[StationId, int]]:
    asked = []
    for station_id in looks.turn(now_s):
        request_id = next(ids)
        looks.sent(station_id, request_id, now_s)
        asked.append((station_id, request_id))
    return asked


def test_ten_thousand_stations_at_once_are_asked_a_few_at_a_time_in_their_order() -> None:
    looks, ids = Looks(SETTINGS), count(1)
    names = [StationId(f"S{number}") for number in range(10_000)]
    for name in names:
        looks.want(name, 0.0)
    order = []
    while asked := ask(looks, 0.0, ids):
        assert len(asked) <= 3
        order += [name for name, _ in asked]
        assert looks.next_due_s(paused=False) is None, "all places are taken: nothing to come back for"
        for name, request_id in asked:
            assert looks.heard(name, request_id, 0.0)
            looks.ended(name, 0.0)
    assert order == names


def test_while_looks_are_paused_nobody_is_waited_for() -> None:
    looks = Looks(SETTINGS)
    looks.want(A, 5.0)
    assert looks.next_due_s(paused=False) == 5.0
    assert looks.next_due_s(paused=True) is None


def test_a_station_is_not_asked_again_before_the_gap_and_hints_in_between_count_once() -> None:
    looks, ids = Looks(SETTINGS), count(1)
    looks.want(A, 0.0)
    [(_, first)] = ask(looks, 0.0, ids)
    looks.want(A, 1.0)
    looks.want(A, 2.0)
    looks.heard(A, first, 3.0)
    looks.ended(A, 3.0)
    assert ask(looks, 29.0, ids) == []
    assert len(ask(looks, 30.0, ids)) == 1
    assert ask(looks, 90.0, ids) == []


def test_a_hint_before_the_question_left_needs_no_second_one() -> None:
    looks, ids = Looks(SETTINGS), count(1)
    looks.want(A, 0.0)
    looks.want(A, 0.0)
    [(_, request_id)] = ask(looks, 0.0, ids)
    looks.heard(A, request_id, 1.0)
    looks.ended(A, 1.0)
    assert looks.next_due_s(paused=False) is None or not ask(looks, 500.0, ids)


def test_no_answer_is_asked_again_ever_more_rarely() -> None:
    looks, ids = Looks(SETTINGS), count(1)
    looks.want(A, 0.0)
    now_s, waits = 0.0, []
    for _ in range(5):
        [(_, request_id)] = ask(looks, now_s, ids)
        looks.failed(A, request_id, now_s)
        due_s = looks.next_due_s(paused=False)
        assert due_s is not None
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [60.0, 120.0, 200.0, 200.0, 200.0]


def test_k09_a_report_that_stops_is_given_up_and_each_part_gives_it_more_time() -> None:
    looks, ids = Looks(SETTINGS), count(1)
    looks.want(A, 0.0)
    [(_, request_id)] = ask(looks, 0.0, ids)
    looks.promised(A, request_id, 1.0)
    assert looks.next_due_s(paused=True) == 21.0
    assert looks.heard(A, request_id, 15.0)
    assert list(looks.overdue(21.0)) == []
    assert list(looks.overdue(35.0)) == [(A, request_id)]
    looks.failed(A, request_id, 35.0)
    assert not looks.heard(A, request_id, 36.0), "what comes later is no part of this look"
    assert looks.under_way == 0


def test_a_report_that_overtakes_its_answer_is_whole_and_the_answer_changes_nothing() -> None:
    looks, ids = Looks(SETTINGS), count(1)
    looks.want(A, 0.0)
    [(_, request_id)] = ask(looks, 0.0, ids)
    assert looks.heard(A, request_id, 0.1)
    looks.ended(A, 0.1)
    looks.promised(A, request_id, 0.2)
    assert looks.under_way == 0
    assert looks.next_due_s(paused=True) is None or not list(looks.overdue(1000.0))


def test_a_cut_line_frees_the_place() -> None:
    looks, ids = Looks(SETTINGS), count(1)
    looks.want(A, 0.0)
    [(_, request_id)] = ask(looks, 0.0, ids)
    looks.gone(A)
    looks.failed(A, request_id, 1.0)
    assert looks.under_way == 0
    assert ask(looks, 1000.0, ids) == []
    looks.want(A, 1000.0)
    assert len(ask(looks, 1000.0, ids)) == 1
    looks.forget(A)
    assert looks.under_way == 0


class LooksMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: never more than allowed, never two a station, and nobody is forgotten."""

    names = st.sampled_from([StationId(name) for name in "ABCDE"])

    def __init__(self) -> None:
        super().__init__()
        self.looks = Looks(SETTINGS)
        self.now_s = 0.0
        self.ids = count(1)
        self.open: dict[StationId, int] = {}
        self.wanting: set[StationId] = set()

    @rule(station=names)
    def want(self, station: StationId) -> None:
        self.looks.want(station, self.now_s)
        self.wanting.add(station)

    @rule(seconds=st.floats(0.0, 100.0))
    def time(self, seconds: float) -> None:
        self.now_s += seconds
        for station, request_id in self.looks.overdue(self.now_s):
            assert self.open.pop(station) == request_id
            self.looks.failed(station, request_id, self.now_s)
            self.wanting.add(station)
        for station, request_id in ask(self.looks, self.now_s, self.ids):
            assert station not in self.open
            self.open[station] = request_id
            self.wanting.discard(station)

    @rule(station=names, how=st.sampled_from(["promised", "part", "whole", "failed", "gone"]))
    def hear(self, station: StationId, how: str) -> None:
        request_id = self.open.get(station, -1)
        match how:
            case "promised":
                self.looks.promised(station, request_id, self.now_s)
            case "part":
                assert self.looks.heard(station, request_id, self.now_s) == (station in self.open)
            case "whole":
                if self.looks.heard(station, request_id, self.now_s):
                    self.looks.ended(station, self.now_s)
                    del self.open[station]
            case "failed":
                self.looks.failed(station, request_id, self.now_s)
                if self.open.pop(station, None) is not None:
                    self.wanting.add(station)
            case "gone":
                self.looks.gone(station)
                self.open.pop(station, None)
                self.wanting.discard(station)

    @invariant()
    def bounded(self) -> None:
        assert self.looks.under_way == len(self.open) <= SETTINGS.looks_in_parallel

    def teardown(self) -> None:
        for station in tuple(self.open):
            self.looks.gone(station)
            self.wanting.discard(station)
        asked: set[StationId] = set()
        for _ in range(40):
            self.now_s += 100.0
            for station, request_id in ask(self.looks, self.now_s, self.ids):
                asked.add(station)
                self.looks.heard(station, request_id, self.now_s)
                self.looks.ended(station, self.now_s)
        assert asked >= self.wanting


TestLooks = LooksMachine.TestCase


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=30))
def test_however_often_something_hints_the_gap_is_kept(steps: list[float]) -> None:
    looks, ids, now_s, asked_at = Looks(SETTINGS), count(1), 0.0, []
    for step in steps:
        now_s += step
        looks.want(A, now_s)
        for _, request_id in ask(looks, now_s, ids):
            asked_at.append(now_s)
            looks.heard(A, request_id, now_s)
            looks.ended(A, now_s)
    assert all(later - earlier >= SETTINGS.look_gap_s for earlier, later in pairwise(asked_at))
