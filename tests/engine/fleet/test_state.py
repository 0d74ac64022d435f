"""The single writer as others use it: places, orders, and what is known again after a restart."""

from collections.abc import Callable
from math import isnan, nan
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from counterflow.domain.commands import PlaceDischarge, ProfileKind, RequestSample
from counterflow.domain.delivery import Sample
from counterflow.domain.ids import EvseId, ProfileId, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.reasons import DropOutKind, Reason
from counterflow.domain.records import DiscoveryRecord, ProfileRecord, ProfileState
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.setpoints import Accepted, FallbackState, Offline, Rejected, SetpointState, Superseded, TimedOut
from counterflow.domain.telemetry import CommandCompleted, CommandSent, StationBooted, StationWarned
from counterflow.engine.fleet.applied import Applied
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings, FleetSettings
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology

Yard = Any
"""`conftest.Yard`; tests share code through fixtures only."""
A = StationId("A")


def reason(yard: Yard, now_s: float) -> Reason:
    cap = capability(yard.state.snapshot(now_s), now_s, now_s + 900.0, CapabilitySettings())
    row = yard.state.row_of(yard.uid())
    return Reason(cap.reason[row])


def test_a_car_that_said_everything_is_ready(yard: Yard, t0: float) -> None:
    yard.ready()
    assert reason(yard, t0 + 2.0) is Reason.READY


@pytest.mark.parametrize("missing", ["connect", "discover", "needs"])
def test_a_car_is_not_ready_while_something_is_missing(yard: Yard, t0: float, missing: str) -> None:
    for step in ("connect", "discover", "start", "needs"):
        if step != missing:
            getattr(yard, step)()
    yard.sample(at=1.0, power_w=0.0, soc_frac=0.6)
    assert reason(yard, t0 + 2.0) is not Reason.READY


def test_stations_are_on_the_default_site_until_registered(yard: Yard) -> None:
    yard.start()
    assert yard.cell("site") == 0
    yard.state.register(A, SiteId("north"))
    assert yard.cell("site") == 1
    assert yard.state.record_of(1).site_id == "north"
    yard.state.register(A, SiteId("no longer configured"))
    assert yard.cell("site") == 0


def test_what_goes_on_at_a_station_that_is_forgotten_ends_there(yard: Yard) -> None:
    yard.start()
    yard.start("t2", evse=2)
    first, second = yard.uid("t1"), yard.uid("t2")
    yard.state.register(A, SiteId("north"))
    applied = yard.state.forget(A, 50.0)
    assert {(record.session_uid, record.ended_s) for record in applied.changed} == {(first, 50.0), (second, 50.0)}
    assert applied.left == ((first, DropOutKind.ENDED), (second, DropOutKind.ENDED))
    assert applied.wake
    assert len(yard.state) == 0
    assert not yard.state.snapshot(51.0).occupied.any()
    late = yard.sample(at=60.0, power_w=-3_000.0)
    assert (late.sampled, len(yard.state)) == (first, 0)
    yard.start("t3", at=70.0)
    assert yard.cell("site", "t3") == 0
    assert yard.state.forget(StationId("never heard of"), 80.0) == Applied()


def test_news_that_are_nobody_s_change_nothing(yard: Yard) -> None:
    yard.start()
    for event in (
        StationBooted(station_id=A, at_s=0.0, identity=StationIdentity.unknown(), boot_reason="PowerUp"),
        StationWarned(station_id=A, at_s=0.0, kind="x", text="y"),
        CommandSent(station_id=A, at_s=0.0, command=RequestSample(station_id=A, evse_id=EvseId(1))),
        CommandCompleted(station_id=A, at_s=0.0, command=RequestSample(station_id=A, evse_id=EvseId(1)), result=Accepted()),
    ):
        applied = yard.state.apply(event, 0.0)
        assert (applied.sampled, applied.changed, applied.left, applied.wake) == (0, (), (), False)


def test_unknown_names_are_answered_with_none(yard: Yard) -> None:
    assert yard.state.uid_of(A, TransactionId("t")) is None
    assert yard.state.uid_at(A, EvseId(1)) is None
    assert yard.state.row_of(SessionUid(5)) is None
    assert yard.state.key_of(SessionUid(5)) is None


def test_an_order_shows_as_pending_then_accepted(yard: Yard) -> None:
    yard.ready()
    yard.state.setpoint_sent(1, -7000.0, 10.0, 900.0, 960.0)
    columns = ("setpoint_w", "setpoint_at_s", "setpoint_state", "discharge_until_s", "hold_until_s")
    assert [yard.cell(name) for name in columns] == [-7000.0, 10.0, SetpointState.PENDING, 900.0, 960.0]
    yard.state.setpoint_done(1, Accepted(), 11.0)
    assert yard.cell("setpoint_state") == SetpointState.ACCEPTED
    first, second = (-6000.0, 901.0, 961.0), (-5000.0, 902.0, 962.0)
    for power_w, discharge_until_s, hold_until_s in (first, second):
        yard.state.setpoint_sent(1, power_w, 12.0, discharge_until_s, hold_until_s)
    command = PlaceDischarge(
        station_id=A, evse_id=EvseId(1), transaction_id=TransactionId("t1"), session_uid=SessionUid(1), profile_id=ProfileId(1),
        stack_level=8, power_w=-5000.0, start_s=12.0, discharge_until_s=902.0, hold_until_s=962.0, control_mode=ControlMode.SETPOINT,
    )  # fmt: skip
    yard.state.setpoint_done(1, Accepted(), 13.0, command)
    assert (yard.cell("setpoint_w"), yard.cell("setpoint_state")) == (-5000.0, SetpointState.ACCEPTED)
    yard.state.setpoint_gone(1)
    assert isnan(yard.cell("setpoint_w"))
    assert yard.cell("setpoint_state") == SetpointState.NONE


def test_a_fallback_stands_only_when_it_was_accepted(yard: Yard) -> None:
    yard.ready()
    yard.state.fallback_sent(1, 0.0)
    assert yard.cell("fallback_state") == FallbackState.PENDING
    yard.state.fallback_done(1, Superseded(), 0.0)
    assert yard.cell("fallback_state") == FallbackState.PENDING
    yard.state.fallback_done(1, Accepted(), 0.0)
    assert yard.cell("fallback_state") == FallbackState.PLACED
    yard.state.fallback_gone(1)
    assert yard.cell("fallback_state") == FallbackState.NONE
    for result in (Rejected(reason_code="x"), TimedOut(), Offline()):
        yard.state.fallback_sent(1, 0.0)
        yard.state.fallback_done(1, result, 0.0)
        assert yard.cell("fallback_state") == FallbackState.NONE


def test_an_excluded_session_waits(yard: Yard, t0: float) -> None:
    yard.ready()
    yard.state.exclude(1, t0 + 60.0)
    assert reason(yard, t0 + 2.0) is Reason.COOLING_DOWN


def test_answers_for_sessions_that_left_are_ignored(yard: Yard) -> None:
    gone = SessionUid(99)
    yard.state.setpoint_sent(gone, -1.0, 0.0, 0.0, 0.0)
    yard.state.setpoint_done(gone, Accepted(), 0.0)
    yard.state.setpoint_gone(gone)
    yard.state.fallback_sent(gone, 0.0)
    yard.state.fallback_done(gone, Accepted(), 0.0)
    yard.state.fallback_gone(gone)
    yard.state.exclude(gone, 0.0)
    assert len(yard.state) == 0


def profile(uid: int, kind: ProfileKind, state: ProfileState, t0: float) -> ProfileRecord:
    return ProfileRecord(
        station_id=A, profile_id=ProfileId(uid), session_uid=SessionUid(uid), evse_id=EvseId(1), transaction_id=TransactionId("t1"),
        kind=kind, state=state, power_w=-5000.0, placed_at_s=t0 + 5.0, discharge_until_s=t0 + 600.0, hold_until_s=t0 + 660.0,
    )  # fmt: skip


def restored(yard: Yard, again: Yard, t0: float, *profiles: ProfileRecord) -> Yard:
    discovery = DiscoveryRecord(
        station_id=A,
        identity=StationIdentity.unknown(),
        evses=(EvseCapability(evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="", max_discharge_power_w=11_000.0),),
        meter_interval_s=10.0,
    )
    records = [yard.state.record_of(uid) for uid in yard.state.uids()]
    sample = Sample(session_uid=SessionUid(1), at_s=t0 + 10.0, power_w=-5000.0, export_wh=1100.0, import_wh=5000.0, soc_frac=0.58)
    orphan = Sample(session_uid=SessionUid(77), at_s=t0, power_w=nan, export_wh=nan, import_wh=nan, soc_frac=nan)
    again.state.restore(records, [sample, orphan], [discovery], profiles, t0 + 100.0)
    return again


def test_i8_a_session_is_known_again_after_a_restart_but_not_dispatched_before_it_speaks(
    yard: Yard, new_yard: Callable[..., Yard], t0: float
) -> None:
    yard.ready()
    again = restored(
        yard,
        new_yard(),
        t0,
        profile(1, ProfileKind.DISCHARGE, ProfileState.PLACED, t0),
        profile(1, ProfileKind.FALLBACK, ProfileState.PLACED, t0),
    )
    assert again.state.record_of(1) == yard.state.record_of(1)
    for column in ("capacity_wh", "soc_floor_frac", "max_discharge_w", "needs_export_wh", "needs_import_wh", "departure_s", "control_mode"):
        assert again.cell(column) == yard.cell(column), column
    assert (again.cell("setpoint_w"), again.cell("setpoint_state"), again.cell("discharge_until_s")) == (
        -5000.0,
        SetpointState.ACCEPTED,
        t0 + 600.0,
    )
    assert again.cell("fallback_state") == FallbackState.PLACED
    assert (again.cell("power_w"), again.cell("export_wh"), again.cell("soc_frac")) == (-5000.0, 1100.0, 0.58)
    assert reason(again, t0 + 100.0) is Reason.STATION_OFFLINE
    again.connect(at=100.0)
    assert reason(again, t0 + 100.0) is Reason.SILENT
    again.sample(at=101.0, power_w=-5000.0, export_wh=1110.0, import_wh=5000.0, soc_frac=0.58)
    assert reason(again, t0 + 102.0) is Reason.READY
    again.start("t2", evse=2, at=110.0)
    assert again.uid("t2") == 2


def test_a_restored_state_of_charge_bears_all_exports_since_the_needs_until_a_live_one_comes(
    yard: Yard, new_yard: Callable[..., Yard], t0: float
) -> None:
    yard.ready()
    again = restored(yard, new_yard(), t0)
    assert again.cell("export_wh") - again.cell("soc_export_wh") == 100.0
    assert isnan(again.cell("soc_import_wh"))
    again.sample(at=101.0, power_w=-5000.0, export_wh=1110.0, import_wh=5000.0)
    assert again.cell("export_wh") - again.cell("soc_export_wh") == 110.0
    again.sample(at=111.0, power_w=-5000.0, export_wh=1120.0, import_wh=5000.0, soc_frac=0.57)
    assert again.cell("export_wh") == again.cell("soc_export_wh")


def test_a_restored_state_of_charge_without_any_baseline_stays_unknown(yard: Yard, new_yard: Callable[..., Yard], t0: float) -> None:
    yard.start()
    assert isnan(restored(yard, new_yard(), t0).cell("soc_frac"))


def test_profiles_whose_outcome_was_open_may_be_in_force(yard: Yard, new_yard: Callable[..., Yard], t0: float) -> None:
    yard.ready()
    placing = profile(1, ProfileKind.DISCHARGE, ProfileState.PLACING, t0)
    unsure = profile(1, ProfileKind.FALLBACK, ProfileState.UNSURE, t0)
    again = restored(yard, new_yard(), t0, placing, unsure, profile(55, ProfileKind.DISCHARGE, ProfileState.PLACED, t0))
    assert (again.cell("setpoint_w"), again.cell("setpoint_state")) == (-5000.0, SetpointState.UNKNOWN)
    assert again.cell("fallback_state") == FallbackState.NONE


def test_uids_go_on_after_a_restart_and_ended_sessions_stay_ended(yard: Yard, new_yard: Callable[..., Yard], t0: float) -> None:
    yard.start("t1")
    yard.start("t2", evse=2)
    ended = yard.end("t2", at=5.0).changed[0]
    again = new_yard()
    again.state.register(A, SiteId("north"))
    again.state.restore([ended, yard.state.record_of(1)], [], [], [], t0 + 10.0)
    assert list(again.state.uids()) == [1]
    assert again.state.record_of(1).site_id == "north"
    assert again.update("t2", at=4.0, offline=True, measurements=again.reading(4.0, export_wh=1.0)).sampled == 2
    again.start("t3", evse=2, at=20.0)
    assert again.uid("t3") == 3


def test_a_restored_sample_can_complete_the_needs(yard: Yard, new_yard: Callable[..., Yard], t0: float) -> None:
    yard.start()
    yard.needs()
    again = restored(yard, new_yard(), t0)
    assert again.state.record_of(1).needs_import_wh == 5000.0


def test_only_so_many_ended_sessions_are_remembered(new_yard: Callable[..., Yard]) -> None:
    yard = new_yard(ended_sessions_kept=2)
    for number in range(4):
        yard.start(f"t{number}", at=10.0 * number)
        yard.end(f"t{number}", at=10.0 * number + 5.0)
    assert list(yard.state._roster.ended) == [("A", "t2"), ("A", "t3")]


def test_a_state_needs_no_more_than_sites_and_terms() -> None:
    state = FleetState(FleetSettings(), Topology([]), lambda _site, _token: pytest.fail("nobody came"))
    assert len(state) == 0
    assert len(state.snapshot(0.0)) == 0


class AnyOrder(RuleBasedStateMachine):
    """Stations say anything in any order; the indexes agree, and nothing is ready without every right."""

    yard: Yard
    make: Callable[..., Yard]

    def __init__(self) -> None:
        super().__init__()
        self.yard = type(self).make()
        self.clock = 0.0
        self.seen: dict[int, tuple[str, str]] = {}

    def tick(self, at: float) -> float:
        self.clock += 1.0
        return self.clock - at

    TX = st.sampled_from(["t1", "t2", "t3"])
    AGO = st.sampled_from([0.0, 0.0, 5.0])
    EVSE = st.sampled_from([0, 1, 2])

    @rule(tx=TX, evse=EVSE, ago=AGO, offline=st.booleans())
    def start(self, tx: str, evse: int, ago: float, offline: bool) -> None:
        self.yard.start(tx, evse=evse, at=self.tick(ago), offline=offline)

    @rule(tx=TX, evse=EVSE, ago=AGO, offline=st.booleans(), power=st.sampled_from([nan, -5000.0, 3000.0]))
    def update(self, tx: str, evse: int, ago: float, offline: bool, power: float) -> None:
        at = self.tick(ago)
        self.yard.update(tx, at=at, evse_id=EvseId(evse), offline=offline, measurements=self.yard.reading(at, power_w=power))

    @rule(tx=TX, ago=AGO)
    def end(self, tx: str, ago: float) -> None:
        self.yard.end(tx, at=self.tick(ago))

    @rule(evse=st.sampled_from([1, 2]), bidirectional=st.booleans())
    def needs(self, evse: int, bidirectional: bool) -> None:
        self.yard.needs(evse, at=self.tick(0.0), bidirectional=bidirectional)

    @rule()
    def connect(self) -> None:
        self.yard.connect()

    @rule()
    def disconnect(self) -> None:
        self.yard.disconnect()

    @rule(evses=st.sampled_from([(1,), (1, 2)]))
    def discover(self, evses: tuple[int, ...]) -> None:
        self.yard.discover(evses=evses)

    @invariant()
    def indexes_agree(self) -> None:
        state = self.yard.state
        image = state.snapshot(0.0)
        open_uids = list(state.uids())
        assert sorted(image.uid[image.occupied].tolist()) == sorted(open_uids)
        places = set()
        for uid in open_uids:
            row, record = state.row_of(uid), state.record_of(uid)
            key = (record.station_id, record.transaction_id)
            assert image.uid[row] == uid
            assert image.keys[row] == key == state.key_of(uid)
            assert state.uid_of(*key) == uid
            assert self.seen.setdefault(uid, key) == key
            assert image.evse_id[row] == record.evse_id
            if record.evse_id:
                assert state.uid_at(record.station_id, record.evse_id) == uid
                assert record.evse_id not in places
                places.add(record.evse_id)

    @invariant()
    def i4_nothing_is_ready_without_every_right(self) -> None:
        now_s = 1_800_000_000.0 + self.clock
        image = self.yard.state.snapshot(now_s)
        cap = capability(image, now_s, now_s + 900.0, CapabilitySettings())
        ready = cap.reason == Reason.READY
        rights = image.occupied & image.connected & image.consent & image.bidirectional & (image.control_mode == ControlMode.SETPOINT)
        assert not (ready & ~rights).any()
        assert not (ready & ~(now_s - image.last_sample_s <= 35.0)).any()
        assert not ((cap.max_power_w > 0.0) & ~ready).any()


def test_any_order_of_events_keeps_the_indexes_whole(new_yard: Callable[..., Yard]) -> None:
    AnyOrder.make = staticmethod(new_yard)
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=30, stateful_step_count=30))
