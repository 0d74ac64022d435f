"""What every Journal promises, run on each one there is."""

import math
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.access import ApiToken, AuditEntry
from counterflow.domain.commands import ProfileKind
from counterflow.domain.conflicts import (
    ForeignProfile,
    HeldOut,
    InstalledProfile,
    KnownProfiles,
    Leader,
    LimitPeriod,
    PriorityEntry,
    SitePriority,
    Telling,
)
from counterflow.domain.delivery import LogEntry, LogKind, Sample
from counterflow.domain.drivers import AccountRecord, AgreedTerms, DriverRecord, PartialTerms, Scope
from counterflow.domain.grid import CapacityBound, GridOrder, GridOrderRecord, GridOutcome, GridStep, ProgramCapacity, Wire, WireNote
from counterflow.domain.ids import (
    ALL_SITES,
    ConnectorId,
    DispatchId,
    EvseId,
    PoolId,
    ProfileId,
    SessionUid,
    SiteId,
    StationId,
    TransactionId,
)
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, TargetStep
from counterflow.domain.offers import (
    CallFigures,
    Commitment,
    CommitmentState,
    CoverageDay,
    DepartureHour,
    LearnedAnswers,
    LearnedDepartures,
    Offer,
    OfferGuard,
)
from counterflow.domain.records import (
    ConnectorState,
    DiscoveryRecord,
    DocumentKind,
    Latch,
    LearnedResponse,
    PathRecord,
    ProfileRecord,
    ProfileState,
    SecurityRecord,
    SessionRecord,
    StationFaults,
    TransactionNumber,
)
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity, StationRegistration
from counterflow.domain.station_settings import ChangedSetting, FormerSettings, StationVariable
from counterflow.domain.telemetry import Availability, ChargingNeedsReported

T0 = 1_795_000_000.0
NAN = math.nan
UID = SessionUid(7)
OTHER = SessionUid(8)
STATION = StationId("CS-1")


@pytest.fixture(params=["sqlite", "memory", "memory-manual"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteJournal | MemoryJournal]:
    if request.param == "sqlite":
        with SqliteJournal(tmp_path / "journal.db", StorageSettings()) as sqlite:
            yield sqlite
    else:
        yield MemoryJournal(manual=request.param == "memory-manual")


LIMITS = (LimitPeriod(from_s=T0, discharge_w=3000.0), LimitPeriod(to_s=T0))
REVOKED = PriorityEntry(at_s=T0, by="ops", leader=None, note="moved out")


def documents() -> dict[DocumentKind, Any]:
    return {
        DocumentKind.STATION: StationRegistration(station_id=STATION, site_id=SiteId("depot"), password_hash="x", added_at_s=T0),
        DocumentKind.DISCOVERY: DiscoveryRecord(
            station_id=STATION,
            identity=StationIdentity(vendor_name="Ünï", model="M"),
            evses=(EvseCapability(evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="", max_discharge_power_w=11_000.0),),
        ),
        DocumentKind.SESSION: SessionRecord(
            session_uid=UID,
            station_id=STATION,
            transaction_id=TransactionId("tx \"'\\\n\0"),
            site_id=SiteId("depot"),
            evse_id=EvseId(1),
            started_s=T0 + 0.1,
            terms=AgreedTerms(consent=True),
            needs=ChargingNeedsReported(station_id=STATION, evse_id=EvseId(1), at_s=T0, received_s=T0, bidirectional=True, soc_frac=0.5),
        ),
        DocumentKind.DISPATCH: DispatchInstruction(
            dispatch_id=DispatchId("d1"),
            start_s=T0,
            end_s=T0 + 900,
            steps=(TargetStep(from_s=T0, discharge_power_w=2.5e6),),
            pool=PoolId("all"),
            policy=AllocationPolicy.HYBRID,
            mode=DispatchMode.NET_EXPORT,
            priority=0,
            accepted_at_s=T0,
        ),
        DocumentKind.PROFILE: profile(1),
        DocumentKind.LATCH: Latch(on=True, at_s=T0, by="ops"),
        DocumentKind.DRIVER: DriverRecord(
            scope=Scope.DRIVER, subject="0a1b", label="Ünï", terms=PartialTerms(consent=True, blackouts=("mon 08:00-09:00",))
        ),
        DocumentKind.ACCOUNT: AccountRecord(account="driver:0a1b", day="2026-11-22", day_wh=1.5, counted={UID: 7_000.25}),
        DocumentKind.PATH: PathRecord(station_id=STATION, evse_id=EvseId(1), path="dynamic", reason="refused", at_s=T0),
        DocumentKind.FORMER_SETTINGS: FormerSettings(
            station_id=StationId("CS-1"),
            changes=(
                ChangedSetting(
                    variable=StationVariable("V2XChargingCtrlr", "TxUpdatedInterval", "CentralSetpoint", 1),
                    former="",
                    ours=("5", "10"),
                    set_at_s=1_800_000_000.5,
                ),
            ),
        ),
        DocumentKind.KNOWN_PROFILES: KnownProfiles(
            station_id=STATION,
            telling=Telling.TOLD,
            at_s=T0,
            foreign=(
                ForeignProfile(
                    evse_id=EvseId(1),
                    profile=InstalledProfile(profile_id=ProfileId(-5), purpose="TxProfile", stack_level=3, limits=LIMITS),
                    source="EMS",
                    seen_at_s=T0,
                ),
            ),
            seen=(TransactionId("tx"),),
        ),
        DocumentKind.SITE_PRIORITY: SitePriority(
            site_id=SiteId("depot"),
            entries=(PriorityEntry(at_s=T0, by="ops", leader=Leader.US), REVOKED),
        ),
        DocumentKind.API_TOKEN: ApiToken(name="tso", role="grid", digest="ab" * 32, added_at_s=T0, added_by="api:first"),
        DocumentKind.AUDIT: AuditEntry(at_s=T0, who="api:tso", role="grid", action="POST /x", sent={"a": [1, None]}, status=201),
        DocumentKind.HELD_OUT: HeldOut(station_id=STATION, at_s=T0, text="the power says discharge, the registers say charging"),
        DocumentKind.SECURITY: SecurityRecord(
            station_id=STATION, number=7, origin="server", kind="refused", text="password wrong", at_s=T0, last_at_s=T0 + 9.0, count=3
        ),
        DocumentKind.TRANSACTION_NUMBER: TransactionNumber(
            station_id=STATION, evse_id=EvseId(1), number=91_000_000, started_s=T0, meter_start_wh=12
        ),
        DocumentKind.LEARNED_RESPONSE: LearnedResponse(
            subject="vehicle:ab12", at_s=T0, gain=0.93, gain_readings=12.0, transitions=(2.0, 7e3, 3e7, 14.0, 5e4), out_until_s=T0 + 900.0
        ),
        DocumentKind.LEARNED_DEPARTURES: LearnedDepartures(
            at_s=T0, watched_h=(0.5, 7.25), left=(0.0, 1.0), hours=(DepartureHour(number=500_000, left=3.0, expected=2.5, watched_h=41.5),)
        ),
        DocumentKind.LEARNED_ANSWERS: LearnedAnswers(at_s=T0, dispatches=2.5, common_sum=-1e-5, cars=120.0, own_sum=1.2),
        DocumentKind.COMMITMENT: Commitment(
            commitment_id="o-1",
            state=CommitmentState.DELIVERING,
            changed_at_s=T0,
            offer=replace(cast(Offer, EXAMPLES[Offer]), offer_id="o-1"),
            power_w=4e5,
            committed_by="api:tso",
            committed_at_s=T0,
            calls=(CallFigures(dispatch_id=DispatchId("d-1"), ordered_energy_wh=500.0, delivered_energy_wh=499.0),),
        ),
        DocumentKind.COVERAGE_DAY: CoverageDay(pool=PoolId("all"), window_s=900.0, day=20_833, forecasts=3, reached=(1, 3, 3, 3)),
        DocumentKind.OFFER_GUARD: OfferGuard(pool=PoolId("all"), window_s=900.0, factor=0.98, windows=17),
        DocumentKind.GRID_ORDER: GridOrderRecord(
            order=GridOrder(program="north", key="e-17", steps=(GridStep(from_s=T0, discharge_power_w=2e6),), end_s=T0 + 900.0),
            revision=2,
            heard_at_s=T0,
            outcome=GridOutcome.CHANGED,
            dispatch_id=DispatchId("d-1"),
        ),
        DocumentKind.CAPACITY: ProgramCapacity(
            program="dso", bounds=(CapacityBound(program="dso", key="e", pool=ALL_SITES, from_s=1.0, to_s=inf, max_export_w=5e3),)
        ),
        DocumentKind.WIRE_NOTE: WireNote(wire=Wire.OPENADR, key="anchor/e-17", body={"now_s": T0, "parts": [1, 2]}),
        DocumentKind.STATION_FAULTS: StationFaults(
            station_id=STATION,
            alarms={"FreqDroop": T0},
            connectors=(ConnectorState(EvseId(1), ConnectorId(2), T0, Availability.FAULTED),),
        ),
    }


def profile(number: int, hold_until_s: float = T0 + 960) -> ProfileRecord:
    return ProfileRecord(
        station_id=STATION,
        profile_id=ProfileId(number),
        session_uid=UID,
        evse_id=EvseId(1),
        transaction_id=TransactionId("tx"),
        kind=ProfileKind.DISCHARGE,
        state=ProfileState.PLACING,
        power_w=-7000.0,
        placed_at_s=T0,
        discharge_until_s=T0 + 900,
        hold_until_s=hold_until_s,
    )


def entry(number: int) -> LogEntry:
    return LogEntry(at_s=T0 + number, kind=LogKind.TICK, power_w=1.0 * number, text="line\nwith break")


def same(left: Sample, right: Sample) -> bool:
    """Equal to the last bit, NaN included."""
    return repr(left) == repr(right)


def test_each_kind_of_document_comes_back_as_it_was_put(journal: SqliteJournal | MemoryJournal) -> None:
    for kind, document in documents().items():
        journal.put(kind, "key", document)
    journal.flush()
    assert {kind: list(journal.documents(kind)) for kind in DocumentKind} == {k: [("key", d)] for k, d in documents().items()}


def test_a_document_of_the_wrong_kind_is_refused_at_once(journal: SqliteJournal | MemoryJournal) -> None:
    with pytest.raises(TypeError, match="a document of kind profile is a ProfileRecord, not Latch"):
        journal.put(DocumentKind.PROFILE, "key", Latch(on=True, at_s=T0, by="ops"))
    assert journal.position == 0


@pytest.mark.parametrize("end_s", [math.inf, -math.inf, NAN])
def test_a_time_that_is_no_number_survives(journal: SqliteJournal | MemoryJournal, end_s: float) -> None:
    journal.put(DocumentKind.PROFILE, "p", profile(1, hold_until_s=end_s))
    journal.flush()
    ((_, stored),) = journal.documents(DocumentKind.PROFILE)
    assert repr(stored) == repr(profile(1, hold_until_s=end_s))


def test_the_last_write_of_a_key_wins_in_whatever_order_puts_and_deletes_come(journal: SqliteJournal | MemoryJournal) -> None:
    journal.put(DocumentKind.PROFILE, "a", profile(1))
    journal.put(DocumentKind.PROFILE, "a", profile(2))
    journal.put(DocumentKind.PROFILE, "b", profile(3))
    journal.delete(DocumentKind.PROFILE, "b")
    journal.delete(DocumentKind.PROFILE, "c")
    journal.put(DocumentKind.PROFILE, "c", profile(4))
    journal.delete(DocumentKind.PROFILE, "never there")
    journal.flush()
    assert list(journal.documents(DocumentKind.PROFILE)) == [("a", profile(2)), ("c", profile(4))]
    journal.delete(DocumentKind.PROFILE, "a")
    journal.flush()
    assert list(journal.documents(DocumentKind.PROFILE)) == [("c", profile(4))]


def test_keys_may_hold_anything_a_station_may_send(journal: SqliteJournal | MemoryJournal) -> None:
    keys = sorted(['CS|"1"', "a'b", "ünï😀", "x\\y", "", "[1]", "a\nb", "123"])
    for key in keys:
        journal.put(DocumentKind.LATCH, key, Latch(on=False, at_s=T0, by=key))
    journal.flush()
    assert [key for key, _ in journal.documents(DocumentKind.LATCH)] == keys
    for key in keys:
        journal.delete(DocumentKind.LATCH, key)
    journal.flush()
    assert list(journal.documents(DocumentKind.LATCH)) == []


def test_a_log_keeps_its_lines_in_order_and_apart_from_other_dispatches(journal: SqliteJournal | MemoryJournal) -> None:
    for number in range(50):
        journal.log(DispatchId("d1"), entry(number))
        journal.log(DispatchId("d'2"), entry(-number))
        if number % 20 == 0:
            journal.flush()
    journal.flush()
    assert list(journal.dispatch_log(DispatchId("d1"))) == [entry(number) for number in range(50)]
    assert list(journal.dispatch_log(DispatchId("d'2"))) == [entry(-number) for number in range(50)]
    assert list(journal.dispatch_log(DispatchId("unknown"))) == []


def test_each_write_moves_the_position_by_one_and_flush_makes_all_of_them_durable(journal: SqliteJournal | MemoryJournal) -> None:
    assert (journal.position, journal.durable_position) == (0, 0)
    told: list[int] = []
    journal.on_durable(told.append)
    journal.sample(UID, T0, T0, -7000.0, NAN, NAN, NAN)
    journal.put(DocumentKind.PROFILE, "a", profile(1))
    journal.put(DocumentKind.PROFILE, "a", profile(2))
    journal.delete(DocumentKind.PROFILE, "a")
    journal.log(DispatchId("d1"), entry(1))
    assert journal.position == 5
    journal.flush()
    assert journal.durable_position == 5
    journal.sample(UID, T0, T0, -7000.0, NAN, NAN, NAN)
    assert journal.position == 6
    journal.flush()
    while told[-1] < 6:  # the writer's thread tells after it has let flush go
        pass
    assert told == sorted(told)
    assert journal.alarms() == ()


def test_samples_are_selected_by_session_and_by_the_time_of_receipt_half_open(journal: SqliteJournal | MemoryJournal) -> None:
    for step in range(10):
        journal.sample(UID, T0 + step, T0 - 100 + step, -1.0 * step, 2.0, NAN, 0.5)
        journal.sample(OTHER, T0 + step, T0, 1.0, NAN, NAN, NAN)
    journal.flush()
    found = journal.samples([UID, SessionUid(99)], T0 + 2, T0 + 5)
    expected = [Sample(UID, T0 - 100 + step, -1.0 * step, 2.0, NAN, 0.5, T0 + step) for step in (2, 3, 4)]
    assert list(map(repr, found)) == list(map(repr, expected))
    assert list(journal.samples([], T0, T0 + 10)) == []
    assert list(journal.samples([UID], T0 + 10, T0 + 20)) == []


def test_samples_come_in_order_of_receipt_even_when_the_clock_stepped_back(journal: SqliteJournal | MemoryJournal) -> None:
    for received_s in (T0 + 130, T0 + 131, T0 + 5, T0 + 60, T0 + 60, T0 - 500):
        journal.sample(UID, received_s, received_s, journal.position, NAN, NAN, NAN)
    journal.flush()
    found = journal.samples([UID], T0 - 1000, T0 + 1000)
    assert [sample.at_s - T0 for sample in found] == [-500, 5, 60, 60, 130, 131]
    assert [sample.power_w for sample in found][2:4] == [3.0, 4.0]


def test_last_samples_merges_the_newest_known_value_of_each_column(journal: SqliteJournal | MemoryJournal) -> None:
    journal.sample(UID, T0, T0, -1.0, 10.0, NAN, 0.5)
    journal.flush()
    journal.sample(UID, T0 + 700, T0 + 10, -2.0, NAN, NAN, NAN)
    journal.sample(UID, T0 + 710, T0 + 5, -3.0, 12.0, NAN, NAN)  # sent late, from the station's queue
    journal.sample(OTHER, T0 + 3, T0 + 3, NAN, 1.0, 2.0, NAN)
    journal.flush()
    found = journal.last_samples([OTHER, UID, SessionUid(99)])
    assert list(map(repr, found)) == list(
        map(repr, [Sample(UID, T0 + 10, -2.0, 12.0, NAN, 0.5), Sample(OTHER, T0 + 3, NAN, 1.0, 2.0, NAN)])
    )
    assert list(journal.last_samples([])) == []


real = st.floats(allow_nan=True, allow_infinity=True)
time = st.floats(min_value=T0, max_value=T0 + 7200.0)
row = st.tuples(st.integers(1, 3), time, real, real, real, real)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(row, max_size=30, unique_by=lambda one: one[1]), from_s=time, to_s=time)
def test_sqlite_and_its_twin_answer_alike_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], from_s: float, to_s: float
) -> None:
    twin = MemoryJournal()
    with SqliteJournal(tmp_path_factory.mktemp("twin") / "journal.db", StorageSettings()) as sqlite:
        for one in rows:  # sampled and received at the same time
            sqlite.sample(one[0], one[1], *one[1:])
            twin.sample(one[0], one[1], *one[1:])
        sqlite.flush()
        for uids in ([1, 2, 3], [2]):
            window = list(map(SessionUid, uids))
            assert list(map(repr, sqlite.samples(window, from_s, to_s))) == list(map(repr, twin.samples(window, from_s, to_s)))
            assert list(map(repr, sqlite.samples(window, 0.0, math.inf))) == list(map(repr, twin.samples(window, 0.0, math.inf)))
            assert list(map(repr, sqlite.last_samples(window))) == list(map(repr, twin.last_samples(window)))


def test_who_listens_hears_of_each_sample_that_came_late(journal: SqliteJournal | MemoryJournal) -> None:
    late: list[tuple[SessionUid, float, float]] = []
    journal.sample(UID, T0, T0 - 500.0, 1.0, NAN, NAN, NAN)
    journal.on_late(30.0, lambda *told: late.append(told))
    for age_s in (0.5, 30.0, 31.0, NAN, -40.0):
        journal.sample(UID, T0, T0 - age_s, 1.0, NAN, NAN, NAN)
    assert late == [(UID, T0, T0 - 31.0)]
