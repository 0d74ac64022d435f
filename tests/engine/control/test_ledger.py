"""The ledger: stable ids, an entry before the message, removal only when the profile is surely gone (I7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from counterflow.domain.commands import PlaceDischarge, PlaceFallback, ProfileKind
from counterflow.domain.ids import EvseId, ProfileId, SessionUid, StationId, TransactionId
from counterflow.domain.records import ProfileState
from counterflow.domain.resources import ControlMode
from counterflow.engine.control.ledger import MOVES, Happening, LedgerSettings, ProfileLedger

STATION = StationId("CS1")


def discharge(ledger: ProfileLedger, uid: int = 1, power_w: float = -7000.0) -> PlaceDischarge:
    return PlaceDischarge(
        station_id=STATION,
        evse_id=EvseId(1),
        transaction_id=TransactionId(f"tx{uid}"),
        session_uid=SessionUid(uid),
        profile_id=ledger.profile_id(SessionUid(uid), ProfileKind.DISCHARGE),
        stack_level=8,
        power_w=power_w,
        start_s=0.0,
        discharge_until_s=100.0,
        hold_until_s=130.0,
        control_mode=ControlMode.SETPOINT,
    )


def fallback(ledger: ProfileLedger, uid: int = 1) -> PlaceFallback:
    return PlaceFallback(
        station_id=STATION,
        evse_id=EvseId(1),
        transaction_id=TransactionId(f"tx{uid}"),
        session_uid=SessionUid(uid),
        profile_id=ledger.profile_id(SessionUid(uid), ProfileKind.FALLBACK),
        stack_level=7,
        charge_power_w=5000.0,
        start_s=0.0,
    )


@given(st.sets(st.integers(min_value=1, max_value=200_000_000), min_size=2, max_size=20))
def test_k01_fr_05_profile_ids_are_stable_unique_and_32_bit(uids: set[int]) -> None:
    ledger = ProfileLedger(LedgerSettings())
    ids = [ledger.profile_id(SessionUid(uid), kind) for uid in sorted(uids) for kind in ProfileKind]
    assert len(set(ids)) == len(ids)
    assert ids == [ledger.profile_id(SessionUid(uid), kind) for uid in sorted(uids) for kind in ProfileKind]
    assert all(0 < profile_id < 2**31 for profile_id in ids)


@pytest.mark.parametrize(("supported", "levels"), [(None, (8, 7)), (20, (8, 7)), (3, (3, 2)), (1, (1, 0)), (0, (1, 0))])
def test_the_fallback_stands_one_level_below_inside_what_the_station_supports(supported: int | None, levels: tuple[int, int]) -> None:
    ledger = ProfileLedger(LedgerSettings())
    assert (ledger.stack_level(ProfileKind.DISCHARGE, supported), ledger.stack_level(ProfileKind.FALLBACK, supported)) == levels


def test_an_entry_stands_before_the_answer_and_is_found_by_session_and_station() -> None:
    ledger = ProfileLedger(LedgerSettings())
    placed = ledger.sent(discharge(ledger), 5.0, "d-1")
    beneath = ledger.sent(fallback(ledger), 5.0, "d-1")
    assert placed.state is ProfileState.PLACING
    assert ledger.of_session(SessionUid(1)) == (placed, beneath)
    assert ledger.of_station(STATION) == (placed, beneath)
    assert ledger.is_ours(STATION, placed.profile_id)
    assert not ledger.is_ours(STATION, ProfileId(5))
    ours_next = ledger.profile_id(SessionUid(2), ProfileKind.FALLBACK)
    assert not ledger.is_ours(STATION, ours_next)
    assert ledger.is_ours(STATION, ours_next, [SessionUid(2)])
    assert (len(ledger), set(ledger)) == (2, {placed, beneath})
    assert (beneath.power_w, beneath.kind) == (5000.0, ProfileKind.FALLBACK)


def test_a_refused_first_placing_leaves_nothing_but_a_refused_change_leaves_the_old_one() -> None:
    ledger = ProfileLedger(LedgerSettings())
    command = discharge(ledger)
    ledger.sent(command, 0.0, "d")
    assert ledger.happened(STATION, command.profile_id, Happening.REFUSED) is None
    assert len(ledger) == 0
    ledger.sent(command, 0.0, "d")
    ledger.happened(STATION, command.profile_id, Happening.ACCEPTED)
    ledger.sent(command, 1.0, "d")
    kept = ledger.happened(STATION, command.profile_id, Happening.REFUSED)
    assert kept is not None
    assert kept.state is ProfileState.UNSURE


def test_a_tombstone_stays_until_the_station_says_it_is_gone() -> None:
    ledger = ProfileLedger(LedgerSettings())
    command = discharge(ledger)
    ledger.sent(command, 0.0, "d")
    for what in (Happening.CLEAR_SENT, Happening.UNSURE, Happening.REFUSED, Happening.ACCEPTED):
        record = ledger.happened(STATION, command.profile_id, what)
        assert record is not None
        assert record.state is ProfileState.CLEARING
    assert ledger.happened(STATION, command.profile_id, Happening.GONE) is None
    assert ledger.happened(STATION, command.profile_id, Happening.GONE) is None
    assert (ledger.of_session(SessionUid(1)), ledger.of_station(STATION)) == ((), ())


@pytest.mark.parametrize("state", list(ProfileState))
def test_after_a_restart_everything_but_a_tombstone_is_unsure(state: ProfileState) -> None:
    first = ProfileLedger(LedgerSettings())
    record = first.sent(discharge(first), 0.0, "d")
    ledger = ProfileLedger(LedgerSettings())
    ledger.restore(type(record)(**{**{name: getattr(record, name) for name in record.__struct_fields__}, "state": state}))
    restored = ledger.get(STATION, record.profile_id)
    assert restored is not None
    assert restored.state is (ProfileState.CLEARING if state is ProfileState.CLEARING else ProfileState.UNSURE)


def test_every_state_knows_every_happening() -> None:
    assert {(state, what) for state in ProfileState for what in Happening} <= set(MOVES)


class AnyHistory(RuleBasedStateMachine):
    """Against a model that only knows whether a profile may be at the station."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ProfileLedger(LedgerSettings())
        self.may_be_there: dict[int, bool] = {}

    @rule(uid=st.integers(1, 3))
    def send(self, uid: int) -> None:
        self.ledger.sent(discharge(self.ledger, uid), 0.0, "d")
        self.may_be_there.setdefault(uid, False)

    @rule(uid=st.integers(1, 3), what=st.sampled_from([Happening.ACCEPTED, Happening.UNSURE, Happening.CLEAR_SENT]))
    def happen(self, uid: int, what: Happening) -> None:
        if self.ledger.happened(STATION, self.ledger.profile_id(SessionUid(uid), ProfileKind.DISCHARGE), what) is not None:
            self.may_be_there[uid] = self.may_be_there[uid] or what is not Happening.CLEAR_SENT

    @rule(uid=st.integers(1, 3))
    def gone(self, uid: int) -> None:
        self.ledger.happened(STATION, self.ledger.profile_id(SessionUid(uid), ProfileKind.DISCHARGE), Happening.GONE)
        self.may_be_there.pop(uid, None)

    @rule(uid=st.integers(1, 3))
    def refused(self, uid: int) -> None:
        after = self.ledger.happened(STATION, self.ledger.profile_id(SessionUid(uid), ProfileKind.DISCHARGE), Happening.REFUSED)
        if after is None:
            assert not self.may_be_there.pop(uid, False)

    @invariant()
    def whatever_may_be_there_is_in_the_ledger(self) -> None:
        known = {int(record.session_uid) for record in self.ledger}
        assert {uid for uid, there in self.may_be_there.items() if there} <= known


TestAnyHistory = AnyHistory.TestCase


@pytest.mark.parametrize(
    ("most", "above", "levels"),
    [
        (None, None, (8, 7)),
        (9, None, (8, 7)),
        (5, None, (5, 4)),
        (None, 3, (8, 7)),
        (20, 8, (10, 9)),
        (10, 8, (10, 9)),
        (None, 99, (101, 100)),
    ],
)
def test_decision_6_discharge_and_fallback_both_stand_above_another_actors_profile(
    most: int | None, above: int | None, levels: tuple[int, int]
) -> None:
    ledger = ProfileLedger(LedgerSettings())
    assert tuple(ledger.stack_level(kind, most, above) for kind in (ProfileKind.DISCHARGE, ProfileKind.FALLBACK)) == levels
